"""Faults of a surveyed machine, with their numbers, and the clips that cannot be imported because of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtmri_speech.dataset.sound import TOLERATED_FRAMES, TOLERATED_SHARE
from rtmri_speech.errors import some_of
from rtmri_speech.signal.audio import audio_blocks, read_audio
from rtmri_speech.takeover.lab_dataset import StoredClip
from rtmri_speech.takeover.survey import AcousticCheckpoint, ProcessedDirectory, Survey, VocoderCheckpoint

COMPARED_CLIPS = 3
"""Number of clips whose stored mel is compared with that of their sound: the first ones."""

LOUD_DB = 40.0
"""Range below the clip's maximum that is compared; below it are quantisation and resampling errors."""

_NAMED = 5
"""Maximum number of clips named in a finding."""

MEL_TOLERANCE_DB = 0.5
"""Tolerance for the median difference of a stored mel, dB; a wrong gain or convention gives more."""


@dataclass(frozen=True)
class Finding:
    """A fault of a dataset or checkpoint, ``subject``, in a sentence; ``clips`` cannot be imported because of it."""

    kind: str
    subject: Path
    fault: str
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sounds:
    """The sound files of a dataset's clips at its rate: ``samples`` of each by id, and the ``peak`` of all of them."""

    path: Path
    files: Mapping[str, Path]
    samples: Mapping[str, int]
    peak: float

    @property
    def gain(self) -> float:
        """The lab's gain: the corpus's peak was scaled to 1."""
        return 1 / self.peak


def measure_sounds(dataset: ProcessedDirectory, found: Survey) -> Sounds | None:
    """Measure the sounds of a dataset's clips in the directory that has most of them."""
    ids = dataset.stored.keys()
    places = [(place.path, place.files) for place in found.recordings if place.kind == "sounds"]
    path, files = max(places, key=lambda place: len(ids & place[1].keys()), default=(None, {}))
    files = {id: file for id, file in files.items() if id in ids}
    if not files or dataset.spec is None:
        return None
    samples, peak = {}, 0.0
    for id, file in sorted(files.items()):
        measured = found.attempt(_measured, file, dataset.spec.sampling_rate)
        if measured is not None:
            samples[id], peak = measured[0], max(peak, measured[1])
    return Sounds(path, files, samples, peak) if peak else None


def _measured(file: Path, sampling_rate: int) -> tuple[int, float]:
    count, peak = 0, 0.0
    for block in audio_blocks(file, sampling_rate=sampling_rate):
        count, peak = count + len(block), max(peak, float(np.abs(block).max(initial=0)))
    return count, peak


def findings(found: Survey, sounds: Mapping[Path, Sounds]) -> list[Finding]:
    """Return all findings of a survey; unreadable files are added to ``found.broken``.

    Parameters
    ----------
    sounds : of `measure_sounds`, by the dataset's path.
    """
    faults: list[Finding] = []
    for dataset in found.datasets:
        faults += _clips(dataset, sounds.get(dataset.path), found)
        faults += _scaler(dataset)
        faults += _sound_and_mel(dataset, sounds.get(dataset.path), found)
    datasets = [dataset for dataset in found.datasets if dataset.spec is not None]
    for acoustic in found.acoustic:
        faults += _unless_one_fits(_mel_generator(acoustic, dataset) for dataset in datasets)
    for vocoder in found.vocoders:
        faults += _unless_one_fits(_vocoder(vocoder, dataset) for dataset in datasets)
    return faults


def _unless_one_fits(faults: Iterable[Iterable[Finding]]) -> list[Finding]:
    """Faults of a checkpoint for the first dataset; none if it is compatible with any."""
    lists = [list(each) for each in faults]
    return lists[0] if all(lists) and lists else []


def _shapes(stored: StoredClip) -> list[tuple[int, ...]]:
    """Shapes of a clip's frames, mel and mask."""
    return [stored.shape(name) for name in ("mri", "mel", "mask")]


