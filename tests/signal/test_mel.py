import dataclasses
import json
import os
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import LOG_FLOOR, MelSpec, fitting_mel, log_mel, log_mel_tensor

OFFICIAL = Path(__file__).parents[2].parent / "shared/fixtures/mel_official"
needs_official = pytest.mark.skipif(not OFFICIAL.exists(), reason="reference numbers are not here")

SPECS = {
    "hifigan": MelSpec.preset("hifigan"),
    "lab": MelSpec.preset("lab"),
    "odd transform": MelSpec(sampling_rate=8000, n_fft=511, win_length=511, hop_length=120, n_mels=20),
    "odd padding": MelSpec(sampling_rate=8000, n_fft=512, win_length=512, hop_length=151, n_mels=20),
    "short odd window": MelSpec(sampling_rate=16000, n_fft=1024, win_length=401, hop_length=160, n_mels=40, fmin=50),
    "hop of the transform": MelSpec(sampling_rate=8000, n_fft=256, win_length=256, hop_length=256, n_mels=12),
    "hop of one": MelSpec(sampling_rate=8000, n_fft=64, win_length=33, hop_length=1, n_mels=5),
    "emphasised": MelSpec(sampling_rate=8000, n_fft=256, win_length=200, hop_length=77, n_mels=12, preemphasis=0.9),
    "power": MelSpec(sampling_rate=8000, n_fft=256, win_length=256, hop_length=64, n_mels=12, power=2, fmax=3000),
}


