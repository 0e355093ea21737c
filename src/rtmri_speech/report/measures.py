"""Presentation of the metrics: name, unit, digits, direction, meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rtmri_speech.tables import shown


@dataclass(frozen=True)
class Measure:
    """Presentation of a metric of `evaluation.metrics`.

    Attributes
    ----------
    better : direction of better values; ``zero`` for signed measures that are best at 0.
    main : shown by default.
    meaning : one line; the exact definition is in the metric's docstring.
    doubt : when it is unreliable; empty if as for the related measure.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", "zero"]
    digits: int
    main: bool
    meaning: str
    doubt: str = ""

    def titled(self) -> str:
        """Return the title with the unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


MEASURES = (
    Measure(
        "estoi",
        "ESTOI",
        "",
        "higher",
        3,
        True,
        "how well the envelopes of 15 bands follow the recording's, at most 1; it predicts intelligibility",
        "designed for speech in noise: a vocoder's buzz can score .36 and be unintelligible, and an inaudible shift of"
        " 20 ms lowers it much; below .4 it does not predict word intelligibility",
    ),
    Measure(
        "pesq_wb",
        "PESQ wide",
        "MOS",
        "higher",
        2,
        True,
        "quality by ITU-T P.862.2, wide band, 1 to 4.6",
        "designed for telephony: differences below 1.5 are meaningless, and only systems with the same sampling rate"
        " are comparable",
    ),
    Measure(
        "mcd_db",
        "MCD",
        "dB",
        "lower",
        2,
        True,
        "distance of the mel-cepstra in the recording's speech frames, not warped in time",
        "an average: a mumble that fits overall beats clear speech that is one frame late; noise in the recording"
        " is a target too",
    ),
    Measure(
        "mel_mse",
        "Mel MSE",
        "",
        "lower",
        3,
        True,
        "squared error of the standardised mel, all frames; 1 is about the mean mel's",
        "it favours the blurred mean of the possible outputs, and pauses count as much as speech; the vocoder adds its"
        " own error, shown by the ceiling",
    ),
    Measure(
        "f0_correlation",
        "F0 corr.",
        "",
        "higher",
        3,
        True,
        "correlation of F0 over the recording's speech frames (within 40 dB of its loudest) voiced in both",
        "unstable with few voiced frames (see the interval); insensitive to the octave and range; the picture of the"
        " tract hardly shows F0",
    ),
    Measure(
        "f0_rmse_cents",
        "F0 RMSE",
        "cents",
        "lower",
        0,
        True,
        "error of F0 over the same frames",
        "a single octave error weighs as much as a hundred small ones; a constant pitch at the mean scores well",
    ),
    Measure(
        "vuv_error",
        "V/UV",
        "",
        "lower",
        3,
        True,
        "share of the recording's speech frames (within 40 dB of its loudest) whose voicing differs",
        "if nearly all speech is voiced, all-voiced output scores well; if the scanner's noise is within 40 dB of the"
        " speech, pauses are included",
    ),
    Measure(
        "lag_ms",
        "Lag",
        "ms",
        "zero",
        1,
        True,
        "delay of the sound against the recording",
        "random for speech that does not resemble the recording (the floor)",
    ),
    Measure(
        "real_time_factor",
        "RTF",
        "×",
        "lower",
        2,
        True,
        "seconds to synthesise a second of sound, frames to wav",
        "specific to this machine, and affected by other load",
    ),
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
        "silence_agreement",
        "Silence",
        "",
        "higher",
        3,
        False,
        "share of frames that are speech in both or in neither, by level",
        "if the scanner's noise fills the pauses, no frame is silent",
    ),
)


def known_measures(scores: Mapping[str, Any]) -> list[Measure]:
    """Return the measures that a row of ``scores.json`` has."""
    return [m for m in MEASURES if any(m.name in row["summary"] for row in scores["rows"].values())]


def span(measure: Measure, rows: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the means of floor (mean mel) and ceiling (copy synthesis), or None if they do not differ.

    None also if a row is missing or undefined. They differ if the ceiling is better than the floor beyond their 95 %
    intervals; a share of a smaller distance would be chance.

    Parameters
    ----------
    rows : of ``scores.json``, by name.
    """
    ends = [rows.get(name, {}).get("summary", {}).get(measure.name) for name in ("floor", "ceiling")]
    if measure.better == "zero" or any(end is None or end["mean"] is None for end in ends):
        return None
    # The floor's better bound and the ceiling's worse bound; a single clip has no interval.
    bounds = ("high", "low") if measure.better == "higher" else ("low", "high")
    floor, ceiling = (end["mean"] if end[key] is None else end[key] for end, key in zip(ends, bounds, strict=True))
    apart = ceiling > floor if measure.better == "higher" else ceiling < floor
    return (ends[0]["mean"], ends[1]["mean"]) if apart else None


def f0_range_note(settings: Mapping[str, Any]) -> str:
    """Return the note on the F0 search range; empty if the scores do not contain it.

    Parameters
    ----------
    settings : of the scores.
    """
    if not settings.get("f0_range_hz"):
        return ""
    low, high = settings["f0_range_hz"]
    return (
        "F0 and voicing are judged over the recording's speech frames, those within 40 dB of its loudest, with F0"
        f" sought from {low:g} to {high:g} Hz (evaluation.f0_range)."
    )


def floor_voicing_note(scores: Mapping[str, Any]) -> str:
    """Return the note on why the floor's voicing error is no larger than the system's; empty if it is larger.

    Parameters
    ----------
    scores : of systems.
    """
    means = [
        scores["rows"].get(row, {}).get("summary", {}).get("vuv_error", {}).get("mean")
        for row in (scores["configured"], "floor")
    ]
    if None in means or means[1] > means[0]:
        return ""
    return (
        f"V/UV of the floor, {shown(means[1], 3)}, is no worse than the system's, {shown(means[0], 3)}: a constant"
        " mel is voiced or unvoiced throughout, as is nearly all speech of these recordings, so V/UV is not"
        " informative here."
    )
