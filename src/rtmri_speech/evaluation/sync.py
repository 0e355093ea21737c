"""Sync audit: estimates the audio-video offset of each clip from the clips alone.

Articulation and sound are simultaneous, so a ridge regression from small pictures to the log-mel predicts unseen clips
best when both are in sync. The sound is scanned over offsets; the regression is trained on other clips (or, with few
clips, other segments), and a clip's offset is the one at which its sound correlates most with the prediction. Clips
found out of sync are shifted before the regression is trained again, so that they do not blur it.
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
"""Largest offset searched."""

SHORTEST_TOTAL_S = 10.0
"""Minimum total duration for an estimate."""

LEAST_GAIN = 0.03
"""Minimum gain in correlation of a clip's own offset over the common one for the clip to be flagged."""

_STEP_MS = 10
_LAGS = np.arange(-LIMIT_MS, LIMIT_MS + 1, _STEP_MS)
_PICTURE_SIZE, _COMPONENTS, _BANDS, _RANGE_DB = 16, 48, 12, 50.0
_PENALTY = 0.2
"""Ridge penalty as a share of the mean energy of a feature."""

_LEVEL_SHARE = 0.3
"""Weight of a frame's level relative to its spectral shape: the level often lags behind the articulators."""

_FOLDS, _ROUNDS, _FEWEST_FRAMES = 5, 3, 20


@dataclass(frozen=True)
class SyncClip:
    """The data of a clip that the audit uses.

    Attributes
    ----------
    pictures : gray frames of 16 x 16 pixels, float32 ``(T, 256)``.
    sound : log-mel in dB, float32 ``(bands, F)``, four frames per video frame.
    hop, sound_hop : samples per frame of the video and of ``sound``.
    sampling_rate : Hz.
    """

    pictures: np.ndarray
    sound: np.ndarray
    hop: int
    sound_hop: int
    sampling_rate: int


@dataclass(frozen=True)
class Offset:
    """Result of the audit for a clip.

    Attributes
    ----------
    offset_ms : delay of the sound against the picture, as in a clip table's ``av_offset_ms``; NaN if the clip is too
        short or has no maximum within `LIMIT_MS`.
    correlation : of the sound with its prediction at that offset.
    flagged : whether the clip is out of sync (see `audit_sync`).
    """

    offset_ms: float
    correlation: float
    flagged: bool


@dataclass(frozen=True)
class SyncAudit:
    """Result of the audit for a corpus.

    Attributes
    ----------
    common_ms : median of the clips' offsets.
    frame_ms : length of a video frame.
    clips : clip to its offset.
    """

    common_ms: float
    frame_ms: float
    clips: dict[str, Offset]

    @property
    def flagged(self) -> list[str]:
        """Clips out of sync."""
        return [clip for clip, offset in self.clips.items() if offset.flagged]

    def to_dict(self) -> dict[str, Any]:
        """Return the audit for JSON: ms to one decimal, null where unknown."""
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
        """Return the audit as plain text, one clip per line."""
        width = max(4, *map(len, self.clips))
        lines = [f"{'clip':<{width}}  offset ms  correlation"]
        for clip, offset in self.clips.items():
            verdict = "out of sync" if offset.flagged else "not known" if math.isnan(offset.offset_ms) else ""
            lines.append(f"{clip:<{width}}  {offset.offset_ms:>9.1f}  {offset.correlation:>11.3f}  {verdict}".rstrip())
        lines.append(
            f"{len(self.flagged)} of {len(self.clips)} clips out of sync; common offset {self.common_ms:.1f} ms, "
            f"a frame is {self.frame_ms:.1f} ms"
        )
        return "\n".join(lines)


def _rounded(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)


@dataclass(frozen=True)
class _Segment:
    """Sums over the frames of a clip or a part of one: features X ``(T, D)``, sound Y ``(T, bands)`` at each of
    `_LAGS`."""

    clip: str
    fold: int
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray


