"""What of a surveyed machine does not fit together, and which defects of the old system it shows, with their numbers.

Each check looks at one matter and yields `Finding` objects; a dataset and checkpoints of this system yield none.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtmri_speech.dataset.clip import load_array
from rtmri_speech.dataset.lab_format import StoredClip
from rtmri_speech.dataset.sound import TOLERATED_FRAMES, TOLERATED_SHARE
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import audio_blocks, read_audio
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import MOST_DRIFT, RATE_TOLERANCE, probe
from rtmri_speech.takeover.survey import AcousticCheckpoint, ProcessedDirectory, Survey, VocoderCheckpoint

SPLIT_SEED = 42
SPLIT_SHARES = (0.8, 0.1)
"""How the old training split its windows: training and validation by `torch.utils.data.random_split`, the rest test."""

LIST_EXAMPLES = 5
"""Clips that a sentence names."""

COMPARED_CLIPS = 3
"""Clips whose video is opened, and whose stored mel is compared with the mel of their sound: the first ones."""

LOUD_DB = 40.0
"""Only bins within so much of the clip's maximum are compared: below, 16 bits and resampling show."""

MEL_TOLERANCE_DB = 0.5
"""Median difference, dB, up to which a stored mel is that of its sound: a wrong gain or convention shows as more."""

LOG_TOLERANCE = 1e-4
"""Difference up to which an exported true mel is that of ``mel_db``; float32 keeps ln to about 1e-6."""


@dataclass(frozen=True)
class Finding:
    """Something that does not fit.

    Attributes
    ----------
    kind : a name for it.
    subject : the dataset, checkpoint or config.
    fault : what is wrong with it, a sentence with its numbers.
    numbers : the same numbers, by name.
    defect : number of the old system's defect in docs/from_the_memo.md; None for a fault of these files alone.
    clips : the clips that cannot be taken over because of it.
    """

    kind: str
    subject: Path
    fault: str
    numbers: Mapping[str, Any]
    defect: int | None = None
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
        """What the old system multiplied every sample by: the loudest of the corpus became 1."""
        return 1 / self.peak


def measure_sounds(dataset: ProcessedDirectory, found: Survey) -> Sounds | None:
    """Read the sounds of a dataset's clips once, block by block, from the directory that holds most of them."""
    ids = set(dataset.stored)
    candidates = [(dataset.path / "wavs", dataset.wavs)] if dataset.wavs else []
    candidates += [(place.path, place.files) for place in found.recordings if place.kind == "sounds"]
    path, files = max(candidates, key=lambda place: len(ids & place[1].keys()), default=(None, {}))
    files = {id: file for id, file in files.items() if id in ids}
    if path is None or not files or dataset.spec is None:
        return None
    samples, peak = {}, 0.0
    for id, file in sorted(files.items()):
        measured = found.attempt(lambda file=file: _measured(file, dataset.spec.sampling_rate))
        if measured is not None:
            samples[id], peak = measured[0], max(peak, measured[1])
    return Sounds(path, files, samples, peak) if peak else None


def _measured(file: Path, sampling_rate: int) -> tuple[int, float]:
    count, peak = 0, 0.0
    for block in audio_blocks(file, sampling_rate=sampling_rate):
        count, peak = count + len(block), max(peak, float(np.abs(block).max(initial=0)))
    return count, peak


