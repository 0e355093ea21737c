"""The proposal of a project: configuration, table of clips and HiFi-GAN's JSON, with what is said of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from rtmri_speech.atomic import save_text
from rtmri_speech.configuration import configuration_text, load_configuration
from rtmri_speech.corpora.cut import cut_recordings, write_table
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.split import SPLITS
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import Loss
from rtmri_speech.settings.all import Settings
from rtmri_speech.settings.data import Split, Windows
from rtmri_speech.settings.fields import plain
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.signal.video import frames_at_rate
from rtmri_speech.start import choices
from rtmri_speech.start.measured import audit_stretches, f0_range
from rtmri_speech.start.recordings import Found, Seen, as_directories
from rtmri_speech.vocoder.config import VocoderConfig, read_config, write_config

SIZES = {"small": "small.yaml", "full": "full_size.yaml"}
"""Names of sizes, and the files in ``config/`` that have their numbers."""

_HEAD = """\
# Written by start_project.py. Every setting, with its default, is described in config/schema.yaml of rtmri-speech.
"""


@dataclass
class Project:
    """A proposal, and where it is written.

    Attributes
    ----------
    path : of the configuration; the other files lie beside it.
    size : of `SIZES`.
    settings : the configuration's content.
    clips : by id, those of the table if there is one.
    vocoder : HiFi-GAN's config.
    frames : of the training clips.
    notes : what is proposed, and why, in sentences.
    """

    path: Path
    size: str
    settings: dict[str, Any] = field(default_factory=dict)
    clips: dict[str, Clip] = field(default_factory=dict)
    vocoder: VocoderConfig | None = None
    frames: int = 0
    notes: list[str] = field(default_factory=list)

    def beside(self, name: str) -> Path:
        """Return the path of a file of the project: ``mine.clips.tsv`` beside ``mine.yaml``."""
        return self.path.with_name(f"{self.path.stem}.{name}")

    @property
    def table(self) -> Path:
        """The table of clips."""
        return self.beside("clips.tsv")

    @property
    def vocoder_config(self) -> Path:
        """HiFi-GAN's config."""
        return self.beside("hifigan.json")

    @property
    def files(self) -> list[Path]:
        """What `write` writes."""
        table = [self.table] if self.settings["corpus"]["source"] == "table" else []
        return [self.path, self.vocoder_config, *table]

    def checked(self) -> Settings:
        """Return the settings as the workflow reads them."""
        return load_configuration(self.settings)

    def write(self) -> None:
        """Write the files."""
        if self.table in self.files:
            write_table(self.table, self.clips.values())
        write_config(self.vocoder_config, self.vocoder)
        save_text(self.path, configuration_text(self.settings, _HEAD, {}))


def propose(found: Found, directory: Path, path: Path, size: str, checkout: Path) -> Project:
    """Return the proposal for what was found.

    Parameters
    ----------
    found, directory : of `find_recordings`, and where.
    path : of the configuration to write.
    size : of `SIZES`.
    checkout : of this project, whose ``config/`` has the sizes.

    Raises
    ------
    UserError
        There are too few clips, or the configuration would be refused.
    """
    project, seen = Project(path, size), found.seen
    rate = choices.common_rate([(one.rate, one.seconds) for one in seen.values()])
    spec = choices.mel_for(rate, max(one.seconds for one in seen.values()))
    resampled = [id for id, one in seen.items() if not _has_rate_of(spec, one.clip)]
    frame_rate = f"{float(spec.frame_rate):.5g} frames/s"
    project.notes.append(f"Mel: {spec.sampling_rate} Hz, hop {spec.hop_length} ({frame_rate}), {spec.n_mels} bins.")
    if resampled:
        project.notes.append(
            f"Clips of another or a variable rate, resampled (video.resampling: nearest): {len(resampled)}."
        )
    project.clips = _cut(project, _in_sync(project, found, spec, resampled), seen)
    split, divided = choices.split_for(project.clips)
    counts = ", ".join(f"{len(divided.splits[part])} {part}" for part in SPLITS)
    project.notes += [f"Split by {divided.by}: {counts}.", *divided.notes]
    training = divided.splits["training"]
    project.frames = _frames(project.clips, seen, rate, training)
    picture = _picture(seen, size)
    _note_disk(project, picture, spec, _frames(project.clips, seen, rate, list(project.clips)))
    base = yaml.safe_load((checkout / "config" / SIZES[size]).read_text(encoding="utf-8"))
    project.vocoder = choices.vocoder_config(read_config(checkout / base["vocoder"]["config"]), spec)
    project.settings = {
        "results": _written(project.beside("results")),
        "corpus": _corpus(project, found, directory),
        "video": {"size": list(picture)} | ({"resampling": "nearest"} if resampled else {}),
        "mel": {name: getattr(spec, name) for name in ("sampling_rate", "n_fft", "hop_length", "n_mels")},
        "split": _changed(split),
        "windows": _windows(base, rate, size),
        "acoustic": _acoustic(base["acoustic"], spec, picture, project),
        "vocoder": base["vocoder"] | {"config": _written(project.vocoder_config), "base": _base(project, checkout)},
        "synthesis": {"vocoder": _speaker(project, rate)},
        "evaluation": _f0(project, [project.clips[id] for id in training], spec),
    }
    project.settings |= {name: section for name, section in base.items() if name not in project.settings}
    project.checked()
    return project


