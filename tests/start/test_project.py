"""The proposal for a folder: files that the workflow runs with, and what they hold."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import miniatures
import numpy as np
import pytest
import yaml
from small_recordings import record

from rtmri_speech.configuration import load_configuration
from rtmri_speech.dataset.clip import clips_from_table
from rtmri_speech.dataset.grouping import divide
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.start.machine import gpu_notes, torch_commands
from rtmri_speech.start.project import propose
from rtmri_speech.start.recordings import find_recordings
from rtmri_speech.vocoder.config import read_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def given_f0(monkeypatch, request):
    """F0 is searched for by seconds of computing; it has tests of its own."""
    if "f0" not in request.node.name:
        monkeypatch.setattr("rtmri_speech.start.project.f0_range", lambda *_: (100, 400))


def proposed(directory, size="small", name="mine.yaml", **finding):
    project = propose(find_recordings(directory, **finding), directory, directory.parent / name, size, ROOT)
    project.write()
    return project


def written(project):
    settings = load_configuration(yaml.safe_load(project.path.read_text(encoding="utf-8")))
    assert read_config(settings.vocoder.config).spec == MelSpec.of(settings.mel)
    return settings


def test_one_recording_becomes_a_table_of_utterances(tmp_path):
    folder = tmp_path / "録音 1"
    record(folder / "one.mp4", folder / "one.wav", 26.0)
    project = proposed(folder)
    settings = written(project)
    assert Fraction(settings.mel.sampling_rate, settings.mel.hop_length) == 25
    assert settings.video.size == settings.acoustic.image_size == (32, 32)
    clips = clips_from_table(settings.corpus.table)
    assert len(clips) >= 8 and all(clip.audio == folder / "one.wav" for clip in clips.values())
    assert all(divide(clips, settings.split).splits.values())
    assert project.files == [folder.parent / f"mine.{name}" for name in ("yaml", "hifigan.json", "clips.tsv")]
    assert any("silences" in note for note in project.notes)
    assert project.settings["synthesis"] == {"vocoder": "world"}
    assert any(note.startswith("Vocoder: world, which needs no training") for note in project.notes)


def test_words_of_an_annotation_are_the_texts_of_utterances(tmp_path):
    folder = tmp_path / "a"
    record(folder / "one.mp4", folder / "one.wav", 26.0)
    words = [(second + 0.1, second + 0.8, f"word{second}") for second in range(25)]
    (folder / "one.TextGrid").write_text(miniatures.textgrid({"words": words}, 26.0), encoding="utf-8")
    clips = clips_from_table(written(proposed(folder)).corpus.table)
    assert " ".join(clip.text for clip in clips.values()).split() == [f"word{second}" for second in range(25)]


def test_many_short_clips_stay_in_their_directories(tmp_path):
    folder = tmp_path / "b"
    for number in range(7):
        record(folder / "v" / f"{number}.mp4", folder / "w" / f"{number}.wav", 1.0, seed=number)
    settings = written(proposed(folder))
    assert settings.corpus.source == "directories"
    assert (settings.corpus.videos, settings.corpus.audio) == (folder / "v", folder / "w")


@pytest.mark.parametrize(
    ("size", "rate", "fits"), [("small", "20000/736", True), ("small", "25", False), ("full", "20000/736", False)]
)
def test_the_shipped_base_is_named_where_mel_and_network_are_its_own(tmp_path, size, rate, fits):
    folder = tmp_path / "g"
    for number in range(7):
        record(folder / f"{number}.mp4", folder / f"{number}.wav", 1.0, Fraction(rate), seed=number)
    assert (written(proposed(folder, size)).vocoder.base is not None) == fits


@pytest.mark.parametrize("delay_ms", [120, -100])
def test_a_clear_offset_is_measured_and_corrected(tmp_path, delay_ms):
    folder = tmp_path / "late"
    record(folder / "one.mp4", folder / "one.wav", 26.0, Fraction(25), delay_s=delay_ms / 1000)
    project = proposed(folder)
    offsets = {clip.av_offset_ms for clip in project.clips.values()}
    assert len(offsets) == 1 and abs(offsets.pop() - delay_ms) < 30
    assert any("it is corrected" in note for note in project.notes)


def test_a_recording_in_step_is_left_as_it_is(tmp_path):
    folder = tmp_path / "late"
    record(folder / "one.mp4", folder / "one.wav", 26.0, Fraction(25))
    assert {clip.av_offset_ms for clip in proposed(folder).clips.values()} == {0.0}


def test_the_f0_range_is_that_of_the_training_clips(tmp_path):
    for number in range(7):
        record(tmp_path / "f" / f"{number}.mp4", tmp_path / "f" / f"{number}.wav", 1.0, seed=number)
        times = np.arange(16000) / 16000
        write_wav(
            tmp_path / "f" / f"{number}.wav", sum(np.sin(2 * np.pi * 200 * k * times) / 9 for k in (1, 2, 3)), 16000
        )
    low, high = written(proposed(tmp_path / "f")).evaluation.f0_range
    # 0.75 and 1.5 times a constant F0.
    assert abs(low - 150) < 5 and abs(high - 300) < 10


def test_clips_of_another_rate_are_resampled_and_counted(tmp_path):
    folder = tmp_path / "c"
    for number in range(8):
        record(folder / f"{number}.mp4", folder / f"{number}.wav", 1.0, Fraction(30 if number else 24), seed=number)
    project = proposed(folder)
    assert written(project).video.resampling == "nearest"
    assert any("resampled (video.resampling: nearest): 1." in note for note in project.notes)


def test_what_cannot_be_used_is_in_no_table(tmp_path):
    folder = tmp_path / "d"
    for number in range(7):
        record(folder / f"{number}.mp4", folder / f"{number}.wav" if number else None, 1.0, seed=number)
    settings = written(proposed(folder))
    assert settings.corpus.source == "table" and "0" not in clips_from_table(settings.corpus.table)


@pytest.mark.parametrize("name", ["usc75", "usc_timit", "artspeech"])
def test_a_public_set_is_named_and_read_by_its_reader(tmp_path, name):
    folder = miniatures.SETS[name](tmp_path)
    settings = written(proposed(folder, size="full"))
    assert settings.corpus.source == name and settings.corpus.directory == folder
    assert settings.video.size == (256, 256) and settings.acoustic.backbone == "tf_efficientnetv2_b2"


def test_two_clips_are_too_few(tmp_path):
    for number in range(2):
        record(tmp_path / "e" / f"{number}.mp4", tmp_path / "e" / f"{number}.wav", 0.4, seed=number)
    with pytest.raises(UserError):
        proposed(tmp_path / "e")


def test_the_build_for_the_gpu_is_named_where_torch_cannot_use_it():
    assert gpu_notes(in_use=True, there=True) == gpu_notes(in_use=False, there=False) == []
    assert "cannot use" in gpu_notes(in_use=False, there=True)[0]
    assert torch_commands({"torch": "2.9.1+cpu", "torchaudio": "2.9.1"})[-1].endswith(" torch==2.9.1 torchaudio==2.9.1")


def start(folder, *arguments, cwd):
    return subprocess.run(
        [sys.executable, ROOT / "workflow" / "scripts" / "start_project.py", folder, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "vocoder"), [("83.278", "world"), ("99", "hifigan")])
def test_what_is_proposed_trains_and_speaks(tmp_path, rate, vocoder):
    folder = tmp_path / "録音 1"
    record(folder / "one.mp4", folder / "one.wav", 16.0, Fraction(rate))
    begun = start(folder, "--size", "small", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert f"--configfile={tmp_path / '録音 1.yaml'}" in begun.stdout
    again = start(folder, cwd=tmp_path)
    assert again.returncode == 2 and "already exists" in again.stderr

    short = {
        "acoustic": {"epochs": 1, "max_train_steps": 2},
        "vocoder": {"steps": 2, "checkpoint_interval": 2, "validation_interval": 2},
        "synthesis": {"vocoder": vocoder},
    }
    run = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2", "infer"),
            f"--configfile={tmp_path / '録音 1.yaml'}",
            *("--config", *(f"{section}={json.dumps(settings)}" for section, settings in short.items())),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    settings = yaml.safe_load((tmp_path / "録音 1.yaml").read_text(encoding="utf-8"))
    spoken = sorted(Path(tmp_path, settings["results"], "infer").glob("*_generated.wav"))
    assert spoken
    for wav in spoken:
        f0 = np.load(wav.with_name(wav.name.replace("_generated.wav", "_f0.npy")))
        assert f0.ndim == 1 and len(f0) and (f0 >= 0).all()
