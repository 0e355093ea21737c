"""F0 tracks of a dataset's clips, one ``<id>.npy`` each: what a mel generator learns F0 and voicing from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.sample import Sample, load_array, open_sample, recording_of
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.voice import harvest_f0, speech_frames

_HIGHEST_HZ = 2000


def spoken_frames(processed_dir: Path, clip: Sample, spec: MelSpec) -> np.ndarray:
    """Return which frames of the clip are speech, bool ``(T,)``; an incomplete last frame is not."""
    return _spoken(_recording(processed_dir, clip, spec), clip, spec)


def spoken_f0(processed_dir: Path, clip: Sample, spec: MelSpec, f0_range: tuple[float, float]) -> np.ndarray:
    """Return the F0 of a clip's recording, Hz, 0 in unvoiced speech and NaN outside of speech, float32 ``(T,)``.

    By `harvest_f0` and `speech_frames`: scanner noise in pauses is not taken for a voice.
    """
    recording = _recording(processed_dir, clip, spec)
    f0 = _padded(harvest_f0(recording, spec.sampling_rate, spec.hop_length, f0_range)[0], len(clip.mri))
    return np.where(_spoken(recording, clip, spec), f0, np.nan).astype(np.float32)


def track_path(directory: str | Path, id: str) -> Path:
    """Return the file of a clip's track in a directory of `write_f0`."""
    return Path(directory) / f"{id}.npy"


def write_f0(
    processed_dir: str | Path,
    ids: Iterable[str],
    output_dir: str | Path,
    spec: MelSpec,
    f0_range: tuple[float, float],
    progress: Callable[[Any], Any] = iter,
) -> None:
    """Write `spoken_f0` of clips as ``<output_dir>/<id>.npy``.

    Raises
    ------
    UserError
        A clip is missing or damaged.
    """
    processed_dir = Path(processed_dir)
    for id in progress(list(ids)):
        track = spoken_f0(processed_dir, open_sample(processed_dir, id), spec, f0_range)
        save_npy(track_path(output_dir, id), track)


def read_f0(directory: str | Path, clip: Sample) -> np.ndarray:
    """Return a track of `write_f0`, float32 ``(T,)``.

    Raises
    ------
    UserError
        There is none of this clip, it is damaged, or of another length.
    """
    path = track_path(directory, clip.id)
    remedy = "make it again with track_f0.py"
    track = load_array(path, dimensions=1)
    if len(track) != len(clip.mri):
        raise UserError(path, f"has {len(track)} frames where the clip has {len(clip.mri)}", remedy)
    if track.dtype.kind != "f" or not ((track >= 0) & (track <= _HIGHEST_HZ) | np.isnan(track)).all():
        raise UserError(path, f"holds values that are not F0 from 0 to {_HIGHEST_HZ} Hz", remedy)
    return track.astype(np.float32, copy=False)


def _spoken(recording: np.ndarray, clip: Sample, spec: MelSpec) -> np.ndarray:
    return _padded(speech_frames(recording, spec.hop_length), len(clip.mri))


def _recording(processed_dir: Path, clip: Sample, spec: MelSpec) -> np.ndarray:
    return read_audio(recording_of(processed_dir, clip.id), sampling_rate=spec.sampling_rate)


def _padded(values: np.ndarray, frames: int) -> np.ndarray:
    """``values`` with ``frames`` frames: as many, or followed by zeros."""
    return np.pad(values[:frames], (0, max(frames - len(values), 0)))