def _has_rate_of(spec: MelSpec, clip: Clip) -> bool:
    """Whether the frames of a clip are the mel's, without resampling."""
    cut: dict[str, Any] = {"start": clip.start, "end": clip.end, "own_rate": clip.frame_rate}
    try:
        next(frames_at_rate(clip.video, spec.frame_rate, **cut))
    except UserError:
        return False
    return True


def _in_sync(project: Project, found: Found, spec: MelSpec, resampled: Sequence[str]) -> dict[str, Clip]:
    """The clips with a measured offset, where it is clear; a public set's reader knows its own."""
    clips = {id: one.clip for id, one in found.seen.items()}
    if found.source != "directories":
        return clips
    audit = audit_stretches([one for id, one in found.seen.items() if id not in resampled], spec)
    offset = None if audit is None else choices.offset_of(audit)
    if offset is None:
        project.notes.append("Offset between sound and picture: could not be measured; none is assumed.")
        return clips
    measured = (
        f"Offset between sound and picture: {offset.offset_ms:+.0f} ms in the median of {offset.stretches} stretches,"
        f" three of four within {offset.spread_ms:.0f} ms of it"
    )
    if not offset.clear:
        why = "articulators move about so far ahead of their sound" if offset.agree else "that is not clear"
        project.notes.append(f"{measured}; {why}, and nothing is corrected.")
        return clips
    project.notes.append(f"{measured}; it is corrected (column av_offset_ms of the table).")
    return {id: replace(clip, av_offset_ms=offset.offset_ms) for id, clip in clips.items()}


