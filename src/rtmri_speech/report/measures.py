"""How a metric is shown: its name, unit, digits, and which way is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A metric of `evaluation.metrics` as readers see it.

    Attributes
    ----------
    better : the direction of better values; ``zero`` for those that are best at 0 and may be negative.
    main : shown without asking for all.
    meaning : one line; the exact definition is in the metric's docstring.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", "zero"]
    digits: int
    main: bool
    meaning: str


MEASURES = (
    Measure("estoi", "ESTOI", "", "higher", 3, True, "intelligibility, at most 1"),
    Measure("pesq_wb", "PESQ wide", "MOS", "higher", 2, True, "quality, 1 to 4.6, wide band"),
    Measure("mcd_db", "MCD", "dB", "lower", 2, True, "distance of mel-cepstra in speech, not warped in time"),
    Measure("mel_mse", "Mel MSE", "", "lower", 3, True, "squared error of the standardised mel, all frames"),
    Measure("f0_correlation", "F0 corr.", "", "higher", 3, True, "correlation of F0 where both are voiced"),
    Measure("f0_rmse_cents", "F0 RMSE", "cents", "lower", 0, True, "error of F0 where both are voiced"),
    Measure("vuv_error", "V/UV", "", "lower", 3, True, "share of frames whose voicing differs"),
    Measure("lag_ms", "Lag", "ms", "zero", 1, True, "how much later the sound comes than the recorded"),
    Measure("real_time_factor", "RTF", "×", "lower", 2, True, "seconds to make a second of sound, frames to wav"),
    Measure("pesq_nb", "PESQ narrow", "MOS", "higher", 2, False, "quality, 1 to 4.5, narrow band"),
    Measure("mcd_dtw_db", "MCD-DTW", "dB", "lower", 2, False, "distance of mel-cepstra in speech, warped in time"),
    Measure("mel_mae", "Mel MAE", "", "lower", 3, False, "absolute error of the standardised mel, all frames"),
    Measure("mel_mse_speech", "Mel MSE, speech", "", "lower", 3, False, "squared error of the mel in speech"),
    Measure("mel_mae_speech", "Mel MAE, speech", "", "lower", 3, False, "absolute error of the mel in speech"),
    Measure("mel_mse_f0", "Mel MSE, F0 band", "", "lower", 3, False, "bins 0-5 of 64"),
    Measure("mel_mse_f1", "Mel MSE, F1 band", "", "lower", 3, False, "bins 6-15 of 64"),
    Measure("mel_mse_f2", "Mel MSE, F2 band", "", "lower", 3, False, "bins 16-31 of 64"),
    Measure("mel_mse_f3", "Mel MSE, F3 band", "", "lower", 3, False, "bins 32-47 of 64"),
    Measure("mel_mse_high", "Mel MSE, high band", "", "lower", 3, False, "bins 48-63 of 64"),
    Measure("lsd_db", "LSD", "dB", "lower", 2, False, "log-spectral distance"),
    Measure("stft_distance", "MR-STFT", "", "lower", 3, False, "multi-resolution STFT distance"),
    Measure("f0_rmse_hz", "F0 RMSE", "Hz", "lower", 1, False, "error of F0 where both are voiced"),
    Measure(
        "silence_agreement", "Silence", "", "higher", 3, False, "share of frames in which both speak or both do not"
    ),
)


def shown(value: float | None, digits: int) -> str:
    """Return a value for readers, with a true minus sign; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")
