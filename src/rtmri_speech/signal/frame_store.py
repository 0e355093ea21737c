"""Frames that lie without a clock: pictures in a directory, and arrays in ``.npy``, ``.mat`` and ``.h5`` files.

What stores more than 8 bits, or fractions, has no brightness of its own in MRI: the brightest value of the whole store
becomes white, and the darkest black where values lie below 0.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtmri_speech.errors import UserError
from rtmri_speech.signal.store_paths import PICTURE_ENDINGS
from rtmri_speech.untrusted import read_array

_NAMES = ("image", "recon", "mri", "frames", "video", "images", "data")
"""Names, in lower case, by which the frames are known among several arrays of a file."""

_MOST_PIXELS = 1 << 26
"""Pixels of a picture, as of a video's."""

_MOST_FRAMES = 10**7
"""Frames of a store: some days of them."""

_UNREADABLE_MAT = (ValueError, TypeError, OSError, EOFError, KeyError, IndexError, AttributeError, OverflowError)
"""What SciPy raises, besides its own error, for a damaged file."""

_EXPORT = "export the frames again, as PNG or .npy (T, height, width)"


@dataclass(frozen=True)
class FrameStore:
    """Frames in order, each read when it is asked for.

    Attributes
    ----------
    path : the directory or file.
    length : frames.
    rate : frames per second where the file says it, else None.
    read : frame number to its values ``(H, W)``, as stored.
    """

    path: Path
    length: int
    rate: float | None
    read: Callable[[int], np.ndarray]

    def pictures(self, first: int = 0) -> Iterator[np.ndarray]:
        """Yield the frames from number ``first`` on, uint8 ``(H, W)`` where stored so, else uint16 over its full range.

        Raises
        ------
        UserError
            A picture is of another shape than the first one, is not finite, or all are of one value.
        """
        shape = self._picture(0).shape
        if not min(shape) or shape[0] * shape[1] > _MOST_PIXELS:
            raise UserError(self.path, f"holds pictures of {shape[1]}x{shape[0]}", _EXPORT)
        darkest, brightest = None, None
        for number in range(first, self.length):
            picture = self._picture(number)
            if picture.shape != shape:
                raise UserError(
                    self.path, f"has frames of {shape} and, at number {number}, of {picture.shape}", _EXPORT
                )
            if picture.dtype != np.uint8:
                if brightest is None:
                    darkest, brightest = self._range()
                picture = np.rint((picture - darkest) * (65535 / (brightest - darkest))).astype(np.uint16)
            yield picture

    def _picture(self, number: int) -> np.ndarray:
        """A frame, uint8 or float64."""
        picture = self.read(number)
        if picture.dtype == np.uint8:
            return picture
        if picture.dtype == np.bool_:
            return picture.astype(np.uint8) * np.uint8(255)
        if picture.dtype.kind not in "iufc":
            raise UserError(self.path, f"holds values of type {picture.dtype}, not numbers", _EXPORT)
        # A reconstruction may keep the phase.
        values = np.abs(picture) if picture.dtype.kind == "c" else picture
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise UserError(self.path, f"has values in frame {number} that are not finite numbers", _EXPORT)
        return values

    def _range(self) -> tuple[float, float]:
        low, high = 0.0, -np.inf
        for number in range(self.length):
            picture = self._picture(number)
            low, high = min(low, float(picture.min())), max(high, float(picture.max()))
        if high <= low:
            raise UserError(self.path, f"holds no picture: every value is {high:g}", _EXPORT)
        return low, high


@contextmanager
def open_frames(path: str | Path) -> Iterator[FrameStore]:
    """Open a directory of pictures or a file of one array of frames.

    A directory's frames are numbered by their names: ``a_0001.png``, ``a_0002.png`` and so on, PNG of 8 or 16 bits,
    gray or colour, or ``.npy`` of one picture each. An array has three axes, of which that of time is the one whose two
    others are equal; otherwise it is the first one, and in ``.mat`` files the last. In ``.mat`` and
    ``.h5`` files it is the only array of three axes, or the one called frames, images or recon; a ``.mat`` in mview's
    form (NAME, SRATE, SIGNAL) gives its ``IMAGE``.

    Raises
    ------
    UserError
        Nothing is there or it is damaged, a number is left out, or which array holds the frames is not clear.
    """
    path = Path(path)
    if path.is_dir():
        yield _directory(path)
        return
    if not path.is_file():
        raise UserError(path, "there is no such file", "check the path")
    ending = path.suffix.lower()
    if ending == ".npy":
        yield _store(path, read_array(path, missing="check the path", remedy=_EXPORT, memory_map=True), last=False)
    elif ending == ".mat" and not _is_hdf5(path):
        yield _mat(path)
    else:
        with _hdf5(path) as store:
            yield store


