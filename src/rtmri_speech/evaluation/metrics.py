"""Metrics of synthesised against recorded speech, each with its exact definition, rate and library.

All compare two signals of the same sampling rate without alignment: nothing is shifted, scaled or warped first, unless
the metric's name says so. A metric that is undefined for a clip (no voiced frame, too short) is NaN and ignored by
`summarise`.

Extras: ``metrics`` installs pystoi, ``pesq`` installs pesq; `score_pair` omits metrics whose library is not
installed.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import LOG_FLOOR, MelSpec
from rtmri_speech.signal.voice import F0_SEARCH_HZ, harvest_f0, speech_frames

_log = logging.getLogger(__name__)

SPECTRAL_RANGE_DB = 80.0
"""Range of the log-spectral distance below the reference's largest magnitude; below it is noise."""

STFT_RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))
"""Transform, hop and Hann window in samples, of Yamamoto et al., *Parallel WaveGAN* (2020)."""

MCEP_ORDER = 24

LAG_LIMIT_MS = 300.0
"""Largest lag searched."""

ESTOI_RATE, PESQ_RATE = 10_000, 16_000
"""Rates at which ESTOI and PESQ are defined, Hz."""

_LAG_STEP_S, _LAG_WINDOW_S, _LAG_MELS, _LAG_RANGE_DB = 0.0025, 0.02, 20, 60.0
_LAG_FLAT_DB = 1e-3

_RESAMPLED_AT_ONCE = 200_000
"""Values drawn at a time by the bootstrap, to bound memory."""

_BAND_EDGES = {"f0": (0, 6), "f1": (6, 16), "f2": (16, 32), "f3": (32, 48), "high": (48, 64)}
"""The memo's bands as ranges of its 64 mel bins."""


def default_spec(sampling_rate: int, hop: int) -> MelSpec:
    """Return the mel for signals without a dataset: the ``hifigan`` preset at this rate and hop.

    The transform is the power of two of at least four hops, as in the memo (2048 for 420), with 64 filters up to half
    the rate.
    """
    n_fft = _transform(hop)
    return MelSpec.preset("hifigan", sampling_rate=sampling_rate, hop_length=hop, n_fft=n_fft, win_length=n_fft)


def _transform(hop: int) -> int:
    """Length of the Fourier transform, samples: the power of two of at least four hops."""
    return 1 << math.ceil(math.log2(4 * hop))


def mel_bands(n_mels: int) -> dict[str, slice]:
    """Return the bins of the memo's bands: 0-5, 6-15, 16-31, 32-47 and 48-63 of 64, in proportion for other numbers."""
    return {
        name: slice(round(low * n_mels / 64), round(high * n_mels / 64)) for name, (low, high) in _BAND_EDGES.items()
    }


def silence_agreement(reference: np.ndarray, generated: np.ndarray, hop: int) -> float:
    """Return the share of frames for which `speech_frames` agrees between the signals; 1 is perfect."""
    return float(np.mean(speech_frames(reference, hop) == speech_frames(generated, hop)))


def mel_errors(
    reference: np.ndarray, generated: np.ndarray, spec: MelSpec, scaler: Scaler | None = None
) -> dict[str, float]:
    """Return mean squared and mean absolute error of the standardised mel.

    Both mels are taken in dB by ``spec`` (`MelSpec.mel`, `MelSpec.db`) and standardised per bin by ``scaler``; 0 is
    perfect.

    Parameters
    ----------
    reference, generated : samples in [-1, 1], ``(N,)``.
    scaler : the training clips' statistics; None uses those of the reference clip.

    Returns
    -------
    ``mel_mse``, ``mel_mae`` over all frames, ``mel_mse_speech``, ``mel_mae_speech`` over the reference's speech frames,
    and ``mel_mse_<band>`` over all frames of the bins of each of `mel_bands`.
    """
    a, b = (spec.db(spec.mel(signal)).T for signal in (reference, generated))
    scaler = scaler or Scaler(a.mean(0), a.std(0), len(a))
    difference = scaler.standardise(b).astype(np.float64) - scaler.standardise(a)
    speech = speech_frames(reference, spec.hop_length)[: len(difference)]
    spoken = difference[: len(speech)][speech]
    errors = {
        "mel_mse": np.mean(difference**2),
        "mel_mae": np.mean(np.abs(difference)),
        "mel_mse_speech": np.mean(spoken**2) if len(spoken) else np.nan,
        "mel_mae_speech": np.mean(np.abs(spoken)) if len(spoken) else np.nan,
    }
    for name, bins in mel_bands(spec.n_mels).items():
        errors[f"mel_mse_{name}"] = np.mean(difference[:, bins] ** 2) if bins.stop > bins.start else np.nan
    return {name: float(value) for name, value in errors.items()}