def findings(found: Survey, sounds: Mapping[Path, Sounds]) -> list[Finding]:
    """Return all findings of a survey; files that turn out to be broken are added to ``found.broken``.

    Parameters
    ----------
    sounds : of `measure_sounds`, by the dataset's path.
    """
    told: list[Finding] = []
    for dataset in found.datasets:
        heard = sounds.get(dataset.path)
        told += _lengths(dataset, heard, found)
        told += _missing(dataset, heard)
        told += _rate(dataset, found)
        told += _alignment(dataset)
        told += _window_leak(dataset, found)
        told += _clip_leaks(dataset)
        told += _redundancy(dataset)
        told += _statistics(dataset, found)
        told += _true_mels(dataset, found)
        told += _sound_and_mel(dataset, heard, found)
    for acoustic in found.acoustic:
        told += _unless_one_fits(_mel_generator(acoustic, dataset) for dataset in found.datasets)
    for vocoder in found.vocoders:
        told += _unless_one_fits(_vocoder_and_mel(vocoder, dataset) for dataset in found.datasets)
    configs = {**found.configs, **{v.config_path: v.config for v in found.vocoders if v.config is not None}}
    for path, config in configs.items():
        told += _nyquist(path, config)
    for vocoder in found.vocoders:
        told += _three_mels(vocoder)
        told += _weights_and_config(vocoder)
    return told


def _unless_one_fits(told: Iterable[Iterable[Finding]]) -> list[Finding]:
    """What is told of a checkpoint beside each dataset; nothing when it fits one."""
    lists = [list(findings) for findings in told]
    return lists[0] if lists and all(lists) else []