def mat_sound(path: Path) -> tuple[int, np.ndarray]:
    """Return the rate (Hz) and samples, float32 ``(N,)``, of the ``AUDIO`` of a ``.mat`` file in mview's form."""
    found = _signal(path, _load_mat(path), "AUDIO")
    if found is None:
        raise UserError(path, "holds no sound (no AUDIO in mview's form)", "give a wav or flac file beside it")
    rate, samples = found
    if samples.dtype.kind == "c":
        raise UserError(path, "holds a sound of complex numbers", "give a wav or flac file beside it")
    scale = np.iinfo(samples.dtype).max if samples.dtype.kind == "i" else 1
    return round(rate), (samples.reshape(-1) / scale).astype(np.float32)


def _directory(path: Path) -> FrameStore:
    found = {ending: [file for file in path.iterdir() if _is_picture(file, ending)] for ending in PICTURE_ENDINGS}
    kinds = [ending for ending, files in found.items() if files]
    if len(kinds) != 1:
        held = "pictures of more than one kind" if kinds else "no picture"
        raise UserError(
            path, f"holds {held} (of {', '.join(PICTURE_ENDINGS)})", "give a directory of one clip's frames"
        )
    files = sorted(found[kinds[0]], key=_natural)
    _require_all_numbers(path, files)

    def read(number: int) -> np.ndarray:
        file = files[number]
        if file.suffix.lower() == ".png":
            return _png(file)
        picture = read_array(file, missing="check the path", remedy=_EXPORT).squeeze()
        if picture.ndim != 2:
            raise UserError(file, f"has shape {picture.shape}, and is not a picture", _EXPORT)
        return picture

    return FrameStore(path, len(files), None, read)


