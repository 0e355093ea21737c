"""The memo's inference command on small files: what it writes, alone, of many clips, and of several checkpoints."""

import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import librosa
import numpy as np
import pytest
import soundfile
import tiny_models

from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.video import write_video

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "run_mri_video_inference.py"
RATE = Fraction(11413, 420)
FRAMES = 20
FILES = {"generated.wav", "original.wav", "mel.npy", "mel_log.npy", "mel.png"}


def speak(*arguments, fails=False) -> str:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=240
    )
    assert (run.returncode == 2) if fails else (run.returncode == 0), run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Models and three videos, one without sound, in a directory with a Japanese name and a space."""
    folder = tmp_path_factory.mktemp("base") / "山根 研究用"
    tiny_models.write_acoustic(folder / "models" / "mri_acoustic_model.pt")
    for seed in (1, 2):
        tiny_models.write_vocoder(folder / "models" / f"g_0000000{seed}", seed)
    (folder / "videos").mkdir()
    rng = np.random.default_rng(0)
    for number, name in enumerate(("000", "発話 1", "silent")):
        audio = 0.1 * rng.standard_normal(FRAMES * 420)
        frames = tiny_models.moving_bar(FRAMES, number)
        sound = None if name == "silent" else audio
        write_video(folder / "videos" / f"{name}.mp4", frames, RATE, sound, 11413)
        if name == "000":
            write_wav(folder / "audio" / "000.wav", audio, 11413)
    return folder


@pytest.fixture
def models(place) -> list[str]:
    folder = place / "models"
    flags = {"--mri-checkpoint": folder / "mri_acoustic_model.pt", "--hifigan-checkpoint": folder / "g_00000001"}
    return [str(word) for pair in flags.items() for word in pair]


def test_the_memos_command_writes_all_files_of_a_clip(place, models, tmp_path):
    said = speak(
        "--video", place / "videos" / "000.mp4", "--audio-dir", place / "audio", *models, "--mri-code-dir", "C:\\x",
        "--hifigan-config", place / "models" / "config.json", "--n-mels", "16", "--rnn-hidden", "8", "--dropout", "0.5",
        "--output-dir", tmp_path / "out",
    )  # fmt: skip
    assert "--mri-code-dir: ignored." in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"000_{name}" for name in FILES}
    original, rate = soundfile.read(tmp_path / "out" / "000_original.wav", dtype="int16")
    generated, generated_rate = soundfile.read(tmp_path / "out" / "000_generated.wav", dtype="int16")
    assert rate == generated_rate == 11413
    assert len(original) == len(generated) == FRAMES * 420
    np.testing.assert_array_equal(original, soundfile.read(place / "audio" / "000.wav", dtype="int16")[0])
    mel_db, log_mel = (np.load(tmp_path / "out" / f"000_{name}.npy") for name in ("mel", "mel_log"))
    assert mel_db.shape == log_mel.shape == (FRAMES, 16)
    np.testing.assert_allclose(np.exp(log_mel), np.maximum(librosa.db_to_amplitude(mel_db), 1e-5), rtol=1e-4)
    picture = cv2.imread(str(tmp_path / "out" / "000_mel.png"))
    assert picture.shape[1] == 1200
    assert picture.shape[0] > 500


def test_directories_videos_without_sound_and_one_broken_video(place, models, tmp_path):
    videos = tmp_path / "new videos"
    shutil.copytree(place / "videos", videos)
    (videos / "broken.mp4").write_bytes((videos / "000.mp4").read_bytes()[:900])
    said = speak("--video", videos, *models, "--output-dir", tmp_path / "out", fails=True)
    assert "broken.mp4" in said
    assert "(1 of 4 clips failed)" in said
    assert "silent: 0.74 s of speech" in said
    assert "it has no sound" in said
    out = tmp_path / "out"
    assert {path.name for path in out.glob("発話 1_*")} == {f"発話 1_{name}" for name in FILES}
    assert {path.name for path in out.glob("silent_*")} == {f"silent_{name}" for name in FILES - {"original.wav"}}
    # True over predicted, and predicted alone.
    heights = [cv2.imdecode(np.fromfile(out / f"{id}_mel.png", np.uint8), 1).shape[0] for id in ("発話 1", "silent")]
    assert heights[0] > 1.5 * heights[1]


def test_several_checkpoints_get_a_directory_each(place, models, tmp_path):
    both = [place / "models" / f"g_0000000{seed}" for seed in (1, 2)]
    speak("--video", place / "videos" / "000.mp4", *models[:2], "--hifigan-checkpoint", *both, "--output-dir", tmp_path)
    waves = [(tmp_path / path.name / "000_generated.wav").read_bytes() for path in both]
    assert len(waves[0]) == len(waves[1])
    assert waves[0] != waves[1]
    assert not (tmp_path / "000_generated.wav").exists()
    assert (tmp_path / "000_mel.npy").exists()


def test_a_table_cuts_stretches_out_of_a_recording(place, models, tmp_path):
    table = tmp_path / "clips.tsv"
    video = place / "videos" / "000.mp4"
    sound = place / "audio" / "000.wav"
    table.write_text(
        f"id\tvideo\taudio\tstart\tend\nx\t{video}\t{sound}\t{5 * 420 / 11413}\t{15 * 420 / 11413}\n", encoding="utf-8"
    )
    speak("--table", table, *models, "--output-dir", tmp_path)
    assert np.load(tmp_path / "x_mel.npy").shape == (10, 16)
    cut, whole = (soundfile.read(path, dtype="int16")[0] for path in (tmp_path / "x_original.wav", sound))
    np.testing.assert_array_equal(cut, whole[5 * 420 : 15 * 420])


def test_fewer_frames_give_a_shorter_original_too(place, models, tmp_path):
    speak("--video", place / "videos" / "000.mp4", *models, "--max-frames", 7, "--output-dir", tmp_path)
    for name in ("original", "generated"):
        assert soundfile.info(tmp_path / f"000_{name}.wav").frames == 7 * 420


def test_one_clip_or_many_gives_the_same_files(place, models, tmp_path):
    processed = tmp_path / "processed"
    ids = ["c0", "c1", "c2"]
    for number, id in enumerate(ids):
        (processed / "samples" / id).mkdir(parents=True)
        np.save(processed / "samples" / id / "mri.npy", tiny_models.moving_bar(FRAMES + number, number))
        sound = 0.1 * np.random.default_rng(number).standard_normal((FRAMES + number) * 420)
        write_wav(processed / "wavs" / f"{id}.wav", sound, 11413)
    common = ["--processed-dir", processed, *models, "--threads", "1"]
    speak(*common, "--clips", *ids, "--output-dir", tmp_path / "together")
    speak(*common, "--clips", "c1", "--output-dir", tmp_path / "alone")
    for name in FILES:
        assert (tmp_path / "alone" / f"c1_{name}").read_bytes() == (tmp_path / "together" / f"c1_{name}").read_bytes()
