"""F0 range of a corpus's speakers: given, or estimated from clips that are not scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.sample import recording_of
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.voice import F0_SEARCH_HZ, harvest_f0, speech_frames

_log = logging.getLogger(__name__)

PROPOSAL_CLIPS, PROPOSAL_SECONDS = 24, 10.0
"""Maximum number of clips analysed, evenly spaced, and seconds of each: about a minute of CPU time."""

_FLOOR_OF_QUARTILE, _CEILING_OF_QUARTILE = 0.75, 1.5
"""Of De Looze and Hirst (2008)."""

_LOWEST_CLIPS, _HIGHEST_CLIPS = 10, 90
"""Percentiles over clips: a corpus may have several speakers and a few outliers."""

_LEAST_VOICED = 10
"""Minimum number of voiced frames for a clip's quartiles."""


def require_f0_range(low: float, high: float, sampling_rate: int) -> None:
    """Refuse an F0 range (Hz) that cannot be searched.

    Raises
    ------
    UserError
        The range is narrower than a third of an octave, or exceeds 20 Hz to a quarter of the sampling rate.
    """
    # Harvest uses 40 band-pass filters per octave and needs several.
    if not 20 <= low <= high / 2 ** (1 / 3) or high > sampling_rate / 4:
        raise UserError(
            "f0_range",
            f"is {low:g} to {high:g} Hz",
            f"give the speakers' lowest and highest F0, between 20 and {sampling_rate // 4} Hz",
        )


def propose_f0_range(wavs: Sequence[Path], sampling_rate: int, hop: int) -> tuple[float, float]:
    """Return the F0 search range in Hz: 0.75 times the lower to 1.5 times the upper quartile.

    Quartiles are over each clip's voiced speech frames (`harvest_f0` in `F0_SEARCH_HZ`, `speech_frames`); over clips,
    the 10th percentile of the lower and the 90th of the upper ones are used (after De Looze and Hirst, *Detecting
    changes in key and range for the automatic modelling and coding of intonation*, 2008). Without a voiced clip it is
    `F0_SEARCH_HZ`.

    Parameters
    ----------
    wavs : training clips; at most `PROPOSAL_CLIPS` are read, the first `PROPOSAL_SECONDS` of each. Unreadable ones are
        skipped here; scoring or training refuses them.
    sampling_rate, hop : of the frames, Hz and samples.
    """
    if not wavs:
        return F0_SEARCH_HZ
    chosen = dict.fromkeys(wavs[number * len(wavs) // PROPOSAL_CLIPS] for number in range(PROPOSAL_CLIPS))
    quartiles = [found for path in chosen if (found := _quartiles(path, sampling_rate, hop)) is not None]
    if not quartiles:
        return F0_SEARCH_HZ
    lower, upper = zip(*quartiles, strict=True)
    low = _FLOOR_OF_QUARTILE * np.percentile(lower, _LOWEST_CLIPS)
    high = _CEILING_OF_QUARTILE * np.percentile(upper, _HIGHEST_CLIPS)
    return float(round(low)), float(round(high))


def sought_f0_range(given: tuple[float, float] | None, processed_dir: str | Path, spec: MelSpec) -> tuple[float, float]:
    """Return the F0 range to search in a dataset, Hz, and log it: ``given``, or else `training_f0_range`.

    Raises
    ------
    UserError
        The given range cannot be searched (`require_f0_range`).
    """
    if given:
        require_f0_range(*given, spec.sampling_rate)
    low, high = given or training_f0_range(processed_dir, spec)
    _log.info(f"F0 is sought from {low:g} to {high:g} Hz" + ("" if given else ", estimated from the training clips"))
    return low, high


def training_f0_range(processed_dir: str | Path, spec: MelSpec) -> tuple[float, float]:
    """Return `propose_f0_range` of a dataset's training clips, Hz."""
    wavs = [recording_of(processed_dir, id) for id in clips_of(processed_dir, "training")]
    return propose_f0_range(wavs, spec.sampling_rate, spec.hop_length)


def _quartiles(path: Path, sampling_rate: int, hop: int) -> np.ndarray | None:
    """Lower and upper quartile of a clip's F0, Hz; None with too few voiced frames."""
    try:
        audio = read_audio(path, sampling_rate=sampling_rate)[: round(PROPOSAL_SECONDS * sampling_rate)]
    except UserError:
        return None
    speech = speech_frames(audio, hop)
    f0 = harvest_f0(audio, sampling_rate, hop)[0][speech]
    f0 = f0[f0 > 0]
    return np.percentile(f0, [25, 75]) if len(f0) >= _LEAST_VOICED else None
