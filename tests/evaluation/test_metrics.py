from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation import metrics
from rtmri_speech.settings.acoustic import Loss
from rtmri_speech.signal import voice
from rtmri_speech.signal.mel import MelSpec

RATE, HOP = 11413, 420


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))


def syllables(seconds: float, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Bursts of a gliding harmonic tone at syllable rate: voiced, with pauses, never repeating."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    f0 = np.interp(time, np.arange(0, seconds + 1, 0.5), rng.uniform(100, 160, math.ceil((seconds + 1) / 0.5)))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    edges = np.cumsum(rng.uniform(0.08, 0.3, math.ceil(seconds / 0.08)))
    number = np.searchsorted(edges, time)
    tilt = rng.uniform(0.4, 1.6, number.max() + 1)[number]
    gain = np.convolve(rng.integers(0, 3, number.max() + 1)[number], np.hanning(400) / 200, "same")
    tone = sum(np.sin(k * phase) / k**tilt for k in range(1, 25))
    return 0.05 * gain * tone + 1e-4 * rng.standard_normal(count)


# Spectral distances


def test_the_log_spectral_distance_of_a_scaled_signal_is_the_gain_in_db():
    signal = noise(2)
    assert metrics.log_spectral_distance(signal, 0.5 * signal, HOP) == pytest.approx(20 * math.log10(2), rel=1e-9)


def test_the_log_spectral_distance_agrees_with_librosa():
    librosa = pytest.importorskip("librosa")
    a, b = noise(2, 1), noise(2, 2)
    A, B = (np.abs(librosa.stft(x, n_fft=2048, hop_length=HOP, center=False)) for x in (a, b))
    expected = np.sqrt(np.mean((librosa.amplitude_to_db(A, amin=1e-9, top_db=None)
                                - librosa.amplitude_to_db(B, amin=1e-9, top_db=None)) ** 2, axis=0)).mean()  # fmt: skip
    assert metrics.log_spectral_distance(a, b, HOP) == pytest.approx(expected, rel=1e-4)


def test_the_stft_distance_of_a_scaled_signal_has_a_closed_form():
    signal = noise(2)
    assert metrics.stft_distance(signal, 0.8 * signal) == pytest.approx(0.2 - math.log(0.8), rel=1e-9)


def test_the_stft_distance_agrees_with_torch():
    torch = pytest.importorskip("torch")
    a, b = noise(1, 1), noise(1, 2)
    expected = []
    for n_fft, hop, win in ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200)):
        A, B = (
            torch.stft(
                torch.tensor(x),
                n_fft,
                hop,
                win,
                torch.hann_window(win, dtype=torch.float64),
                center=False,
                return_complex=True,
            ).abs()
            for x in (a, b)
        )
        expected.append(torch.linalg.norm(A - B) / torch.linalg.norm(A) + (A.log() - B.log()).abs().mean())
    assert metrics.stft_distance(a, b) == pytest.approx(float(sum(expected)) / 3, rel=1e-6)


def test_mel_errors_of_a_scaled_signal_are_the_gain_over_the_deviation():
    spec = metrics.default_spec(RATE, HOP)
    scaler = Scaler(np.full(64, -40.0), np.full(64, 5.0), 1)
    errors = metrics.mel_errors(noise(2), 0.5 * noise(2), spec, scaler)
    gain = 20 * math.log10(2) / 5
    assert errors["mel_mae"] == pytest.approx(gain, rel=1e-4)
    for name in ("mel_mse", "mel_mse_speech", "mel_mse_f0", "mel_mse_f1", "mel_mse_f2", "mel_mse_f3", "mel_mse_high"):
        assert errors[name] == pytest.approx(gain**2, rel=1e-4), name


def test_mel_errors_agree_with_librosa():
    librosa = pytest.importorskip("librosa")
    spec = metrics.default_spec(RATE, HOP)
    a, b = syllables(2, 1), syllables(2, 2)
    pad = (2048 - HOP) // 2
    A, B = (
        20
        * np.log10(
            np.maximum(
                librosa.feature.melspectrogram(
                    y=np.pad(x, pad, mode="reflect"),
                    sr=RATE,
                    n_fft=2048,
                    hop_length=HOP,
                    n_mels=64,
                    power=1,
                    center=False,
                ),
                1e-5,
            )
        )
        for x in (a, b)
    )
    expected = (((A - B) / A.std(axis=1, keepdims=True)) ** 2).mean()
    assert metrics.mel_errors(a, b, spec)["mel_mse"] == pytest.approx(expected, rel=1e-2)


