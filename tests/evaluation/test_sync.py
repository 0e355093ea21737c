from __future__ import annotations

import math

import numpy as np
import pytest

from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.sync import SyncClip, audit_sync, sync_clip

RATE, HOP = 11413, 420
FRAME_MS = 1000 * HOP / RATE
BANDS = ((100, 600), (600, 1500), (1500, 3000), (3000, 5000))


def articulation(seconds: float, seed: int) -> np.ndarray:
    """Four smooth random signals of about 4 Hz, (4, samples), that drive both picture and sound."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal((4, count)))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    movement = np.fft.irfft(spectrum * (frequency < 5), count)
    return movement / movement.std(axis=1, keepdims=True)


def moving_clip(seconds: float, seed: int, late_ms: float = 0.0, size: int = 64) -> SyncClip:
    """A clip whose four bright spots move with the levels of four bands of noise, the sound ``late_ms`` late."""
    extra = round(0.5 * RATE)
    movement = articulation(seconds + 1, seed)
    frames = round(seconds * RATE) // HOP
    rng = np.random.default_rng(1000 + seed)
    spectrum = np.fft.rfft(rng.standard_normal(movement.shape[1]))
    frequency = np.fft.rfftfreq(movement.shape[1], 1 / RATE)
    sound = sum(
        np.exp(level) * np.fft.irfft(spectrum * ((frequency >= low) & (frequency < high)), movement.shape[1])
        for level, (low, high) in zip(movement, BANDS, strict=True)
    )
    start = extra - round(late_ms / 1000 * RATE)
    audio = 0.02 * sound[start : start + frames * HOP]
    middles = movement[:, extra + np.arange(frames) * HOP + HOP // 2]
    rows, columns = np.mgrid[:size, :size] / size
    centres = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
    pictures = sum(
        np.exp(-((rows - y - 0.04 * move[:, None, None]) ** 2 + (columns - x) ** 2) / 0.01)
        for move, (y, x) in zip(middles, centres, strict=True)
    )
    noisy = 200 * pictures + rng.normal(0, 5, pictures.shape)
    return sync_clip(np.clip(noisy, 0, 255).astype(np.uint8), audio, RATE, HOP)


def test_flags_exactly_the_clips_shifted_by_80_ms():
    late = {2: 80.0, 5: 80.0, 7: -80.0}
    audit = audit_sync({f"c{i}": moving_clip(4, i, late.get(i, 0.0)) for i in range(10)})
    assert audit.flagged == ["c2", "c5", "c7"]
    for i in range(10):
        assert audit.clips[f"c{i}"].offset_ms == pytest.approx(late.get(i, 0.0), abs=FRAME_MS / 2)
    assert audit.common_ms == pytest.approx(0, abs=FRAME_MS / 2)


@pytest.mark.parametrize("late", [0.0, 80.0, -150.0])
def test_one_clip_of_20_seconds_is_enough(late):
    audit = audit_sync({"only": moving_clip(20, 3, late)})
    assert audit.clips["only"].offset_ms == pytest.approx(late, abs=FRAME_MS / 2)
    assert audit.flagged == (["only"] if late else [])


def test_a_corpus_delayed_as_a_whole_is_flagged_as_a_whole():
    audit = audit_sync({f"c{i}": moving_clip(4, i, 100.0) for i in range(6)})
    assert audit.common_ms == pytest.approx(100, abs=FRAME_MS / 2)
    assert len(audit.flagged) == 6


def test_a_clip_too_short_to_assess_is_not_flagged():
    clips = {f"c{i}": moving_clip(4, i) for i in range(4)}
    clips["short"] = moving_clip(0.8, 9, 80.0)
    audit = audit_sync(clips)
    assert math.isnan(audit.clips["short"].offset_ms)
    assert audit.flagged == []


def test_the_audit_is_deterministic():
    clips = {f"c{i}": moving_clip(4, i) for i in range(4)}
    assert audit_sync(clips) == audit_sync(clips)


def test_too_little_sound_is_refused():
    with pytest.raises(UserError, match=r"has 4\.\d s of clips"):
        audit_sync({"a": moving_clip(4.1, 0)})


def test_a_still_picture_is_refused():
    frames = np.full((300, 32, 32), 100, np.uint8)
    audio = np.random.default_rng(0).standard_normal(300 * HOP) * 0.1
    with pytest.raises(UserError, match="no movement"):
        audit_sync({"a": sync_clip(frames, audio, RATE, HOP)})


def test_no_clip_at_all_is_too_little_sound():
    with pytest.raises(UserError, match=r"sync audit: has 0\.0 s of clips"):
        audit_sync({})


def test_a_still_clip_beside_a_moving_one_is_undetermined():
    still = moving_clip(20, 1)
    still.pictures[:] = still.pictures[0]
    audit = audit_sync({"still": still, "moving": moving_clip(20, 2)})
    assert math.isnan(audit.clips["still"].offset_ms) and not audit.flagged
