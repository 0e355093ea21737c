"""Each planted fault of a lab's files is found with its figures; the proposed configuration is complete."""

import hashlib
import itertools
import json
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
import yaml
from lab_tree import HOP, N_FFT, SR, lab_window_split, write_lab_acoustic

from rtmri_speech.configuration import load_configuration
from rtmri_speech.errors import UserError
from rtmri_speech.signal.video import write_video
from rtmri_speech.takeover.findings import findings, leaking_windows, measure_sounds, natural_order
from rtmri_speech.takeover.proposal import propose, told_plainly
from rtmri_speech.takeover.survey import survey

ROOT = Path(__file__).parents[2]


def inspected(*roots):
    """Survey, findings and sounds of directories."""
    found = survey(roots)
    measured = {dataset.path: measure_sounds(dataset, found) for dataset in found.datasets}
    sounds = {path: heard for path, heard in measured.items() if heard}
    return found, findings(found, sounds), sounds


def of_kind(told, kind):
    return [one for one in told if one.kind == kind]


def leaks_by_hand(lengths):
    """Count the validation windows that share a frame with a training window, one by one."""
    windows = [
        {(clip, frame) for frame in range(first, first + 4)}
        for clip, length in enumerate(lengths)
        for first in range(length - 3)
    ]
    parts = lab_window_split(len(windows))
    seen = set().union(*(windows[index] for index in parts["training"]))
    return sum(bool(windows[index] & seen) for index in parts["validation"]), len(parts["validation"])


@pytest.fixture(scope="module")
def whole(small_lab):
    return inspected(small_lab.root)


def test_everything_in_the_tree_is_recognised(small_lab, whole):
    found, _, sounds = whole
    (dataset,) = found.datasets
    ids = sorted(small_lab.mri)
    assert dataset.path == small_lab.processed and dataset.of_lab
    assert {layout: sorted(clips) for layout, clips in dataset.clips.items()} == dict.fromkeys(
        ("samples", "npz", "npy"), ids
    )
    assert {kind: sorted(mels) for kind, mels in dataset.exported.items()} == {
        "mels_ft_log_normalized": ids,
        "mels_gt_log": ids,
    }
    assert sorted(dataset.lists) == ["training", "validation"]
    assert {(place.path, place.kind) for place in found.recordings} == {
        (small_lab.videos, "videos"),
        (small_lab.wavs, "sounds"),
    }
    (acoustic,) = found.acoustic
    assert (acoustic.path, acoustic.epoch, acoustic.n_mels, acoustic.rnn_hidden) == (small_lab.acoustic, 3, 64, 8)
    assert acoustic.of_lab and acoustic.optimizer
    assert {(v.path, v.steps, v.padding, v.optimizer) for v in found.vocoders} == {
        (small_lab.vocoder, 330000, "lab", "AdaBelief"),
        (small_lab.base, 55000, "lab", "AdaBelief"),
    }
    assert list(found.configs) == [small_lab.hifi_gan / "config_custom.json"]
    assert found.broken == []
    assert sounds[dataset.path].gain == pytest.approx(small_lab.gain, rel=1e-6)


