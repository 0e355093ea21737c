"""Interpolated mels are compared with mels computed at the other hop, and the speech of a base with the recording."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.metrics import f0_errors, lag_ms
from rtmri_speech.signal.mel import MelSpec, log_mel
from rtmri_speech.signal.voice import harvest_f0, speech_frames
from rtmri_speech.vocoder.engine import load_vocoder
from rtmri_speech.vocoder.interpolation import LARGEST_SHIFT, at_hop, fitted, require_fit

BASE = Path(__file__).parents[2] / "models" / "base_vocoder"
SPEC = MelSpec.preset("hifigan")
RATE = SPEC.sampling_rate


def spec_of(hop, rate=RATE, **settings):
    return dataclasses.replace(SPEC, **({"sampling_rate": rate, "hop_length": hop, "fmax": rate / 2} | settings))


def voice(seconds=2.5, rate=RATE):
    """Harmonics of a gliding F0 under a moving formant, with a pause."""
    time = np.arange(round(seconds * rate)) / rate
    f0 = 200 * (1 + 0.15 * np.sin(2 * np.pi * 0.8 * time))
    formant = 1000 + 500 * np.sin(2 * np.pi * 0.6 * time)
    phase = 2 * np.pi * np.cumsum(f0) / rate
    harmonics = range(1, int(0.45 * rate / 230))
    audio = sum(np.exp(-(((n * f0 - formant) / 600) ** 2)) * np.sin(n * phase) for n in harmonics)
    return 0.1 * audio * np.clip(8 * np.abs(time - 0.6 * seconds) - 0.4, 0, 1)


@pytest.mark.parametrize("alignment", ["centred", "start"])
@pytest.mark.parametrize("hop", [95, 137, 300])
def test_an_interpolated_mel_is_that_of_the_other_hop(hop, alignment):
    given, wanted = spec_of(hop, alignment=alignment), spec_of(420, alignment=alignment)
    audio = voice()
    there, expected = log_mel(given.mel(audio)), log_mel(wanted.mel(audio))
    made = at_hop(there, given, 420)
    assert made.dtype == np.float32
    assert made.shape[1] == -(-there.shape[1] * hop // 420)
    frames = min(made.shape[1], expected.shape[1])
    heard = expected[:, :frames] > expected.max() - 5
    difference = np.abs(made[:, :frames] - expected[:, :frames])[heard]
    shifted = np.abs(made[:, 1:frames] - expected[:, : frames - 1])[heard[:, : frames - 1]]
    assert difference.mean() < 0.05 < 0.2 < shifted.mean(), "equal, and not so one frame off"


def test_a_hop_of_its_own_changes_nothing_and_a_short_clip_is_repeated():
    mel = np.random.default_rng(0).normal(size=(64, 9)).astype(np.float32)
    np.testing.assert_array_equal(at_hop(mel, SPEC, 420), mel)
    np.testing.assert_array_equal(at_hop(mel[:, :1], spec_of(1000), 420), np.repeat(mel[:, :1], 3, axis=1))


@pytest.mark.parametrize("hop", [95, 137, 700])
def test_a_base_speaks_mels_of_any_frame_rate_in_time(hop):
    (checkpoint,) = BASE.glob("g_*")
    base, spec, audio = load_vocoder(checkpoint), spec_of(hop), voice()
    speaking = fitted(base, spec, "the base", "the dataset")
    mel = log_mel(spec.mel(audio))
    made = speaking.synthesise(mel)
    assert made.shape == (mel.shape[1] * hop,) and made.dtype == np.float32
    assert (speaking.sampling_rate, speaking.hop_length) == (RATE, hop)
    assert abs(lag_ms(audio[: len(made)], made[: len(audio)], RATE)) < 8
    errors = f0_errors_of(audio, made)
    assert errors["f0_correlation"] > 0.9
    own = f0_errors_of(audio, base.synthesise(log_mel(SPEC.mel(audio))))
    assert errors["vuv_error"] < own["vuv_error"] + 0.1


def f0_errors_of(audio, made):
    length = min(len(audio), len(made)) // 420 * 420
    tracks = [harvest_f0(signal[:length], RATE, 420, (100.0, 400.0))[0] for signal in (audio, made)]
    return f0_errors(*tracks, speech_frames(audio[:length], 420))


def test_a_vocoder_of_the_same_mel_stays_as_it_is():
    (checkpoint,) = BASE.glob("g_*")
    base = load_vocoder(checkpoint)
    assert fitted(base, base.spec, "the base", "the dataset") is base


@pytest.mark.parametrize("frames_per_second", [15.0, 23.18, 50.0, 83.28, 120.0])
def test_the_proposed_mel_fits_at_any_frame_rate(frames_per_second):
    other = spec_of(round(20000 / frames_per_second), 20000, n_fft=2000, win_length=2000, n_mels=80)
    with pytest.raises(UserError) as refused:
        require_fit(SPEC, other, "models/base/g_1", "the dataset")
    told = str(refused.value)
    for part in ("models/base/g_1", "the dataset", "sampling_rate 11413 against 20000", "n_fft 2048 against 2000"):
        assert part in told
    proposed = {
        name: int(value) for name, value in (item.split(": ") for item in told.split("{")[1].split("}")[0].split(", "))
    }
    rate = proposed["sampling_rate"]
    spec = MelSpec.preset("hifigan", **proposed, win_length=proposed["n_fft"], fmax=rate / 2)
    require_fit(SPEC, spec, "the base", "the dataset")
    assert float(spec.frame_rate) == pytest.approx(float(other.frame_rate), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rate": round(RATE * (1 + 2 * LARGEST_SHIFT))}, "sampling_rate 11413 against 11641"),
        ({"fmax": 5000.0}, r"fmax 5706\.5 against 5000\.0"),
        ({"fmin": 50.0}, r"fmin 0(\.0)? against 50\.0"),
        ({"n_fft": 1024, "win_length": 1024}, "n_fft 2048 against 1024"),
        ({"power": 2}, "power 1 against 2"),
        ({"alignment": "start"}, "alignment 'centred' against 'start'"),
    ],
)
def test_another_window_or_other_filters_are_refused(settings, told):
    with pytest.raises(UserError, match=told):
        require_fit(SPEC, spec_of(137, **settings), "the base", "the dataset")
