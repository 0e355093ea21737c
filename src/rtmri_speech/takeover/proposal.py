"""Proposes a configuration from a survey, and reports the survey as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmri_speech.acoustic.model import Network
from rtmri_speech.configuration import configuration_text
from rtmri_speech.dataset.split import place_of
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import PRESETS
from rtmri_speech.takeover.findings import Finding, Sounds
from rtmri_speech.takeover.survey import AcousticCheckpoint, ProcessedDirectory, Survey, VocoderCheckpoint

_MEL_NUMBERS = ("sampling_rate", "n_fft", "win_length", "hop_length", "n_mels")

TEST_SHARE, SPLIT_SEED = 0.1, 42
"""Share of the old training list drawn as the test split, which the lab's system lacks, and the seed."""

_HEAD = """\
# Written by inspect_lab_setup.py, to continue with what it found; config/schema.yaml describes every setting. The old
# directories are read in place and never written to.
"""

_ABOUT = {
    "corpus": "The clips that the old processed directory holds, with their recordings.",
    "lab": "Used as they are; train_on: [vocoder] or [acoustic, vocoder] trains them further, and with conventions:\n"
    "# fixed mels are made anew and both models trained here.",
    "audio": "The old system divided by the peak of the whole corpus.",
    "split": "Validation is the old list's. The old system had no test part: without a test.txt, one is drawn from\n"
    "# its training list, which its models have seen; scores of them say so.",
}
"""Comments above sections of the file."""


@dataclass(frozen=True)
class Proposal:
    """A configuration for a takeover.

    Attributes
    ----------
    settings : for the YAML file.
    dataset, acoustic, vocoder : used by it; None without a compatible checkpoint.
    """

    settings: Mapping[str, Any]
    dataset: ProcessedDirectory
    acoustic: AcousticCheckpoint | None
    vocoder: VocoderCheckpoint | None

    @property
    def text(self) -> str:
        """The YAML file, with comments."""
        return configuration_text(self.settings, _HEAD, _ABOUT)


def propose(found: Survey, faults: Sequence[Finding], sounds: Mapping[Path, Sounds]) -> Proposal:
    """Return the configuration for the largest dataset of the lab's system.

    Raises
    ------
    UserError
        There is no dataset, its meta.json is unusable, its sounds are missing, or fewer than three clips are complete.
    """
    where = ", ".join(map(str, found.roots))
    if not found.datasets:
        raise UserError(where, "holds no processed directory of the older system", "name the one that holds meta.json")
    dataset = max(found.datasets, key=lambda dataset: len(dataset.stored))
    spec, audio = dataset.spec, sounds.get(dataset.path)
    if spec is None:
        raise UserError(dataset.path / "meta.json", "states no mel", "copy it from where the samples were made")
    if audio is None:
        raise UserError(where, f"holds no sound of the clips in {dataset.path}", "name the directory of the wavs too")
    bad = {id for finding in faults if finding.subject == dataset.path for id in finding.clips}
    kept = [id for id in dataset.stored if id not in bad]
    if len(kept) < 3:
        raise UserError(dataset.path, f"has {len(kept)} whole clips", "fix the errors above")
    acoustic = _latest([one for one in found.acoustic if one.n_mels == spec.n_mels], "epoch")
    vocoder = _latest([one for one in found.vocoders if one.config is not None and one.config.spec == spec], "steps")
    videos = [place for place in found.recordings if place.kind == "videos"]
    filmed = max(videos, key=lambda place: len(place.files.keys() & set(kept)), default=None)
    size = list(dataset.stored[kept[0]].shape("mri")[1:])
    settings: dict[str, Any] = {"results": "results_lab"}
    settings["corpus"] = {
        "source": "lab",
        "videos": str(filmed.path) if filmed else None,
        "audio": str(audio.path),
    }
    if bad:
        settings["corpus"]["exclude"] = sorted(bad & dataset.stored.keys())
    settings["lab"] = {
        "conventions": "lab",
        "processed": str(dataset.path),
        "mri_checkpoint": str(acoustic.path) if acoustic else None,
        "hifigan_checkpoint": str(vocoder.path) if vocoder else None,
        "train_on": [],
    }
    settings["video"] = {"size": size}
    settings["audio"] = {"gain": audio.gain}
    settings["mel"] = {name: getattr(spec, name) for name in _MEL_NUMBERS}
    if spec.preemphasis != PRESETS["lab"]["preemphasis"]:
        # Otherwise omitted, so that the fixed conventions use their own.
        settings["mel"]["preemphasis"] = spec.preemphasis
    settings["windows"] = {"ref_frames": int(dataset.meta.get("ref_frames", 4))}
    settings["split"] = {"named": _parts(dataset.lists, kept)}
    if acoustic and acoustic.rnn_hidden != Network().rnn_hidden:
        settings["acoustic"] = {"rnn_hidden": acoustic.rnn_hidden}
    return Proposal(settings, dataset, acoustic, vocoder)


