"""All settings of the workflow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from rtmri_speech.settings import data, use
from rtmri_speech.settings.acoustic import Acoustic
from rtmri_speech.settings.fields import Name, NotNegative, Section, setting
from rtmri_speech.settings.vocoder import BaseVocoder, Vocoder

FORMANT_BANDS = {"F1": (300.0, 900.0), "F2": (900.0, 2500.0)}
"""Default bands, Hz."""

WRITTEN_BANDS = [f"{name}:{low:g}-{high:g}" for name, (low, high) in FORMANT_BANDS.items()]
"""The same for command lines (`explain.bands.Band.parse`)."""


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
    corpus: data.Corpus = setting(data.Corpus)
    lab: data.Lab = setting(data.Lab)
    video: data.Video = setting(data.Video)
    audio: data.Audio = setting(data.Audio)
    mel: data.Mel = setting(data.Mel)
    windows: data.Windows = setting(data.Windows)
    split: data.Split = setting(data.Split)
    bands: dict[Name, tuple[NotNegative, NotNegative]] = setting(
        lambda: dict(FORMANT_BANDS),
        "Formant bands for Grad-CAM and the error by band, each name with its lowest and highest frequency, Hz.",
    )
    acoustic: Acoustic = setting(Acoustic)
    vocoder: Vocoder = setting(Vocoder)
    base_vocoder: BaseVocoder = setting(BaseVocoder)
    synthesis: use.Synthesis = setting(use.Synthesis)
    pack: use.Pack = setting(use.Pack)
    analysis: use.Analysis = setting(use.Analysis)
    explain: use.Explain = setting(use.Explain)
    evaluation: use.Evaluation = setting(use.Evaluation)
    report: use.Report = setting(use.Report)
    cluster: use.Cluster = setting(use.Cluster)
