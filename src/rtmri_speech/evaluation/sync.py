"""The sync audit: how much later a clip's sound lies than its picture, from the clips alone.

What the tongue does is heard at once. A ridge regression from small pictures to the sound's log-mel therefore predicts
unseen clips best when picture and sound are in step: the sound is scanned over offsets, the regression is always
trained on other clips (or, with few clips, on other stretches), and the offset at which its prediction correlates most
with a clip's sound is the clip's. Clips that are found out of step are moved before the regression is trained again, so
that they do not blur it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.baselines import reduced_frames
from rtmri_speech.evaluation.metrics import parabola_peak
from rtmri_speech.signal.mel import MelSpec, Samples

LIMIT_MS = 300
"""The largest offset that is looked for."""

SHORTEST_TOTAL_S = 10.0
"""Less sound than this says nothing about sync."""

LEAST_GAIN = 0.03
"""Correlation that a clip's own offset must gain over the common one before the clip is flagged."""

_STEP_MS = 10
_LAGS = np.arange(-LIMIT_MS, LIMIT_MS + 1, _STEP_MS)
_PICTURE_SIZE, _COMPONENTS, _BANDS, _RANGE_DB = 16, 48, 12, 50.0
_PENALTY = 0.2
"""Ridge penalty as a share of the mean energy of a feature."""

_LEVEL_SHARE = 0.3
"""Share of a frame's level that is kept beside its spectral shape: the level often follows the articulators late."""

_FOLDS, _ROUNDS, _FEWEST_FRAMES = 5, 3, 20


@dataclass(frozen=True)
class SyncClip:
    """What the audit keeps of a clip.

    Attributes
    ----------
    pictures : gray frames of 16 x 16 pixels, float32 ``(T, 256)``.
    sound : log-mel in dB, float32 ``(bands, F)``, four frames a video frame.
    hop, sound_hop : samples from one frame to the next, of the video and of ``sound``.
    sampling_rate : Hz.
    """

    pictures: np.ndarray
    sound: np.ndarray
    hop: int
    sound_hop: int
    sampling_rate: int


@dataclass(frozen=True)
class Offset:
    """What the audit says of a clip.

    Attributes
    ----------
    offset_ms : how much later the sound lies than the picture, as in a clip table's ``av_offset_ms``; NaN when the clip
        is too short or fits nowhere within `LIMIT_MS`.
    correlation : of the sound with its prediction at that offset.
    flagged : whether the clip is out of step (see `audit_sync`).
    """

    offset_ms: float
    correlation: float
    flagged: bool


@dataclass(frozen=True)
class SyncAudit:
    """What the audit says of a corpus.

    Attributes
    ----------
    common_ms : the median of the clips' offsets.
    frame_ms : length of a video frame.
    clips : clip to its offset.
    """

    common_ms: float
    frame_ms: float
    clips: dict[str, Offset]

    @property
    def flagged(self) -> list[str]:
        """The clips that are out of step."""
        return [clip for clip, offset in self.clips.items() if offset.flagged]

    def to_dict(self) -> dict[str, Any]:
        """Return the audit for JSON: ms to a tenth, null for what is not known."""
        return {
            "common_ms": _rounded(self.common_ms, 1),
            "frame_ms": _rounded(self.frame_ms, 1),
            "clips": {
                clip: {
                    "offset_ms": _rounded(offset.offset_ms, 1),
                    "correlation": _rounded(offset.correlation, 3),
                    "flagged": offset.flagged,
                }
                for clip, offset in self.clips.items()
            },
        }

    def table(self) -> str:
        """Return the audit as plain text, a clip a line."""
        width = max(4, *map(len, self.clips))
        lines = [f"{'clip':<{width}}  offset ms  correlation"]
        for clip, offset in self.clips.items():
            verdict = "out of step" if offset.flagged else "not known" if math.isnan(offset.offset_ms) else ""
            lines.append(f"{clip:<{width}}  {offset.offset_ms:>9.1f}  {offset.correlation:>11.3f}  {verdict}".rstrip())
        lines.append(
            f"{len(self.flagged)} of {len(self.clips)} clips out of step; common offset {self.common_ms:.1f} ms, "
            f"a frame is {self.frame_ms:.1f} ms"
        )
        return "\n".join(lines)


def _rounded(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)


@dataclass(frozen=True)
class _Stretch:
    """Sums over the frames of a clip or a part: features X ``(T, D)``, sound Y ``(T, bands)`` at each of `_LAGS`."""

    clip: str
    fold: int
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray


