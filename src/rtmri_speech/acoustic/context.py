"""Predicts the mel of a clip from its frames, in blocks and with an LSTM context, for any engine.

torch is not imported here; features and mels may be torch tensors or NumPy arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar, get_args

import numpy as np

from rtmri_speech.acoustic.pitch import split_outputs
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.speakers import require_known
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Context
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import resize

CHUNK_WINDOWS = 1024
"""Windows per LSTM call."""

LARGEST_PICTURE, LARGEST_WINDOW = 4096, 1024
"""Upper limits on pixels per side and frames per window in a file."""

Array = TypeVar("Array", bound=Any)
"""NumPy arrays or torch tensors."""


class MelGenerator(Protocol):
    """A loaded mel generator, by torch or another engine.

    Attributes
    ----------
    source : its file.
    frame_size : height and width of input frames, pixels.
    ref_frames : frames per training window.
    neighbours : frames before and after a frame that its features depend on.
    mel : of the prediction.
    scaler : of the mel in dB.
    speakers : scalers of the speakers that it distinguishes, by name; none for most models.
    """

    @property
    def source(self) -> Path: ...  # noqa: D102

    @property
    def frame_size(self) -> tuple[int, int]: ...  # noqa: D102

    @property
    def ref_frames(self) -> int: ...  # noqa: D102

    @property
    def neighbours(self) -> int: ...  # noqa: D102

    @property
    def mel(self) -> MelSpec: ...  # noqa: D102

    @property
    def scaler(self) -> Scaler: ...  # noqa: D102

    @property
    def speakers(self) -> Mapping[str, Scaler]: ...  # noqa: D102

    def spoken_by(self, speaker: str | None) -> Self:
        """Return the generator of a speaker's mel, with their scaler (`scaler_for`) and vector."""
        ...

    def features(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Return the features, float32 ``(T, C)``, of gray frames uint8 ``(H, W)`` of `frame_size`."""
        ...

    def stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the same features frame by frame, ``(1, C)``, each as soon as its `neighbours` have come."""
        ...

    def decode(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs of features ``(B, T, C)``, float32: standardised mel ``(B, T, n_mels)``, and two more
        values a frame if it predicts F0 (`acoustic.pitch`)."""
        ...


def scaler_for(generator: MelGenerator, speaker: str | None) -> Scaler:
    """Return the scaler of a speaker's mel, or without one the generator's, which is of all training clips; refuse a
    speaker that it does not know."""
    if speaker is None:
        return generator.scaler
    require_known(speaker, generator.speakers, generator.source)
    return generator.speakers[speaker]


class Prediction(NamedTuple):
    """Prediction for a clip: ``mel_db`` dB, float32 ``(T, n_mels)``; ``f0`` Hz, 0 where unvoiced, float32 ``(T,)``, or
    None if the mel generator does not predict it."""

    mel_db: np.ndarray
    f0: np.ndarray | None


def predict_db(generator: MelGenerator, frames: Iterable[np.ndarray], context: Context = "sequence") -> np.ndarray:
    """Return the mel of a clip, dB, float32 ``(T, n_mels)``; see `predict`."""
    return predict(generator, frames, context).mel_db


def predict(generator: MelGenerator, frames: Iterable[np.ndarray], context: Context = "sequence") -> Prediction:
    """Return mel and F0 of a clip.

    Parameters
    ----------
    generator : the model.
    frames : gray frames uint8 ``(H, W)`` of its frame size, an array ``(T, H, W)`` or a stream.
    context : LSTM context.

    Raises
    ------
    UserError
        There are no frames, they have the wrong size, or the context is unknown.
    """
    features = generator.features(frames)
    outputs = decode_in_context(generator.decode, features, context, generator.ref_frames)
    mel, f0 = split_outputs(outputs, generator.mel.n_mels)
    return Prediction(generator.scaler.restore(mel), f0)


def decode_in_context(decode: Callable[[Array], Array], features: Array, context: Context, ref_frames: int) -> Array:
    """Return the outputs ``(T, O)`` of a clip's features ``(T, C)`` with the LSTM in ``context``.

    Parameters
    ----------
    decode : from features ``(B, T, C)`` to outputs ``(B, T, O)``, such as the standardised mel.
    ref_frames : frames per window.

    Raises
    ------
    UserError
        The context is unknown.
    """
    if context not in get_args(Context):
        raise UserError("--context", f"is {context!r}", f"give one of {', '.join(get_args(Context))}")
    if context == "sequence":
        return decode(features[None])[0]
    of_kind = functions_of(features)
    length = min(ref_frames, len(features))
    count = len(features) - length + 1
    mels = of_kind.concatenate(
        [
            decode(_windows(features, first, min(first + CHUNK_WINDOWS, count), length))
            for first in range(0, count, CHUNK_WINDOWS)
        ]
    )
    if context == "causal":
        # The first frames have shorter windows.
        early = [decode(features[None, :end])[0, -1:] for end in range(1, length)]
        return of_kind.concatenate([*early, mels[:, -1]])
    summed = of_kind.zeros_like(of_kind.concatenate([mels[:, 0], mels[-1, 1:]]))
    looks = of_kind.zeros_like(summed[:, :1])
    for place in range(length):
        summed[place : place + count] += mels[:, place]
        looks[place : place + count] += 1
    return summed / looks


def _windows(features: Array, first: int, end: int, length: int) -> Array:
    """Windows starting at frames ``[first, end)``, ``(end - first, length, C)``."""
    return functions_of(features).stack([features[first + place : end + place] for place in range(length)], 1)


def functions_of(array: Any) -> Any:
    """Return the module (NumPy or torch) of ``array``."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def frame_blocks(
    frames: Iterable[np.ndarray], block_frames: int, frame_size: tuple[int, int], source: str | Path
) -> Iterator[np.ndarray]:
    """Yield the frames of a clip in blocks, ``(block_frames, H, W)``, the last one shorter.

    Parameters
    ----------
    frames : an array ``(T, H, W)`` or a stream of ``(H, W)``.
    frame_size, source : of the model, and its file.

    Raises
    ------
    UserError
        There are no frames, or they have the wrong size.
    """
    blocks = _in_blocks(frames, block_frames)
    block = np.zeros((0, *frame_size))
    for block in blocks:
        require_size(block, frame_size, source)
        yield block
    require_size(block, frame_size, source)


def require_size(frames: np.ndarray, frame_size: tuple[int, int], source: str | Path) -> None:
    """Refuse no frames ``(T, H, W)``, and those of another size than the ``frame_size`` of the model in ``source``."""
    if not len(frames):
        raise UserError("video", "has no frames", "give a recording with at least one")
    if frames.shape[1:] != tuple(frame_size):
        sizes = f"was trained on frames of {_size(frame_size)}, these have {_size(frames.shape[1:])}"
        raise UserError(source, sizes, "scale them to its size")


def _in_blocks(frames: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    if isinstance(frames, np.ndarray):
        yield from (frames[first : first + size] for first in range(0, len(frames), size))
        return
    stream = iter(frames)
    while block := list(itertools.islice(stream, size)):
        yield np.stack(block)


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def scaled_frames(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return frames as uint8 ``(N, *size)`` in memory, scaled by `resize`.

    Parameters
    ----------
    frames : uint8 ``(N, H, W)`` gray, or the lab's float32 in [0, 1].
    size : height and width of the result, pixels.
    """
    gray = np.rint(frames * 255).astype(np.uint8) if frames.dtype.kind == "f" else np.ascontiguousarray(frames)
    return gray if gray.shape[1:] == tuple(size) else np.stack([resize(frame, size) for frame in gray])
