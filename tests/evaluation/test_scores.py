from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from logged import logged

from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import score_pair
from rtmri_speech.evaluation.scores import pair_wavs, read_pair, score_directories
from rtmri_speech.signal.mel import MelSpec

ROOT = Path(__file__).parents[2]
RATE = 11413


def sound(seed: int, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Band-limited noise in bursts, the same at every rate."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(
        np.sin(2 * np.pi * f * time + p) for f, p in zip(rng.uniform(100, 4000, 60), rng.uniform(0, 7, 60), strict=True)
    )
    return 0.01 * tones * (1 + np.sin(2 * np.pi * 3 * time + rng.uniform(0, 7)))


def write(path: Path, signal: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, rate, subtype="FLOAT")


def run(*arguments: object) -> subprocess.CompletedProcess:
    script = ROOT / "workflow" / "scripts" / "evaluate.py"
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True, encoding="utf-8"
    )


def test_endings_are_ignored_when_wavs_pair(tmp_path):
    for name in ("001_original", "002", "003_gen"):
        write(tmp_path / "a" / f"{name}.wav", sound(0))
    for name in ("001_generated", "002_gen", "004"):
        write(tmp_path / "b" / f"{name}.wav", sound(0))
    pairs, alone = pair_wavs(tmp_path / "a", tmp_path / "b")
    assert {clip: (a.name, b.name) for clip, (a, b) in pairs.items()} == {
        "001": ("001_original.wav", "001_generated.wav"),
        "002": ("002.wav", "002_gen.wav"),
    }
    assert list(alone) == ["003", "004"]


def test_one_directory_with_both_wavs_of_a_clip_pairs_with_itself(tmp_path):
    for name in ("001_original", "001_generated", "002_generated"):
        write(tmp_path / f"{name}.wav", sound(0))
    pairs, alone = pair_wavs(tmp_path, tmp_path)
    assert [path.name for path in pairs["001"]] == ["001_original.wav", "001_generated.wav"]
    assert list(alone) == ["002"]


@pytest.mark.parametrize(
    ("reference", "generated", "fault"),
    [
        ([], ["1"], "holds no .wav file"),
        (["1"], [], "holds no .wav file"),
        (["1"], ["2"], r"holds no clip of .* \(such as 2 against 1\)"),
        (None, ["1"], "is not a directory"),
    ],
)
def test_directories_without_a_pair_are_refused(tmp_path, reference, generated, fault):
    for name, stems in (("a", reference), ("b", generated)):
        if stems is not None:
            (tmp_path / name).mkdir()
        for stem in stems or ():
            write(tmp_path / name / f"{stem}.wav", sound(0))
    with pytest.raises(UserError, match=fault):
        pair_wavs(tmp_path / "a", tmp_path / "b")


def test_rate_length_and_channels_are_converted_with_a_note(tmp_path):
    reference = sound(1)
    write(tmp_path / "a.wav", reference)
    other = sound(1, 1.25, 16000)
    write(tmp_path / "b.wav", np.stack([1.5 * other, 0.5 * other], axis=1), 16000)
    said = []
    a, b, rate = read_pair(tmp_path / "a.wav", tmp_path / "b.wav", None, said)
    assert rate == RATE
    assert len(a) == len(b) == len(reference)
    # The same tones sampled at the other rate: away from the ends, resampling gives the reference back.
    np.testing.assert_allclose(b[500:-500], a[500:-500], atol=2e-4)
    assert said == [
        "2 channels in b.wav, averaged",
        "generated wav resampled from 16000 to 11413 Hz",
        "generated wav 250.0 ms longer, the common length is compared",
    ]


def test_wavs_of_two_channels_score_as_their_average(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        for kind, channels in (("one", 1), ("two", 2)):
            (tmp_path / kind / name).mkdir(parents=True)
            write(tmp_path / kind / name / "x.wav", np.stack([sound(seed)] * channels, axis=1))
    one, two = (score_directories(tmp_path / kind / "a", tmp_path / kind / "b").clips for kind in ("one", "two"))
    assert two == one


def test_a_wav_that_cannot_be_scored_does_not_stop_the_others(tmp_path):
    for clip in ("1", "2", "3", "4"):
        write(tmp_path / "a" / f"{clip}.wav", sound(int(clip)))
    write(tmp_path / "b" / "1.wav", 0.9 * sound(1))
    whole = (tmp_path / "a" / "2.wav").read_bytes()
    (tmp_path / "b" / "2.wav").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "b" / "3.wav", np.full(RATE, np.nan))
    write(tmp_path / "b" / "4.wav", sound(4)[:100])
    with logged() as said:
        scores = score_directories(tmp_path / "a", tmp_path / "b")
    assert list(scores.clips) == ["1"]
    assert list(scores.left_out) == ["2", "3", "4"]
    assert "is cut off" in scores.left_out["2"]
    assert "NaN" in scores.left_out["3"]
    assert "has 100 samples" in scores.left_out["4"]
    assert len([sentence for sentence in said if "left out" in sentence]) >= 3