def test_band_errors_are_of_the_memos_bins():
    bands = metrics.mel_bands(64)
    assert [(band.start, band.stop - 1) for band in bands.values()] == [(0, 5), (6, 15), (16, 31), (32, 47), (48, 63)]
    assert metrics.mel_bands(80)["high"] == slice(60, 80)


def test_bands_are_those_of_the_acoustic_loss():
    firsts = {name: first for name, (first, _) in Loss().bands.items()}
    assert {name: bins.start for name, bins in metrics.mel_bands(64).items()} == firsts


def test_speech_frames_are_those_within_40_db_of_the_loudest():
    levels = np.array([0.0, 1.0, 0.02, 0.005])
    signal = np.repeat(levels, HOP) * np.tile([1.0, -1.0], 2 * HOP) * 0.5
    assert voice.speech_frames(signal, HOP).tolist() == [False, True, True, False]
    assert not voice.speech_frames(np.zeros(HOP * 3), HOP).any()
    assert metrics.silence_agreement(signal, np.roll(signal, HOP), HOP) == pytest.approx(0.5)


# Mel-cepstra


@pytest.mark.parametrize(
    ("rate", "alpha"),
    [(8000, 0.312), (11025, 0.357), (16000, 0.41), (22050, 0.455), (44100, 0.544), (48000, 0.554)],
)
def test_the_warping_has_the_published_constants(rate, alpha):
    # The table in the documentation of pysptk.util.mcepalpha.
    assert metrics.warping_alpha(rate) == pytest.approx(alpha, abs=1e-9)


def frequency_transform(cepstrum: np.ndarray, order: int, alpha: float) -> np.ndarray:
    """The recursion of Oppenheim and Johnson (1972), one coefficient at a time."""
    warped = np.zeros(order + 1)
    for value in cepstrum[::-1]:
        before = warped.copy()
        warped[0] = value + alpha * before[0]
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order + 1):
            warped[m] = before[m - 1] + alpha * (before[m] - warped[m - 1])
    return warped


def test_mel_cepstra_agree_with_the_recursive_frequency_transform():
    rng = np.random.default_rng(0)
    cepstrum = rng.standard_normal(40) / (1 + np.arange(40)) ** 1.5
    omega = np.linspace(0, np.pi, 257)
    envelope = np.exp(2 * np.cos(np.outer(omega, np.arange(40))) @ cepstrum)
    expected = frequency_transform(cepstrum, 24, 0.362)
    np.testing.assert_allclose(metrics.mel_cepstra(envelope[None], 0.362)[0], expected, atol=1e-9)


def test_mel_cepstral_distortion_has_its_closed_form():
    a = np.zeros((3, 25))
    b = a.copy()
    b[:, 0] = 9  # The level does not count.
    b[:, 1], b[:, 24] = 0.3, 0.4
    expected = 10 / math.log(10) * math.sqrt(2 * 0.25)
    assert metrics.mel_cepstral_distortion(a, b) == pytest.approx(expected)
    assert metrics.mel_cepstral_distortion_dtw(a, b[:2]) == pytest.approx(expected)


def test_time_warping_finds_the_least_sum():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((5, 25)), rng.standard_normal((6, 25))
    costs = 10 / math.log(10) * np.sqrt(2 * ((a[:, None, 1:] - b[None, :, 1:]) ** 2).sum(-1))

    def paths(i: int, j: int) -> list[list[float]]:
        here = costs[i, j]
        if i == j == 0:
            return [[here]]
        steps = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return [[*path, here] for x, y in steps if x >= 0 and y >= 0 for path in paths(x, y)]

    best = min(paths(4, 5), key=sum)
    assert metrics.mel_cepstral_distortion_dtw(a, b) == pytest.approx(np.mean(best))


