"""Each bad recording is refused in one sentence naming the file, without partial files; the others are processed."""

import shutil

import numpy as np
import pytest
import soundfile as sf
from workflow_checkout import make_recording

pytestmark = pytest.mark.slow


def missing_audio(video, audio):
    audio.unlink()


def missing_video(video, audio):
    video.unlink()


def truncated_video(video, audio):
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])


def text_as_video(video, audio):
    video.write_text("this is no video")


def empty_video(video, audio):
    video.write_bytes(b"")


def silent_audio(video, audio):
    sf.write(audio, np.zeros(12 * 420), 11413)


def nan_audio(video, audio):
    sound = np.full(12 * 420, 0.1, np.float32)
    sound[77] = np.nan
    sf.write(audio, sound, 11413, subtype="FLOAT")


def short_audio(video, audio):
    make_recording(video, audio, 0, frames=60)
    sf.write(audio, 0.1 * np.sin(np.arange(6 * 420)), 11413)


def long_audio(video, audio):
    sf.write(audio, 0.1 * np.sin(np.arange(60 * 420)), 11413)


def text_as_audio(video, audio):
    audio.write_text("this is no sound")


FAULTS = {
    missing_audio: "bad.wav",
    missing_video: "bad.mp4",
    truncated_video: "bad.mp4",
    text_as_video: "bad.mp4",
    empty_video: "bad.mp4",
    silent_audio: "bad.wav",
    nan_audio: "bad.wav",
    short_audio: "bad.wav",
    long_audio: "bad.wav",
    text_as_audio: "bad.wav",
}


@pytest.fixture(scope="module")
def faulty_run(made_dataset, tmp_path_factory):
    """One run of the workflow with a clip for each fault, and good clips that are not made yet."""
    directory = tmp_path_factory.mktemp("faulty") / "悪い data"
    shutil.copytree(made_dataset.directory, directory)
    checkout = type(made_dataset).__new__(type(made_dataset))
    checkout.directory, checkout.settings = directory, dict(made_dataset.settings)
    for number, fault in enumerate(FAULTS):
        # Every fault in directories of its own names, so that the sentence can be told apart.
        video, audio = (
            directory / "動画 videos" / f"{fault.__name__}.mp4",
            directory / "audio" / f"{fault.__name__}.wav",
        )
        make_recording(video, audio, 50 + number)
        fault(video, audio)
    make_recording(directory / "動画 videos" / "good.mp4", directory / "audio" / "good.wav", 3)
    checkout.configure(split={"named": {**checkout.settings["split"]["named"], "test": ["b0", "b1", *ids()]}})
    run = checkout.snakemake("dataset", "--keep-going")
    return checkout, run


def ids():
    return [fault.__name__ for fault in FAULTS] + ["good"]


def test_the_run_fails_and_the_good_clip_is_made(faulty_run):
    checkout, run = faulty_run
    assert run.returncode != 0
    assert (checkout.directory / "結果 1" / "dataset" / "samples" / "good" / "mask.npy").exists()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_one_sentence_naming_the_file(faulty_run, fault):
    checkout, run = faulty_run
    file = FAULTS[fault]
    log = checkout.directory / "結果 1" / "logs" / "prepare_clip" / f"{fault.__name__}.log"
    text = log.read_text(encoding="utf-8").strip()
    assert text.startswith("error: ") and text.endswith("."), text
    assert text.count("\n") == 0, text
    assert file.replace("bad", fault.__name__) in text
    said = (run.stdout + run.stderr).splitlines()
    assert f"prepare_clip {fault.__name__} failed: {text.removeprefix('error: ')}" in said


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_partial_is_left(faulty_run, fault):
    checkout, _ = faulty_run
    dataset = checkout.directory / "結果 1" / "dataset"
    assert not list((dataset / "samples").glob(f"{fault.__name__}/*"))
    assert not (dataset / "wavs" / f"{fault.__name__}.wav").exists()
    assert not [path for path in dataset.rglob(".*") if path.is_file()]


def test_the_run_ends_with_a_list_of_the_refused_clips(faulty_run):
    checkout, run = faulty_run
    told = (run.stdout + run.stderr).split("Refused clips: ", 1)[1].splitlines()
    assert told[0] == f"{len(FAULTS)} of {len(FAULTS) + 6}."
    sentences, remedy = told[1 : 1 + len(FAULTS)], told[1 + len(FAULTS)]
    for id in sorted(fault.__name__ for fault in FAULTS):
        log = checkout.directory / "結果 1" / "logs" / "prepare_clip" / f"{id}.log"
        assert log.read_text(encoding="utf-8").strip().removeprefix("error: ") in sentences
        assert f'"{id}"' in remedy
    assert remedy.startswith("Fix or exclude them: corpus: {exclude: [")


def test_the_last_15_lines_name_three_refused_clips_with_their_causes(checkout):
    for id in ("a0", "a1", "b0"):
        (checkout.directory / "動画 videos" / f"{id}.mp4").write_bytes(b"this is no video")
    run = checkout.snakemake("dataset")
    lines = (run.stdout + run.stderr).splitlines()
    assert run.returncode != 0 and len(lines) < 40
    for id in ("a0", "a1", "b0"):
        assert any(line.startswith(f"動画 videos/{id}.mp4: holds no video") for line in lines[-15:]), lines
    # Made before, and still right.
    assert any(line.startswith("Clips: 結果 1/dataset/samples/a2/") for line in lines[-15:])


def test_steps_over_all_clips_wait_until_refused_clips_are_fixed_or_excluded(faulty_run):
    checkout, _ = faulty_run
    # What the training clips alone are needed for is there; what names every clip waits.
    assert "record_provenance" not in {path.stem for path in (checkout.directory / "結果 1" / "logs").glob("*.log")}
    checkout.configure(corpus={"exclude": [fault.__name__ for fault in FAULTS]})
    checkout.settings["split"]["named"]["test"] = ["b0", "b1", "good"]
    assert not any(job.startswith("prepare_clip") for job in checkout.pending("dataset"))


def test_a_newly_refused_clip_loses_its_old_files_and_trains_nothing(checkout):
    speech = checkout.results / "infer" / "a0_generated.wav"
    speech.parent.mkdir()
    speech.write_bytes(b"of the former recording")
    (checkout.directory / "動画 videos" / "a0.mp4").write_bytes(b"this is no video")
    run = checkout.snakemake("acoustic")
    assert run.returncode != 0
    assert "Refused clips: 1 of 5." in run.stdout + run.stderr
    assert not speech.exists()
    assert not list((checkout.results / "dataset" / "samples").glob("a0/*"))
    assert (checkout.results / "dataset" / "samples" / "a1" / "mri.npy").exists()
    assert not (checkout.results / "acoustic").exists()
    # Mended, it is made, alone of the clips, and what follows.
    make_recording(checkout.directory / "動画 videos" / "a0.mp4", checkout.directory / "audio" / "a0.wav", seed=0)
    pending = checkout.pending("acoustic")
    assert {job for job in pending if job.startswith("prepare_clip")} == {"prepare_clip a0"}
    assert {"fit_scaler", "train_acoustic", "export_predicted_mels"} <= pending
