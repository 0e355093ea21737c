"""What lies on a machine: recordings, processed datasets, checkpoints, configs, exported mels, logs, each recognised.

Nothing is changed. Of arrays only the headers are read, of checkpoints only what is not tensors; what cannot be read is
kept as a sentence, and the rest goes on.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rtmri_speech.acoustic.predict import read_acoustic_checkpoint
from rtmri_speech.dataset.clip import AUDIO_EXTENSIONS, ID_PATTERN, VIDEO_EXTENSIONS, load_array
from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.dataset.lab_format import StoredClip, lab_scaler
from rtmri_speech.dataset.meta import META, load_mel_spec, read_meta
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.training.state import load_checkpoint
from rtmri_speech.untrusted import read_json, require_type
from rtmri_speech.vocoder.checkpoint import infer_padding, official_name
from rtmri_speech.vocoder.config import CONFIG_NAME, VocoderConfig, read_config
from rtmri_speech.vocoder.naming import PAIR_FILE, discriminators_beside, steps_of

_MADE_SPEECH = ("_generated", "_original")
"""Ends of what inference writes: no recordings."""

Found = TypeVar("Found")


@dataclass
class ProcessedDirectory:
    """A processed directory, of the old system or of this one.

    Attributes
    ----------
    path : the directory.
    clips : by layout (``samples``, ``npz``, ``npy``) the clips stored so, by id.
    lists : by part the ids of its file list.
    meta, spec, scaler : of ``meta.json`` and ``scaler.json``; None where they are missing or broken.
    exported : by name of the directory (``mels_gt_log``) the mels in it, by id.
    wavs : its own wavs by id; the old system keeps none.
    window_index : by part the window starts that this system stores instead of windows, int32 ``(P, 2)``.
    """

    path: Path
    clips: dict[str, dict[str, StoredClip]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    meta: Mapping[str, Any] | None = None
    spec: MelSpec | None = None
    scaler: Scaler | None = None
    exported: dict[str, dict[str, Path]] = field(default_factory=dict)
    wavs: dict[str, Path] = field(default_factory=dict)
    window_index: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def of_lab(self) -> bool:
        """Whether the old system made it: its meta.json states no `MelSpec`."""
        return self.meta is not None and "mel" not in self.meta

    @property
    def stored(self) -> dict[str, StoredClip]:
        """Each clip once: its samples before its windows, npy before npz."""
        return dict(sorted({**self.clips["npz"], **self.clips["npy"], **self.clips["samples"]}.items()))


@dataclass(frozen=True)
class Recordings:
    """A directory of ``videos`` or ``sounds``, its files by id."""

    path: Path
    kind: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class AcousticCheckpoint:
    """A mel generator: the lab's, or one of this system, which names its mel and the clips it saw.

    ``epoch`` is None where it does not say; ``optimizer`` says whether it holds an optimiser's state to train on from.
    """

    path: Path
    epoch: int | None
    n_mels: int
    rnn_hidden: int
    of_lab: bool
    optimizer: bool
    mel: MelSpec | None
    scaler: Scaler | None


@dataclass(frozen=True)
class VocoderCheckpoint:
    """A generator ``g_<steps>`` of HiFi-GAN.

    Attributes
    ----------
    path, steps : the file, and the training steps in its name.
    padding : ``lab`` or ``official``, as its tensors show.
    config_path, config : the config.json beside it, with that padding; None when it is missing or broken.
    n_mels, hop : of its tensors: bins of the mel it reads, and None or the product of its upsampling rates.
    states_mel : whether file or config state the mel it was trained on, as this system's do.
    optimizer : of the ``do_`` beside it: ``AdamW``, ``AdaBelief``, or None when there is none.
    """

    path: Path
    steps: int
    padding: str
    config_path: Path
    config: VocoderConfig | None
    n_mels: int
    states_mel: bool
    optimizer: str | None


@dataclass
class Survey:
    """All that was found under some directories.

    Attributes
    ----------
    speech : directories of generated speech, with the number of clips.
    other : files of torch that are no mel generator.
    broken : what could not be read, a sentence each.
    """

    roots: Sequence[Path]
    datasets: list[ProcessedDirectory] = field(default_factory=list)
    recordings: list[Recordings] = field(default_factory=list)
    acoustic: list[AcousticCheckpoint] = field(default_factory=list)
    vocoders: list[VocoderCheckpoint] = field(default_factory=list)
    configs: dict[Path, VocoderConfig] = field(default_factory=dict)
    logs: list[Path] = field(default_factory=list)
    speech: dict[Path, int] = field(default_factory=dict)
    other: list[Path] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def attempt(self, read: Callable[[], Found]) -> Found | None:
        """Return what ``read`` returns, or None after keeping what it refuses."""
        try:
            return read()
        except UserError as error:
            self.broken.append(str(error))
            return None


def survey(roots: Iterable[str | Path]) -> Survey:
    """Look through directories and return what is there.

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
            # A root may lie below another one.
            if directory.resolve() in seen:
                continue
            seen.add(directory.resolve())
            if _is_processed(directory, files):
                found.datasets.append(_processed(directory, found))
            elif files:
                _look_at(directory, files, found)
    return found


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every directory with the names in it; hidden ones and the inside of processed ones are left out."""
    for path, folders, files in os.walk(root):
        directory = Path(path)
        yield directory, sorted(files)
        processed = _is_processed(directory, files)
        folders[:] = [] if processed else sorted(name for name in folders if not name.startswith("."))


def _is_processed(directory: Path, files: Iterable[str]) -> bool:
    # Other programs have a meta.json and a directory of samples too.
    kinds = ("samples/*/mri.npy", "pairs_ref*")
    return {META, "scaler.json"} <= set(files) or any(any(directory.glob(kind)) for kind in kinds)


def _processed(directory: Path, found: Survey) -> ProcessedDirectory:
    made = ProcessedDirectory(directory)
    layouts = {"samples": "samples/*/mri.npy", "npz": "pairs_ref*/*.npz", "npy": "pairs_ref*_npy/*/mri.npy"}
    for layout, pattern in layouts.items():
        paths = sorted(directory.glob(pattern))
        clips = [StoredClip(path if layout == "npz" else path.parent) for path in paths]
        made.clips[layout] = {clip.id: clip for clip in clips}
    for path in sorted((directory / "hifigan_filelists").glob("*.txt")):
        ids = found.attempt(lambda path=path: read_filelist(path))
        if ids is not None:
            made.lists[path.stem] = ids
    made.meta = found.attempt(lambda: read_meta(directory))
    if made.meta is not None:
        made.spec = found.attempt(lambda: load_mel_spec(directory))
    made.scaler = found.attempt(lambda: lab_scaler(directory))
    for folder in sorted(directory.iterdir()):
        if folder.is_dir() and folder.name.startswith("mels_"):
            made.exported[folder.name] = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    made.wavs = {path.stem: path for path in sorted((directory / "wavs").glob("*.wav"))}
    for path in sorted(directory.glob("pairs_ref*_npy/*.npy")):
        starts = found.attempt(lambda path=path: load_array(path, 2))
        if starts is not None:
            made.window_index[path.stem] = starts
    return made


def _look_at(directory: Path, files: list[str], found: Survey) -> None:
    """Recognise the files of a directory that is no processed one."""
    stems: dict[str, dict[str, Path]] = {"videos": {}, "sounds": {}}
    for name in files:
        path = directory / name
        suffix, stem = path.suffix.lower(), path.stem
        if match := PAIR_FILE.fullmatch(name):
            if match[1] == "g" and (vocoder := found.attempt(lambda path=path: _vocoder(path, found))):
                found.vocoders.append(vocoder)
        elif suffix == ".pt" or suffix == ".pth":
            if acoustic := found.attempt(lambda path=path: _acoustic(path, found)):
                found.acoustic.append(acoustic)
        elif suffix == ".json" and name != CONFIG_NAME and _is_hifigan_config(path):
            if config := found.attempt(lambda path=path: read_config(path)):
                found.configs[path] = config
        elif name.startswith("events.out.tfevents"):
            if directory not in found.logs:
                found.logs.append(directory)
        elif stem.endswith(_MADE_SPEECH):
            found.speech[directory] = found.speech.get(directory, 0) + stem.endswith("_generated")
        elif re.fullmatch(ID_PATTERN, stem):
            for kind, endings in (("videos", VIDEO_EXTENSIONS), ("sounds", AUDIO_EXTENSIONS)):
                if suffix in endings:
                    stems[kind][stem] = path
    found.recordings += [Recordings(directory, kind, clips) for kind, clips in stems.items() if clips]


def _is_hifigan_config(path: Path) -> bool:
    try:
        content = read_json(path, missing="copy it again", remedy="copy it again")
    except (OSError, UserError):
        return False
    return isinstance(content, dict) and "upsample_rates" in content


def _acoustic(path: Path, found: Survey) -> AcousticCheckpoint | None:
    if "model_state_dict" not in load_checkpoint(path, "copy it again", memory_map=True):
        found.other.append(path)
        return None
    content = read_acoustic_checkpoint(path, memory_map=True)
    network, scaler = content["network"], content.get("scaler")
    state = content.get("optimizer_state_dict")
    return AcousticCheckpoint(
        path,
        require_type(content.get("epoch"), int | None, "epoch", path, "copy it again"),
        network["n_mels"],
        network["rnn_hidden"],
        "mel" not in content,
        isinstance(state, Mapping) and bool(state.get("state")),
        MelSpec.from_dict(content["mel"], str(path)) if "mel" in content else None,
        scaler and Scaler(np.asarray(scaler["mean"]), np.asarray(scaler["std"]), scaler["count_frames"]),
    )


def _vocoder(path: Path, found: Survey) -> VocoderCheckpoint:
    content = load_checkpoint(path, "give a g_<steps> file of HiFi-GAN", memory_map=True)
    state = content.get("generator")
    if not isinstance(state, Mapping):
        raise UserError(path, "holds no 'generator'", "give a g_<steps> file of HiFi-GAN")
    names = {official_name(name): tensor for name, tensor in state.items()}
    first = names.get("conv_pre.weight_v", names.get("conv_pre.weight"))
    if first is None:
        raise UserError(path, "lacks conv_pre, so it is no generator of HiFi-GAN", "copy it again")
    config_path = path.with_name(CONFIG_NAME)
    config = found.attempt(lambda: read_config(config_path))
    padding = infer_padding(names, content.get("padding") or (config and config.padding), path)
    return VocoderCheckpoint(
        path,
        steps_of(path),
        padding,
        config_path,
        config and dataclasses.replace(config, padding=padding),
        int(first.shape[1]),
        isinstance(content.get("mel"), Mapping) or (config is not None and config.mel is not None),
        found.attempt(lambda: _optimizer(discriminators_beside(path))),
    )


def _optimizer(path: Path) -> str | None:
    """The optimiser whose state a ``do_`` file holds; None when there is no such file."""
    if not path.exists():
        return None
    content = load_checkpoint(path, "give a do_<steps> file of HiFi-GAN", memory_map=True)
    if missing := [key for key in ("mpd", "msd", "steps") if key not in content]:
        raise UserError(path, f"lacks {' and '.join(missing)}", "copy it again")
    entries = (content.get("optim_g") or {}).get("state", {}).values()
    if any("exp_avg_var" in entry for entry in entries):
        return "AdaBelief"
    return "AdamW" if entries else "none"
