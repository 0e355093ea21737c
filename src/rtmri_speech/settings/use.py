"""Settings of what is done with the models: speech, packs, analyses, scores, the page, and a cluster's jobs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from rtmri_speech.settings.acoustic import Context
from rtmri_speech.settings.fields import Count, Name, Section, Share, Whole, Within, setting

Colormap = Literal["inferno", "viridis", "cividis", "jet"]
Hertz = Annotated[float, Within(ge=20, le=2000)]


@dataclasses.dataclass(frozen=True)
class Mask(Section):
    """An articulator to darken."""

    section: ClassVar[str] = "synthesis.masks"

    type: Literal["lip", "tongue", "custom"] = setting(
        "lip", "Whose polygon, the lab's; custom has its own.", flag="mask-type"
    )
    polygons: Path | None = setting(None, "JSON file of polygons, [[x, y], ...] in a 256x256 picture, for custom.")
    alpha: Share = setting(1.0, "1 is black; less lets the picture through.")
    blur_kernel: Whole = setting(11, "Softness of the edge, odd pixels; 0 is hard.")


@dataclasses.dataclass(frozen=True)
class Synthesis(Section):
    """From video to speech."""

    section: ClassVar[str] = "synthesis"

    engine: Literal["pack", "torch"] = setting(
        "pack",
        "What speaks: the pack, by ONNX Runtime, in a quarter of the time; or torch, from the checkpoints, for a"
        " backbone that cannot be packed or for bfloat16.",
    )
    vocoder: Literal["hifigan", "griffin-lim"] = setting(
        "hifigan",
        "hifigan: the vocoder trained here, or the given one; griffin-lim: no trained vocoder, which is better than one"
        " of other voices that is trained little. evaluation/copy_synthesis.md compares the two.",
    )
    bf16: bool = setting(
        False,
        "Compute most of both models in bfloat16, where the processor or GPU has it; the sound is not quite the same."
        " Needs engine torch.",
    )
    mri_checkpoint: Path | None = setting(
        None, "A mel generator to use instead of the one trained here, such as the lab's. Nothing is trained for it."
    )
    scaler_json: Path | None = setting(None, "The scaler of a mel generator that does not hold it (the lab's).")
    hifigan_checkpoint: Path | None = setting(None, "A vocoder, g_<steps>, to use instead of the one trained here.")
    hifigan_config: Path | None = setting(None, "That vocoder's config. Empty means the config.json beside it.")
    new_videos: Path | None = setting(
        None, "Videos that are not of the corpus, to make speech of - a directory, or a TSV as corpus.table."
    )
    masks: dict[Name, Mask] = setting(dict, "Articulators to darken, each under a name of its own.")
    memory_mb: Count | None = setting(
        None,
        "Memory that a job asks for which makes speech of a clip, MB. Empty means 1000, or 2000 with engine torch.",
    )


@dataclasses.dataclass(frozen=True)
class Pack(Section):
    """What the pack says of itself where it is shared; a voice is personal data."""

    section: ClassVar[str] = "pack"

    licence: str = setting("not stated", "Under which it may be used.")
    speaker: str = setting("not stated", "Whose voice and pictures the models were trained on.")
    consent: str = setting("not stated", "What the speaker agreed to.")


@dataclasses.dataclass(frozen=True)
class Analysis(Section):
    """Grad-CAM, the masking study and the evaluation, which use the trained models by torch."""

    section: ClassVar[str] = "analysis"

    gpus: Annotated[int, Within(ge=0, le=1)] = setting(
        0, "GPUs of each of their jobs, and of speech by torch, 0 or 1. 0 is the processor."
    )


@dataclasses.dataclass(frozen=True)
class Darkening(Section):
    """What the masking study darkens."""

    section: ClassVar[str] = "explain.masking"

    alphas: Annotated[tuple[Annotated[float, Within(gt=0, le=1)], ...], Within(min_length=1)] = setting(
        (0.25, 0.5, 0.75, 1.0), "How dark, 1 for black."
    )
    lab_polygons: tuple[Literal["lip", "tongue"], ...] = setting(
        ("lip", "tongue"), "Which of the lab's polygons are masked.", flag="masks"
    )


@dataclasses.dataclass(frozen=True)
class Masking(Darkening):
    """The masking study."""

    regions: bool = setting(False, "Mask each region of explain.regions too.")


@dataclasses.dataclass(frozen=True)
class Look(Section):
    """How maps are drawn."""

    section: ClassVar[str] = "explain"

    colormap: Colormap = setting(
        "inferno",
        "Colours of the maps; jet is the lab's, the others are even in brightness and safe for colour-blind eyes.",
    )
    alpha: Share = setting(0.7, "Opacity of the hottest place.")
    blend: Literal["heat", "even"] = setting(
        "heat",
        "How opacity follows the map: heat (cold places show the frame) or even (the same everywhere, as the lab).",
    )


@dataclasses.dataclass(frozen=True)
class GradCam(Look):
    """How the maps of a clip are made, all of it flags of ``mri_gradcam_formant.py``."""

    stride: Count | None = setting(
        None,
        "Pixels that a cell of the maps stands for, in the picture the CNN sees; an earlier stage is finer and needs a"
        " backward pass. Empty means the CNN's last stage, as the lab.",
    )
    reduction: Literal["mean", "sum"] = setting("mean", "How a band's power is taken over time.")
    scaling: Literal["clip", "frame"] = setting(
        "clip",
        "Maps to 0 to 1: each clip and band by one factor, or each frame from its minimum to its maximum, as the lab.",
    )
    target_frames: tuple[Whole, ...] = setting(
        (), "Frames that are also drawn, and explained each by its own; every test clip must have them."
    )
    intervals: tuple[str, ...] = setting(
        (), "Cut-outs of the sequences, in seconds, such as first2s or 0.8-1.2; every test clip must have them."
    )


@dataclasses.dataclass(frozen=True)
class Film(Look):
    """How films of maps are made."""

    film_scaling: Literal["clip", "frame"] = setting(
        "frame",
        "Maps in the films: clip (as stored, so that loud frames outshine the others) or frame (each by its own"
        " maximum).",
        flag="scaling",
    )


@dataclasses.dataclass(frozen=True)
class Explain(Film, GradCam):
    """Grad-CAM by formant band (the bands are the top-level section), and the masking study."""

    legend: bool = setting(True, "Burn band, scale and time into the films.")
    regions: Path | None = setting(
        None,
        "JSON of the parts of the head, {group: {region: [[x, y], ...]}} in a 256 x 256 picture, whose share of the"
        " maps is told; two groups are compared. Relative to the repository. Empty for none.",
    )
    masking: Masking = setting(Masking, Masking.__doc__)


@dataclasses.dataclass(frozen=True)
class F0(Section):
    """Where F0 is sought."""

    section: ClassVar[str] = "evaluation"

    f0_range: tuple[Hertz, Hertz] | None = setting(
        None,
        "Lowest and highest F0 of the speakers, Hz: voicing and F0 are judged within. Empty proposes it from the"
        " training clips; the page and scores.json say which range it was.",
    )


@dataclasses.dataclass(frozen=True)
class Recognition(Section):
    """What recognises the speech."""

    section: ClassVar[str] = "evaluation"

    asr: str | None = setting(
        None,
        "Whisper model that measures how much of the speech is understood - the directory of one in CTranslate2's"
        " format, or the name of one that faster-whisper has fetched before; nothing is fetched here. Needs the extra"
        " asr. Empty measures nothing.",
    )
    language: Literal["ja", "en"] = setting("ja", "What is spoken, for asr - Japanese or English.")


@dataclasses.dataclass(frozen=True)
class Evaluation(F0, Recognition):
    """Scores of the test clips, beside floor, look-up and ceiling."""

    contexts: tuple[Context, ...] = setting(
        ("sequence", "window", "causal"),
        "What the LSTM sees for a frame, each a row of the scores; acoustic.context always comes first.",
    )


@dataclasses.dataclass(frozen=True)
class Report(Section):
    """The page to look and listen."""

    section: ClassVar[str] = "report"

    films: bool = setting(True, "Make Grad-CAM films of the test clips and show them beside the videos.")


@dataclasses.dataclass(frozen=True)
class Cluster(Section):
    """How the jobs are shared out on a cluster."""

    section: ClassVar[str] = "cluster"

    clips: Literal["submitted", "local"] = setting(
        "submitted",
        "submitted: each job of a clip is submitted, as all jobs are (Snakemake's groups put several into one"
        " submission); local: they run where Snakemake runs, which is then a job of the cluster itself, and the others"
        " are submitted. Jobs that ask for a GPU are always submitted.",
    )
