"""Settings of synthesis, packs, analyses, scores, the page, and clusters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from rtmri_speech.settings.acoustic import Context
from rtmri_speech.settings.fields import Count, Name, Section, Share, Whole, Within, setting

Colormap = Literal["inferno", "viridis", "cividis", "jet"]
Language = Literal["ja", "en"]
Method = Literal["gradcam", "integrated_gradients", "occlusion"]
"""Methods of maps: Grad-CAM, integrated gradients, or the effect of covering a place."""
METHOD_TITLES: dict[str, str] = {
    "gradcam": "Grad-CAM",
    "integrated_gradients": "Integrated gradients",
    "occlusion": "Occlusion",
}
Hertz = Annotated[float, Within(ge=20, le=2000)]


@dataclasses.dataclass(frozen=True)
class Mask(Section):
    """An articulator to darken."""

    section: ClassVar[str] = "synthesis.masks"

    type: Literal["lip", "tongue", "custom"] = setting(
        "lip", "Polygon to mask: one of the lab's, or custom.", flag="mask-type"
    )
    polygons: Path | None = setting(None, "JSON file of polygons, [[x, y], ...] in a 256x256 picture, for custom.")
    alpha: Share = setting(1.0, "Opacity; 1 is black.")
    blur_kernel: Whole = setting(11, "Blur of the edge, odd number of pixels; 0 for a hard edge.")


@dataclasses.dataclass(frozen=True)
class Synthesis(Section):
    """Synthesis of speech from video."""

    section: ClassVar[str] = "synthesis"

    engine: Literal["pack", "torch"] = setting(
        "pack",
        "Engine for synthesis: pack (ONNX Runtime, four times faster), or torch (the checkpoints; for bfloat16,"
        " or a backbone that packs do not support).",
    )
    vocoder: Literal["hifigan", "griffin-lim", "world"] = setting(
        "hifigan",
        "hifigan: the vocoder trained here, or the given one; others need no training: griffin-lim is better than one"
        " of other voices that is trained little (evaluation/copy_synthesis.md compares the two); world is voiced where"
        " the predicted mel is too smooth for others, and needs acoustic.pitch.",
    )
    bf16: bool = setting(
        False,
        "Use bfloat16 for most of both models, if supported by the CPU or GPU; the sound differs slightly."
        " Requires engine torch.",
    )
    mri_checkpoint: Path | None = setting(None, "A mel generator to use instead of training one, such as the lab's.")
    scaler_json: Path | None = setting(None, "Scaler of a mel generator that does not contain it (the lab's).")
    hifigan_checkpoint: Path | None = setting(
        None,
        "A vocoder, g_<steps>, to use instead of training one. Mels of another frame rate are interpolated to its own.",
    )
    hifigan_config: Path | None = setting(None, "Config of that vocoder. Empty means the config.json beside it.")
    new_videos: Path | None = setting(
        None, "Videos outside the corpus to synthesise - a directory, or a TSV as corpus.table."
    )
    speaker: str | None = setting(
        None,
        "Who speaks in them, with acoustic.speaker_statistics. Empty means whom the TSV names, or else the statistics"
        " of all speakers.",
    )
    masks: dict[Name, Mask] = setting(dict, "Articulators to darken, by name.")
    memory_mb: Count | None = setting(
        None,
        "Memory of a synthesis job, MB. Empty means 1000, or 2000 with engine torch.",
    )


@dataclasses.dataclass(frozen=True)
class Pack(Section):
    """Licence and consent stated in the pack, a voice being personal data; and how its CNN computes."""

    section: ClassVar[str] = "pack"

    licence: str = setting("not stated", "Licence of the pack.")
    speaker: str = setting("not stated", "Person whose voice and images the models were trained on.")
    consent: str = setting("not stated", "The speaker's consent.")
    cnn: Literal["float32", "int8"] = setting(
        "float32",
        "Numbers the pack's CNN computes with: float32, or int8, which is faster and four times smaller and changes the"
        " mel a little (docs/packs.md). The scales of int8 are found on training frames.",
    )


@dataclasses.dataclass(frozen=True)
class Analysis(Section):
    """Grad-CAM, the masking study and the evaluation, which use torch."""

    section: ClassVar[str] = "analysis"

    gpus: Annotated[int, Within(ge=0, le=1)] = setting(
        0, "GPUs of each analysis job and of synthesis by torch, 0 or 1. 0 is the CPU."
    )


@dataclasses.dataclass(frozen=True)
class Darkening(Section):
    """What the masking study darkens."""

    section: ClassVar[str] = "explain.masking"

    alphas: Annotated[tuple[Annotated[float, Within(gt=0, le=1)], ...], Within(min_length=1)] = setting(
        (0.25, 0.5, 0.75, 1.0), "Opacities; 1 is black."
    )
    lab_polygons: tuple[Literal["lip", "tongue"], ...] = setting(
        ("lip", "tongue"), "The lab's polygons to mask.", flag="masks"
    )


@dataclasses.dataclass(frozen=True)
class Masking(Darkening):
    """The masking study."""

    regions: bool = setting(False, "Also mask each region of explain.regions.")


@dataclasses.dataclass(frozen=True)
class Look(Section):
    """How maps are drawn."""

    section: ClassVar[str] = "explain"

    colormap: Colormap = setting(
        "inferno",
        "Colours of the maps; jet is the lab's, the others are perceptually uniform and safe for colour blindness.",
    )
    alpha: Share = setting(0.7, "Opacity of the hottest place.")
    blend: Literal["heat", "even"] = setting(
        "heat",
        "Opacity: heat (proportional to the map) or even (constant, as in the lab's system).",
    )


@dataclasses.dataclass(frozen=True)
class GradCam(Look):
    """How the maps of a clip are made, all of it flags of ``mri_gradcam_formant.py``."""

    method: Method = setting(
        "gradcam",
        "gradcam, as in the lab's system; integrated_gradients, which did best in docs/explanation.md, at ten times the"
        " cost; or occlusion, slower still. The files are named gradcam in any case.",
    )
    stride: Count | None = setting(
        None,
        "Pixels per cell of Grad-CAM's maps, in the CNN's input; an earlier stage is finer and requires a backward"
        " pass. Empty means the CNN's last stage, as in the lab's system.",
    )
    reduction: Literal["mean", "sum"] = setting("mean", "Reduction of a band's power over time.")
    scaling: Literal["clip", "frame"] = setting(
        "clip",
        "Scaling of maps to 0 to 1: clip (one factor per clip and band), or frame (each frame from its minimum to"
        " its maximum, as in the lab's system).",
    )
    target_frames: tuple[Whole, ...] = setting(
        (), "Frames that are also drawn and explained individually; every test clip must have them."
    )
    intervals: tuple[str, ...] = setting(
        (), "Excerpts of the sequences, in seconds, such as first2s or 0.8-1.2; every test clip must have them."
    )


@dataclasses.dataclass(frozen=True)
class Film(Look):
    """How films of maps are made."""

    film_scaling: Literal["clip", "frame"] = setting(
        "frame",
        "Scaling of maps in films: clip (as stored, so that loud frames dominate) or frame (each by its own maximum).",
        flag="scaling",
    )


@dataclasses.dataclass(frozen=True)
class Explain(Film, GradCam):
    """Grad-CAM by formant band (the bands are the top-level section), and the masking study."""

    legend: bool = setting(True, "Draw band, scale and time on the films.")
    regions: Path | None = setting(
        None,
        "JSON of regions of the head, {group: {region: [[x, y], ...]}} in a 256 x 256 picture, for shares of the"
        " maps; the first two groups are compared. Relative to the repository. Empty for none.",
    )
    masking: Masking = setting(Masking)


@dataclasses.dataclass(frozen=True)
class F0(Section):
    """Where F0 is sought."""

    section: ClassVar[str] = "evaluation"

    f0_range: tuple[Hertz, Hertz] | None = setting(
        None,
        "Lowest and highest F0 of the speakers, Hz, for F0 and voicing. Empty estimates it from the training"
        " clips; the result is in the page and scores.json.",
    )


@dataclasses.dataclass(frozen=True)
class Recognition(Section):
    """What recognises the speech."""

    section: ClassVar[str] = "evaluation"

    asr: str | None = setting(
        None,
        "Whisper model to measure intelligibility - the directory of one in CTranslate2's format, or the name of"
        " one downloaded by faster-whisper; nothing is downloaded here. Requires the extra asr. Empty skips it.",
    )
    language: Language = setting("ja", "Spoken language, for asr - Japanese or English.")


@dataclasses.dataclass(frozen=True)
class Evaluation(F0, Recognition):
    """Scores of the test clips, with the baselines mean mel, nearest neighbours and copy synthesis."""

    contexts: tuple[Context, ...] = setting(
        ("sequence", "window", "causal"),
        "LSTM contexts, each a row of the scores; acoustic.context is always first.",
    )


@dataclasses.dataclass(frozen=True)
class Report(Section):
    """The results page."""

    section: ClassVar[str] = "report"

    films: bool = setting(True, "Create Grad-CAM films of the test clips and show them beside the videos.")
    compare_with: tuple[Path, ...] = setting(
        (), "Results directories of other experiments; the target compare makes a page of this one against the first."
    )


@dataclasses.dataclass(frozen=True)
class Cluster(Section):
    """Distribution of jobs on a cluster."""

    section: ClassVar[str] = "cluster"

    clips: Literal["submitted", "local"] = setting(
        "submitted",
        "submitted: jobs of single clips are submitted like all others (Snakemake's groups combine several into"
        " one submission); local: they run where Snakemake runs, in a job of the cluster itself, and the other"
        " jobs are submitted. Jobs with GPUs are always submitted.",
    )
