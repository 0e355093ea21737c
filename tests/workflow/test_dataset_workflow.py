"""Reruns after a change, through Snakemake: only what depends on the change."""

import json
import os
import re
import time

import numpy as np
import pytest
from workflow_checkout import CLIPS, RATE, ROOT, TINY_VOCODER, make_recording

RECORD = "record_provenance dataset"
DOWNSTREAM_OF_TRAINING = {"fit_scaler", "write_window_starts training"}


def test_everything_is_made_and_then_nothing_is_pending(made_dataset):
    dataset = made_dataset.directory / "結果 1" / "dataset"
    for id in CLIPS:
        mri = np.load(dataset / "samples" / id / "mri.npy")
        assert (mri.shape, mri.dtype) == ((12, 32, 32), np.uint8)
        assert np.load(dataset / "samples" / id / "mel_db.npy").shape == (12, 16)
        assert (dataset / "samples" / id / "figure.png").stat().st_size > 10_000
    assert np.load(dataset / "pairs_ref4_npy" / "training.npy").tolist() == [[c, f] for c in (0, 1) for f in range(9)]
    assert made_dataset.pending("dataset") == set()


def test_a_changed_video_remakes_its_clip_and_dependants(checkout):
    folder = checkout.directory
    make_recording(folder / "動画 videos" / "a0.mp4", folder / "x.wav", seed=99, frames=14)
    make_recording(folder / "x.mp4", folder / "audio" / "a0.wav", seed=99, frames=14)
    assert (
        checkout.pending("dataset")
        == {
            "prepare_clip a0",
            RECORD,
        }
        | DOWNSTREAM_OF_TRAINING
    )


def test_touching_a_video_remakes_nothing(checkout):
    (checkout.directory / "動画 videos" / "a0.mp4").touch()
    (checkout.directory / "audio" / "a1.wav").touch()
    assert checkout.pending("dataset") == set()


def test_a_changed_test_clip_does_not_affect_training_data(checkout):
    folder = checkout.directory
    make_recording(folder / "動画 videos" / "b0.mp4", folder / "audio" / "b0.wav", seed=99)
    assert checkout.pending("dataset") == {"prepare_clip b0", RECORD}


def test_an_added_test_clip_does_not_affect_training_data(checkout):
    folder = checkout.directory
    make_recording(folder / "動画 videos" / "c0.mp4", folder / "audio" / "c0.wav", seed=7)
    checkout.configure(split={"named": {**checkout.settings["split"]["named"], "test": ["b0", "b1", "c0"]}})
    assert checkout.pending("dataset") == {
        "prepare_clip c0",
        "write_filelist test",
        "list_clips",
        "list_sources",
        RECORD,
    }


def test_another_number_of_mels_remakes_clips_and_keeps_the_split(checkout):
    config = {**TINY_VOCODER, "num_mels": 20}
    (checkout.directory / "config" / "hifigan_20.json").write_text(json.dumps(config), encoding="utf-8")
    checkout.configure(mel={"n_mels": 20}, vocoder={"config": "config/hifigan_20.json"})
    pending = checkout.pending("dataset")
    assert {f"prepare_clip {id}" for id in CLIPS} | DOWNSTREAM_OF_TRAINING | {"write_meta"} <= pending
    assert not any(job.startswith("write_filelist") for job in pending)


def test_another_frame_size_remakes_all_frames(checkout):
    checkout.configure(video={"size": [40, 40]})
    assert {f"prepare_clip {id}" for id in CLIPS} <= checkout.pending("dataset")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("_BLOCK_FRAMES = 128", "_BLOCK_FRAMES = 128  # measured", set()),
        ("_BLOCK_FRAMES = 128", "_BLOCK_FRAMES = 256", {f"prepare_clip {id}" for id in CLIPS}),
    ],
)
def test_code_changes_count_and_comments_do_not(checkout, old, new, expected):
    path = checkout.directory / "src" / "rtmri_speech" / "signal" / "mel.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    pending = checkout.pending("dataset")
    assert {job for job in pending if job.startswith("prepare_clip")} == expected
    assert bool(pending) == bool(expected)


def test_only_a_deleted_output_is_remade(checkout):
    (checkout.directory / "結果 1" / "dataset" / "samples" / "b1" / "mask.npy").unlink()
    assert checkout.pending("dataset") == {"prepare_clip b1"}


def test_an_unknown_clip_has_no_rule(checkout):
    run = checkout.snakemake("-n", "結果 1/dataset/samples/zz/mri.npy")
    assert run.returncode != 0
    assert "MissingRuleException" in run.stdout + run.stderr


def test_an_invalid_setting_is_refused_before_any_job(checkout):
    checkout.configure(mel={"fmax": 8000})
    run = checkout.snakemake("dataset")
    assert run.returncode != 0
    assert (
        "mel.fmax: is 8000 Hz, above half the sampling rate 11413 Hz; give at most 5706.5." in run.stdout + run.stderr
    )