def _clips(dataset: ProcessedDirectory, sounds: Sounds | None, found: Survey) -> Iterator[Finding]:
    """Clips that are unreadable, have differing lengths, or lack sound."""
    broken, differing = [], {}
    for id, stored in dataset.stored.items():
        shapes = found.attempt(_shapes, stored)
        if shapes is None:
            broken.append(id)
            continue
        frames = dict(zip(("mri", "mel", "mask"), (shape[0] for shape in shapes), strict=True))
        if sounds and dataset.spec and id in sounds.samples:
            of_sound = sounds.samples[id] // dataset.spec.hop_length
            if abs(of_sound - frames["mri"]) > max(TOLERATED_FRAMES, TOLERATED_SHARE * frames["mri"]):
                frames["wav"] = of_sound
        if "wav" in frames or len(set(frames.values())) > 1:
            differing[id] = ", ".join(f"{name} {length}" for name, length in frames.items())
    if broken:
        fault = f"{len(broken)} clips cannot be read ({some_of(sorted(broken), _NAMED)})."
        yield Finding("broken clips", dataset.path, fault, tuple(broken))
    if differing:
        first = next(iter(differing))
        fault = f"{len(differing)} clips have arrays of several lengths ({some_of(sorted(differing), _NAMED)}); "
        fault += f"of {first} in frames: {differing[first]}."
        yield Finding("lengths", dataset.path, fault, tuple(differing))
    if sounds and (lacking := sorted(dataset.stored.keys() - sounds.files.keys())):
        fault = f"{len(lacking)} clips are not in {sounds.path} ({some_of(lacking, _NAMED)})."
        yield Finding("missing sounds", dataset.path, fault, tuple(lacking))


def _scaler(dataset: ProcessedDirectory) -> Iterator[Finding]:
    scaler, spec = dataset.scaler, dataset.spec
    if scaler is not None and spec is not None and len(scaler.mean) != spec.n_mels:
        fault = f"the scaler has {len(scaler.mean)} bins and the mel {spec.n_mels}."
        yield Finding("scaler and mel", dataset.path, fault)


def _sound_and_mel(dataset: ProcessedDirectory, sounds: Sounds | None, found: Survey) -> Iterator[Finding]:
    """Stored mels that do not match their sounds times the gain."""
    if sounds is None or dataset.spec is None:
        return
    spec, off = dataset.spec, {}
    for id in [id for id in dataset.stored if id in sounds.samples][:COMPARED_CLIPS]:
        sound = found.attempt(read_audio, sounds.files[id], sampling_rate=spec.sampling_rate)
        kept = found.attempt(dataset.stored[id].mel_db)
        if sound is None or kept is None or spec.frames(len(sound)) == 0 or kept.shape[1] != spec.n_mels:
            continue
        computed = spec.mel_db(sound * np.float32(sounds.gain)).T
        shared = min(len(computed), len(kept))
        loud = kept[:shared] > kept[:shared].max() - LOUD_DB
        difference = float(np.median(np.abs(kept[:shared] - computed[:shared])[loud]))
        if difference > MEL_TOLERANCE_DB:
            off[id] = difference
    if off:
        id, difference = max(off.items(), key=lambda item: item[1])
        yield Finding(
            "sound and mel",
            dataset.path,
            f"the stored mel is not that of {sounds.path} times {sounds.gain:.4g}: off by {difference:.1f} dB in {id}"
            f" ({len(off)} of {min(COMPARED_CLIPS, len(sounds.samples))} clips compared); the sounds were changed, or"
            " the mel is of another kind.",
        )


def _mel_generator(acoustic: AcousticCheckpoint, dataset: ProcessedDirectory) -> Iterator[Finding]:
    if acoustic.n_mels != dataset.spec.n_mels:
        fault = f"predicts {acoustic.n_mels} mel bins, and {dataset.path} has {dataset.spec.n_mels}."
        yield Finding("checkpoint and mel", acoustic.path, fault)


def _vocoder(vocoder: VocoderCheckpoint, dataset: ProcessedDirectory) -> Iterator[Finding]:
    spec, config = dataset.spec.to_dict(), vocoder.config
    own = {**(config.spec.to_dict() if config else {}), "n_mels": vocoder.n_mels}
    wrong = [f"{name} {value} and {spec[name]}" for name, value in own.items() if value != spec[name]]
    if wrong:
        fault = f"does not read the mel of {dataset.path} ({', '.join(wrong)})."
        yield Finding("checkpoint and mel", vocoder.path, fault)
    elif config is not None and config.num_mels != vocoder.n_mels:
        fault = f"reads {vocoder.n_mels} mel bins, and its config {config.num_mels}."
        yield Finding("checkpoint and config", vocoder.path, fault)