def _spectrogram(audio: np.ndarray, n_fft: int, hop: int, win_length: int) -> np.ndarray:
    """Magnitudes, float64 ``(n_fft // 2 + 1, T)``, of frames inside the signal, periodic Hann window."""
    window = np.zeros(n_fft)
    start = (n_fft - win_length) // 2
    window[start : start + win_length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    # A clip shorter than the transform has one frame, not none.
    padded = np.pad(np.asarray(audio, np.float64), (0, max(n_fft - len(audio), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.abs(np.fft.rfft(frames * window)).T


def log_spectral_distance(reference: np.ndarray, generated: np.ndarray, hop: int) -> float:
    """Return the log-spectral distance in dB; 0 is perfect.

    The mean over frames of ``sqrt(mean over bins of (20 log10 |X| - 20 log10 |Y|)^2)`` (Gray and Markel, 1976), with a
    Hann window and transform of the power of two of at least four hops, NumPy's FFT, every ``hop`` samples at the
    signals' own rate; both magnitudes are at least `SPECTRAL_RANGE_DB` under the reference's largest.
    """
    n_fft = _transform(hop)
    a, b = (_spectrogram(signal, n_fft, hop, n_fft) for signal in (reference, generated))
    floor = max(a.max() * 10 ** (-SPECTRAL_RANGE_DB / 20), LOG_FLOOR)
    difference = 20 * np.log10(np.maximum(a, floor) / np.maximum(b, floor))
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=0))))


def stft_distance(reference: np.ndarray, generated: np.ndarray) -> float:
    """Return the multi-resolution STFT distance; 0 is perfect.

    The mean over `STFT_RESOLUTIONS` of spectral convergence, ``||X - Y||_F / ||X||_F`` of the magnitudes, plus the mean
    of ``|ln X - ln Y|`` with magnitudes of at least ``LOG_FLOOR`` (Yamamoto et al., 2020), at the signals' own rate.
    NaN for a silent reference.
    """
    distances = []
    for resolution in STFT_RESOLUTIONS:
        a, b = (_spectrogram(signal, *resolution) for signal in (reference, generated))
        if not a.any():
            return math.nan
        convergence = np.linalg.norm(a - b) / np.linalg.norm(a)
        log_distance = np.mean(np.abs(np.log(np.maximum(a, LOG_FLOOR) / np.maximum(b, LOG_FLOOR))))
        distances.append(convergence + log_distance)
    return float(np.mean(distances))


def world_analysis(
    audio: np.ndarray, sampling_rate: int, hop: int, f0_range: tuple[float, float] = F0_SEARCH_HZ
) -> tuple[np.ndarray, np.ndarray]:
    """Return WORLD's F0 in Hz, ``(N // hop,)``, 0 where unvoiced, and its power envelope, ``(N // hop, K)``.

    `harvest_f0` in ``f0_range`` and CheapTrick, library pyworld (Morise et al., *WORLD*, 2016).
    """
    import pyworld

    signal = np.ascontiguousarray(audio, np.float64)
    f0, times = harvest_f0(signal, sampling_rate, hop, f0_range)
    # CheapTrick treats frames below its F0 floor as unvoiced.
    floor = min(f0_range[0], F0_SEARCH_HZ[0])
    return f0, pyworld.cheaptrick(signal, f0, times, sampling_rate, f0_floor=floor)


@lru_cache(maxsize=8)
def warping_alpha(sampling_rate: int) -> float:
    """Return the all-pass constant whose warping best fits the mel scale ``log(1 + f / 1000)``.

    Least squares over 1000 frequencies up to half the rate, both scales ending at 1, to three decimals: 0.362 at 11 413
    Hz, 0.410 at 16 kHz, 0.455 at 22 050 Hz (the procedure of SPTK's tables).
    """
    omega = np.linspace(0, np.pi, 1001)[1:]
    mel = np.log1p(omega / np.pi * sampling_rate / 2000)
    candidates = np.arange(1000) / 1000
    errors = [np.sum((_warped(omega, alpha) / np.pi - mel / mel[-1]) ** 2) for alpha in candidates]
    return float(candidates[np.argmin(errors)])


