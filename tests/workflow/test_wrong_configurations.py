"""With finished results, an invalid configuration is refused in one sentence, and no result changes."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from fractions import Fraction

import pytest
import tiny_models
from small_recordings import record
from workflow_checkout import ROOT, TINY_ACOUSTIC, make_recording, tiny_checkout

from rtmri_speech.signal.audio import sound_length

pytestmark = pytest.mark.slow

OTHER_MEL = dataclasses.replace(tiny_models.SPEC, n_mels=20)

WRONG = {
    "another mel than the vocoder's": ({"mel": {"n_mels": 20}}, "hifigan_tiny.json: its mel differs"),
    "a mistyped vocoder config": ({"vocoder": {"config": "config/hifigan_tinny.json"}}, "vocoder.config: names"),
    "a mistyped base": ({"vocoder": {"base": "nope/g_00016200"}}, "vocoder.base: names nope/g_00016200"),
    "a mistyped start": ({"base_vocoder": {"base": "nope/g_00000006"}}, "base_vocoder.base: names nope/g_00000006"),
    "a mistyped backbone": ({"acoustic": {"backbone": "efficientnot"}}, "timm cannot build 'efficientnot'"),
    "pretrained weights not there": (
        {"acoustic": {"cnn_pretrained": "b2.pth"}},
        "acoustic.cnn_pretrained: names b2.pth",
    ),
    "a beginning not there": ({"acoustic": {"resume_ckpt": "m.pt"}}, "acoustic.resume_ckpt: names m.pt"),
    "phonemes not there": ({"corpus": {"phonemes": "音素"}}, "corpus.phonemes: names 音素"),
    "a damaged TextGrid": ({"corpus": {"phonemes": "damaged"}}, "b0.TextGrid: is not a TextGrid"),
    "regions that are none": (
        {"explain": {"regions": "regions.json"}},
        "regions.json: holds a region that is not a polygon",
    ),
    "polygons not there": (
        {"synthesis": {"masks": {"x": {"type": "custom", "polygons": "p.json"}}}},
        "synthesis.masks.x.polygons: names p.json",
    ),
    "a given mel generator of another mel": ({"synthesis": {"mri_checkpoint": "other/m.pt"}}, "m.pt: its mel differs"),
    "a given vocoder not there": ({"synthesis": {"hifigan_checkpoint": "g_1"}}, "synthesis.hifigan_checkpoint: names"),
    "a given vocoder that is text": ({"synthesis": {"hifigan_checkpoint": "text/g_00000001"}}, "g_00000001:"),
    "a file to archive in": ({"vocoder": {"archive": "Snakefile"}}, "vocoder.archive: names Snakefile"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    checkout = tiny_checkout(tmp_path_factory.mktemp("finished") / "山根 研究用")
    checkout.configure(
        acoustic={**TINY_ACOUSTIC, "epochs": 2},
        vocoder={"steps": 2, "checkpoint_interval": 2, "validation_interval": 2, "gpus": 0, "threads": 1},
        report={"films": False},
        evaluation={"contexts": []},
    )
    folder = checkout.directory
    (folder / "damaged").mkdir()
    (folder / "damaged" / "b0.TextGrid").write_text("no tiers", encoding="utf-8")
    (folder / "regions.json").write_text(json.dumps({"lips": {"upper": [[1, 2]]}}), encoding="utf-8")
    tiny_models.write_acoustic(folder / "other" / "m.pt", spec=OTHER_MEL)
    tiny_models.write_vocoder(folder / "text" / "g_00000001").write_text("no checkpoint")
    checkout.said = checkout.make()
    assert checkout.pending() == set()
    return checkout


def hashes(directory):
    """Return the hashes of all files except logs."""
    return {
        path.relative_to(directory): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and path.relative_to(directory).parts[0] not in ("logs", "benchmarks")
    }


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused_in_one_sentence_and_changes_nothing(finished, monkeypatch, name):
    wrong, sentence = WRONG[name]
    sound = finished.settings
    changed = {section: {**sound.get(section, {}), **values} for section, values in wrong.items()}
    monkeypatch.setattr(finished, "settings", {**sound, **changed})
    before = hashes(finished.results)
    run = finished.snakemake()
    out = run.stdout + run.stderr
    assert run.returncode != 0, out
    assert sentence in out and "Traceback" not in out, out
    assert hashes(finished.results) == before


def test_the_terminal_of_a_whole_run_is_short_and_ends_with_the_results(finished):
    lines = finished.said.splitlines()
    assert len(lines) <= 60 and "\r" not in finished.said and "\x1b" not in finished.said
    (log,) = [line.removeprefix("Log: ") for line in lines if line.startswith("Log: ")]
    # The rest is in Snakemake's log.
    assert len((finished.directory / log).read_text(encoding="utf-8").splitlines()) > 5 * len(lines)
    stages = [line.split("] ", 1)[1] for line in lines if line.startswith("[")]
    assert len(set(stages)) == len(stages)
    assert "Train the mel generator (log: 結果 1/logs/train_acoustic.log)" in stages
    results = dict(line.split(": ", 1) for line in lines[lines.index(f"Log: {log}") + 1 :] if ": " in line)
    for name in ("Clips", "Mel generator", "Vocoder", "Scores", "Speech, beside its recording", "Page, for a browser"):
        assert (finished.directory / results[name].split(" and ")[0]).is_file(), name


def test_new_videos_do_not_affect_the_trained_models(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    # Of any frame rate: the models' cannot be changed.
    record(checkout.directory / "new" / "n1.mp4", checkout.directory / "new" / "n1.wav", 1.0, Fraction(99))
    run = checkout.snakemake("-n", "infer_new")
    out = run.stdout + run.stderr
    assert run.returncode != 0 and "synthesis.new_videos names no video" in out and "Traceback" not in out
    checkout.configure(synthesis={"new_videos": "new"})
    assert checkout.pending("infer_new") == {"infer_new", "infer_new_video n1"}
    made = checkout.make("infer_new")
    assert made.splitlines()[-1] == "Speech of new videos: 結果 1/infer_new/n1_generated.wav"
    spoken = checkout.results / "infer_new" / "n1_generated.wav"
    assert abs(sound_length(spoken)[1] - 1.0) < 0.05
    assert checkout.pending("infer_new") <= {"infer_new"}


def test_without_test_clips_models_are_trained_and_nothing_is_scored(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    checkout.configure(split={"named": {}, "test": 0})
    run = checkout.snakemake("-n")
    out = run.stdout + run.stderr
    assert run.returncode == 0, out
    assert "nothing is scored" in out and "train_acoustic" in out and "fine_tune_vocoder" in out
    assert "evaluate_systems" not in out and "make_report" not in out
    dataset = checkout.results / "dataset"
    (dataset / "hifigan_filelists" / "test.txt").write_text("")
    script = [sys.executable, ROOT / "workflow" / "scripts" / "evaluate_systems.py", "--processed_dir", dataset]
    models = ["--mri_checkpoint", "m.pt", "--hifigan_checkpoint", "g_1"]
    run = subprocess.run([*script, *models, "--output_dir", tmp_path / "scores"], capture_output=True, text=True)
    assert run.returncode == 2 and "names no clip, so there is nothing to score" in run.stderr
    assert not (tmp_path / "scores").exists()


def test_an_added_test_clip_triggers_no_training_and_hides_no_changed_setting(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    folder = checkout.directory
    make_recording(folder / "動画 videos" / "c0.mp4", folder / "audio" / "c0.wav", seed=7)
    checkout.configure(split={"named": {**checkout.settings["split"]["named"], "test": ["b0", "b1", "c0"]}})
    trainings = {"train_acoustic", "fine_tune_vocoder"}
    pending = checkout.pending()
    assert "infer_clip c0" in pending and not pending & trainings
    checkout.configure(acoustic={"lr": 0.002})
    assert trainings <= checkout.pending()
