"""``clips.json`` of a processed directory: what is known of each clip beside its files, and how the split was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rtmri_speech.atomic import save_json
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.settings.data import By
from rtmri_speech.untrusted import read_json, require_type

FILE = "clips.json"


@dataclass(frozen=True)
class Catalogue:
    """What `write_catalogue` wrote; nothing for a directory without it.

    Attributes
    ----------
    by : what the split never parts.
    groups : each clip's group in that sense.
    titles : what a person reads in place of an id that was made of a file's name.
    """

    by: By = "clip"
    groups: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)

    def title(self, id: str) -> str:
        """Return what a person reads for a clip."""
        return self.titles.get(id, id)


def write_catalogue(path: str | Path, clips: Mapping[str, Clip], by: By, groups: Mapping[str, str]) -> None:
    """Write the title, speaker, text, repetition and recording of each clip, and its group in the split ``by``."""
    described = {
        id: {
            "title": clip.title,
            "speaker": clip.speaker,
            "text": clip.text,
            "repetition": clip.repetition,
            "recording": clip.video.name,
            "group": groups[id],
        }
        for id, clip in clips.items()
    }
    save_json(
        path,
        {
            "split_by": by,
            "clips": {
                id: {name: value for name, value in one.items() if value is not None} for id, one in described.items()
            },
        },
    )


def read_catalogue(processed_dir: str | Path) -> Catalogue:
    """Read ``clips.json`` of a processed directory; one that was made by hand or by an older version has none.

    Raises
    ------
    UserError
        It is damaged.
    """
    path, remedy = Path(processed_dir) / FILE, "delete it and make it again (snakemake dataset)"
    if not path.is_file():
        return Catalogue()
    content = require_type(read_json(path, missing=remedy, remedy=remedy), dict, "its content", path, remedy)
    by = require_type(content.get("split_by"), By, "split_by", path, remedy)
    clips = require_type(content.get("clips"), dict[str, dict], "clips", path, remedy)
    named = {
        key: {
            id: require_type(clip[key], str, key, path, remedy)
            for id, clip in clips.items()
            if clip.get(key) is not None
        }
        for key in ("group", "title")
    }
    return Catalogue(by, named["group"], named["title"])