def natural_order(ids: Iterable[str]) -> list[str]:
    """Return ids sorted with the numbers in them as numbers, as the old training did."""
    return sorted(ids, key=lambda id: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", id)])


def leaking_windows(lengths: Sequence[int], ref_frames: int) -> tuple[int, int, int]:
    """Count the validation windows of the old training that share a frame with a training window.

    Parameters
    ----------
    lengths : frames of each clip, in natural order of id.
    ref_frames : frames a window; stride 1.

    Returns
    -------
    leaking, all validation windows, and all training windows, under its split: 80/10/10 at random, seed 42.
    """
    counts = [max(length - ref_frames + 1, 0) for length in lengths]
    total = sum(counts)
    training, validation = (int(share * total) for share in SPLIT_SHARES)
    parts = torch.utils.data.random_split(
        range(total),
        [training, validation, total - training - validation],
        generator=torch.Generator().manual_seed(SPLIT_SEED),
    )
    # Windows are numbered clip by clip, and a clip has ref_frames - 1 frames more than windows.
    clip = np.repeat(np.arange(len(counts)), counts)
    first = np.arange(total) + clip * (ref_frames - 1)
    seen = np.zeros(total + len(counts) * (ref_frames - 1), bool)
    reach = np.arange(ref_frames)
    seen[first[np.asarray(parts[0].indices, int)][:, None] + reach] = True
    leaking = seen[first[np.asarray(parts[1].indices, int)][:, None] + reach].any(1)
    return int(leaking.sum()), validation, training


def _named(ids: Iterable[str]) -> str:
    ids = natural_order(ids)
    more = f" and {len(ids) - LIST_EXAMPLES} more" if len(ids) > LIST_EXAMPLES else ""
    return ", ".join(ids[:LIST_EXAMPLES]) + more


def _shapes(stored: StoredClip, found: Survey) -> dict[str, tuple[int, ...]] | None:
    return found.attempt(lambda: {name: stored.shape(name) for name in ("mri", "mel", "mask")})


def _lengths(dataset: ProcessedDirectory, sounds: Sounds | None, found: Survey) -> Iterator[Finding]:
    """Arrays, sound and exported mels of a clip that differ in length, and clips that cannot be read."""
    broken, differing, unusable = [], {}, []
    for id, stored in dataset.stored.items():
        shapes = _shapes(stored, found)
        if shapes is None:
            broken.append(id)
            continue
        own = frames = {name: shape[0] for name, shape in shapes.items()}
        for name, mels in dataset.exported.items():
            mel = found.attempt(lambda path=mels[id]: load_array(path, 2, memory_map=True)) if id in mels else None
            if mel is not None:
                frames = {**frames, name: mel.shape[1]}
        if len(set(frames.values())) > 1:
            differing[id] = frames
            # An exported mel can be made again.
            unusable += [id] if len(set(own.values())) > 1 else []
        elif sounds and dataset.spec and id in sounds.samples:
            heard = sounds.samples[id] // dataset.spec.hop_length
            if abs(heard - frames["mri"]) > max(TOLERATED_FRAMES, TOLERATED_SHARE * frames["mri"]):
                differing[id] = {"mri": frames["mri"], "wav": heard}
                unusable.append(id)
    if broken:
        yield Finding(
            "broken clips",
            dataset.path,
            f"{len(broken)} clips cannot be read ({_named(broken)}).",
            {"clips": len(broken)},
            clips=tuple(broken),
        )
    if differing:
        id, frames = next(iter(differing.items()))
        lengths = ", ".join(f"{name} {length}" for name, length in frames.items())
        yield Finding(
            "lengths",
            dataset.path,
            f"{len(differing)} clips have arrays of several lengths ({_named(differing)}); "
            f"of {id} in frames: {lengths}.",
            {"clips": differing},
            clips=tuple(unusable),
        )


def _missing(dataset: ProcessedDirectory, sounds: Sounds | None) -> Iterator[Finding]:
    """Clips that one place has and another one lacks."""
    stored = dataset.stored.keys()
    layouts = {name: clips.keys() for name, clips in dataset.clips.items() if clips}
    places = {f"its {name} layout": clips for name, clips in layouts.items()}
    for part, ids in dataset.lists.items():
        if unknown := set(ids) - stored:
            yield Finding(
                "unknown clips",
                dataset.path,
                f"{part}.txt names {len(unknown)} clips that are not stored ({_named(unknown)}).",
                {"part": part, "clips": sorted(unknown)},
            )
    places |= {name: mels.keys() for name, mels in dataset.exported.items() if dataset.of_lab}
    if sounds:
        places[str(sounds.path)] = sounds.files.keys()
    if dataset.meta and "stems" in dataset.meta:
        places["its meta.json"] = set(dataset.meta["stems"])
    for name, ids in places.items():
        if lacking := stored - ids:
            without_sound = sounds is not None and name == str(sounds.path)
            yield Finding(
                "missing clips",
                dataset.path,
                f"{len(lacking)} clips are not in {name} ({_named(lacking)}).",
                {"place": name, "clips": sorted(lacking)},
                clips=tuple(sorted(lacking)) if without_sound else (),
            )
    if lost := set((dataset.meta or {}).get("stems", [])) - stored:
        yield Finding(
            "lost clips",
            dataset.path,
            f"its meta.json names {len(lost)} clips that are not stored any more ({_named(lost)}).",
            {"clips": sorted(lost)},
        )


def _rate(dataset: ProcessedDirectory, found: Survey) -> Iterator[Finding]:
    """Videos whose frame rate is not the mel's: one video frame is one mel frame."""
    if dataset.spec is None:
        return
    films = {id: file for place in found.recordings if place.kind == "videos" for id, file in place.files.items()}
    for id in [id for id in dataset.stored if id in films][:COMPARED_CLIPS]:
        info = found.attempt(lambda id=id: probe(films[id]))
        if info is None:
            continue
        difference = abs(info.rate / dataset.spec.frame_rate - 1)
        if difference > RATE_TOLERANCE or difference * (info.frames or 0) > MOST_DRIFT:
            yield Finding(
                "frame rate",
                films[id],
                f"has {float(info.rate):.3f} frames a second, and the mel of {dataset.path} "
                f"{float(dataset.spec.frame_rate):.3f}.",
                {"video": float(info.rate), "mel": float(dataset.spec.frame_rate)},
            )


def _alignment(dataset: ProcessedDirectory) -> Iterator[Finding]:
    spec = dataset.spec
    if spec is None or spec.alignment != "start":
        return
    late = (spec.n_fft - spec.hop_length) / 2 / spec.sampling_rate
    spans, shift = spec.n_fft / spec.sampling_rate, late * float(spec.frame_rate)
    yield Finding(
        "alignment",
        dataset.path,
        f"a mel frame begins with its video frame and spans {1000 * spans:.0f} ms, so that its centre "
        f"lies {1000 * late:.1f} ms, {shift:.2f} frames, after the video frame's.",
        {"seconds": late, "frames": shift},
        defect=1,
    )


def _frames_of(dataset: ProcessedDirectory, ids: Iterable[str], found: Survey) -> dict[str, int]:
    shapes = {id: _shapes(dataset.stored[id], found) for id in ids}
    return {id: shape["mri"][0] for id, shape in shapes.items() if shape is not None}


def _ref_frames(dataset: ProcessedDirectory) -> int:
    return int((dataset.meta or {}).get("ref_frames", 4))


def _window_leak(dataset: ProcessedDirectory, found: Survey) -> Iterator[Finding]:
    if not dataset.of_lab:
        return
    frames = _frames_of(dataset, natural_order(dataset.stored), found)
    leaking, validation, training = leaking_windows(list(frames.values()), _ref_frames(dataset))
    if leaking:
        yield Finding(
            "window leak",
            dataset.path,
            f"{leaking} of {validation} validation windows share frames with the {training} training "
            "windows, as the old training split them (by window, seed 42): its validation loss is that of training "
            "frames.",
            {"leaking": leaking, "validation": validation, "training": training},
            defect=2,
        )


def _clip_leaks(dataset: ProcessedDirectory) -> Iterator[Finding]:
    """Lists that share clips, windows that cross parts, and lists that split otherwise than the training did."""
    lists = dataset.lists
    shared = Counter(id for ids in lists.values() for id in set(ids))
    if twice := [id for id, count in shared.items() if count > 1]:
        yield Finding(
            "shared clips",
            dataset.path,
            f"{len(twice)} clips are in more than one file list ({_named(twice)}).",
            {"clips": sorted(twice)},
            defect=2,
        )
    for part, starts in dataset.window_index.items():
        if part in lists and len(starts) and int(starts[:, 0].max()) >= len(lists[part]):
            yield Finding(
                "windows and lists",
                dataset.path,
                f"the windows of {part} name more clips than its file list; make them anew.",
                {"part": part},
            )
    held_out = set(lists.get("validation", ())) & dataset.stored.keys()
    if dataset.of_lab and held_out:
        yield Finding(
            "two splits",
            dataset.path,
            f"the {len(held_out)} clips of validation.txt are held out from the vocoder only; the mel "
            "generator's training took windows of every clip, theirs too.",
            {"clips": len(held_out)},
            defect=2,
        )


def _redundancy(dataset: ProcessedDirectory) -> Iterator[Finding]:
    """Bytes of every stored copy of the frames beside those of each frame once, in 8 bits."""
    stored = sum(
        path.stat().st_size
        for clips in dataset.clips.values()
        for clip in clips.values()
        for path in clip.frame_files
        if path.exists()
    )
    once = 0
    for clip in dataset.stored.values():
        try:
            once += int(np.prod(clip.shape("mri")))
        except UserError:
            # Told by the check of lengths.
            continue
    # Twice: a file has its header too.
    if once and stored > 2 * once:
        yield Finding(
            "redundancy",
            dataset.path,
            f"frames take {stored} bytes in all stored copies, {once} with every frame once in 8 bits: "
            f"{stored / once:.1f} times as many.",
            {"stored": stored, "once": once},
            defect=8,
        )


def _statistics(dataset: ProcessedDirectory, found: Survey) -> Iterator[Finding]:
    """A scaler that does not fit the mel, or was fitted on clips that are held out."""
    if dataset.scaler is None:
        return
    if dataset.spec is not None and len(dataset.scaler.mean) != dataset.spec.n_mels:
        yield Finding(
            "scaler and mel",
            dataset.path,
            f"the scaler has {len(dataset.scaler.mean)} bins and the mel {dataset.spec.n_mels}.",
            {"scaler": len(dataset.scaler.mean), "mel": dataset.spec.n_mels},
        )
    frames = sum(_frames_of(dataset, dataset.stored, found).values())
    count = dataset.scaler.count_frames
    if dataset.of_lab and count == frames:
        yield Finding(
            "scaler",
            dataset.path,
            f"the scaler was fitted on the {frames} frames of all clips, held-out ones too.",
            {"frames": frames},
            defect=2,
        )
    elif dataset.of_lab and count:
        yield Finding(
            "scaler",
            dataset.path,
            f"the scaler was fitted on {count} frames, and {frames} are stored.",
            {"scaler": count, "frames": frames},
        )


def _true_mels(dataset: ProcessedDirectory, found: Survey) -> Iterator[Finding]:
    """Exported true mels that are not the logarithm of ``mel_db``."""
    mels = dataset.exported.get("mels_gt_log", {})
    wrong = []
    for id, path in mels.items():
        if dataset.spec is None or id not in dataset.stored:
            continue
        stored = dataset.stored[id]
        pair = found.attempt(lambda path=path, stored=stored: (load_array(path, 2), stored.mel_db()))
        if pair is None:
            continue
        exported, expected = pair[0], dataset.spec.log_from_db(pair[1]).T
        # Another length is another matter.
        same = exported.shape == expected.shape and np.abs(exported - expected).max() <= LOG_TOLERANCE
        if not same and exported.shape[-1] == expected.shape[-1]:
            wrong.append(id)
    if wrong:
        yield Finding(
            "true mels",
            dataset.path,
            f"mels_gt_log of {len(wrong)} clips is not the natural logarithm of their mel_db ({_named(wrong)}).",
            {"clips": wrong},
        )


def _sound_and_mel(dataset: ProcessedDirectory, sounds: Sounds | None, found: Survey) -> Iterator[Finding]:
    """Stored mels that their sounds, times the gain, do not give."""
    if sounds is None or dataset.spec is None:
        return
    spec = dataset.spec
    # This system's own wavs have the gain in them.
    gain, rate = 1.0 if dataset.wavs else sounds.gain, spec.sampling_rate
    off = {}
    for id in [id for id in dataset.stored if id in sounds.samples][:COMPARED_CLIPS]:
        stored, file = dataset.stored[id], sounds.files[id]
        pair = found.attempt(lambda file=file, stored=stored: (read_audio(file, sampling_rate=rate), stored.mel_db()))
        if pair is None or spec.frames(len(pair[0])) == 0 or pair[1].shape[1] != spec.n_mels:
            continue
        computed = spec.mel_db(pair[0] * np.float32(gain)).T
        shared = min(len(computed), len(pair[1]))
        computed, kept = computed[:shared], pair[1][:shared]
        loud = kept > kept.max() - LOUD_DB
        difference = float(np.median(np.abs(kept - computed)[loud]))
        if difference > MEL_TOLERANCE_DB:
            off[id] = difference
    if off:
        id, difference = max(off.items(), key=lambda item: item[1])
        yield Finding(
            "sound and mel",
            dataset.path,
            f"the stored mel is not that of {sounds.path} times {gain:.4g}: off by {difference:.1f} dB "
            f"in {id} ({len(off)} of {min(COMPARED_CLIPS, len(sounds.samples))} clips compared); the sounds were "
            "changed, or the mel is of another kind.",
            {"decibels": off},
        )


def _mel_generator(acoustic: AcousticCheckpoint, dataset: ProcessedDirectory) -> Iterator[Finding]:
    if dataset.spec is None:
        return
    if acoustic.n_mels != dataset.spec.n_mels:
        yield Finding(
            "checkpoint and mel",
            acoustic.path,
            f"predicts {acoustic.n_mels} mel bins, and {dataset.path} has {dataset.spec.n_mels}.",
            {"checkpoint": acoustic.n_mels, "dataset": dataset.spec.n_mels},
        )
    elif acoustic.mel is not None and acoustic.mel != dataset.spec:
        yield Finding(
            "checkpoint and mel",
            acoustic.path,
            f"does not predict the mel of {dataset.path} ({_differing(acoustic.mel, dataset.spec)}).",
            {},
        )


def _differing(one: MelSpec, other: MelSpec) -> str:
    pairs = ((name, value, other.to_dict()[name]) for name, value in one.to_dict().items())
    return ", ".join(f"{name} {a} and {b}" for name, a, b in pairs if a != b)


def _vocoder_and_mel(vocoder: VocoderCheckpoint, dataset: ProcessedDirectory) -> Iterator[Finding]:
    spec, config = dataset.spec, vocoder.config
    if spec is None:
        return
    numbers = {"n_mels": (vocoder.n_mels, spec.n_mels)}
    if config is not None:
        numbers |= {
            "sampling_rate": (config.sampling_rate, spec.sampling_rate),
            "hop_length": (config.hop_size, spec.hop_length),
            "n_fft": (config.n_fft, spec.n_fft),
        }
    wrong = {name: pair for name, pair in numbers.items() if pair[0] != pair[1]}
    if not wrong and config is not None and config.spec != spec:
        wrong = {"mel": (_differing(config.spec, spec), "the dataset's")}
    if wrong:
        told = ", ".join(f"{name} {a} and {b}" for name, (a, b) in wrong.items())
        yield Finding(
            "checkpoint and mel", vocoder.path, f"does not read the mel of {dataset.path} ({told}).", {"wrong": wrong}
        )


def _weights_and_config(vocoder: VocoderCheckpoint) -> Iterator[Finding]:
    if vocoder.config is not None and vocoder.config.num_mels != vocoder.n_mels:
        yield Finding(
            "checkpoint and config",
            vocoder.path,
            f"reads {vocoder.n_mels} mel bins, and its config {vocoder.config.num_mels}.",
            {"checkpoint": vocoder.n_mels, "config": vocoder.config.num_mels},
        )


def _nyquist(path: Path, config: Any) -> Iterator[Finding]:
    nyquist = config.sampling_rate / 2
    if not config.fmax or config.fmax <= nyquist:
        return
    filters = MelSpec.preset(
        "hifigan",
        sampling_rate=config.sampling_rate,
        n_fft=config.n_fft,
        win_length=config.win_size,
        hop_length=config.hop_size,
        n_mels=config.num_mels,
        fmin=config.fmin,
        fmax=config.fmax,
    ).filterbank()
    empty = int((filters.max(1) == 0).sum())
    yield Finding(
        "fmax",
        path,
        f"fmax {config.fmax:g} Hz is above half the sampling rate, {nyquist:g} Hz: {empty} of "
        f"{config.num_mels} filters are empty.",
        {"fmax": config.fmax, "nyquist": nyquist, "empty": empty},
        defect=10,
    )


def _three_mels(vocoder: VocoderCheckpoint) -> Iterator[Finding]:
    """The mels a vocoder of the old system was made with: its condition, its loss, and the training from nothing."""
    config = vocoder.config
    if vocoder.padding != "lab" or vocoder.states_mel or config is None:
        return
    numbers = {"n_mels": config.num_mels, "n_fft": config.n_fft, "win_length": config.win_size}
    numbers |= {"hop_length": config.hop_size, "sampling_rate": config.sampling_rate, "fmin": config.fmin}
    loss = MelSpec.preset("hifigan", fmax=config.fmax_for_loss, **numbers)
    scratch = MelSpec.preset("hifigan", fmax=config.fmax, **numbers)
    mels = len({dataclasses.astuple(spec) for spec in (config.spec, loss, scratch)})
    yield Finding(
        "mels",
        vocoder.path,
        f"{mels} mels made it: its condition is ln of power with pre-emphasis, up to "
        f"{config.spec.fmax:g} Hz; its loss ln of magnitude, up to {loss.fmax:g} Hz; and its training from nothing had "
        f"that up to {scratch.fmax:g} Hz.",
        {"mels": mels},
        defect=11,
    )
