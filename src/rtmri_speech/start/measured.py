"""What is measured on recordings before a project begins: the offset between sound and picture, and the F0 range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.f0_range import propose_f0_range
from rtmri_speech.evaluation.sync import SyncAudit, SyncClip, audit_sync, sync_clip
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import read_frames
from rtmri_speech.signal.voice import F0_SEARCH_HZ
from rtmri_speech.start.recordings import Seen

_STRETCH_S, _MOST_STRETCHES = 8.0, 24
_PICTURE = (32, 32)


def audit_stretches(seen: Sequence[Seen], spec: MelSpec) -> SyncAudit | None:
    """Return the sync audit of up to 24 stretches of about 8 s, evenly spaced; None if there is too little.

    Parameters
    ----------
    seen : recordings of the mel's frame rate.
    spec : the mel.
    """
    stretches = [
        (one.clip, (one.clip.start or 0.0) + one.seconds * part / parts, one.seconds / parts)
        for one in seen
        if (parts := max(1, round(one.seconds / _STRETCH_S)))
        for part in range(parts)
    ]
    chosen = dict.fromkeys(number * len(stretches) // _MOST_STRETCHES for number in range(_MOST_STRETCHES))
    clips = {}
    for number in chosen:
        try:
            clips[str(number)] = _sync_clip(*stretches[number], spec)
        except UserError:
            # What cannot be read is refused by its own job, with the reason.
            continue
    try:
        return audit_sync(clips)
    except UserError:
        return None


def _sync_clip(clip: Clip, start: float, seconds: float, spec: MelSpec) -> SyncClip:
    cut: dict[str, Any] = {"start": start, "end": start + seconds}
    frames = np.stack(list(read_frames(clip.video, size=_PICTURE, own_rate=clip.frame_rate, **cut)))
    sound = read_audio(clip.audio or clip.video, sampling_rate=spec.sampling_rate, **cut)
    return sync_clip(frames, sound, spec.sampling_rate, spec.hop_length)


def f0_range(training: Sequence[Clip], spec: MelSpec) -> tuple[int, int] | None:
    """Return the F0 range of the training clips' recordings, Hz (`propose_f0_range`); None if it is not known."""
    sounds = list(dict.fromkeys(clip.audio or clip.video for clip in training))
    found = propose_f0_range(sounds, spec.sampling_rate, spec.hop_length)
    return None if found == F0_SEARCH_HZ else (round(found[0]), round(found[1]))
