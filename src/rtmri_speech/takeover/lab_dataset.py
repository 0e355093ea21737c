"""Imports clips (frames, mel, mask) and the scaler from processed directories of the lab's earlier system.

That system stored each clip up to three times: in ``samples/<id>/{mri,mel_db,mask}.npy``, and all windows in full in
``pairs_ref<n>/<id>.npz`` or ``pairs_ref<n>_npy/<id>/{mri,mel,mask}.npy``. Frames are float32 multiples of 1/255 and are
converted back to bytes; arrays are read one window at a time, in constant memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.clip import AUDIO_EXTENSIONS, Clip, recordings, require_id
from rtmri_speech.dataset.meta import META, load_mel_spec
from rtmri_speech.dataset.sample import load_array
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.sound import write_wav_of
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.untrusted import array_of_zip

WINDOW_DIMENSIONS = {"mri": 5, "mel": 3, "mask": 2}
"""Stored windows: ``mri`` float32 ``(P, n, 1, H, W)``, ``mel`` ``(P, n, n_mels)``, ``mask`` ``(P, n)``."""

ROUNDING = 1e-4
"""Tolerance for 255 times a stored frame to be an integer; float32 rounding of k / 255 is below 2e-5."""

_COPY_AGAIN = "copy it again from where it was made"


@dataclass(frozen=True)
class StoredClip:
    """A clip as stored by the lab's system.

    Attributes
    ----------
    source : ``samples/<id>``, ``pairs_ref<n>_npy/<id>`` or ``pairs_ref<n>/<id>.npz`` of a processed directory.
    """

    source: Path

    @property
    def id(self) -> str:
        """The clip's name."""
        return self.source.stem

    @property
    def processed_dir(self) -> Path:
        """The lab's processed directory, which also has the scaler."""
        return self.source.parent.parent

    @property
    def whole(self) -> bool:
        """Whether the arrays are of the whole clip, not of windows."""
        return self.source.parent.name == "samples"

    @property
    def frame_files(self) -> list[Path]:
        """Source files of the frames."""
        return [self.source if self.source.suffix == ".npz" else self.source / "mri.npy"]

    @property
    def mel_files(self) -> list[Path]:
        """Source files of mel and mask."""
        if self.whole:
            return [self.source / "mel_db.npy", self.source / "mask.npy"]
        # The mel of stored windows is standardised.
        scaler = self.processed_dir / "scaler.json"
        if self.source.suffix == ".npz":
            return [self.source, scaler]
        return [self.source / "mel.npy", self.source / "mask.npy", scaler]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of ``mri`` ``(T, H, W)``, ``mel`` ``(T, n_mels)`` or ``mask`` ``(T,)``, without reading it.

        Raises
        ------
        UserError
            The file is missing or damaged.
        """
        if self.whole:
            file = {"mel": "mel_db"}.get(name, name)
            return load_array(
                self.source / f"{file}.npy", WINDOW_DIMENSIONS[name] - (2 if name == "mri" else 1), True
            ).shape
        with _stored_array(self.source, name) as (shape, _):
            return (shape[0] + shape[1] - 1, *shape[3 if name == "mri" else 2 :])

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames, uint8 ``(H, W)``.

        Raises
        ------
        UserError
            A file is damaged, windows are not consecutive, or a pixel is not a multiple of 1/255.
        """
        if self.whole:
            stored = iter(load_array(self.source / "mri.npy", 3, memory_map=True))
        else:
            stored = (frame[0] for frame in self._sequence("mri"))
        for number, frame in enumerate(stored):
            yield _bytes_of(frame, f"{self.frame_files[0]}, frame {number}")

    def mel_db(self) -> np.ndarray:
        """Return the mel, dB, float32 ``(T, n_mels)``; windows are restored with the lab's scaler.

        Raises
        ------
        UserError
            A file is damaged, windows are not consecutive, or there is no scaler of so many bins.
        """
        if self.whole:
            return load_array(self.source / "mel_db.npy", 2)
        if not any((self.processed_dir / name).exists() for name in ("scaler.json", META)):
            raise UserError(
                self.source,
                f"holds a standardised mel, and {self.processed_dir} has neither scaler.json nor {META} to restore it",
                "copy scaler.json from where the windows were made, or make the clip again from its video",
            )
        standardised, scaler = np.stack(list(self._sequence("mel"))), lab_scaler(self.processed_dir)
        if standardised.shape[1:] != scaler.mean.shape:
            raise UserError(
                self.source,
                f"has {standardised.shape[-1]} mel bins, and the scaler of {self.processed_dir} {len(scaler.mean)}",
                "give the scaler.json that was made with these windows",
            )
        return scaler.restore(standardised)

    def sound_mask(self) -> np.ndarray:
        """Return the mask, float32 ``(T,)``."""
        if self.whole:
            return load_array(self.source / "mask.npy", 1)
        return np.float32(list(self._sequence("mask")))

    def _sequence(self, name: str) -> Iterator[np.ndarray]:
        """The frames ``(...)`` of stored windows ``(P, n, ...)`` of stride 1, each once."""
        last = None
        with _stored_array(self.source, name) as (_, windows):
            for window in windows:
                if last is not None and not np.array_equal(window[:-1], last[1:]):
                    raise UserError(
                        self.source,
                        "its windows do not follow each other frame by frame",
                        "make the clip again from its video",
                    )
                yield window[0]
                last = window
        if last is None:
            raise UserError(self.source, f"has no windows in its {name}", _COPY_AGAIN)
        yield from last[1:]