def sync_clip(frames: np.ndarray, audio: Samples, sampling_rate: int, hop: int) -> SyncClip:
    """Reduce a clip to what the audit needs.

    Parameters
    ----------
    frames : gray frames, ``(T, H, W)``.
    audio : samples in [-1, 1] that belong to them, frame t to ``[t hop, (t + 1) hop)``.

    Raises
    ------
    UserError
        The sound is shorter than one frame of its log-mel.
    """
    sound_hop = max(hop // 4, 1)
    n_fft = 1 << math.ceil(math.log2(hop))
    spec = MelSpec(sampling_rate=sampling_rate, n_fft=n_fft, win_length=n_fft, hop_length=sound_hop, n_mels=_BANDS)
    db = spec.db(spec.mel(audio))
    sound = np.maximum(db, db.max() - _RANGE_DB).astype(np.float32)
    return SyncClip(reduced_frames(frames, _PICTURE_SIZE), sound, hop, sound_hop, sampling_rate)


def audit_sync(clips: Mapping[str, SyncClip]) -> SyncAudit:
    """Estimate the audio-video offset of every clip and flag those out of step.

    Offsets are absolute: a corpus whose clips all lie 80 ms late is found 80 ms late. But articulators move ahead of
    the sound they shape, so that the offset common to all clips is known to about a frame only (on two USC recordings
    that should lie at 0 it is found at 29 and 40 ms), while clips compare with each other to within half a frame.
    Therefore a clip is flagged when it lies more than one frame from the common offset, and its own offset explains it
    better by `LEAST_GAIN`; and all are flagged when the common offset lies beyond two frames.

    Parameters
    ----------
    clips : clips of one frame rate. One of 20 s is enough; clips of a corpus may be as short as 3 s.

    Raises
    ------
    UserError
        All clips together have less than `SHORTEST_TOTAL_S`, or nothing in them moves.
    """
    seconds = sum(len(clip.pictures) * clip.hop / clip.sampling_rate for clip in clips.values())
    stretches = _stretches(clips) if seconds >= SHORTEST_TOTAL_S else []
    if len({stretch.fold for stretch in stretches}) < 2:
        raise UserError("sync audit", f"has {seconds:.1f} s of clips", f"give it at least {SHORTEST_TOTAL_S:g} s")
    usable = {stretch.clip for stretch in stretches}
    lags = dict.fromkeys(usable, _common_lag(stretches, dict.fromkeys(usable, len(_LAGS) // 2)))
    for _ in range(_ROUNDS):
        curves = _curves(stretches, lags)
        lags = {clip: int(curve.argmax()) for clip, curve in curves.items()}
        lags = _moved(lags, _common_lag(stretches, lags) - len(_LAGS) // 2)
    curves = _curves(stretches, lags)
    found = {clip: _peak(curve) for clip, curve in curves.items()}
    offsets = [offset for offset, _ in found.values() if not math.isnan(offset)]
    common = float(np.median(offsets)) if offsets else math.nan
    frame = max(1000 * clip.hop / clip.sampling_rate for clip in clips.values())
    told = {}
    for clip in clips:
        offset, correlation = found.get(clip, (math.nan, math.nan))
        flagged = abs(common) > 2 * frame
        if abs(offset - common) > frame:
            flagged = flagged or correlation - np.interp(common, _LAGS, curves[clip]) >= LEAST_GAIN
        told[clip] = Offset(offset, correlation, bool(flagged and not math.isnan(offset)))
    return SyncAudit(common, frame, told)


def _stretches(clips: Mapping[str, SyncClip]) -> list[_Stretch]:
    """Cut clips into stretches, each in one fold of the cross-validation, and sum over their frames."""
    basis = _picture_basis(clips)
    parts = math.ceil(_FOLDS / max(len(clips), 1))
    stretches: list[_Stretch] = []
    for name, clip in clips.items():
        components = (clip.pictures - clip.pictures.mean(axis=0)) @ basis
        features = np.concatenate([components[1:-1], components[2:] - components[:-2]], axis=1)
        # The frames that have sound at every offset, counted from the second, since the first has no difference.
        margin = math.ceil(LIMIT_MS / 1000 * clip.sampling_rate / clip.hop) + 1
        frames = np.arange(margin, len(clip.pictures) - margin)
        for part in np.array_split(frames, parts):
            if len(part) >= _FEWEST_FRAMES:
                sound = _sound_at(clip, part)
                x = features[part - 1].astype(np.float64)
                x -= x.mean(axis=0)
                stretches.append(
                    _Stretch(
                        name, len(stretches) % _FOLDS, x.T @ x, np.einsum("td,ltb->ldb", x, sound), (sound**2).sum(1)
                    )
                )
    return stretches


def _picture_basis(clips: Mapping[str, SyncClip]) -> np.ndarray:
    """Principal components of the pictures about each clip's mean, ``(256, components)``."""
    covariance = sum(
        (clip.pictures - clip.pictures.mean(axis=0)).T @ (clip.pictures - clip.pictures.mean(axis=0))
        for clip in clips.values()
    )
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    if not values[-1] > 0:
        raise UserError("sync audit", "finds no movement in any clip", "check the videos")
    return vectors[:, -_COMPONENTS:]


def _sound_at(clip: SyncClip, frames: np.ndarray) -> np.ndarray:
    """Sound in the middle of the video frames at each offset, means removed, float64 ``(lags, frames, bands)``."""
    samples = (frames + 0.5) * clip.hop + (_LAGS[:, None] / 1000) * clip.sampling_rate
    position = np.clip(samples / clip.sound_hop - 0.5, 0, clip.sound.shape[1] - 1)
    before = np.minimum(position.astype(int), clip.sound.shape[1] - 2)
    share = (position - before)[..., None]
    sound = clip.sound.T[before] * (1 - share) + clip.sound.T[before + 1] * share
    sound -= (1 - _LEVEL_SHARE) * sound.mean(axis=2, keepdims=True)
    return sound - sound.mean(axis=1, keepdims=True)


def _weights(stretches: list[_Stretch], lags: Mapping[str, int], fold: int) -> np.ndarray:
    """Ridge weights ``(D, bands)`` of the stretches outside ``fold``, each clip's sound at its own lag.

    Where nothing moves outside ``fold`` they are zero: nothing is predicted.
    """
    others = [stretch for stretch in stretches if stretch.fold != fold]
    xx = sum(stretch.xx for stretch in others)
    xy = sum(stretch.xy[lags[stretch.clip]] for stretch in others)
    if not np.trace(xx) > 0:
        return np.zeros_like(xy)
    return np.linalg.solve(xx + _PENALTY * np.trace(xx) / len(xx) * np.eye(len(xx)), xy)


def _products(stretches: list[_Stretch], lags: Mapping[str, int]) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """For each clip, over the offsets: prediction times sound, sound squared; and prediction squared."""
    weights = {fold: _weights(stretches, lags, fold) for fold in {stretch.fold for stretch in stretches}}
    products: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}
    for stretch in stretches:
        w = weights[stretch.fold]
        found = (
            np.einsum("ldb,db->l", stretch.xy, w),
            stretch.yy.sum(axis=1),
            float(np.sum(w * (stretch.xx @ w))),
        )
        known = products.get(stretch.clip, (0.0, 0.0, 0.0))
        products[stretch.clip] = tuple(a + b for a, b in zip(known, found, strict=True))
    return products


def _curves(stretches: list[_Stretch], lags: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Correlation of each clip's sound, at every offset, with what the other clips' regression predicts."""
    tiny = np.finfo(np.float64).tiny
    return {
        clip: cross / np.sqrt(np.maximum(sound * predicted, tiny))
        for clip, (cross, sound, predicted) in _products(stretches, lags).items()
    }


def _common_lag(stretches: list[_Stretch], lags: Mapping[str, int]) -> int:
    """Index in `_LAGS` of the move of all clips together after which unseen sound is predicted best."""
    middle = len(_LAGS) // 2
    scores = []
    for shift in range(len(_LAGS)):
        moved = _moved(lags, shift - middle)
        products = _products(stretches, moved)
        cross = sum(product[0][moved[clip]] for clip, product in products.items())
        sound = sum(product[1][moved[clip]] for clip, product in products.items())
        predicted = sum(product[2] for product in products.values())
        scores.append(cross / math.sqrt(max(sound * predicted, np.finfo(np.float64).tiny)))
    return int(np.argmax(scores))


def _moved(lags: Mapping[str, int], steps: int) -> dict[str, int]:
    return {clip: min(max(lag + steps, 0), len(_LAGS) - 1) for clip, lag in lags.items()}


def _peak(curve: np.ndarray) -> tuple[float, float]:
    """Offset in ms and correlation at the top of a curve, between the steps of the scan; NaN for a top at its ends."""
    best = int(curve.argmax())
    if not 0 < best < len(curve) - 1:
        return math.nan, math.nan
    return float(_LAGS[best] + _STEP_MS * parabola_peak(*curve[best - 1 : best + 2])), float(curve[best])
