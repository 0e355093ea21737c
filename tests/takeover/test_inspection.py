"""Each planted fault of a lab's files is found with its figures; the proposed configuration is complete."""

import hashlib
import itertools
import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lab_tree import SR, write_lab_acoustic

from rtmri_speech.configuration import load_configuration
from rtmri_speech.errors import UserError
from rtmri_speech.takeover.findings import findings, measure_sounds
from rtmri_speech.takeover.proposal import propose, report
from rtmri_speech.takeover.survey import survey

ROOT = Path(__file__).parents[2]


def inspected(*roots):
    """Survey, findings and sounds of directories."""
    found = survey(roots)
    measured = {dataset.path: measure_sounds(dataset, found) for dataset in found.datasets}
    sounds = {path: each for path, each in measured.items() if each}
    return found, findings(found, sounds), sounds


@pytest.fixture(scope="module")
def whole(small_lab):
    return inspected(small_lab.root)


def test_everything_in_the_tree_is_recognised(small_lab, whole):
    found, faults, sounds = whole
    (dataset,) = found.datasets
    assert dataset.path == small_lab.processed and sorted(dataset.stored) == sorted(small_lab.mri)
    assert all(clip.whole for clip in dataset.stored.values())
    assert sorted(dataset.lists) == ["training", "validation"]
    assert {(place.path, place.kind) for place in found.recordings} == {
        (small_lab.videos, "videos"),
        (small_lab.wavs, "sounds"),
    }
    (acoustic,) = found.acoustic
    assert (acoustic.path, acoustic.epoch, acoustic.n_mels, acoustic.rnn_hidden) == (small_lab.acoustic, 3, 64, 8)
    assert {(v.path, v.steps, v.config.padding, v.trainable) for v in found.vocoders} == {
        (small_lab.vocoder, 330000, "lab", True),
        (small_lab.base, 55000, "lab", True),
    }
    assert found.broken == [] and faults == []
    assert sounds[dataset.path].gain == pytest.approx(small_lab.gain, rel=1e-6)


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
    "a long sound": (lambda lab: write_wav(lab.wavs / "003.wav", np.tile(lab.audio["003"], 2)), "lengths", ["003"]),
    "a lost sound": (lambda lab: (lab.wavs / "005.wav").unlink(), "missing sounds", ["005"]),
    "a mel generator of other bins": (other_mel_generator, "checkpoint and mel", "predicts 80 mel bins"),
    "a vocoder of another rate": (
        lambda lab: rewrite(lab.vocoder.parent / "config.json", lambda config: config.update(sampling_rate=22050)),
        "checkpoint and mel",
        "sampling_rate 22050 and 11413",
    ),
    "a generator of another config": (other_bins_than_its_config, "checkpoint and mel", "n_mels 80 and 64"),
    "a scaler of other bins": (
        lambda lab: rewrite(lab.processed / "scaler.json", lambda s: s.update(mean=s["mean"][:40], std=s["std"][:40])),
        "scaler and mel",
        "the scaler has 40 bins and the mel 64",
    ),
    "sounds of another level": (
        lambda lab: [write_wav(lab.wavs / f"{id}.wav", lab.audio[id] // 4) for id in ("000", "001")],
        "sound and mel",
        "off by",
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_only_the_planted_fault_is_found(lab, name):
    plant, kind, expected = PLANTS[name]
    plant(lab)
    found, faults, _ = inspected(lab.root)
    assert {one.kind for one in faults} == {kind}, [one.fault for one in faults]
    if isinstance(expected, list):
        assert [clip for one in faults for clip in one.clips] == expected
    else:
        assert all(expected in one.fault for one in faults)
    assert found.broken == []


def cut_off(path):
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def test_broken_files_are_reported_and_the_rest_is_inspected(lab):
    broken = [lab.processed / "samples/001/mri.npy", lab.acoustic, lab.base, lab.wavs / "002.wav"]
    for path in broken:
        cut_off(path)
    (lab.base.parent / "config.json").write_text("{", encoding="utf-8")
    (lab.processed / "hifigan_filelists/validation.txt").write_bytes(b"\xff\xfe0")
    found, faults, sounds = inspected(lab.root)
    for path in [*broken, lab.processed / "hifigan_filelists/validation.txt"]:
        (sentence,) = {sentence for sentence in found.broken if sentence.startswith(str(path))}
        assert "\n" not in sentence
    proposal = propose(found, faults, sounds)
    assert proposal.acoustic is None and proposal.vocoder.path == lab.vocoder
    assert proposal.settings["corpus"]["exclude"] == ["001"]
    text = report(found, faults, proposal, sounds)
    assert all(str(path) in text for path in broken)


def test_the_proposed_configuration_is_complete(small_lab, whole):
    proposal = propose(*whole)
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


def test_a_directory_without_a_dataset_is_refused(lab):
    with pytest.raises(UserError, match="holds no processed directory"):
        propose(*inspected(lab.checkpoints))
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
    assert "What does not fit together\n--------------------------\nnothing" in run.stdout
    assert load_configuration(yaml.safe_load(target.read_text(encoding="utf-8"))).corpus.source == "lab"
    assert state_of(small_lab.root) == before
    run = subprocess.run([*command[:2], str(small_lab.checkpoints)], capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 2 and "holds no processed directory of the older system" in run.stderr
    assert "Traceback" not in run.stderr and str(small_lab.acoustic) in run.stdout