def _warped(omega: np.ndarray, alpha: float) -> np.ndarray:
    """Phase of the all-pass ``(z^-1 - alpha) / (1 - alpha z^-1)``: the warped frequency of ``omega``, radians."""
    return omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))


@lru_cache(maxsize=8)
def _warping_matrix(order: int, quefrencies: int, alpha: float) -> np.ndarray:
    """``(quefrencies, order + 1)``: coefficient n of ``cos(n omega)`` to coefficient m of ``cos(m warped omega)``."""
    # A uniform grid on the warped axis; warping by -alpha maps it back to the linear axis.
    points = 8 * quefrencies
    warped = (np.arange(points) + 0.5) * np.pi / points
    linear = _warped(warped, -alpha)
    onto = np.cos(np.outer(warped, np.arange(order + 1))) * 2 / points
    onto[:, 0] /= 2
    return np.cos(np.outer(np.arange(quefrencies), linear)) @ onto


def mel_cepstra(envelope: np.ndarray, alpha: float) -> np.ndarray:
    """Return mel-cepstra, float64 ``(T, MCEP_ORDER + 1)``, of power envelopes ``(T, K)`` over ``[0, half the rate]``.

    Coefficients c of ``ln |H| = sum over m from 0 to order of c_m cos(m w')``, with w' the frequency warped by the
    all-pass constant ``alpha`` (Tokuda et al., 1994): the cosine series of half the log power, transformed to the
    warped axis.
    """
    log_magnitude = np.log(np.maximum(envelope, np.finfo(np.float64).tiny)) / 2
    cepstra = np.fft.irfft(log_magnitude, axis=-1)[..., : log_magnitude.shape[-1]]
    # The cosine coefficients of a real, even spectrum are twice its cepstrum, except the first and the last.
    cepstra[..., 1:-1] *= 2
    return cepstra @ _warping_matrix(MCEP_ORDER, log_magnitude.shape[-1], alpha)


