"""Prepares directories of speech as training clips for a base vocoder."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import read_audio, write_wav

SPEECH_FILES = (".wav", ".flac", ".ogg", ".mp3")
LEVEL_DB = -20
"""Level of the speech in a written clip, dB: RMS of the frames within `ACTIVE_DB` of the loudest."""
ACTIVE_DB = 40
CLIP_SECONDS = 10.0
"""Minimum length of clips: files are joined, so that directories are weighted by duration in training."""
PAUSE_SECONDS = 0.1
"""Silence after each file of a clip."""

_HIGHEST_PEAK = 0.97
_FRAME_SECONDS = 0.04


def prepare_speech(directories: Iterable[str | Path], out_dir: str | Path, sampling_rate: int, split: str) -> list[str]:
    """Write the speech in ``directories`` as mono clips of uniform level, ``<split>_<number>.wav``.

    Parameters
    ----------
    directories : with sound files (`SPEECH_FILES`), in order of name. A clip contains files of one directory.
    out_dir : for the 16-bit wavs at ``sampling_rate``.

    Returns
    -------
    The clips' ids.

    Raises
    ------
    UserError
        A directory is missing or has no sound file; a file is unreadable or silent.
    """
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    clips = (_joined(_levelled(speech_files(directory), sampling_rate), sampling_rate) for directory in directories)
    ids = []
    for number, clip in enumerate(itertools.chain.from_iterable(clips)):
        ids.append(f"{split}_{number:04d}")
        write_wav(Path(out_dir) / f"{ids[-1]}.wav", clip, sampling_rate)
    return ids


def speech_files(directory: str | Path) -> list[Path]:
    """Return the sound files of a directory, sorted by name.

    Raises
    ------
    UserError
        The directory is missing or has none.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(directory, "is not a directory", "name a directory of speech")
    files = sorted(path for path in directory.iterdir() if path.suffix.lower() in SPEECH_FILES)
    if not files:
        raise UserError(directory, f"holds no sound file ({', '.join(SPEECH_FILES)})", "name a directory of speech")
    return files


def _levelled(files: Iterable[Path], sampling_rate: int) -> Iterator[np.ndarray]:
    frame = round(_FRAME_SECONDS * sampling_rate)
    for path in files:
        audio = read_audio(path, sampling_rate=sampling_rate)
        audio = audio - audio.mean()
        energy = (np.resize(audio, -(-len(audio) // frame) * frame).reshape(-1, frame) ** 2).mean(axis=1)
        active = energy[energy >= energy.max() * 10 ** (-ACTIVE_DB / 10)].mean()
        if not active:
            raise UserError(path, "is silent", "take it out of the directory")
        audio *= 10 ** (LEVEL_DB / 20) / np.sqrt(active)
        yield audio * min(1.0, _HIGHEST_PEAK / np.abs(audio).max())


def _joined(pieces: Iterable[np.ndarray], sampling_rate: int) -> Iterator[np.ndarray]:
    pause = np.zeros(round(PAUSE_SECONDS * sampling_rate), np.float32)
    clip: list[np.ndarray] = []
    for piece in pieces:
        clip += [piece, pause]
        if sum(map(len, clip)) >= CLIP_SECONDS * sampling_rate:
            yield np.concatenate(clip)
            clip = []
    if clip:
        yield np.concatenate(clip)
