"""All settings of the workflow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from rtmri_speech.settings import data, use
from rtmri_speech.settings.acoustic import Acoustic
from rtmri_speech.settings.fields import Name, NotNegative, Section, setting
from rtmri_speech.settings.vocoder import BaseVocoder, Vocoder


def _section(kind: type[Section]) -> Section:
    return setting(kind, kind.__doc__)


@dataclasses.dataclass(frozen=True)
class Settings(Section):
    """All settings with meaning, default and allowed values.

    A file given with --configfile replaces config/config.yaml; missing settings have these defaults, and unknown keys
    are refused.
    """

    section: ClassVar[str] = ""

    results: Path = setting(Path("results"), "Directory of all results; give each experiment its own.")
    dataset: Path | None = setting(
        None,
        "Directory of the processed dataset, which several experiments may share. Empty means <results>/dataset.",
    )
    corpus: data.Corpus = _section(data.Corpus)
    lab: data.Lab = _section(data.Lab)
    video: data.Video = _section(data.Video)
    audio: data.Audio = _section(data.Audio)
    mel: data.Mel = _section(data.Mel)
    windows: data.Windows = _section(data.Windows)
    split: data.Split = _section(data.Split)
    bands: dict[Name, tuple[NotNegative, NotNegative]] = setting(
        lambda: {"F1": (300.0, 900.0), "F2": (900.0, 2500.0)},
        "Formant bands for Grad-CAM and the error by band, each name with its lowest and highest frequency, Hz.",
    )
    acoustic: Acoustic = _section(Acoustic)
    vocoder: Vocoder = _section(Vocoder)
    base_vocoder: BaseVocoder = _section(BaseVocoder)
    synthesis: use.Synthesis = _section(use.Synthesis)
    pack: use.Pack = _section(use.Pack)
    analysis: use.Analysis = _section(use.Analysis)
    explain: use.Explain = _section(use.Explain)
    evaluation: use.Evaluation = _section(use.Evaluation)
    report: use.Report = _section(use.Report)
    cluster: use.Cluster = _section(use.Cluster)