def speech_like(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slow = np.interp(np.arange(samples), np.linspace(0, samples, 9), rng.uniform(0, 1, 9))
    return 0.3 * slow * rng.standard_normal(samples).clip(-3, 3)


def windows_by_hand(audio: np.ndarray, spec: MelSpec) -> np.ndarray:
    """The definition, written out: every frame cut from the padded signal, windowed and transformed on its own."""
    if spec.preemphasis:
        audio = np.concatenate([audio[:1], audio[1:] - spec.preemphasis * audio[:-1]])
    if spec.alignment == "centred":
        total = spec.n_fft - spec.hop_length
        audio = np.pad(audio, (total // 2, total - total // 2), mode="reflect")
    hann = np.hanning(spec.win_length + 1)[:-1]
    before = (spec.n_fft - spec.win_length) // 2
    window = np.pad(hann, (before, spec.n_fft - spec.win_length - before))
    columns = []
    for start in range(0, len(audio) - spec.n_fft + 1, spec.hop_length):
        power = np.abs(np.fft.rfft(audio[start : start + spec.n_fft] * window)) ** 2
        columns.append(power if spec.power == 2 else np.sqrt(power + 1e-9))
    basis = librosa.filters.mel(
        sr=spec.sampling_rate, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin, fmax=spec.fmax, dtype=np.float64
    )
    return basis @ np.array(columns).T


@needs_official
def test_torch_in_float32_gives_the_official_numbers_on_the_reference_code_path():
    # The rounding of a float32 transform depends on the instructions MKL chooses, once, before torch starts.
    program = """
import sys
import numpy as np, torch
from rtmri_speech.signal.mel import MelSpec, log_mel_tensor
folder, spec = sys.argv[1], MelSpec.preset("hifigan")
worst = 0.0
for audio, mel, fmax in (
    ("input_float", "mel_fmaxnull", None),
    ("input_float", "mel_fmax5706", 5706),
    ("segment_8400", "mel_segment_8400_fmaxnull", None),
):
    spec = MelSpec.preset("hifigan", fmax=fmax)
    signal = torch.from_numpy(np.load(f"{folder}/{audio}.npy").reshape(1, -1))
    ours = log_mel_tensor(spec.mel_tensor(signal)).numpy()
    worst = max(worst, np.abs(ours - np.load(f"{folder}/{mel}.npy")).max())
print(worst)
"""
    environment = {**os.environ, "MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", program, str(OFFICIAL)], env=environment, capture_output=True, text=True, check=True
    )
    assert float(run.stdout) <= 1e-6


@needs_official
@pytest.mark.parametrize(
    ("audio", "mel", "fmax"),
    [
        ("input_float", "mel_fmaxnull", None),
        ("input_float", "mel_fmax5706", 5706),
        ("segment_8400", "mel_segment_8400_fmaxnull", None),
    ],
)
def test_both_front_ends_agree_with_the_official_mel_on_any_code_path(audio, mel, fmax):
    spec = MelSpec.preset("hifigan", fmax=fmax)
    signal = np.load(OFFICIAL / f"{audio}.npy").reshape(-1)
    official = np.exp(np.load(OFFICIAL / f"{mel}.npy")[0])
    in_torch = spec.mel_tensor(torch.from_numpy(signal)[None]).clamp(min=LOG_FLOOR)[0].numpy()
    in_numpy = np.maximum(spec.mel(signal), LOG_FLOOR)
    assert np.abs(in_torch - official).max() <= 1e-6 * official.max()
    assert np.abs(in_numpy - official).max() <= 1e-6 * official.max()


@needs_official
def test_filterbank_is_the_official_one():
    np.testing.assert_allclose(
        MelSpec.preset("hifigan").filterbank(), np.load(OFFICIAL / "melbasis_fmaxnull.npy"), atol=1e-8
    )


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("beyond_shortest", [0, 1, 700])
def test_both_front_ends_follow_the_definition(name, beyond_shortest):
    spec = SPECS[name]
    audio = speech_like(spec.shortest + beyond_shortest)
    wanted = windows_by_hand(audio, spec)
    in_numpy = spec.mel(audio)
    in_torch = spec.mel_tensor(torch.from_numpy(audio)).numpy()
    assert in_numpy.shape == in_torch.shape == (spec.n_mels, spec.frames(len(audio))) == wanted.shape
    np.testing.assert_allclose(in_numpy, wanted, atol=1e-11 * wanted.max())
    assert np.abs(in_numpy - in_torch).max() <= 1e-9


@pytest.mark.parametrize("name", ["odd padding", "emphasised", "lab"])
def test_blocks_of_the_numpy_front_end_equal_the_whole(name):
    spec = SPECS[name]
    audio = speech_like(spec.hop_length * 1300 + 17)
    assert np.abs(spec.mel(audio) - spec.mel_tensor(torch.from_numpy(audio)).numpy()).max() <= 1e-9


def test_numpy_front_end_reads_no_more_than_a_block_at_a_time():
    spec = SPECS["emphasised"]
    audio = speech_like(spec.hop_length * 1300)
    asked = []

    class Recorded:
        def __len__(self):
            return len(audio)

        def __getitem__(self, index):
            asked.append(index.stop - index.start)
            return audio[index]

    assert np.array_equal(spec.mel(Recorded()), spec.mel(audio))
    assert max(asked) < len(audio) / 2


def test_lab_preset_equals_librosa():
    spec = MelSpec.preset("lab")
    audio = speech_like(40_000)
    emphasised = np.concatenate([audio[:1], audio[1:] - 0.97 * audio[:-1]])
    wanted = librosa.feature.melspectrogram(
        y=emphasised, sr=11413, n_fft=2048, win_length=2048, hop_length=420, center=False, power=2, n_mels=64, fmin=0
    )
    assert np.abs(spec.mel(audio) - wanted).max() <= 1e-6 * wanted.max()
    in_float32 = spec.mel_tensor(torch.from_numpy(audio.astype(np.float32))).numpy()
    assert np.abs(in_float32 - wanted).max() <= 1e-6 * wanted.max()
    decibels = librosa.power_to_db(wanted, ref=1.0, amin=1e-10, top_db=80)
    np.testing.assert_allclose(spec.db(wanted), decibels, atol=1e-9)


@pytest.mark.parametrize("name", SPECS)
def test_filterbank_and_centres_equal_librosas(name):
    spec = SPECS[name]
    wanted = librosa.filters.mel(
        sr=spec.sampling_rate, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin, fmax=spec.fmax, dtype=np.float64
    )
    np.testing.assert_allclose(spec.filterbank(), wanted, atol=1e-13)
    edges = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.fmin, fmax=spec.fmax)
    np.testing.assert_allclose(spec.centre_frequencies(), edges[1:-1], rtol=1e-12)


@pytest.mark.parametrize("preset", ["hifigan", "lab"])
def test_pure_tone_lands_in_the_filter_with_the_nearest_centre(preset):
    spec = MelSpec.preset(preset)
    centres = spec.centre_frequencies()
    seconds = np.arange(8 * 2048) / spec.sampling_rate
    for number in range(0, 64, 5):
        # Off the centre, yet not so near to the middle between two that the slope of one filter decides.
        above = centres[number] + 0.2 * (centres[min(number + 1, 63)] - centres[number])
        for hertz in (centres[number], above):
            mel = spec.mel(0.5 * np.sin(2 * np.pi * hertz * seconds))
            assert mel.mean(axis=1).argmax() == np.abs(centres - hertz).argmin() == number


@pytest.mark.parametrize("name", ["hifigan", "hop of the transform"])
def test_click_in_the_middle_of_a_video_frame_is_centred_in_that_mel_frame(name):
    spec = SPECS[name]
    frame = 12
    audio = np.zeros(30 * spec.hop_length)
    audio[frame * spec.hop_length + spec.hop_length // 2] = 1
    energy = spec.mel(audio).sum(axis=0)
    assert energy.argmax() == frame
    np.testing.assert_allclose(energy[frame - 5 : frame], energy[frame + 5 : frame : -1], rtol=1e-9)


def test_unpadded_frame_covers_the_samples_from_its_start():
    spec = MelSpec.preset("lab", preemphasis=0.0)
    audio = np.zeros(20 * 420 + 2048)
    audio[5 * 420 + 1024] = 1
    assert spec.mel(audio).sum(axis=0).argmax() == 5


@pytest.mark.parametrize("name", SPECS)
def test_frames_counts_the_windows_that_fit(name):
    spec = SPECS[name]
    padding = spec.n_fft - spec.hop_length if spec.alignment == "centred" else 0
    for samples in range(spec.shortest, spec.shortest + 3 * spec.hop_length + 2):
        starts = range(0, samples + padding - spec.n_fft + 1, spec.hop_length)
        assert spec.frames(samples) == len(starts) > 0
    assert spec.frames(spec.shortest - 1) == 0


def test_centred_mel_has_a_frame_for_every_whole_hop():
    spec = MelSpec.preset("hifigan")
    assert [spec.frames(420 * n + rest) for n, rest in ((3, 0), (3, 419), (68, 109))] == [3, 3, 68]


def test_too_short_a_signal_is_refused_with_the_length_that_is_needed():
    spec = MelSpec.preset("hifigan")
    for front_end, signal in ((spec.mel, np.zeros(814)), (spec.mel_tensor, torch.zeros(814))):
        with pytest.raises(UserError, match=r"has 814 samples; give at least 815"):
            front_end(signal)
    assert spec.mel(np.zeros(815)).shape == (64, 1)


def test_decibels_and_natural_logarithm_are_exact_conversions():
    rng = np.random.default_rng(0)
    magnitude = np.exp(rng.uniform(-11, 3, (64, 50)))
    for power in (1, 2):
        spec = MelSpec(power=power)
        linear = magnitude**power
        decibels = spec.db(linear)
        shown = np.maximum(linear, spec.floor)
        np.testing.assert_allclose(decibels, (20 if power == 1 else 10) * np.log10(shown), atol=1e-12)
        np.testing.assert_allclose(spec.linear_from_db(decibels), shown, rtol=1e-13)
        np.testing.assert_allclose(spec.log_from_db(decibels), log_mel(linear), atol=1e-13)
    assert spec.log_from_db(np.array(-500.0)) == np.log(LOG_FLOOR)
    in_torch = log_mel_tensor(torch.from_numpy(magnitude)).numpy()
    np.testing.assert_allclose(in_torch, log_mel(magnitude), atol=1e-14)


def test_decibels_are_limited_to_a_range_below_the_maximum():
    spec = MelSpec.preset("lab")
    assert spec.db(np.array([1.0, 1e-3, 1e-9])).tolist() == pytest.approx([0, -30, -80])


def test_a_band_contains_the_filters_with_centres_in_it():
    spec = MelSpec.preset("hifigan")
    centres = spec.centre_frequencies()
    bins = spec.band(300, 900)
    assert bins.tolist() == [m for m in range(64) if 300 <= centres[m] <= 900]
    assert spec.band(centres[7], centres[7]).tolist() == [7]


def test_band_without_a_filter_is_refused_with_the_nearest_one():
    spec = MelSpec.preset("hifigan")
    centres = spec.centre_frequencies()
    low, high = centres[10] + 5, centres[10] + 6
    with pytest.raises(UserError, match=f"holds no filter.*nearest filter, at {centres[10]:.1f} Hz"):
        spec.band(low, high)
    with pytest.raises(UserError, match=f"at {centres[-1]:.1f} Hz"):
        spec.band(6000, 8000)


def test_spec_survives_json_and_refuses_unknown_keys():
    spec = MelSpec.preset("lab", n_mels=80)
    stored = json.loads(json.dumps(spec.to_dict()))
    assert MelSpec.from_dict(stored) == spec
    with pytest.raises(UserError, match=r"^meta.json: .*\bcolour\b"):
        MelSpec.from_dict({**stored, "colour": 1}, "meta.json")
    del stored["power"]
    with pytest.raises(UserError, match=r"^meta.json: .*\bpower\b"):
        MelSpec.from_dict(stored, "meta.json")


def test_differing_mels_are_refused_with_both_values():
    spec = MelSpec.preset("hifigan")
    spec.require_same(dataclasses.replace(spec), "a", "b")
    with pytest.raises(UserError, match=r"^model.pt: .* meta.json .*n_mels 64 against 80, power 1 against 2"):
        spec.require_same(MelSpec(n_mels=80, power=2), "model.pt", "meta.json")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("sampling_rate", 0),
        ("n_fft", 2048.0),
        ("win_length", 4096),
        ("hop_length", 2049),
        ("n_mels", -1),
        ("fmin", 6000),
        ("fmax", -5),
        ("power", 3),
        ("preemphasis", 1.0),
        ("alignment", "left"),
        ("floor", 0),
    ],
)
def test_setting_out_of_range_is_refused_by_name(setting, value):
    with pytest.raises(UserError, match=r"^mel\.") as refusal:
        MelSpec(**{setting: value})
    assert setting in str(refusal.value)