def test_time_warping_compensates_an_inserted_pause():
    rng = np.random.default_rng(3)
    a = rng.standard_normal((20, 25))
    held = np.concatenate([a[:10], np.repeat(a[9:10], 7, axis=0), a[10:]])
    assert metrics.mel_cepstral_distortion_dtw(a, held) == pytest.approx(0, abs=1e-12)


# F0


@pytest.mark.parametrize("f0", [110.0, 190.0])
def test_world_finds_the_f0_of_a_harmonic_tone(f0):
    time = np.arange(2 * RATE) / RATE
    tone = 0.1 * sum(np.sin(2 * np.pi * k * f0 * time) / k for k in range(1, 20))
    found, envelope = metrics.world_analysis(tone, RATE, HOP)
    assert len(found) == len(envelope) == len(tone) // HOP
    np.testing.assert_allclose(found[3:-3], f0, rtol=2e-3)


def test_neighbouring_periods_of_a_tone_correlate_by_its_share_of_the_power():
    time = np.arange(2 * RATE) / RATE
    tone = math.sqrt(2) * np.sin(2 * np.pi * 120 * time)
    hiss = np.random.default_rng(0).standard_normal(len(time))
    times = np.linspace(0.1, 1.9, 60)
    f0 = np.full(60, 120.0)
    assert voice.period_correlation(tone, RATE, f0, times).min() > 0.99
    half = np.median(voice.period_correlation(tone + hiss, RATE, f0, times))
    assert half == pytest.approx(0.5, abs=0.1)
    assert np.median(voice.period_correlation(hiss, RATE, f0, times)) < 0.3
    assert not voice.period_correlation(tone, RATE, 0 * f0, times).any()


def test_hiss_between_vowels_is_unvoiced():
    """Harvest alone extends the F0 of neighbouring vowels into it."""
    time = np.arange(3 * RATE) / RATE
    vowel = time % 0.4 < 0.28
    signal = np.where(vowel, spoken(np.full(len(time), 120.0), 0, -50), 0.02 * noise(3) / 0.1)
    found, times = voice.harvest_f0(signal, RATE, HOP, (75, 220))
    # Frames that lie wholly in a vowel, or in the hiss.
    edges = np.minimum((times % 0.4 - 0.28) % 0.4, (-(times % 0.4 - 0.28)) % 0.4)
    inner = (edges > 0.03) & (np.minimum(times % 0.4, 0.4 - times % 0.4) > 0.03)
    assert np.mean((found > 0)[inner] == (times % 0.4 < 0.28)[inner]) > 0.95


def test_f0_errors_have_their_closed_forms():
    reference = np.array([0, 100.0, 110, 120, 130, 0])
    everywhere = np.ones(6, bool)
    octave = metrics.f0_errors(reference, 2 * reference, everywhere)
    assert octave["f0_rmse_cents"] == pytest.approx(1200)
    assert octave["f0_rmse_hz"] == pytest.approx(math.sqrt(np.mean(reference[1:5] ** 2)))
    assert octave["f0_correlation"] == pytest.approx(1)
    assert octave["vuv_error"] == 0
    mirrored = metrics.f0_errors(reference, np.where(reference > 0, 240 - reference, 0), everywhere)
    assert mirrored["f0_correlation"] == pytest.approx(-1)
    other = np.array([100.0, 100, 0, 120, 130, 0])
    assert metrics.f0_errors(reference, other, everywhere)["vuv_error"] == pytest.approx(2 / 6)
    assert metrics.f0_errors(reference, other, reference > 0)["vuv_error"] == pytest.approx(1 / 4)


def test_f0_errors_without_common_voiced_frames_are_not_a_number():
    errors = metrics.f0_errors(np.array([0, 100.0, 0]), np.array([100.0, 0, 0]), np.ones(3, bool))
    assert math.isnan(errors["f0_rmse_hz"])
    assert math.isnan(errors["f0_correlation"])
    assert errors["vuv_error"] == pytest.approx(2 / 3)
    assert math.isnan(metrics.f0_errors(np.zeros(3), np.zeros(3), np.zeros(3, bool))["vuv_error"])