def _is_picture(file: Path, ending: str) -> bool:
    return file.suffix.lower() == ending and not file.name.startswith(".")


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort ``f2`` before ``f10``."""
    return [(int(digits), text) for text, digits in re.findall(r"(\D*)(\d+)", file.stem)] or [(0, file.stem)]


def _require_all_numbers(path: Path, files: list[Path]) -> None:
    """A missing frame would shift all that follow against the sound."""
    numbers = [int(found.group(1)) for file in files if (found := re.search(r"(\d+)\D*$", file.stem))]
    if len(numbers) < len(files):
        unnumbered = next(file.name for file in files if not re.search(r"\d", file.stem))
        raise UserError(path, f"holds {unnumbered}, whose name has no number", "number the frames of a clip")
    for before, after, file in zip(numbers, numbers[1:], files[1:], strict=False):
        if after != before + 1:
            raise UserError(
                path, f"has frame {after} ({file.name}) after frame {before}", "number all frames of a clip in one row"
            )


def _png(file: Path) -> np.ndarray:
    import cv2

    # By the bytes: OpenCV opens no path with Japanese letters on Windows.
    picture = cv2.imdecode(np.frombuffer(file.read_bytes() or b"\0", np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise UserError(file, "is not a PNG, or is damaged", "copy or export it again")
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture[..., :3], cv2.COLOR_BGR2GRAY)
    return picture


def _store(path: Path, array: Any, *, last: bool, rate: float | None = None, turned: bool = False) -> FrameStore:
    """Frames of an array of three axes, besides axes of length 1; ``turned`` where its axes are in reverse order."""
    kept = [axis for axis, length in enumerate(array.shape) if length != 1]
    if len(kept) != 3:
        raise UserError(path, f"has an array of shape {tuple(array.shape)}, which is not one of frames", _EXPORT)
    lengths = [array.shape[axis] for axis in kept]
    if 0 in lengths:
        raise UserError(path, "holds no frame", _EXPORT)
    odd = [place for place in range(3) if len(set(lengths[:place] + lengths[place + 1 :])) == 1]
    default = 2 if last != turned else 0
    time = kept[odd[0] if len(odd) == 1 else default]
    if array.shape[time] > _MOST_FRAMES or math.prod(lengths) // array.shape[time] > _MOST_PIXELS:
        raise UserError(path, f"has an array of shape {tuple(array.shape)}, larger than frames are", _EXPORT)

    def read(number: int) -> np.ndarray:
        index = tuple(
            number if axis == time else slice(None) if axis in kept else 0 for axis in range(len(array.shape))
        )
        picture = np.asarray(array[index])
        return picture.T if turned else picture

    return FrameStore(path, array.shape[time], rate, read)


def _chosen(path: Path, arrays: Mapping[str, Any]) -> Any:
    """The array that holds the frames, of those that have three axes of more than one value."""
    able = {name: array for name, array in arrays.items() if sum(length != 1 for length in array.shape) == 3}
    if len(able) != 1:
        able = {name: able[name] for name in able if name.rsplit("/", 1)[-1].lower() in _NAMES} or able
    if len(able) != 1:
        named = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items()) or "none"
        raise UserError(
            path, f"it is not clear which of its arrays are the frames ({named})", "call one of them frames"
        )
    return next(iter(able.values()))


def _load_mat(path: Path) -> dict[str, Any]:
    import scipy.io

    try:
        return scipy.io.loadmat(path, squeeze_me=False, struct_as_record=True)
    except (*_UNREADABLE_MAT, zlib.error, struct.error, MemoryError, scipy.io.matlab.MatReadError) as error:
        raise UserError(path, f"is not a complete .mat file ({_first_line(error)})", _EXPORT) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _mat(path: Path) -> FrameStore:
    content = _load_mat(path)
    if found := _signal(path, content, "IMAGE"):
        rate, pictures = found
        return _store(path, pictures, last=True, rate=rate)
    arrays = {
        name: array for name, array in content.items() if isinstance(array, np.ndarray) and array.dtype.kind in "biufc"
    }
    return _store(path, _chosen(path, arrays), last=True)


def _signal(path: Path, content: Mapping[str, Any], name: str) -> tuple[float, np.ndarray] | None:
    """Rate and values of a signal in mview's form (a row of structures NAME, SRATE, SIGNAL), or None."""
    for value in content.values():
        if not isinstance(value, np.ndarray) or not {"NAME", "SRATE", "SIGNAL"} <= set(value.dtype.names or ()):
            continue
        for entry in value.reshape(-1):
            named, rate, signal = (np.asarray(entry[field]) for field in ("NAME", "SRATE", "SIGNAL"))
            if not named.size or str(named.reshape(-1)[0]) != name:
                continue
            if (
                not rate.size
                or rate.dtype.kind not in "iuf"
                or not 0 < (first := float(rate.reshape(-1)[0])) < math.inf
            ):
                raise UserError(path, f"gives no rate of its {name}", _EXPORT)
            if signal.dtype.kind not in "biufc":
                raise UserError(path, f"its {name} holds no numbers", _EXPORT)
            return first, signal
    return None


def _is_hdf5(path: Path) -> bool:
    """MATLAB 7.3 writes HDF5 behind a header of its own."""
    with path.open("rb") as file:
        return file.read(10) == b"MATLAB 7.3"


@contextmanager
def _hdf5(path: Path) -> Iterator[FrameStore]:
    try:
        import h5py
    except ImportError:
        raise UserError(path, "is HDF5, and the package h5py is not installed", "pip install h5py") from None
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(path, f"is not an HDF5 file, or is cut off ({_first_line(error)})", _EXPORT) from None
    with file:
        arrays: dict[str, Any] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "biufc":
                arrays[name] = item

        try:
            file.visititems(visit)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise UserError(path, f"is a damaged HDF5 file ({_first_line(error)})", _EXPORT) from None
        matlab = path.suffix.lower() == ".mat"
        store = _store(path, _chosen(path, arrays), last=matlab, turned=matlab)

        def read(number: int) -> np.ndarray:
            try:
                return store.read(number)
            except (OSError, RuntimeError) as error:
                raise UserError(path, f"frame {number} cannot be read ({_first_line(error)})", _EXPORT) from None

        yield FrameStore(path, store.length, store.rate, read)