def test_filterbank_above_half_the_sampling_rate_is_refused_for_new_mels():
    MelSpec.preset("hifigan").require_below_nyquist()
    with pytest.raises(UserError, match=r"8000 Hz, above half.*give at most 5706.5"):
        MelSpec(fmax=8000).require_below_nyquist()


def test_torch_front_end_takes_batches_and_has_a_finite_gradient_at_silence():
    spec = SPECS["odd padding"]
    audio = torch.from_numpy(speech_like(6 * 2000).reshape(2, 3, 2000))
    mel = spec.mel_tensor(audio)
    assert torch.equal(mel[1, 2], spec.mel_tensor(audio[1, 2]))
    silence = torch.zeros(2000, requires_grad=True)
    spec.mel_tensor(silence).sum().backward()
    assert torch.isfinite(silence.grad).all()


@pytest.mark.parametrize("preset", ["hifigan", "lab"])
def test_decibels_in_blocks_equal_those_of_the_whole(preset):
    spec = MelSpec.preset(preset)
    audio = np.random.default_rng(2).standard_normal(420 * 1100) * np.linspace(1e-4, 0.3, 420 * 1100)
    np.testing.assert_allclose(spec.mel_db(audio), spec.db(spec.mel(audio)), atol=1e-4)


@cache
def upsamplings(hop):
    """Whether stages of 2 to 10 make ``hop``, by trying all."""
    return hop == 1 or any(hop % rate == 0 and upsamplings(hop // rate) for rate in range(2, 11))


RATES = [Fraction(n, 8) for n in range(15 * 8, 120 * 8 + 1)]
RATES += [Fraction(83278, 1000), Fraction(30000, 1001), Fraction("23.18"), Fraction(11413, 420), Fraction("101.01")]


@pytest.mark.parametrize("wish", [8000, 11413, 20000, 44100])
def test_the_proposed_hop_can_be_upsampled(wish):
    for rate in RATES:
        # At most half a frame of drift in two and in ten minutes.
        for seconds, near in ((120, 0.05), (600, 0.2)):
            sampling_rate, hop = fitting_mel(rate, wish, 0.5 / seconds)
            assert upsamplings(hop), (rate, hop)
            assert abs(Fraction(sampling_rate, hop) - rate) * seconds <= Fraction(1, 2)
            assert abs(sampling_rate / max(wish, 20000) - 1) < near


def test_the_proposal_for_the_rate_of_uscs_recordings():
    assert fitting_mel(Fraction(83278, 1000), 11413, 0.5 / 120) == (19987, 240)
    assert not upsamplings(137)
