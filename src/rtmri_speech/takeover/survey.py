"""Finds files of the lab's earlier system: recordings, processed datasets, mel generators and vocoders.

Nothing is changed. Only the headers of arrays are read; unreadable files are reported and skipped.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rtmri_speech.acoustic.predict import read_acoustic_checkpoint
from rtmri_speech.dataset.clip import AUDIO_EXTENSIONS, ID_PATTERN, VIDEO_EXTENSIONS
from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.dataset.meta import META, load_mel_spec, read_meta
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.takeover.lab_dataset import StoredClip, lab_scaler, stored_clips
from rtmri_speech.training.state import load_checkpoint
from rtmri_speech.untrusted import require_type
from rtmri_speech.vocoder.checkpoint import generator_state, infer_padding, official_name
from rtmri_speech.vocoder.config import CONFIG_NAME, VocoderConfig, read_config
from rtmri_speech.vocoder.naming import PAIR_FILE, discriminators_beside, steps_of

_MADE_SPEECH = ("_generated", "_original")
"""Suffixes of files written by inference, which are not recordings."""

Found = TypeVar("Found")


@dataclass
class ProcessedDirectory:
    """A processed directory of the lab's system.

    Attributes
    ----------
    path : the directory.
    stored : its clips by id.
    lists : ids of its file lists by split.
    meta, spec, scaler : of ``meta.json`` and ``scaler.json``; empty or None if missing or damaged.
    """

    path: Path
    stored: Mapping[str, StoredClip] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    spec: MelSpec | None = None
    scaler: Scaler | None = None


@dataclass(frozen=True)
class Recordings:
    """A directory of ``videos`` or ``sounds``, its files by id."""

    path: Path
    kind: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class AcousticCheckpoint:
    """A mel generator of the lab's system; ``epoch`` is None if unknown."""

    path: Path
    epoch: int | None
    n_mels: int
    rnn_hidden: int


@dataclass(frozen=True)
class VocoderCheckpoint:
    """A generator ``g_<steps>`` of HiFi-GAN.

    Attributes
    ----------
    path, steps : the file, and the training steps in its name.
    config : the config.json beside it, with the padding inferred from the tensors; None if missing or damaged.
    n_mels : mel bins, from its tensors.
    trainable : whether the ``do_`` file for further training is beside it.
    """

    path: Path
    steps: int
    config: VocoderConfig | None
    n_mels: int
    trainable: bool


@dataclass
class Survey:
    """Result of a survey; ``broken`` has a message for each unreadable file."""

    roots: Sequence[Path]
    datasets: list[ProcessedDirectory] = field(default_factory=list)
    recordings: list[Recordings] = field(default_factory=list)
    acoustic: list[AcousticCheckpoint] = field(default_factory=list)
    vocoders: list[VocoderCheckpoint] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def attempt(self, read: Callable[..., Found], *arguments: Any, **named: Any) -> Found | None:
        """Return the result of ``read`` for arguments, or None after recording its `UserError`."""
        try:
            return read(*arguments, **named)
        except UserError as error:
            self.broken.append(str(error))
            return None


def survey(roots: Iterable[str | Path]) -> Survey:
    """Survey directories.

    Raises
    ------
    UserError
        A root is not a directory.
    """
    found = Survey([Path(root) for root in roots])
    seen = set()
    for root in found.roots:
        if not root.is_dir():
            raise UserError(root, "there is no such directory", "give directories to look through")
        for directory, files in _walk(root):
            # Roots may be nested.
            if directory.resolve() in seen:
                continue
            seen.add(directory.resolve())
            if _is_processed(directory, files):
                dataset = _processed(directory, found)
                found.datasets += [dataset] if "mel" not in dataset.meta else []
            elif files:
                _recognise(directory, files, found)
    return found


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield every directory with its file names, without hidden ones and the contents of processed ones."""
    for path, folders, files in os.walk(root):
        directory = Path(path)
        yield directory, sorted(files)
        processed = _is_processed(directory, files)
        folders[:] = [] if processed else sorted(name for name in folders if not name.startswith("."))


def _is_processed(directory: Path, files: Iterable[str]) -> bool:
    # Other programs also have a meta.json and a directory samples.
    kinds = ("samples/*/mri.npy", "pairs_ref*")
    return {META, "scaler.json"} <= set(files) or any(any(directory.glob(kind)) for kind in kinds)


def _processed(directory: Path, found: Survey) -> ProcessedDirectory:
    made = ProcessedDirectory(directory)
    made.stored = found.attempt(stored_clips, directory) or {}
    for path in sorted((directory / "hifigan_filelists").glob("*.txt")):
        made.lists[path.stem] = found.attempt(read_filelist, path) or []
    made.meta = found.attempt(read_meta, directory) or {}
    made.spec = found.attempt(load_mel_spec, directory) if made.meta else None
    made.scaler = found.attempt(lab_scaler, directory)
    return made


def _recognise(directory: Path, files: list[str], found: Survey) -> None:
    """Add the files of a directory that is not a processed one."""
    stems: dict[str, dict[str, Path]] = {"videos": {}, "sounds": {}}
    for name in files:
        path = directory / name
        suffix, stem = path.suffix.lower(), path.stem
        if match := PAIR_FILE.fullmatch(name):
            if match[1] == "g" and (vocoder := found.attempt(_vocoder, path, found)):
                found.vocoders.append(vocoder)
        elif suffix in (".pt", ".pth"):
            if acoustic := found.attempt(_acoustic, path):
                found.acoustic.append(acoustic)
        elif re.fullmatch(ID_PATTERN, stem) and not stem.endswith(_MADE_SPEECH):
            for kind, endings in (("videos", VIDEO_EXTENSIONS), ("sounds", AUDIO_EXTENSIONS)):
                if suffix in endings:
                    stems[kind][stem] = path
    found.recordings += [Recordings(directory, kind, clips) for kind, clips in stems.items() if clips]


def _acoustic(path: Path) -> AcousticCheckpoint | None:
    """A mel generator of the lab's system; None for any other torch file."""
    content = load_checkpoint(path, "copy it again", memory_map=True)
    if "model_state_dict" not in content or "mel" in content:
        return None
    network = read_acoustic_checkpoint(path, memory_map=True)["network"]
    epoch = require_type(content.get("epoch"), int | None, "epoch", path, "copy it again")
    return AcousticCheckpoint(path, epoch, network["n_mels"], network["rnn_hidden"])


def _vocoder(path: Path, found: Survey) -> VocoderCheckpoint:
    content = load_checkpoint(path, "give a g_<steps> file of HiFi-GAN", memory_map=True)
    names = {official_name(name): tensor for name, tensor in generator_state(content, path).items()}
    first = names.get("conv_pre.weight_v", names.get("conv_pre.weight"))
    if first is None:
        raise UserError(path, "lacks conv_pre, so it is not a HiFi-GAN generator", "copy it again")
    config = found.attempt(read_config, path.with_name(CONFIG_NAME))
    padding = infer_padding(names, content.get("padding") or (config.padding if config else None), path)
    config = config and dataclasses.replace(config, padding=padding)
    return VocoderCheckpoint(path, steps_of(path), config, int(first.shape[1]), discriminators_beside(path).exists())