def test_every_system_is_standardised_by_the_same_references(tmp_path):
    spec = MelSpec.preset("hifigan")
    for clip in (1, 2):
        write(tmp_path / "a" / f"{clip}.wav", sound(clip))
        write(tmp_path / "b" / f"{clip}_gen.wav", sound(clip + 10))
    mels = [spec.db(spec.mel(soundfile.read(tmp_path / "a" / f"{clip}.wav")[0])) for clip in (1, 2)]
    frames = np.concatenate(mels, axis=1)
    generated = spec.db(spec.mel(soundfile.read(tmp_path / "b" / "1_gen.wav")[0]))
    expected = np.mean(((generated - mels[0]) / frames.std(axis=1, keepdims=True)) ** 2)
    scores = score_directories(tmp_path / "a", tmp_path / "b")
    assert scores.clips["1"]["mel_mse"] == pytest.approx(expected, rel=1e-4)
    assert scores.settings["mel"] == [spec.to_dict()]


def test_a_datasets_mel_and_scaler_set_the_rate(tmp_path):
    write(tmp_path / "a" / "1.wav", sound(1, rate=22050), 22050)
    write(tmp_path / "b" / "1.wav", sound(2, rate=16000), 16000)
    spec = MelSpec.preset("hifigan")
    scaler = Scaler(np.full(64, -30.0), np.full(64, 10.0), 5)
    with logged() as said:
        scores = score_directories(tmp_path / "a", tmp_path / "b", spec=spec, scaler=scaler)
    assert "1: reference resampled from 22050 to 11413 Hz" in said
    a, b, _ = read_pair(tmp_path / "a" / "1.wav", tmp_path / "b" / "1.wav", RATE, [])
    expected = score_pair(a, b, RATE, 420, spec=spec, scaler=scaler, f0_range=scores.settings["f0_range_hz"])
    assert scores.clips["1"]["mel_mse"] == expected["mel_mse"]


def test_the_command_writes_table_json_and_csv(tmp_path):
    for clip in (1, 2, 3):
        write(tmp_path / "a" / f"{clip}_original.wav", sound(clip))
        write(tmp_path / "b" / f"{clip}_generated.wav", sound(clip) + 0.01 * sound(9))
    write(tmp_path / "a" / "4.wav", sound(4))
    write(tmp_path / "b" / "2_generated.wav", np.zeros(RATE))
    output = tmp_path / "out" / "scores.json"
    done = run("--reference", tmp_path / "a", "--generated", tmp_path / "b", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "4: no generated wav in" in done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    scores = json.loads(output.read_text(encoding="utf-8"))
    assert list(scores["clips"]) == ["1", "2", "3"]
    # Silence has no lag: null in the file, nothing in the table, not counted.
    assert scores["clips"]["2"]["lag_ms"] is None
    assert scores["summary"]["lag_ms"]["n"] == 2
    assert set(scores["summary"]["mel_mse"]) == {"mean", "median", "low", "high", "n"}
    assert float(lines["mel_mse"][1]) == pytest.approx(scores["summary"]["mel_mse"]["mean"], abs=1e-3)
    with output.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert float(rows["1"]["mel_mse"]) == scores["clips"]["1"]["mel_mse"]
    assert rows["2"]["lag_ms"] == ""
    before = output.read_bytes()
    run("--reference", tmp_path / "a", "--generated", tmp_path / "b", "--output", output)
    assert output.read_bytes() == before


def test_the_command_refuses_a_leaked_split(tmp_path):
    for clip in ("1", "2"):
        write(tmp_path / "a" / f"{clip}.wav", sound(1))
        write(tmp_path / "b" / f"{clip}.wav", sound(1))
    (tmp_path / "training.txt").write_text("2|dummy|dummy\n7|dummy|dummy\n", encoding="utf-8")
    output = tmp_path / "scores.json"
    seen = f"acoustic={tmp_path / 'training.txt'}"
    done = run(
        "--reference", tmp_path / "a", "--generated", tmp_path / "b", "--output", output, "--seen", seen
    )  # fmt: skip
    assert done.returncode == 2
    assert "training has seen 2 by acoustic" in done.stderr
    assert not output.exists()


def test_the_command_refuses_an_output_that_is_no_json(tmp_path):
    done = run("--reference", tmp_path, "--generated", tmp_path, "--output", tmp_path / "scores.csv")
    assert done.returncode == 2
    assert "give --output a name ending in .json" in done.stderr