def spoken(f0: np.ndarray, pause_tone_hz: float, pause_db: float) -> np.ndarray:
    """A voice with ``f0`` (one value per sample, 0 in pauses) and a tone in its pauses, like scanner noise."""
    phase = 2 * np.pi * np.cumsum(np.where(f0 > 0, f0, 100)) / RATE
    voice = (f0 > 0) * sum(np.sin(k * phase) / k for k in range(1, 20))
    time = np.arange(len(f0)) / RATE
    tone = (f0 == 0) * 10 ** (pause_db / 20) * np.sin(2 * np.pi * pause_tone_hz * time)
    return 0.1 * (voice + tone) + 1e-5 * np.random.default_rng(0).standard_normal(len(f0))


@pytest.fixture(scope="module")
def voice_f0() -> np.ndarray:
    """F0 of a voice from 95 to 145 Hz with pauses of nearly half a second, one value a sample."""
    time = np.arange(4 * RATE) / RATE
    return np.where(time % 1 < 0.55, 120 + 25 * np.sin(2 * np.pi * time / 1.7), 0)


@pytest.mark.parametrize(("pause_db", "vuv_error"), [(-50, 0.06), (-25, 0.2)], ids=["soft", "loud"])
def test_a_tone_in_the_pauses_does_not_count_as_voiced(pause_db, vuv_error, voice_f0):
    """The recording has 500 Hz in its pauses, the copies 300 Hz or silence; the voice is higher in the copies."""
    ways = ((voice_f0, 500), (1.1 * voice_f0, 300), (1.1 * voice_f0, 0))
    recording, copy, clean = (spoken(*way, pause_db) for way in ways)
    score, without = (metrics.score_pair(recording, other, RATE, HOP, f0_range=(75, 220)) for other in (copy, clean))
    assert score["f0_correlation"] > 0.95
    assert score["f0_rmse_cents"] == pytest.approx(1200 * math.log2(1.1), rel=0.15)
    assert score["vuv_error"] < vuv_error
    assert without["vuv_error"] < vuv_error


def test_voicing_is_not_judged_in_pauses(voice_f0):
    recording, clean = spoken(voice_f0, 500, -50), spoken(voice_f0, 0, -50)
    wide = voice.F0_SEARCH_HZ
    found, _ = voice.harvest_f0(recording, RATE, HOP, wide)
    assert np.mean(found > 400) > 0.3
    assert metrics.score_pair(recording, clean, RATE, HOP, f0_range=wide)["vuv_error"] < 0.06


def test_a_missing_voice_is_a_voicing_error():
    time = np.arange(3 * RATE) / RATE
    f0 = np.where(time % 0.6 < 0.36, 120.0, 0)
    whispered = (f0 > 0) * noise(3)
    assert metrics.score_pair(spoken(f0, 500, -50), whispered, RATE, HOP)["vuv_error"] > 0.8


# Intelligibility and quality


def test_estoi_is_one_for_identical_signals_and_falls_with_noise():
    pytest.importorskip("pystoi")
    signal = syllables(3)
    scores = [
        metrics.estoi(signal, signal + level * np.random.default_rng(1).standard_normal(len(signal)), RATE)
        for level in (0, 0.02, 0.2)
    ]
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert scores[0] > scores[1] + 0.05 > scores[2] + 0.1


def estoi_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """ESTOI of signals at 10 kHz without silence, written from Jensen and Taal (2016)."""
    window = np.hanning(258)[1:-1]

    def bands(signal: np.ndarray) -> np.ndarray:
        frames = np.lib.stride_tricks.sliding_window_view(signal, 256)[:-1:128]
        power = np.abs(np.fft.rfft(frames * window, 512)) ** 2
        frequency = np.arange(257) * 10000 / 512
        levels = []
        for k in range(15):
            low, high = (np.abs(frequency - 150 * 2 ** ((2 * k + side) / 6)).argmin() for side in (-1, 1))
            levels.append(np.sqrt(power[:, low:high].sum(axis=1)))
        return np.array(levels)

    def normalised(a: np.ndarray, axis: int) -> np.ndarray:
        a = a - a.mean(axis=axis, keepdims=True)
        return a / np.linalg.norm(a, axis=axis, keepdims=True)

    a, b = bands(x), bands(y)
    scores = []
    for m in range(30, a.shape[1] + 1):
        left, right = (normalised(normalised(s[:, m - 30 : m], 1), 0) for s in (a, b))
        scores.append((left * right).sum() / 30)
    return float(np.mean(scores))