def test_the_defects_of_the_old_system_are_found_with_their_numbers(small_lab, whole):
    _, told, _ = whole
    assert all(one.defect for one in told), [one.fault for one in told if not one.defect]

    (alignment,) = of_kind(told, "alignment")
    # The centre of the transform against the centre of the video frame.
    assert alignment.numbers["seconds"] == pytest.approx((N_FFT / 2 - HOP / 2) / SR)
    assert "71.3 ms, 1.94 frames" in alignment.fault

    (leak,) = of_kind(told, "window leak")
    leaking, validation = leaks_by_hand([len(small_lab.mri[id]) for id in sorted(small_lab.mri)])
    assert (leak.numbers["leaking"], leak.numbers["validation"]) == (leaking, validation)
    assert f"{leaking} of {validation} validation windows" in leak.fault

    (redundancy,) = of_kind(told, "redundancy")
    files = [*small_lab.processed.rglob("mri.npy"), *small_lab.processed.rglob("*.npz")]
    assert redundancy.numbers["stored"] == sum(path.stat().st_size for path in files)
    assert redundancy.numbers["once"] == sum(frames.size for frames in small_lab.mri.values())

    empty = (librosa.filters.mel(sr=SR, n_fft=N_FFT, n_mels=64, fmin=0, fmax=8000).max(1) == 0).sum()
    assert [one.numbers["empty"] for one in of_kind(told, "fmax")] == [empty] * 3
    assert empty == 6
    assert [one.numbers["mels"] for one in of_kind(told, "mels")] == [3, 3]
    (scaler,) = of_kind(told, "scaler")
    assert scaler.numbers["frames"] == small_lab.scaler["count_frames"]
    (split,) = of_kind(told, "two splits")
    assert split.numbers["clips"] == 1


@pytest.mark.parametrize("lengths", [[5, 4, 9], [40, 3, 70, 12], [260, 31, 99, 180], [4] * 60])
def test_leaking_windows_are_counted_one_by_one(lengths):
    assert leaking_windows(lengths, 4)[:2] == leaks_by_hand(lengths)


def test_ids_are_ordered_by_the_numbers_in_them():
    assert natural_order(["a10", "a9", "b1", "100", "20"]) == ["20", "100", "a9", "a10", "b1"]


def save(path, change):
    np.save(path, change(np.load(path)))


def rewrite(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_wav(path, samples):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SR)
        out.writeframes(np.int16(samples).tobytes())


def forget(lab, id):
    """Remove a clip."""
    for path in [*(lab.processed / "samples" / id).iterdir(), *(lab.processed / "pairs_ref4_npy" / id).iterdir()]:
        path.unlink()
    (lab.processed / "pairs_ref4" / f"{id}.npz").unlink()


def other_mel_generator(lab):
    lab.acoustic.unlink()
    write_lab_acoustic(lab.acoustic, n_mels=80)


def other_bins_than_its_config(lab):
    """Make the weights of the base contradict its config."""
    content = torch.load(lab.base, weights_only=True)
    content["generator"]["conv_pre.weight"] = torch.zeros(32, 80, 7)
    torch.save(content, lab.base)