def _latest(checkpoints: Sequence[Any], count: str) -> Any | None:
    return max(checkpoints, key=lambda one: (getattr(one, count) or 0, one.path.stat().st_mtime), default=None)


def _parts(lists: Mapping[str, Sequence[str]], kept: Sequence[str]) -> dict[str, list[str]]:
    """The old splits of the kept clips, with a test split drawn if there is none."""
    validation = [id for id in kept if id in set(lists.get("validation", ()))]
    test = [id for id in kept if id in set(lists.get("test", ())) and id not in validation]
    rest = sorted((id for id in kept if id not in {*validation, *test}), key=lambda id: place_of(id, SPLIT_SEED))
    if not test:
        count = max(1, int(TEST_SHARE * len(rest)))
        test, rest = rest[:count], rest[count:]
    if not validation:
        count = max(1, int(TEST_SHARE * len(rest)))
        validation, rest = rest[:count], rest[count:]
    parts = {"training": rest, "validation": validation, "test": test}
    return {part: sorted(ids) for part, ids in parts.items()}


def described(found: Survey) -> Iterator[str]:
    """Yield a line describing each finding."""
    for dataset in found.datasets:
        parts = ", ".join(f"{part}.txt {len(ids)}" for part, ids in dataset.lists.items())
        yield f"{dataset.path}: a dataset of {len(dataset.stored)} clips; file lists: {parts or 'none'}."
        if spec := dataset.spec:
            yield (
                f"  its mel: {spec.sampling_rate} Hz, hop {spec.hop_length}, n_fft {spec.n_fft}, {spec.n_mels} bins, "
                f"pre-emphasis {spec.preemphasis:g}."
            )
    for place in found.recordings:
        yield f"{place.path}: {len(place.files)} {place.kind}."
    for acoustic in found.acoustic:
        age = "an unknown epoch" if acoustic.epoch is None else f"epoch {acoustic.epoch}"
        yield f"{acoustic.path}: a mel generator of {age}, {acoustic.n_mels} bins, LSTM {acoustic.rnn_hidden}."
    for vocoder in found.vocoders:
        config = f"{vocoder.config.padding} padding" if vocoder.config else "no readable config.json beside it"
        rest = "" if vocoder.trainable else ", no do_ file beside it to train on from"
        yield f"{vocoder.path}: HiFi-GAN after {vocoder.steps} steps, {vocoder.n_mels} bins, {config}{rest}."


def report(found: Survey, faults: Sequence[Finding], proposal: Proposal | None, sounds: Mapping[Path, Sounds]) -> str:
    """Return the whole inspection as text for a terminal."""
    sections = [("What is there", list(described(found)))]
    if proposal:
        used = [proposal.dataset.path, sounds[proposal.dataset.path].path]
        used += [model.path for model in (proposal.acoustic, proposal.vocoder) if model]
        sections.append(("What is used together", list(map(str, used))))
    lines = [f"{one.subject}: {one.fault}" for one in faults]
    sections.append(("What does not fit together", lines or ["nothing"]))
    if found.broken:
        sections.append(("What cannot be read", list(dict.fromkeys(found.broken))))
    return "\n\n".join("\n".join([title, "-" * len(title), *lines]) for title, lines in sections)