def _cepstral_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance in dB of mel-cepstra (last axis), without c_0 (the level)."""
    return 10 / math.log(10) * np.sqrt(2 * np.sum((a[..., 1:] - b[..., 1:]) ** 2, axis=-1))


def mel_cepstral_distortion(reference: np.ndarray, generated: np.ndarray) -> float:
    """Return the mel-cepstral distortion in dB of two ``(T, order + 1)`` mel-cepstra, frame by frame; 0 is perfect.

    The mean over frames of ``10 / ln 10 sqrt(2 sum over m from 1 to order of (c_m - c'_m)^2)`` (Kubichek, 1993). NaN
    without frames.
    """
    return float(np.mean(_cepstral_distances(reference, generated))) if len(reference) else math.nan


def mel_cepstral_distortion_dtw(reference: np.ndarray, generated: np.ndarray) -> float:
    """Return the mel-cepstral distortion in dB along the optimal dynamic time warping path.

    Steps of one frame in either or both signals, unweighted; the mean over the path's points; library librosa
    (``librosa.sequence.dtw``). The signals may have different numbers of frames; NaN if one has none.
    """
    if not len(reference) or not len(generated):
        return math.nan
    import librosa

    costs = _cepstral_distances(reference[:, None], generated[None])
    path = librosa.sequence.dtw(C=costs)[1]
    return float(np.mean(costs[path[:, 0], path[:, 1]]))


def f0_errors(reference: np.ndarray, generated: np.ndarray, judged: np.ndarray) -> dict[str, float]:
    """Return the errors of two F0 tracks in Hz, ``(T,)``, 0 where unvoiced.

    Only ``judged`` frames count, bool ``(T,)``: the reference's speech, so that scanner tones in pauses are not taken
    for voicing. ``f0_rmse_hz`` and ``f0_rmse_cents`` (1200 log2 of the ratio) are root mean squares, ``f0_correlation``
    is Pearson's, in Hz, all over judged frames voiced in both; ``vuv_error`` is the share of judged frames whose
    voicing differs. NaN without such frames (the correlation needs three, and two tracks that vary).
    """
    reference, generated = reference[judged], generated[judged]
    voiced = (reference > 0) & (generated > 0)
    a, b = reference[voiced], generated[voiced]
    moving = len(a) >= 3 and np.ptp(a) > 0 and np.ptp(b) > 0
    return {
        "f0_rmse_hz": float(np.sqrt(np.mean((b - a) ** 2))) if len(a) else math.nan,
        "f0_rmse_cents": float(1200 * np.sqrt(np.mean(np.log2(b / a) ** 2))) if len(a) else math.nan,
        "f0_correlation": float(np.corrcoef(a, b)[0, 1]) if moving else math.nan,
        "vuv_error": float(np.mean((reference > 0) != (generated > 0))) if len(reference) else math.nan,
    }


def estoi(reference: np.ndarray, generated: np.ndarray, sampling_rate: int, notes: list[str] | None = None) -> float:
    """Return the extended short-time objective intelligibility, at most 1 (Jensen and Taal, 2016); library pystoi.

    The common length is compared, resampled to 10 kHz (soxr, very high quality). Needs 30 frames (384 ms) of speech
    within 40 dB of the loudest frame; with less, or for silence, it is NaN, with a note.
    """
    import pystoi

    length = min(len(reference), len(generated))
    reference, generated = reference[:length], generated[:length]
    if not np.any(reference) or not np.any(generated):
        _note(notes, "ESTOI is not defined for silence; it is left out")
        return math.nan
    a, b = (_resampled(signal, sampling_rate, ESTOI_RATE) for signal in (reference, generated))
    with warnings.catch_warnings(), _fixed_numpy_random():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(a, b, ESTOI_RATE, extended=True))
        except RuntimeWarning:
            _note(notes, "ESTOI needs 0.4 s of speech; it is left out")
            return math.nan


@contextmanager
def _fixed_numpy_random() -> Iterator[None]:
    """Seed NumPy's global generator, from which pystoi draws noise of 1e-16, and restore it afterwards."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


def pesq_scores(
    reference: np.ndarray, generated: np.ndarray, sampling_rate: int, notes: list[str] | None = None
) -> dict[str, float]:
    """Return PESQ as MOS-LQO: ``pesq_nb`` (ITU-T P.862.1, at most 4.549), ``pesq_wb`` (P.862.2, at most 4.644).

    Library pesq. Both signals are resampled to 16 kHz (soxr, very high quality); above half their own rate they have no
    content, so wide-band scores are comparable only at the same rate. NaN, with a note, for silence, clips under 0.25 s
    and clips without an utterance.
    """
    import pesq

    if not np.any(reference) or not np.any(generated):
        _note(notes, "PESQ is not defined for silence; it is left out")
        return {"pesq_nb": math.nan, "pesq_wb": math.nan}
    a, b = (_resampled(signal, sampling_rate, PESQ_RATE) for signal in (reference, generated))
    scores = {}
    for mode in ("nb", "wb"):
        try:
            scores[f"pesq_{mode}"] = float(pesq.pesq(PESQ_RATE, a, b, mode))
        except pesq.BufferTooShortError:
            _note(notes, "PESQ needs 0.25 s; it is left out")
            scores[f"pesq_{mode}"] = math.nan
        except pesq.NoUtterancesError:
            _note(notes, "PESQ finds no utterance; it is left out")
            scores[f"pesq_{mode}"] = math.nan
    return scores


def _resampled(audio: np.ndarray, sampling_rate: int, target: int) -> np.ndarray:
    import soxr

    return soxr.resample(np.asarray(audio, np.float64), sampling_rate, target, quality="VHQ")


def lag_ms(reference: np.ndarray, generated: np.ndarray, sampling_rate: int) -> float:
    """Return the delay of the generated signal against the reference, ms (negative: earlier); 0 is perfect.

    The offset, at most `LAG_LIMIT_MS`, of maximum correlation of the log-mels: 20 bands, a frame every 2.5 ms, 60 dB of
    range, each band's mean removed, the sum of products over the overlap divided by the root of both energies there,
    the peak refined by a parabola. It compares spectra, so it is independent of phase. NaN without a peak within the
    limit, for a constant signal, and for a clip shorter than 0.1 s.
    """
    n_fft = 1 << math.ceil(math.log2(_LAG_WINDOW_S * sampling_rate))
    hop = round(_LAG_STEP_S * sampling_rate)
    spec = MelSpec(
        sampling_rate=sampling_rate, n_fft=n_fft, win_length=n_fft, hop_length=hop, n_mels=_LAG_MELS, floor=1e-8
    )
    length = min(len(reference), len(generated))
    if length < 0.1 * sampling_rate:
        return math.nan
    a, b = (_centred_bands(spec, signal[:length]) for signal in (reference, generated))
    if min(a.std(), b.std()) < _LAG_FLAT_DB:
        return math.nan
    # At least half of the clip must overlap, or its ends alone would decide.
    limit = min(int(LAG_LIMIT_MS / 1000 * sampling_rate / hop), a.shape[1] // 2)
    lags = np.arange(-limit, limit + 1)
    scores = np.array([_overlap_correlation(a, b, lag) for lag in lags])
    best = int(scores.argmax())
    if not 0 < best < len(lags) - 1:
        return math.nan
    position = lags[best] + parabola_peak(*scores[best - 1 : best + 2])
    return float(1000 * position * hop / sampling_rate)


def parabola_peak(left: float, middle: float, right: float) -> float:
    """Return the position of the vertex of the parabola through values at -1, 0 and 1, the middle one the largest."""
    curvature = left - 2 * middle + right
    return 0.5 * (left - right) / curvature if curvature < 0 else 0.0


def _centred_bands(spec: MelSpec, audio: np.ndarray) -> np.ndarray:
    db = spec.db(spec.mel(audio))
    db = np.maximum(db, db.max() - _LAG_RANGE_DB)
    return db - db.mean(axis=1, keepdims=True)


def _overlap_correlation(a: np.ndarray, b: np.ndarray, lag: int) -> float:
    """Normalised product of ``a`` at t with ``b`` at t + lag, ``(bands, T)`` each."""
    width = a.shape[1] - abs(lag)
    a, b = a[:, max(-lag, 0) :][:, :width], b[:, max(lag, 0) :][:, :width]
    energy = math.sqrt(np.sum(a * a)) * math.sqrt(np.sum(b * b))
    return float(np.sum(a * b)) / energy if energy > 0 else -1.0


def real_time_factor(seconds: float, samples: int, sampling_rate: int) -> float:
    """Return synthesis time divided by duration of the sound; below 1 is faster than real time."""
    return seconds * sampling_rate / samples


def missing_libraries() -> dict[str, str]:
    """Return the libraries that are not installed, with the metrics that need them."""
    needed = {"pystoi": "ESTOI", "pesq": "PESQ"}
    return {name: metrics for name, metrics in needed.items() if importlib.util.find_spec(name) is None}


def report_missing_libraries() -> None:
    """Log which metrics are left out because their library is not installed."""
    for library, metrics in missing_libraries().items():
        _log.info(
            f"{library} is not installed, so {metrics} are left out (in the checkout: pip install -e '.[metrics,pesq]')"
        )


def score_pair(
    reference: np.ndarray,
    generated: np.ndarray,
    sampling_rate: int,
    hop: int,
    *,
    spec: MelSpec | None = None,
    scaler: Scaler | None = None,
    f0_range: tuple[float, float] = F0_SEARCH_HZ,
    notes: list[str] | None = None,
) -> dict[str, float]:
    """Return every metric of a generated signal against its reference.

    Parameters
    ----------
    reference, generated : samples in [-1, 1], ``(N,)``; the common length is compared.
    sampling_rate : of both, Hz.
    hop : samples a frame.
    spec, scaler : the mel and the training statistics of the standardised errors; None uses `default_spec` and the
        reference's own statistics.
    f0_range : lowest and highest F0 of the speakers, Hz (`f0_range.propose_f0_range`).
    notes : receives why a metric is left out.

    Returns
    -------
    Metric name to value; NaN where undefined. ``mcd_db`` is over the reference's speech frames, ``mcd_dtw_db`` over
    each signal's. F0 and voicing are judged over the reference's speech frames; a generated frame that is not speech in
    its own signal is unvoiced. Metrics of `missing_libraries` are absent.

    Raises
    ------
    UserError
        The common length is shorter than one frame of the mel.
    """
    spec = spec or default_spec(sampling_rate, hop)
    length = min(len(reference), len(generated))
    if length < spec.shortest:
        raise UserError("clip", f"has {length} samples", f"give at least {spec.shortest}")
    a, b = (np.asarray(signal[:length], np.float64) for signal in (reference, generated))
    missing = missing_libraries()
    scores = mel_errors(a, b, spec, scaler)
    scores["lsd_db"] = log_spectral_distance(a, b, hop)
    scores["stft_distance"] = stft_distance(a, b)
    alpha = warping_alpha(sampling_rate)
    (f0_a, envelope_a), (f0_b, envelope_b) = (world_analysis(signal, sampling_rate, hop, f0_range) for signal in (a, b))
    cepstra_a, cepstra_b = mel_cepstra(envelope_a, alpha), mel_cepstra(envelope_b, alpha)
    speech_a, speech_b = speech_frames(a, hop), speech_frames(b, hop)
    scores["mcd_db"] = mel_cepstral_distortion(cepstra_a[speech_a], cepstra_b[speech_a])
    scores["mcd_dtw_db"] = mel_cepstral_distortion_dtw(cepstra_a[speech_a], cepstra_b[speech_b])
    scores |= f0_errors(f0_a, np.where(speech_b, f0_b, 0), speech_a)
    if "pystoi" not in missing:
        scores["estoi"] = estoi(a, b, sampling_rate, notes)
    if "pesq" not in missing:
        scores |= pesq_scores(a, b, sampling_rate, notes)
    scores["silence_agreement"] = silence_agreement(a, b, hop)
    scores["lag_ms"] = lag_ms(a, b, sampling_rate)
    return scores


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, confidence: float = 0.95, resamples: int = 5000
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean (Efron, 1979); NaN for fewer than two values."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(0)
    block = max(_RESAMPLED_AT_ONCE // len(values), 1)
    means = np.concatenate(
        [
            values[rng.integers(0, len(values), (min(block, resamples - first), len(values)))].mean(axis=1)
            for first in range(0, resamples, block)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def summarise(scores: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return ``{metric: {mean, median, low, high, n}}`` over clips.

    ``low`` and ``high`` bound the mean with 95 % confidence (`bootstrap_interval`, over clips). ``n``
    counts the values that are not NaN; the others are ignored. If ``n`` is 0, the rest is NaN.
    """
    scores = list(scores)
    summary = {}
    for name in dict.fromkeys(name for clip in scores for name in clip):
        values = np.array([clip[name] for clip in scores if name in clip and not math.isnan(clip[name])])
        low, high = bootstrap_interval(values)
        summary[name] = {
            "mean": float(values.mean()) if len(values) else math.nan,
            "median": float(np.median(values)) if len(values) else math.nan,
            "low": low,
            "high": high,
            "n": len(values),
        }
    return summary


def paired_differences(
    ours: Mapping[str, Mapping[str, float | None]],
    theirs: Mapping[str, Mapping[str, float | None]],
    metrics: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return ``{metric: {mean, low, high, n}}`` of the differences ours - theirs, clip by clip.

    ``low`` and ``high`` bound the mean difference (`bootstrap_interval`, over clips) so that the joint confidence over
    ``metrics`` is 95 % (Bonferroni): uncorrected, one of five equal metrics would seem to differ in every fourth
    comparison. ``n`` counts the clips where both values are defined.

    Parameters
    ----------
    ours, theirs : clip to metric to value, None or NaN where undefined.
    """
    differences = {}
    for name in metrics:
        pairs = [(clip.get(name), theirs[id].get(name)) for id, clip in ours.items() if id in theirs]
        values = np.array([b for a, c in pairs if a is not None and c is not None and not math.isnan(b := a - c)])
        low, high = bootstrap_interval(values, 1 - 0.05 / len(metrics), resamples=20_000)
        mean = float(values.mean()) if len(values) else math.nan
        differences[name] = {"mean": mean, "low": low, "high": high, "n": len(values)}
    return differences


def _note(notes: list[str] | None, sentence: str) -> None:
    """Add a sentence; PESQ has the same one for both bands."""
    if notes is not None and sentence not in notes:
        notes.append(sentence)