def test_estoi_agrees_with_its_definition():
    pytest.importorskip("pystoi")
    rng = np.random.default_rng(5)
    x = rng.standard_normal(20000) * np.repeat(rng.uniform(0.5, 1, 100), 200)
    y = x + 0.7 * rng.standard_normal(20000)
    assert metrics.estoi(x, y, 10000) == pytest.approx(estoi_by_definition(x, y), abs=0.005)


def test_estoi_does_not_change_numpys_random_state():
    pytest.importorskip("pystoi")
    np.random.seed(7)
    expected = np.random.standard_normal()
    np.random.seed(7)
    metrics.estoi(noise(1), noise(1, 1), RATE)
    assert np.random.standard_normal() == expected


def test_a_clip_too_short_for_estoi_and_pesq_is_reported_and_skipped():
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    told = []
    short = noise(0.2)
    assert math.isnan(metrics.estoi(short, short, RATE, told))
    assert all(math.isnan(score) for score in metrics.pesq_scores(short, short, RATE, told).values())
    assert told[0] == "ESTOI needs 0.4 s of speech; it is left out"
    assert told[1] == "PESQ needs 0.25 s; it is left out"


def test_pesq_of_identical_signals_is_the_top_of_the_mapped_scale():
    pytest.importorskip("pesq")
    scores = metrics.pesq_scores(syllables(3), syllables(3), RATE)
    # The raw score 4.5 through the mappings of ITU-T P.862.1 and P.862.2.
    assert scores["pesq_nb"] == pytest.approx(0.999 + 4 / (1 + math.exp(-1.4945 * 4.5 + 4.6607)), abs=1e-3)
    assert scores["pesq_wb"] == pytest.approx(0.999 + 4 / (1 + math.exp(-1.3669 * 4.5 + 3.8224)), abs=1e-3)
    assert metrics.pesq_scores(syllables(3), syllables(3) + noise(3), RATE)["pesq_wb"] < 3


# Lag and time


@pytest.mark.parametrize("late_ms", [37.0, -37.0, 120.0, 0.0])
def test_a_known_shift_is_found_to_5_ms(late_ms):
    signal = syllables(4)
    start = round(0.3 * RATE)
    shift = round(late_ms / 1000 * RATE)
    reference, generated = signal[start : start + 3 * RATE], signal[start - shift : start - shift + 3 * RATE]
    assert metrics.lag_ms(reference, generated, RATE) == pytest.approx(late_ms, abs=5)


def test_a_shift_is_found_when_only_the_envelope_is_shared():
    # Another voice's phases and pitch: vocoded noise with the spectrum's shape of the reference.
    signal = syllables(4)
    envelope = np.convolve(np.abs(signal), np.hanning(200) / 100, "same")
    other = envelope * noise(4, 9)
    shift = round(0.037 * RATE)
    assert metrics.lag_ms(signal[shift:], other[:-shift], RATE) == pytest.approx(37, abs=5)


def test_silence_has_no_lag():
    assert math.isnan(metrics.lag_ms(np.zeros(RATE), noise(1), RATE))


def test_the_real_time_factor_is_work_over_sound():
    assert metrics.real_time_factor(1.5, 3 * RATE, RATE) == pytest.approx(0.5)


# All of them


def test_identical_signals_give_the_perfect_score():
    for library in ("pystoi", "pesq"):
        pytest.importorskip(library)
    signal = syllables(3)
    scores = metrics.score_pair(signal, signal.copy(), RATE, HOP)
    perfect = {
        "f0_correlation": 1,
        "estoi": 1,
        "pesq_nb": 4.5486,
        "pesq_wb": 4.6439,
        "silence_agreement": 1,
    }
    assert set(perfect) < set(scores)
    for name, value in scores.items():
        assert value == pytest.approx(perfect.get(name, 0), abs=1e-4), name