PLANTS = {
    "a short mel": (
        lambda lab: save(lab.processed / "samples/002/mel_db.npy", lambda mel: mel[:-2]),
        "lengths",
        ["002"],
    ),
    "a short mask": (
        lambda lab: save(lab.processed / "samples/001/mask.npy", lambda mask: mask[:-1]),
        "lengths",
        ["001"],
    ),
    "a short exported mel": (
        lambda lab: save(lab.processed / "mels_ft_log_normalized/004.npy", lambda mel: mel[:, 3:]),
        "lengths",
        ["004"],
    ),
    "a long sound": (lambda lab: write_wav(lab.wavs / "003.wav", np.tile(lab.audio["003"], 2)), "lengths", ["003"]),
    "a lost sound": (lambda lab: (lab.wavs / "005.wav").unlink(), "missing clips", ["005"]),
    "a lost exported mel": (lambda lab: (lab.processed / "mels_gt_log/000.npy").unlink(), "missing clips", ["000"]),
    "a lost clip": (lambda lab: forget(lab, "001"), {"lost clips", "unknown clips", "scaler"}, None),
    "a list with an unknown clip": (
        lambda lab: (lab.processed / "hifigan_filelists/training.txt").write_text("000|x|x\n777|x|x\n"),
        "unknown clips",
        ["777"],
    ),
    "lists that share a clip": (
        lambda lab: (lab.processed / "hifigan_filelists/validation.txt").write_text(
            (lab.processed / "hifigan_filelists/training.txt").read_text().splitlines()[0] + "\n"
        ),
        "shared clips",
        None,
    ),
    "a mel generator of other bins": (other_mel_generator, "checkpoint and mel", {"checkpoint": 80, "dataset": 64}),
    "a vocoder of another rate": (
        lambda lab: rewrite(lab.vocoder.parent / "config.json", lambda config: config.update(sampling_rate=22050)),
        "checkpoint and mel",
        {"wrong": {"sampling_rate": (22050, 11413)}},
    ),
    "a generator of another config": (
        other_bins_than_its_config,
        {"checkpoint and config", "checkpoint and mel"},
        None,
    ),
    "a scaler of other bins": (
        lambda lab: rewrite(lab.processed / "scaler.json", lambda s: s.update(mean=s["mean"][:40], std=s["std"][:40])),
        "scaler and mel",
        {"scaler": 40, "mel": 64},
    ),
    "a scaler of fewer frames": (
        lambda lab: rewrite(lab.processed / "scaler.json", lambda s: s.update(count_frames=17)),
        "scaler",
        None,
    ),
    "true mels of decibels": (
        lambda lab: np.save(lab.processed / "mels_gt_log/002.npy", lab.mel_db["002"].T),
        "true mels",
        ["002"],
    ),
    "videos of another rate": (
        lambda lab: write_video(lab.videos / "000.mp4", np.uint8(255 * lab.mri["000"]), Fraction(25)),
        "frame rate",
        None,
    ),
    "videos that part from their mel only at their end": (
        lambda lab: write_video(
            lab.videos / "000.mp4", np.resize(np.uint8(255 * lab.mri["000"]), (700, 64, 64)), 1.0009 * SR / HOP
        ),
        "frame rate",
        None,
    ),
    "sounds of another level": (
        lambda lab: [write_wav(lab.wavs / f"{id}.wav", lab.audio[id] // 4) for id in ("000", "001")],
        "sound and mel",
        None,
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_only_the_planted_fault_is_found(lab, whole, name):
    plant, kinds, expected = PLANTS[name]
    kinds = kinds if isinstance(kinds, set) else {kinds}
    plant(lab)
    found, told, _ = inspected(lab.root)
    known = {one.kind: one.numbers for one in whole[1]}
    new = [one for one in told if one.kind not in known or (one.defect is None or one.kind in kinds)]
    assert {one.kind for one in new} == kinds, [(one.kind, one.fault) for one in new]
    if isinstance(expected, list):
        assert {clip for one in new for clip in one.numbers["clips"]} == set(expected)
        assert all(id in one.fault for one in new for id in expected)
    elif expected:
        assert [one.numbers for one in new] == [expected]
    assert found.broken == []


def test_an_untouched_tree_shows_no_fmax_above_nyquist_when_its_configs_have_none(lab):
    for path in lab.root.rglob("config*.json"):
        rewrite(path, lambda config: config.update(fmax=None))
    _, told, _ = inspected(lab.root)
    assert of_kind(told, "fmax") == []
    # Its condition and its loss differ all the same.
    assert [one.numbers["mels"] for one in of_kind(told, "mels")] == [2, 2]


def cut_off(path):
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def test_broken_files_are_reported_and_the_rest_is_inspected(lab):
    broken = [
        lab.processed / "samples/001/mri.npy",
        lab.acoustic,
        lab.base,
        lab.wavs / "002.wav",
        lab.vocoder.parent / "do_00330000",
    ]
    for path in broken:
        cut_off(path)
    (lab.base.parent / "config.json").write_text("{", encoding="utf-8")
    (lab.processed / "hifigan_filelists/validation.txt").write_bytes(b"\xff\xfe0")
    found, told, sounds = inspected(lab.root)
    for path in [*broken, lab.processed / "hifigan_filelists/validation.txt"]:
        (sentence,) = {sentence for sentence in found.broken if sentence.startswith(str(path))}
        assert "\n" not in sentence
    proposal = propose(found, told, sounds)
    assert proposal.acoustic is None and proposal.vocoder.path == lab.vocoder
    assert proposal.settings.corpus.exclude == ["001"]
    text = told_plainly(found, told, proposal, sounds)
    assert all(str(path) in text for path in broken)


def test_the_proposed_configuration_is_complete(small_lab, whole):
    found, told, sounds = whole
    proposal = propose(found, told, sounds)
    settings = load_configuration(yaml.safe_load(proposal.text))
    assert settings.lab.processed == small_lab.processed
    assert settings.synthesis.mri_checkpoint == small_lab.acoustic
    assert settings.synthesis.scaler_json == small_lab.processed / "scaler.json"
    assert settings.synthesis.hifigan_checkpoint == small_lab.vocoder
    assert settings.corpus.audio == small_lab.wavs and settings.corpus.videos == small_lab.videos
    assert settings.audio.gain == pytest.approx(small_lab.gain, rel=1e-6)
    assert settings.mel.preset == "lab" and settings.video.size == (32, 32)
    named = settings.split.named
    lines = (small_lab.processed / "hifigan_filelists" / "validation.txt").read_text(encoding="utf-8").splitlines()
    assert list(named.validation) == [line.split("|")[0] for line in lines]
    assert sorted(itertools.chain(named.training, named.validation, named.test)) == sorted(small_lab.mri)
    assert len(named.test) == 1
    fixed = yaml.safe_load(proposal.text)
    fixed["lab"]["conventions"] = "fixed"
    settings = load_configuration(fixed)
    assert settings.mel.preset == "hifigan" and settings.synthesis.mri_checkpoint is None
    assert settings.vocoder.config == Path("config/hifigan_v1_11413.json")


def test_what_other_programs_call_samples_or_meta_does_not_hide_what_lies_below(lab):
    (lab.root / "meta.json").write_text("{}", encoding="utf-8")
    (lab.root / "samples").mkdir()
    found = survey([lab.root])
    assert [dataset.path for dataset in found.datasets] == [lab.processed] and found.broken == []


def test_paths_given_twice_are_reported_once(small_lab, whole):
    found = survey([small_lab.root, small_lab.hifi_gan, small_lab.wavs])
    assert len(found.datasets) == 1 and len(found.vocoders) == 2 and len(found.recordings) == 2


def test_a_clip_whose_exported_mel_alone_is_short_is_taken_over_and_one_of_two_lengths_is_not(lab):
    save(lab.processed / "mels_ft_log_normalized/004.npy", lambda mel: mel[:, 3:])
    save(lab.processed / "samples/002/mask.npy", lambda mask: mask[:-1])
    found, told, sounds = inspected(lab.root)
    proposal = propose(found, told, sounds)
    assert proposal.settings.corpus.exclude == ["002"]
    assert "002" not in itertools.chain(*proposal.settings.split.named.values())


def test_a_directory_without_a_dataset_is_refused(lab):
    found, told, sounds = inspected(lab.checkpoints)
    with pytest.raises(UserError, match="holds no processed directory"):
        propose(found, told, sounds)
    with pytest.raises(UserError, match="there is no such directory"):
        survey([lab.root / "nowhere"])


def state_of(root):
    """Return hash and time of every file in a directory."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def test_the_script_writes_the_configuration_and_changes_nothing_of_the_lab(small_lab, tmp_path):
    before, target = state_of(small_lab.root), tmp_path / "設定 lab.yaml"
    command = [sys.executable, str(ROOT / "workflow" / "scripts" / "inspect_lab_setup.py"), str(small_lab.root)]
    run = subprocess.run([*command, "--write", str(target)], capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "(1)" in run.stdout and "What does not fit together\n--------------------------\nnothing" in run.stdout
    assert load_configuration(yaml.safe_load(target.read_text(encoding="utf-8"))).corpus.source == "lab"
    assert state_of(small_lab.root) == before
    run = subprocess.run([*command[:2], str(small_lab.checkpoints)], capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 2 and "holds no processed directory of the old system" in run.stderr
    assert "Traceback" not in run.stderr and str(small_lab.acoustic) in run.stdout