def stored_clips(processed_dir: str | Path) -> dict[str, StoredClip]:
    """Return the clips of a lab's processed directory by id, sorted; samples are preferred to windows, npy to npz.

    Raises
    ------
    UserError
        The directory is missing or has no clip, or a name in it is not a valid id.
    """
    processed_dir = Path(processed_dir)
    if not processed_dir.is_dir():
        raise UserError(processed_dir, "there is no such directory", "give the old processed directory")
    # Later layouts override earlier ones.
    layouts = ("pairs_ref*/*.npz", "pairs_ref*_npy/*/mri.npy", "samples/*/mri.npy")
    found: dict[str, StoredClip] = {}
    for layout in layouts:
        for path in processed_dir.glob(layout):
            source = path if path.suffix == ".npz" else path.parent
            require_id(source.stem, source)
            clip = StoredClip(source)
            if not clip.whole or all(file.exists() for file in clip.mel_files):
                found[clip.id] = clip
    if not found:
        raise UserError(processed_dir, "holds no clip", "give the directory that holds samples or pairs_ref4")
    return dict(sorted(found.items()))


def lab_scaler(processed_dir: str | Path) -> Scaler:
    """Return the scaler of a lab's processed directory, fitted on all its clips; without a file, that in meta.json."""
    path = Path(processed_dir) / "scaler.json"
    if path.exists() or not (Path(processed_dir) / META).exists():
        return Scaler.load(path)
    return Scaler.load(Path(processed_dir) / META)


@dataclass(frozen=True)
class LabClip(Clip):
    """A clip with imported frames, mel and mask; only its sound is from the recording."""

    stored: StoredClip = field(kw_only=True)

    @property
    def sources(self) -> list[Path]:
        """Source files of the clip."""
        return [*dict.fromkeys([*self.stored.frame_files, *self.stored.mel_files, self.audio or self.video])]


def lab_clips(processed_dir: Path, videos: Path, audio: Path) -> dict[str, LabClip]:
    """Return the clips of a lab's processed directory, each with its sound file.

    Raises
    ------
    UserError
        As `stored_clips` and `recordings`.
    """
    sounds = recordings(audio, AUDIO_EXTENSIONS, "audio")
    return {
        id: LabClip(id, videos / f"{id}.mp4", sounds.get(id, audio / f"{id}.wav"), stored=stored)
        for id, stored in stored_clips(processed_dir).items()
    }