def test_every_score_gets_worse_with_noise():
    for library in ("pystoi", "pesq"):
        pytest.importorskip(library)
    signal = syllables(3)
    little, much = (metrics.score_pair(signal, signal + level * noise(3, 4), RATE, HOP) for level in (0.02, 1))
    higher_is_better = {"estoi", "pesq_nb", "pesq_wb"}
    # Noise moves neither the lag nor, where voicing is still found, F0.
    for name in little.keys() - {"lag_ms", "silence_agreement", "f0_correlation", "f0_rmse_hz", "f0_rmse_cents"}:
        worse = much[name] < little[name] if name in higher_is_better else much[name] > little[name]
        assert worse, name


@pytest.mark.parametrize("signal", [np.zeros(RATE), noise(0.5), np.eye(1, RATE)[0]], ids=["silence", "short", "click"])
def test_odd_signals_are_scored_without_warnings(signal):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.score_pair(signal, noise(1)[: len(signal)], RATE, HOP)
    assert all(isinstance(value, float) for value in scores.values())
    assert not math.isnan(scores["mel_mse"])


def test_a_clip_shorter_than_a_frame_of_the_mel_is_refused():
    with pytest.raises(UserError, match="has 100 samples; give at least 815"):
        metrics.score_pair(np.zeros(100), np.zeros(5000), RATE, HOP)


def test_metrics_without_their_library_are_left_out(monkeypatch):
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: None)
    scores = metrics.score_pair(noise(1), noise(1, 1), RATE, HOP)
    assert not scores.keys() & {"estoi", "pesq_nb", "pesq_wb"}
    assert {"mel_mse", "lsd_db", "stft_distance", "lag_ms", "mcd_db", "f0_rmse_hz"} < scores.keys()
    assert set(metrics.missing_libraries()) == {"pystoi", "pesq"}


def test_the_default_mel_is_the_memos():
    assert metrics.default_spec(RATE, HOP) == MelSpec.preset("hifigan")


# Summaries


def test_the_bootstrap_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).gamma(2, 1, 40)
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20000, rng=1).confidence_interval
    assert metrics.bootstrap_interval(values) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_a_summary_leaves_out_what_is_not_defined():
    summary = metrics.summarise([{"a": 1.0, "b": math.nan}, {"a": 2.0, "b": 5.0}, {"a": 6.0, "c": math.nan}])
    assert summary["a"] | {"low": 0, "high": 0} == {"mean": 3, "median": 2, "low": 0, "high": 0, "n": 3}
    assert 1 <= summary["a"]["low"] < 3 < summary["a"]["high"] <= 6
    assert summary["b"]["mean"] == 5
    assert summary["b"]["n"] == 1
    assert math.isnan(summary["b"]["low"])
    assert summary["c"]["n"] == 0
    assert math.isnan(summary["c"]["mean"])
    assert summary["a"] == metrics.summarise([{"a": 1.0}, {"a": 2.0}, {"a": 6.0}])["a"]


def test_paired_differences_detect_what_separate_intervals_miss():
    """The variation between clips far exceeds that between systems; one of the metrics does not differ."""
    rng = np.random.default_rng(0)
    level, jitter = rng.normal(0.5, 0.2, 24), rng.normal(0, 0.01, (2, 24))
    ours = {str(i): {"a": level[i] + 0.02, "b": level[i] + jitter[0, i], "c": None} for i in range(24)}
    theirs = {str(i): {"a": level[i] + jitter[1, i], "b": level[i], "c": 1.0} for i in range(24)} | {
        "other": {"a": 9.0}
    }
    found = metrics.paired_differences(ours, theirs, ["a", "b", "c"])
    assert found["a"]["mean"] == pytest.approx(0.02 - jitter[1].mean())
    assert found["a"]["low"] > 0
    assert found["b"]["low"] < 0 < found["b"]["high"]
    assert found["c"]["n"] == 0
    assert math.isnan(found["c"]["low"])
    # Three metrics share the 5 %.
    alone = metrics.paired_differences(ours, theirs, ["a"])["a"]
    assert alone["low"] > found["a"]["low"]
    assert alone["low"] == pytest.approx(metrics.bootstrap_interval(0.02 - jitter[1])[0], abs=1e-3)