def test_raw_recordings_are_normalised_first(checkout):
    checkout.configure(corpus={"raw_videos": {"crop": [4, 4, 40, 40], "rotation": 5}})
    checkout.make("結果 1/dataset/samples/b0/mri.npy")
    assert (checkout.directory / "結果 1" / "normalized_videos" / "b0.mp4").stat().st_size > 0


def test_a_recording_of_many_clips_is_normalised_once(checkout):
    folder = checkout.directory
    make_recording(folder / "long.mp4", folder / "long.wav", seed=5, frames=40)
    hop = float(1 / RATE)
    rows = [f"u{k}\tlong.mp4\tlong.wav\t{8 * k * hop:.4f}\t{(8 * k + 8) * hop:.4f}" for k in range(4)]
    (folder / "clips.tsv").write_text("\n".join(["id\tvideo\taudio\tstart\tend", *rows]) + "\n", encoding="utf-8")
    checkout.configure(
        corpus={"source": "table", "table": "clips.tsv", "raw_videos": {"crop": [4, 4, 40, 40], "rotation": 5}},
        split={"named": {}, "by": "clip"},
        results="cut",
    )
    checkout.make(*(f"cut/dataset/samples/u{k}/mri.npy" for k in range(3)))
    assert [path.name for path in (folder / "cut" / "normalized_videos").glob("*")] == ["long.mp4"]
    frames = [np.load(folder / f"cut/dataset/samples/u{k}/mri.npy") for k in range(3)]
    assert [len(clip) for clip in frames] == [8, 8, 8]
    assert checkout.pending("dataset") & {"normalize_video long"} == set()
    assert "prepare_clip u3" in checkout.pending("dataset")
    (folder / "long.mp4").write_bytes(b"no video")
    run = checkout.snakemake("cut/dataset/samples/u0/mri.npy", "cut/dataset/samples/u1/mri.npy")
    assert run.returncode != 0
    assert (run.stdout + run.stderr).count("long.mp4: holds no video that can be read") <= 2


@pytest.mark.parametrize("name", ["動画 videos/a0.mp4", "audio/b1.wav"])
def test_a_recording_dated_in_the_future_is_refused_before_any_job(checkout, name):
    later = time.time() + 9 * 3600
    os.utime(checkout.directory / name, (later, later))
    checkout.configure(results="later")
    run = checkout.snakemake("dataset")
    assert run.returncode != 0
    said = run.stdout + run.stderr
    assert re.search(rf"{re.escape(name)}: is dated in the future \(.*\); .*touch", said)
    assert "clock skew" not in said and "Traceback" not in said
    assert not (checkout.directory / "later" / "dataset" / "samples").exists()


def test_no_shell_line_needs_bash():
    """Every line must work in cmd.exe: redirections and quoted words only."""
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.findall(r"\n    shell:\n((?:        .*\n)+)", path.read_text(encoding="utf-8")):
            line = "".join(re.findall(r'"(.*)"', block))
            assert not re.search(r"&&|\|\||[;`|$*]|\bset -|\bexport\b|\bcat\b|\brm\b|\bmkdir\b|/dev/null", line), line
            assert line.startswith("python {params.script:q} "), line


def test_frames_and_sound_are_in_step(checkout):
    """The bar's height follows the pitch: their correlation is best without a shift."""
    dataset = checkout.directory / "結果 1" / "dataset"
    mri = np.load(dataset / "samples" / "a0" / "mri.npy").astype(float)
    height = (mri.mean(2) * np.arange(32)).sum(1) / mri.mean(2).sum(1)
    mel = np.load(dataset / "samples" / "a0" / "mel_db.npy").astype(float)
    pitch = (np.exp(mel / 8) * np.arange(16)).sum(1) / np.exp(mel / 8).sum(1)
    match = {shift: np.corrcoef(height[2:-2], np.roll(pitch, shift)[2:-2])[0, 1] for shift in (-2, -1, 0, 1, 2)}
    assert max(match, key=match.get) == 0
    assert float(RATE) == pytest.approx(27.174, abs=1e-3)


def test_a_plan_has_one_job_per_clip_and_one_per_shared_step(checkout):
    folder = checkout.directory
    rows = [f"c{number:03d}\tc.mp4\tc.wav" for number in range(300)]
    (folder / "clips.tsv").write_text("\n".join(["id\tvideo\taudio", *rows]) + "\n", encoding="utf-8")
    checkout.configure(corpus={"source": "table", "table": "clips.tsv"}, split={"named": {}}, results="many")
    out = checkout.make("dataset", "--dry-run", "--quiet", "rules")
    counts = {
        words[0]: int(words[1]) for line in out.splitlines() if len(words := line.split()) == 2 and words[1].isdigit()
    }
    assert counts == {
        "prepare_clip": 300,
        "write_filelist": 3,
        "write_window_starts": 2,
        "fit_scaler": 1,
        "write_meta": 1,
        "list_clips": 1,
        "list_sources": 1,
        "record_provenance": 1,
        "dataset": 1,
        "total": 311,
    }
