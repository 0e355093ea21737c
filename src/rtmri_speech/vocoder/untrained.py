"""Vocoders without training, by the name in `synthesis.vocoder`; a JSON file stands for one as its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtmri_speech import atomic
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.untrusted import read_json, require_type
from rtmri_speech.vocoder.blocks import MelVocoder
from rtmri_speech.vocoder.griffin_lim import GriffinLim
from rtmri_speech.vocoder.world import World

UNTRAINED: Mapping[str, type[GriffinLim] | type[World]] = {"griffin-lim": GriffinLim, "world": World}
"""What makes the vocoder of a mel, by the names that `synthesis.vocoder` has beside hifigan."""


def write_untrained(path: str | Path, name: str, spec: MelSpec) -> None:
    """Write the file that stands for the vocoder ``name`` of `UNTRAINED`, with its mel."""
    atomic.save_json(path, {"vocoder": name, "mel": spec.to_dict()})


def read_untrained(path: str | Path) -> tuple[str, MelVocoder]:
    """Return name and vocoder of a file of `write_untrained`.

    Raises
    ------
    UserError
        There is no such file, or it is of another kind.
    """
    remedy = "give a g_<steps> file, or one that synthesis.vocoder makes"
    content = require_type(
        read_json(path, missing="check the path", remedy=remedy), dict[str, object], "its content", path, remedy
    )
    name = content.get("vocoder")
    if not isinstance(name, str) or name not in UNTRAINED:
        raise UserError(path, "is not a vocoder", remedy)
    mel = require_type(content.get("mel"), dict[str, object], "mel", path, remedy)
    return name, UNTRAINED[name](MelSpec.from_dict(mel, str(path)))