def import_clip(processed_dir: str | Path, clip: LabClip, spec: MelSpec, size: tuple[int, int], gain: float) -> int:
    """Import frames, mel and mask of a clip, and write its wav.

    Parameters
    ----------
    processed_dir : the new dataset.
    spec, size, gain : of the new dataset: its mel, frame size and the factor on every sample of sound.

    Returns
    -------
    Number of frames without sound, or, negative, of surplus frames of sound at the end.

    Raises
    ------
    UserError
        As `take_frames` and `write_wav_of`, or the stored mel has other settings or another length.
    """
    stored, directory = clip.stored, Path(processed_dir) / "samples" / clip.id
    take_frames(directory / "mri.npy", stored, size)
    frames, available = write_wav_of(processed_dir, clip, spec, gain)
    load_mel_spec(stored.processed_dir).require_same(spec, str(stored.processed_dir), "the configuration (mel)")
    mel_db, mask = stored.mel_db(), stored.sound_mask()
    if mel_db.shape != (frames, spec.n_mels) or len(mask) != frames:
        raise UserError(
            stored.source,
            f"has {frames} frames, a mel of {mel_db.shape[0]} x {mel_db.shape[1]} and a mask of {len(mask)}",
            "exclude the clip (corpus.exclude) or mend its arrays",
        )
    if not np.isfinite(mel_db).all():
        raise UserError(stored.source, "holds a mel with numbers that are not finite", "exclude it (corpus.exclude)")
    save_npy(directory / "mel_db.npy", mel_db.astype(np.float32, copy=False))
    save_npy(directory / "mask.npy", mask.astype(np.float32, copy=False))
    return frames - available // spec.hop_length


def take_frames(target: str | Path, clip: StoredClip, size: tuple[int, int]) -> int:
    """Write a stored clip's frames as ``mri.npy``, uint8 ``(T, *size)``, and return T.

    Raises
    ------
    UserError
        As `StoredClip.frames`, or the frames have another size.
    """
    # Imports OpenCV and PyAV, which planning does not need.
    from rtmri_speech.dataset.frames import save_frames

    def checked() -> Iterator[np.ndarray]:
        for frame in clip.frames():
            if frame.shape != tuple(size):
                raise UserError(
                    clip.source,
                    f"has frames of {frame.shape[0]} x {frame.shape[1]}, and video.size is {size[0]} x {size[1]}",
                    f"set video.size to {list(frame.shape)}",
                )
            yield frame

    return save_frames(target, checked(), size)


def restore_samples(processed_dir: str | Path, ref_frames: int = 4) -> list[str]:
    """Reconstruct ``samples/<id>`` of every clip that has only windows of ``ref_frames``, and return the ids.

    Raises
    ------
    UserError
        Stored windows are damaged or not of stride 1, or the mel is only in windows and there is no scaler.
    """
    processed_dir = Path(processed_dir)
    sources = {path.stem: path for path in (processed_dir / f"pairs_ref{ref_frames}").glob("*.npz")}
    folders = (processed_dir / f"pairs_ref{ref_frames}_npy").glob("*/mri.npy")
    sources.update({path.parent.name: path.parent for path in folders})
    restored = []
    for id, source in sorted(sources.items()):
        directory = processed_dir / "samples" / require_id(id, source)
        if (directory / "mask.npy").exists():
            continue
        clip = StoredClip(source)
        if not (directory / "mel_db.npy").exists():
            save_npy(directory / "mel_db.npy", clip.mel_db())
        _, height, width = clip.shape("mri")
        take_frames(directory / "mri.npy", clip, (height, width))
        # The mask is written last and marks a complete clip.
        save_npy(directory / "mask.npy", clip.sound_mask())
        restored.append(id)
    return restored


def _bytes_of(frame: np.ndarray, where: str) -> np.ndarray:
    """Convert a frame, float in [0, 1], back to uint8."""
    if frame.dtype == np.uint8:
        return frame
    scaled = np.asarray(frame, np.float64) * 255
    whole = np.rint(scaled)
    # Negated, so that NaN is refused too.
    if not (np.abs(scaled - whole) <= ROUNDING).all() or whole.min() < 0 or whole.max() > 255:
        raise UserError(
            where,
            "holds pixels that are not multiples of 1/255 from 0 to 1, so they are not from an 8-bit picture",
            "make the clip again from its video (lab.conventions: fixed) or exclude it",
        )
    return whole.astype(np.uint8)


@contextmanager
def _stored_array(source: Path, name: str) -> Iterator[tuple[tuple[int, ...], Iterator[np.ndarray]]]:
    """Shape of an array of stored windows, and an iterator over its windows ``(n, ...)``."""
    dimensions = WINDOW_DIMENSIONS[name]
    if source.suffix != ".npz":
        array = load_array(source / f"{name}.npy", dimensions, memory_map=True)
        yield array.shape, iter(array)
        return
    with array_of_zip(source, name, remedy=_COPY_AGAIN) as (shape, windows):
        if len(shape) != dimensions:
            raise UserError(
                source, f"has a {name} of shape {shape}", f"it must have {dimensions} dimensions; {_COPY_AGAIN}"
            )
        yield shape, windows