def _cut(project: Project, clips: Mapping[str, Clip], seen: Mapping[str, Seen]) -> dict[str, Clip]:
    """The clips, with utterances in place of recordings that are to be cut, by the first way that gives several."""
    seconds = {id: one.seconds for id, one in seen.items()}
    long = {id for id in choices.needs_cutting(seconds) if clips[id].start is None}
    total = sum(seconds[id] for id in long)
    cut: dict[str, Clip] = {}
    ways: dict[str, list[Clip]] = {}
    for id, clip in clips.items():
        if id not in long:
            cut[id] = clip
            continue
        for by in ("tier", "silence", "equal"):
            try:
                utterances = cut_recordings({id: clip}, choices.cutting_of(total, by))
            except UserError:
                if by == "equal":
                    raise
                # Without an annotation, or silences, the next way is taken.
                continue
            if len(utterances) >= min(choices.FEWEST_CLIPS // 2, seconds[id] / choices.LONG_S) or by == "equal":
                cut |= {one.id: one for one in utterances}
                ways.setdefault(by, []).extend(utterances)
                break
    words = {"tier": "a tier of its annotation", "silence": "silences", "equal": "equal stretches"}
    for by, utterances in ways.items():
        count = len({one.video for one in utterances})
        project.notes.append(f"Recordings cut by {words[by]}: {count}, into {len(utterances)} utterances.")
    return cut


def _frames(clips: Mapping[str, Clip], seen: Mapping[str, Seen], rate: Fraction, ids: Sequence[str]) -> int:
    """Frames of some of the clips."""
    seconds = (seen[id].seconds if id in seen else (clips[id].end or 0.0) - (clips[id].start or 0.0) for id in ids)
    return round(sum(seconds) * float(rate))


def _picture(seen: Mapping[str, Seen], size: str) -> tuple[int, int]:
    """Height and width of stored frames: the memo's at full size, else the smallest clip's, up to the memo's."""
    full = choices.FULL_PICTURE
    if size == "full":
        return full
    height, width = min((one.size for one in seen.values()), key=min)
    return min(max(height, 16), full[0]), min(max(width, 16), full[1])


def _note_disk(project: Project, picture: tuple[int, int], spec: MelSpec, frames: int) -> None:
    needed = choices.dataset_bytes(frames, picture, spec) + choices.MODEL_BYTES[project.size]
    free = shutil.disk_usage(project.path.parent).free
    project.notes.append(
        f"Disk: about {needed / 1e9:.1f} GB of {free / 1e9:.0f} GB that are free in {project.path.parent}"
        + ("; that is too little." if needed > free else ".")
    )


def _corpus(project: Project, found: Found, directory: Path) -> dict[str, Any]:
    """The section corpus: the set, or the directories, where they say all of it, else the table."""
    own = {id: one.clip for id, one in found.seen.items()}
    if project.clips == own and found.source != "directories":
        return {"source": found.source, "directory": _written(directory), "exclude": sorted(found.refused)}
    if places := as_directories(project.clips):
        return {"source": "directories", "videos": _written(places[0]), "audio": places[1] and _written(places[1])}
    return {"source": "table", "table": _written(project.table)}


def _windows(base: dict[str, Any], rate: Fraction, size: str) -> dict[str, Any]:
    frames = base.get("windows", {}).get("ref_frames", Windows.ref_frames)
    return {"ref_frames": choices.window_of(frames, rate) if size == "small" else frames}


def _acoustic(base: dict[str, Any], spec: MelSpec, picture: tuple[int, int], project: Project) -> dict[str, Any]:
    """The section acoustic: the size's numbers, for this mel, picture and length."""
    section = base | {"loss": base.get("loss", {}) | {"bands": choices.loss_bands(Loss().bands, spec)}}
    if project.size == "small":
        section |= choices.epochs_of(base["epochs"], base["stretch"] * base["batch_size"], project.frames)
        if min(picture) < min(base.get("image_size") or picture):
            section["image_size"] = None
    return section


def _base(project: Project, checkout: Path) -> str | None:
    """The base that the demo starts from, if it is of the same mel and network."""
    demo = yaml.safe_load((checkout / "config" / "config.yaml").read_text(encoding="utf-8"))
    base = demo["vocoder"]["base"]
    fits = read_config((checkout / base).parent).network() == project.vocoder.network()
    return base if fits else None


def _speaker(project: Project, rate: Fraction) -> str:
    speaker = choices.speaks_by(project.size, project.frames / float(rate) / 60)
    project.notes.append(
        "Vocoder: HiFi-GAN, trained on the recordings."
        if speaker == "hifigan"
        else f"Vocoder: {speaker}, which needs no training; synthesis: {{vocoder: hifigan}} trains a HiFi-GAN, which"
        " takes much speech and time."
    )
    return speaker


def _f0(project: Project, training: Sequence[Clip], spec: MelSpec) -> dict[str, Any]:
    found = f0_range(training, spec)
    if found is None:
        return {}
    project.notes.append(f"F0 of the training clips: {found[0]} to {found[1]} Hz (evaluation.f0_range).")
    return {"f0_range": list(found)}


def _changed(split: Split) -> dict[str, Any]:
    """The settings of a split that are not at their defaults."""
    return {name: value for name, value in plain(split).items() if value != plain(Split())[name]}


def _written(path: Path) -> str:
    """A path as in the configuration: from the working directory if it lies below, else in full."""
    path = path.absolute()
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()
