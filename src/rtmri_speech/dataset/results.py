"""A results directory, and where its dataset and other named files are: an experiment may use those of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtmri_speech.untrusted import read_json, require_type

SETTINGS_FILE = "settings.json"

_AGAIN = "make the page again (snakemake), which writes it"


@dataclass(frozen=True)
class Results:
    """A results directory.

    Attributes
    ----------
    settings : its configuration (``settings.json``); empty if it was not written.
    """

    directory: Path
    settings: Mapping[str, Any]

    def path(self, named: str) -> Path:
        """Return a path of the settings, which is relative to where the workflow ran."""
        results = Path(self.settings["results"])
        if results.is_absolute():
            return Path(named)
        return self.directory.absolute().parents[len(results.parts) - 1] / named

    @property
    def dataset(self) -> Path:
        """The processed dataset."""
        named = self.settings.get("dataset")
        return self.path(named) if named else self.directory / "dataset"

    @property
    def demo(self) -> Path:
        """Where the recordings of the demo corpus are, if it was generated."""
        return self.dataset.parent / "demo"


def open_results(directory: str | Path) -> Results:
    """Return a results directory with its settings.

    Raises
    ------
    UserError
        The settings are damaged.
    """
    directory = Path(directory)
    path = directory / SETTINGS_FILE
    if not path.is_file():
        return Results(directory, {})
    settings = require_type(read_json(path, missing=_AGAIN, remedy=_AGAIN), dict, "its content", path, _AGAIN)
    require_type(settings.get("results"), str, "results", path, _AGAIN)
    require_type(settings.get("dataset"), str | None, "dataset", path, _AGAIN)
    return Results(directory, settings)
