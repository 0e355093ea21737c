"""The memo's first commands with an existing dataset of the old system and its split."""

import subprocess
import sys

import pytest
from memo_commands import SCRIPTS

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.filelists import assign_splits, read_filelist, write_filelist
from rtmri_speech.dataset.process import DatasetSettings, Processing
from rtmri_speech.dataset.split import split_clips
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec

IDS = [f"{number:03d}" for number in range(40)]
RATIOS = (42, 0.1, 0.1)


def lab_lists(directory):
    """File lists as written by the old system: no test set, CRLF, unsorted."""
    directory.mkdir(parents=True)
    for part, ids in (("training", ["002", "000", "001"]), ("validation", ["003"])):
        (directory / f"{part}.txt").write_bytes("".join(f"{id}|dummy|dummy\r\n" for id in ids).encode())


def test_without_lists_the_split_is_by_hash(tmp_path):
    assignment = assign_splits(tmp_path, IDS, *RATIOS)
    assert assignment.splits == split_clips(IDS, *RATIOS) and not assignment.displaced


def test_listed_clips_stay_and_new_ones_follow_them(tmp_path):
    lab_lists(tmp_path / "lists")
    assignment = assign_splits(tmp_path / "lists", IDS, *RATIOS)
    assert assignment.splits["training"][:3] == ["002", "000", "001"]
    assert assignment.splits["validation"][0] == "003" and assignment.displaced == ["003"]
    assert sorted(id for part in assignment.splits.values() for id in part) == IDS
    by_hash = split_clips(IDS, *RATIOS)
    assert assignment.splits["test"] == by_hash["test"]


def test_a_new_split_reports_moved_clips(tmp_path):
    lab_lists(tmp_path / "lists")
    assignment = assign_splits(tmp_path / "lists", IDS, *RATIOS, reassign=True)
    assert assignment.splits == split_clips(IDS, *RATIOS) and assignment.displaced == ["003"]


def create_filelists(*arguments):
    command = [sys.executable, SCRIPTS / "create_rtmri_filelists.py", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_command_keeps_the_split_and_skips_clips_without_samples(tmp_path):
    lists, wavs = tmp_path / "processed" / "hifigan_filelists", tmp_path / "wavs"
    lab_lists(lists)
    wavs.mkdir()
    for id in ("000", "001", "002", "003", "004", "005"):
        (wavs / f"{id}.wav").touch()
        if id != "005":
            (tmp_path / "processed" / "samples" / id).mkdir(parents=True)
    said = create_filelists(wavs, lists, "--valid-ratio", "0.1", "--seed", "2")
    assert "1 of the clips listed in" in said and "stay there" in said and "--overwrite splits again" in said
    assert "005: skipped, no sample in" in said
    assert read_filelist(lists / "training.txt") == ["002", "000", "001", "004"]
    assert read_filelist(lists / "validation.txt") == ["003"]


def test_overwrite_makes_a_new_split_and_reports_the_consequences(tmp_path):
    lists, wavs = tmp_path / "lists", tmp_path / "wavs"
    lab_lists(lists)
    wavs.mkdir()
    for id in IDS:
        (wavs / f"{id}.wav").touch()
    said = create_filelists(wavs, lists, "--overwrite")
    assert "1 of the clips listed in" in said and "make scaler, windows and models again" in said
    assert read_filelist(lists / "training.txt") == split_clips(IDS, *RATIOS)["training"]


SPEC = MelSpec.preset("hifigan")


def processing(directory, spec=SPEC):
    return Processing(directory, DatasetSettings(spec))


def test_a_dataset_of_the_old_system_is_not_overwritten(tmp_path):
    (tmp_path / "meta.json").write_text('{"sr": 11413, "n_mels": 64}', encoding="utf-8")
    with pytest.raises(UserError, match=r"meta\.json: belongs to a dataset of the old system, .* another --out_dir"):
        processing(tmp_path).everything({"000": Clip("000", tmp_path / "000.mp4")}, {"training": ["000"]})
    assert [path.name for path in tmp_path.iterdir()] == ["meta.json"]


def test_a_dataset_with_another_mel_is_not_overwritten(make_tiny_processed, tmp_path):
    directory = make_tiny_processed(tmp_path / "processed")
    write_filelist(directory / "hifigan_filelists" / "training.txt", ["a0"])
    with pytest.raises(UserError, match=r"meta\.json: its mel differs .* 512 against 2048.*another --out_dir"):
        processing(directory).everything({"a0": Clip("a0", tmp_path / "a0.mp4")}, {"training": ["a0"]})
