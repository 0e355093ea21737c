"""Settings of the recordings and the dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from rtmri_speech.settings.fields import (
    Count,
    Id,
    NotNegative,
    Positive,
    Section,
    ShareBelowOne,
    Whole,
    Within,
    setting,
)

GAP_S = 1.0
"""Seconds between two blocks of one recording: longer than what one sound has to do with the next."""

Resampling = Literal["refuse", "nearest", "mean"]
"""Ways to handle a video of another frame rate."""

By = Literal["clip", "text", "speaker", "recording"]
"""What clips that a split never parts have in common."""

PublicSet = Literal["usc75", "usc_timit", "usc_lss", "atr503", "rtmridb", "artspeech"]
"""Data sets that are read as they are distributed."""

Pixels = Annotated[int, Within(ge=16, le=4096)]


@dataclasses.dataclass(frozen=True)
class Demo(Section):
    """The embedded corpus (source demo)."""

    section: ClassVar[str] = "corpus.demo"

    clips: Annotated[int, Within(ge=3, le=100_000)] = setting(40, "Number of sentences, with ids from 000.")
    seed: Whole = setting(503, "Seed of sentences, poses, voices and noise.")


@dataclasses.dataclass(frozen=True)
class RawVideos(Section):
    """Normalise raw recordings first (source directories or table). Empty means they are normalised."""

    section: ClassVar[str] = "corpus.raw_videos"

    crop: tuple[Whole, Whole, Whole, Whole] | None = setting(
        None, "Crop box in pixels of the raw video: left, top, width, height. Empty means all of it."
    )
    rotation: float = setting(0.0, "Rotation in degrees, counter-clockwise, before cropping.")


@dataclasses.dataclass(frozen=True)
class Corpus(Section):
    """The recordings."""

    section: ClassVar[str] = "corpus"

    source: Literal["demo", "directories", "table", "lab", PublicSet] = setting(
        "demo",
        "demo: the embedded synthetic corpus; directories: videos/<id>.* with audio/<id>.*; table: a TSV with the"
        " columns id, video, audio, start, end, av_offset_ms; lab: the two directories together with a dataset of"
        " the lab's earlier system (section lab).",
    )
    directory: Path | None = setting(None, "Directory of a public set, as unpacked from its archive.")
    videos: Path | None = setting(None, "Directory of the videos (sources directories and lab).")
    audio: Path | None = setting(
        None, "Directory of the sound files (sources directories and lab); empty means each video's own audio track."
    )
    table: Path | None = setting(None, "TSV of the clips (source table).")
    frame_rate: Positive | None = setting(
        None, "Frames per second of videos that do not say it: directories of PNG or .npy, and .npy, .mat, .h5 files."
    )
    phonemes: Path | None = setting(
        None,
        "Directory of phoneme files <id>.TextGrid or <id>.json (for errors and maps by phoneme; with words, also"
        " for intelligibility), or of transcripts <id>.txt (for intelligibility only); empty for none. The demo"
        " includes its own.",
    )
    exclude: tuple[Id, ...] = setting((), "Ids to exclude.")
    demo: Demo = setting(Demo)
    raw_videos: RawVideos | None = setting(None, RawVideos.__doc__)


@dataclasses.dataclass(frozen=True)
class Lab(Section):
    """Data and models of the lab's earlier system (corpus.source lab); they are only read.

    Windows paths and Japanese names are supported. `python workflow/scripts/inspect_lab_setup.py DIR` writes this
    section.
    """

    section: ClassVar[str] = "lab"

    conventions: Literal["lab", "fixed"] = setting(
        "lab",
        "lab: its frames, mels, masks and scaler are taken over and its models used, with its mel and its vocoder's"
        " padding. fixed: of all that, only the recordings are; mels are made anew (mel.preset hifigan), the scaler"
        " from training clips alone, and both models are trained here. `snakemake -n` says what that is.",
    )
    processed: Path | None = setting(
        None,
        "The lab's processed directory, dataset/rtmri_normalized_processed, with samples or stored windows,"
        " scaler.json and meta.json.",
    )
    mri_checkpoint: Path | None = setting(
        None, "The lab's mel generator, mri_acoustic_model.pt. Empty trains one on the lab's mels."
    )
    hifigan_checkpoint: Path | None = setting(
        None, "The lab's vocoder, a g_<steps> file. Empty trains one on the lab's mels."
    )
    hifigan_config: Path | None = setting(None, "Config of that vocoder. Empty means the config.json beside it.")
    train_on: tuple[Literal["acoustic", "vocoder"], ...] = setting(
        (),
        "Models to train further from the lab's checkpoints, the mel generator with its optimiser state; others"
        " are used unchanged. Predicted mels for the vocoder are from the mel generator in use.",
    )


@dataclasses.dataclass(frozen=True)
class Video(Section):
    """The picture."""

    section: ClassVar[str] = "video"

    size: tuple[Pixels, Pixels] = setting((256, 256), "Height and width of the stored frames, pixels.")
    resampling: Resampling = setting(
        "refuse",
        "Handling of a video whose frame rate is not sampling_rate / hop_length: refuse it, or resample it in"
        " time by the nearest frame or by the mean over the mel frame's interval.",
    )


@dataclasses.dataclass(frozen=True)
class Audio(Section):
    """The sound."""

    section: ClassVar[str] = "audio"

    gain: Positive = setting(1.0, "Factor on every sample, the same for all clips.")


@dataclasses.dataclass(frozen=True)
class Mel(Section):
    """The mel spectrogram, one for dataset, acoustic model, vocoder and metrics."""

    section: ClassVar[str] = "mel"

    preset: Literal["hifigan", "lab", None] = setting(
        None,
        "hifigan: the official HiFi-GAN's (magnitude, centred); lab: the memo's system (power, pre-emphasis, unpadded)."
        " Empty means hifigan, or lab where what the lab made is taken over (lab.conventions).",
        flag="mel_preset",
    )
    sampling_rate: Annotated[int, Within(ge=1000)] = setting(11413, "Samples per second, Hz.", flag="sr")
    n_fft: Annotated[int, Within(ge=16)] = setting(2048, "Length of the Fourier transform, samples.")
    win_length: Annotated[int, Within(ge=16)] | None = setting(
        None, "Length of the window, samples; empty means n_fft."
    )
    hop_length: Count = setting(420, "Samples per frame; sampling_rate / hop_length is the video's frame rate.")
    n_mels: Count = setting(64, "Number of mel filters.")
    fmin: NotNegative = setting(0.0, "Lower edge of the filterbank, Hz.")
    fmax: Positive | None = setting(
        None, "Upper edge of the filterbank, Hz, at most sampling_rate / 2, which is the default."
    )
    preemphasis: ShareBelowOne | None = setting(
        None, "Coefficient of the pre-emphasis; empty means the preset's.", flag="preemph"
    )


@dataclasses.dataclass(frozen=True)
class Windows(Section):
    """The training windows of the mel generator."""

    section: ClassVar[str] = "windows"

    ref_frames: Count = setting(4, "Consecutive frames per window.")


@dataclasses.dataclass(frozen=True)
class Named(Section):
    """Ids assigned to a split explicitly."""

    section: ClassVar[str] = "split.named"

    training: tuple[Id, ...] = setting((), "Training clips.", flag="train-ids")
    validation: tuple[Id, ...] = setting((), "Validation clips.", flag="valid-ids")
    test: tuple[Id, ...] = setting((), "Test clips.", flag="test-ids")


@dataclasses.dataclass(frozen=True)
class Split(Section):
    """The training, validation and test splits.

    With 20 clips or more by a hash of seed and id, so that adding a clip never moves another; with fewer clips, all
    splits are filled in the order of the hash.
    """

    section: ClassVar[str] = "split"

    seed: int = setting(42, "Seed of the hash.")
    validation: ShareBelowOne = setting(0.1, "Share of validation clips.", flag="valid-ratio")
    test: ShareBelowOne = setting(
        0.1, "Share of test clips; with 0 there are no test clips to score.", flag="test-ratio"
    )
    named: Named = setting(Named)
    by: Literal[By, None] = setting(
        None,
        "What is never parted: clips with the same text, speaker or recording. Empty means recording where clips are"
        " cut from one (fewer than three recordings are divided into blocks in time), else clip.",
    )
    gap: NotNegative = setting(GAP_S, "Seconds between two blocks of one recording.")
    test_speaker: str | None = setting(None, "A speaker whose clips are the test part; the others are divided.")


@dataclasses.dataclass(frozen=True)
class Cutting(Section):
    """How whole recordings are cut into utterances, flags of ``cut_recordings.py``."""

    section: ClassVar[str] = "cutting"

    by: Literal["tier", "silence", "equal"] = setting(
        "tier", "Cut by a tier of the recordings' annotation, by their silences, or into equal stretches."
    )
    alignments: Path | None = setting(
        None, "Directory of files of tiers with the recordings' names; empty for beside the videos."
    )
    tier: str | None = setting(None, "Name of the tier; empty for one of sentences, else of words.")
    seconds: Positive = setting(5.0, "Seconds of an equal stretch.")
    pause: NotNegative = setting(0.3, "Seconds of silence between two utterances, at least.")
    longest: Positive = setting(
        10.0, "Seconds of an utterance that is put together of words, or lies between silences, at most."
    )
    margin: NotNegative = setting(
        0.1,
        "Seconds kept before and after an utterance: articulators move before they are heard, and after.",
    )
