import itertools
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtmri_speech.demo import corpus
from rtmri_speech.signal.video import probe, read_frames

pytest.importorskip("vocaltractlab_cython", reason="needs the extra demo")

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/make_demo_corpus.py"
SEED = 7
SUFFIXES = (".mp4", ".wav", ".json")


def run_script(*arguments, **environment):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def files(folder, clip):
    return [folder / f"{clip}{suffix}" for suffix in SUFFIXES]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips 1 and 0, made one after the other in this process."""
    folder = tmp_path_factory.mktemp("clips")
    for clip in (1, 0):
        corpus.make_clip(clip, SEED, *files(folder, clip))
    return folder


def description(clips, clip):
    return json.loads((clips / f"{clip}.json").read_text(encoding="utf-8"))


def sound(clips, clip):
    return soundfile.read(clips / f"{clip}.wav", dtype="float64")[0]


@pytest.mark.parametrize("clip", [0, 1])
def test_pictures_and_sound_are_exactly_in_step(clips, clip):
    told = description(clips, clip)
    info = probe(clips / f"{clip}.mp4")
    assert (info.width, info.height, info.rate) == (256, 256, Fraction(11413, 420))
    assert sum(1 for _ in read_frames(clips / f"{clip}.mp4", size=None)) == told["frames"]
    wav = soundfile.info(clips / f"{clip}.wav")
    assert (wav.samplerate, wav.channels, wav.subtype, wav.frames) == (11413, 1, "PCM_16", 420 * told["frames"])
    assert 1.0 < told["frames"] * 420 / 11413 < 4.0


def test_another_process_gives_the_same_bytes_under_japanese_paths(clips, tmp_path):
    temporary, out = tmp_path / "一時 フォルダ", tmp_path / "出力 先"
    temporary.mkdir()
    video, audio, told = files(out, 0)
    flags = ["--clip", 0, "--seed", SEED, "--video", video, "--audio", audio, "--description", told]
    done = run_script(*flags, TMPDIR=str(temporary), TEMP=str(temporary), TMP=str(temporary))
    assert done.returncode == 0, done.stderr
    for made, again in zip(files(clips, 0), files(out, 0), strict=True):
        assert made.read_bytes() == again.read_bytes(), again.name
    assert not list(temporary.iterdir())


def test_audio_only_gives_the_same_speech(clips, tmp_path):
    done = run_script("--out_dir", tmp_path, "--clips", 3, "--only", "001", "--seed", SEED, "--audio_only")
    assert done.returncode == 0, done.stderr
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["audio/001.wav"]
    assert (tmp_path / "audio/001.wav").read_bytes() == (clips / "1.wav").read_bytes()


def test_clips_differ_in_words_voice_and_pose(clips):
    one, other = description(clips, 0), description(clips, 1)
    assert one["text"] != other["text"]
    for key in ("voice", "pose"):
        assert all(one[key][name] != other[key][name] for name in one[key])
    # The head lies elsewhere: in rest, with the same posture, the pictures still differ.
    first, second = (next(read_frames(clips / f"{clip}.mp4", size=None)).astype(float) for clip in (0, 1))
    assert np.abs(first - second).mean() > 5


@pytest.mark.parametrize("clip", [0, 1])
def test_phonemes_tile_the_clip(clips, clip):
    told = description(clips, clip)
    phonemes = told["phonemes"]
    assert phonemes[0]["start"] == 0
    assert phonemes[-1]["end"] == pytest.approx(420 * told["frames"] / 11413, abs=1e-6)
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(phonemes))
    assert all(phoneme["start"] < phoneme["end"] for phoneme in phonemes)
    assert phonemes[0]["phoneme"] == phonemes[-1]["phoneme"] == ""


@pytest.mark.parametrize("clip", [0, 1])
def test_f0_agrees_with_the_period_of_the_sound(clips, clip):
    f0, audio = np.array(description(clips, clip)["f0"]), sound(clips, clip)
    inside = [t for t in range(1, len(f0) - 1) if f0[t - 1 : t + 2].all()]
    assert len(inside) > 0.2 * len(f0)
    assert f0[inside].min() > 55
    assert f0.max() < 210
    measured = np.array([pitch_by_autocorrelation(audio, 11413, (t + 0.5) * 420) for t in inside])
    assert np.median(np.abs(measured - f0[inside])) < 2.5
    assert np.mean(np.abs(measured - f0[inside]) < 8) > 0.8


def pitch_by_autocorrelation(audio, rate, centre):
    begin = max(int(centre) - 350, 0)
    piece = audio[begin : begin + 700] - audio[begin : begin + 700].mean()
    lags = np.arange(rate // 230, rate // 55)
    similar = [np.corrcoef(piece[:-lag], piece[lag:])[0, 1] for lag in lags]
    # The shortest of the nearly best lags: twice the period is as similar as the period.
    best = next(i for i, value in enumerate(similar) if value > 0.93 * max(similar))
    while best + 1 < len(similar) and similar[best + 1] > similar[best]:
        best += 1
    return rate / lags[best]


@pytest.mark.parametrize("clip", [0, 1])
def test_pauses_contain_room_noise_far_below_the_speech(clips, clip):
    audio, told = sound(clips, clip), description(clips, clip)
    quiet = audio[-420:]
    assert 20 * np.log10(quiet.std()) == pytest.approx(-60, abs=1)
    assert not told["f0"][0]
    assert not told["f0"][-1]
    assert 0.2 < np.abs(audio).max() < 1


def test_several_processes_generate_one_directory(tmp_path):
    done = run_script("--out_dir", tmp_path, "--clips", 2, "--seed", SEED, "--audio_only", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "audio").iterdir()) == ["000.wav", "001.wav"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "--out_dir: is missing"),
        (["--clip", "3"], "--clip: is incomplete"),
        (["--clip", "-1", "--video", "a.mp4", "--audio", "a.wav", "--description", "a.json"], "--clip: is -1"),
        (["--out_dir", "x", "--only", "040"], "--only: is '040'"),
        (["--out_dir", "x", "--clips", "0"], "--clips: is 0"),
        (["--out_dir", "x", "--seed", "-1"], "--seed: is -1"),
    ],
)
def test_invalid_flags_are_refused_in_one_sentence(flags, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_script(*flags)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
