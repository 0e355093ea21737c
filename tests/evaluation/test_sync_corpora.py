"""The sync audit on recordings: the embedded corpus, and a real one where it lies beside the repository."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rtmri_speech.evaluation.sync import audit_sync, sync_clip
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.video import frames_at_rate

RATE, HOP = 11413, 420
REAL = Path(__file__).parents[2] / ".." / "shared" / "real_clips"


def late(audio: np.ndarray, ms: float) -> np.ndarray:
    return np.roll(audio, round(ms / 1000 * RATE))


@pytest.mark.slow
def test_flags_exactly_the_shifted_clips_of_the_embedded_corpus(tmp_path):
    pytest.importorskip("vocaltractlab_cython")
    from rtmri_speech.demo.corpus import make_clip

    moved = {2: 80.0, 5: -80.0}
    clips = {}
    for number in range(8):
        video, sound = tmp_path / f"{number}.mp4", tmp_path / f"{number}.wav"
        make_clip(number, 42, video, sound, tmp_path / f"{number}.json")
        frames = np.stack(list(frames_at_rate(video, Fraction(RATE, HOP), size=(64, 64))))
        audio = late(read_audio(sound, sampling_rate=RATE), moved.get(number, 0.0))
        clips[f"c{number}"] = sync_clip(frames, audio, RATE, HOP)
    audit = audit_sync(clips)
    assert audit.flagged == ["c2", "c5"]
    assert abs(audit.common_ms) < audit.frame_ms


@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings beside the repository")
def test_flags_exactly_the_shifted_stretches_of_a_real_recording():
    frames = np.stack(
        list(frames_at_rate(REAL / "videos" / "rainbow.mp4", Fraction(RATE, HOP), method="nearest", size=(64, 64)))
    )
    audio = read_audio(REAL / "audio" / "rainbow.wav", sampling_rate=RATE)
    length = len(frames) // 9
    clips = {}
    for part in range(9):
        sound = late(audio, 80) if part in (1, 4, 7) else audio
        first, last = part * length, (part + 1) * length
        clips[f"c{part}"] = sync_clip(frames[first:last], sound[first * HOP : last * HOP], RATE, HOP)
    audit = audit_sync(clips)
    assert audit.flagged == ["c1", "c4", "c7"]
    for clip in audit.flagged:
        assert audit.clips[clip].offset_ms - audit.common_ms == pytest.approx(80, abs=audit.frame_ms)