def sync_clip(frames: np.ndarray, audio: Samples, sampling_rate: int, hop: int) -> SyncClip:
    """Reduce a clip to the data the audit needs.

    Parameters
    ----------
    frames : gray frames, ``(T, H, W)``.
    audio : samples in [-1, 1]; frame t is ``[t hop, (t + 1) hop)``.

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
    """Estimate the audio-video offset of every clip and flag clips out of sync.

    Offsets are absolute: if all clips are 80 ms late, the result is 80 ms. Articulators move ahead of the sound they
    shape, so the common offset is accurate to about a frame only (29 and 40 ms on two USC recordings that should be at
    0), offsets between clips to half a frame. Therefore a clip is flagged if it is more than one frame from the common
    offset and its own offset gains `LEAST_GAIN`; all are flagged if the common offset exceeds two frames.

    Parameters
    ----------
    clips : of one frame rate. One clip of 20 s is enough; clips of a corpus may be as short as 3 s.

    Raises
    ------
    UserError
        The clips have less than `SHORTEST_TOTAL_S` in total, or no movement.
    """
    seconds = sum(len(clip.pictures) * clip.hop / clip.sampling_rate for clip in clips.values())
    segments = _segments(clips) if seconds >= SHORTEST_TOTAL_S else []
    if len({segment.fold for segment in segments}) < 2:
        raise UserError("sync audit", f"has {seconds:.1f} s of clips", f"give it at least {SHORTEST_TOTAL_S:g} s")
    usable = {segment.clip for segment in segments}
    lags = dict.fromkeys(usable, _common_lag(segments, dict.fromkeys(usable, len(_LAGS) // 2)))
    for _ in range(_ROUNDS):
        curves = _curves(segments, lags)
        lags = {clip: int(curve.argmax()) for clip, curve in curves.items()}
        lags = _moved(lags, _common_lag(segments, lags) - len(_LAGS) // 2)
    curves = _curves(segments, lags)
    found = {clip: _peak(curve) for clip, curve in curves.items()}
    offsets = [offset for offset, _ in found.values() if not math.isnan(offset)]
    common = float(np.median(offsets)) if offsets else math.nan
    frame = max(1000 * clip.hop / clip.sampling_rate for clip in clips.values())
    results = {}
    for clip in clips:
        offset, correlation = found.get(clip, (math.nan, math.nan))
        flagged = abs(common) > 2 * frame
        if abs(offset - common) > frame:
            flagged = flagged or correlation - np.interp(common, _LAGS, curves[clip]) >= LEAST_GAIN
        results[clip] = Offset(offset, correlation, bool(flagged and not math.isnan(offset)))
    return SyncAudit(common, frame, results)


def _segments(clips: Mapping[str, SyncClip]) -> list[_Segment]:
    """Cut clips into segments, each in one fold of the cross-validation, and sum over their frames."""
    basis = _picture_basis(clips)
    parts = math.ceil(_FOLDS / max(len(clips), 1))
    segments: list[_Segment] = []
    for name, clip in clips.items():
        components = (clip.pictures - clip.pictures.mean(axis=0)) @ basis
        features = np.concatenate([components[1:-1], components[2:] - components[:-2]], axis=1)
        # Frames with sound at every offset; the first frame has no difference.
        margin = math.ceil(LIMIT_MS / 1000 * clip.sampling_rate / clip.hop) + 1
        frames = np.arange(margin, len(clip.pictures) - margin)
        for part in np.array_split(frames, parts):
            if len(part) >= _FEWEST_FRAMES:
                sound = _sound_at(clip, part)
                x = features[part - 1].astype(np.float64)
                x -= x.mean(axis=0)
                segments.append(
                    _Segment(
                        name, len(segments) % _FOLDS, x.T @ x, np.einsum("td,ltb->ldb", x, sound), (sound**2).sum(1)
                    )
                )
    return segments


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
    """Sound at the middle of each video frame for each offset, means removed, float64 ``(lags, frames, bands)``."""
    samples = (frames + 0.5) * clip.hop + (_LAGS[:, None] / 1000) * clip.sampling_rate
    position = np.clip(samples / clip.sound_hop - 0.5, 0, clip.sound.shape[1] - 1)
    before = np.minimum(position.astype(int), clip.sound.shape[1] - 2)
    share = (position - before)[..., None]
    sound = clip.sound.T[before] * (1 - share) + clip.sound.T[before + 1] * share
    sound -= (1 - _LEVEL_SHARE) * sound.mean(axis=2, keepdims=True)
    return sound - sound.mean(axis=1, keepdims=True)


def _weights(segments: list[_Segment], lags: Mapping[str, int], fold: int) -> np.ndarray:
    """Ridge weights ``(D, bands)`` from the segments outside ``fold``, each clip's sound at its own lag.

    Zero if there is no movement outside ``fold``.
    """
    others = [segment for segment in segments if segment.fold != fold]
    xx = sum(segment.xx for segment in others)
    xy = sum(segment.xy[lags[segment.clip]] for segment in others)
    if not np.trace(xx) > 0:
        return np.zeros_like(xy)
    return np.linalg.solve(xx + _PENALTY * np.trace(xx) / len(xx) * np.eye(len(xx)), xy)


def _products(segments: list[_Segment], lags: Mapping[str, int]) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Per clip: prediction times sound and sound squared at each offset; prediction squared."""
    weights = {fold: _weights(segments, lags, fold) for fold in {segment.fold for segment in segments}}
    products: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}
    for segment in segments:
        w = weights[segment.fold]
        found = (
            np.einsum("ldb,db->l", segment.xy, w),
            segment.yy.sum(axis=1),
            float(np.sum(w * (segment.xx @ w))),
        )
        known = products.get(segment.clip, (0.0, 0.0, 0.0))
        products[segment.clip] = tuple(a + b for a, b in zip(known, found, strict=True))
    return products


def _curves(segments: list[_Segment], lags: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Correlation of each clip's sound at every offset with the prediction of the other clips' regression."""
    tiny = np.finfo(np.float64).tiny
    return {
        clip: cross / np.sqrt(np.maximum(sound * predicted, tiny))
        for clip, (cross, sound, predicted) in _products(segments, lags).items()
    }


def _common_lag(segments: list[_Segment], lags: Mapping[str, int]) -> int:
    """Index in `_LAGS` of the common shift of all clips at which unseen sound is predicted best."""
    middle = len(_LAGS) // 2
    scores = []
    for shift in range(len(_LAGS)):
        moved = _moved(lags, shift - middle)
        products = _products(segments, moved)
        cross = sum(product[0][moved[clip]] for clip, product in products.items())
        sound = sum(product[1][moved[clip]] for clip, product in products.items())
        predicted = sum(product[2] for product in products.values())
        scores.append(cross / math.sqrt(max(sound * predicted, np.finfo(np.float64).tiny)))
    return int(np.argmax(scores))


def _moved(lags: Mapping[str, int], steps: int) -> dict[str, int]:
    return {clip: min(max(lag + steps, 0), len(_LAGS) - 1) for clip, lag in lags.items()}


def _peak(curve: np.ndarray) -> tuple[float, float]:
    """Interpolated maximum of a curve: offset in ms and correlation; NaN for a maximum at its ends."""
    best = int(curve.argmax())
    if not 0 < best < len(curve) - 1:
        return math.nan, math.nan
    return float(_LAGS[best] + _STEP_MS * parabola_peak(*curve[best - 1 : best + 2])), float(curve[best])
