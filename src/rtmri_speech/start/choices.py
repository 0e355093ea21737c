"""What a project's configuration follows from: mel, upsampling, cutting, split, offset, vocoder and size."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.cutting import Cutting
from rtmri_speech.dataset.grouping import Divided, divide, groups_of
from rtmri_speech.dataset.split import SMALL
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.sync import SyncAudit
from rtmri_speech.settings.data import Mel, Split
from rtmri_speech.signal.mel import MelSpec, fitting_mel
from rtmri_speech.signal.video import MOST_DRIFT, RATE_TOLERANCE
from rtmri_speech.vocoder.config import VocoderConfig

LARGEST_RATE = 10
"""Largest upsampling rate of a stage; HiFi-GAN's official ones go up to 8, the lab's to 10."""

LONG_S = 30.0
"""Seconds from which on a recording is cut into utterances."""

FEWEST_CLIPS = 12
"""Clips that a short recording is cut into, so that each part of the split has some besides those in its gaps."""

SHORTEST_UTTERANCE_S = 2.0

CLEAR_MS, CLEAR_FRAMES = 60.0, 1.5
"""An offset beyond both is corrected: articulators move up to 40 ms ahead of their sound (`evaluation.sync`)."""

LEAST_STRETCHES, LEAST_CORRELATION, _NEAR_MS = 3, 0.3, 20.0

VOCODER_MINUTES = 20.0
"""Minutes of training speech from which on a HiFi-GAN is trained, a judgement: one of 24 minutes of other voices came
near Griffin-Lim on real recordings (ESTOI .65 and .67), one of less did not."""

FULL_PICTURE = (256, 256)
"""Height and width of the memo's frames."""

SMALL_RATE, SMALL_FRAMES = 83.278, 1500
"""Frames per second and training frames that the numbers of ``config/small.yaml`` are meant for: 18 s."""

MOST_STEPS = 60_000
"""Steps of the small size's training: about 80 CPU minutes of the network in ``config/small.yaml``."""

_SHORTEST_WINDOW = 4

_SEEDS = range(Split.seed, Split.seed + 100)


def mel_for(rate: Fraction, seconds: float) -> MelSpec:
    """Return the mel of a frame rate: the default one where it has it, else of 20 kHz or a little more or less.

    Parameters
    ----------
    rate : frames per second.
    seconds : of the longest clip, over which picture and mel must not drift by more than `MOST_DRIFT` frames.
    """
    tolerance = MOST_DRIFT / max(seconds, 1.0)
    default = MelSpec.of(Mel(preset="hifigan"))
    if abs(default.frame_rate - rate) <= tolerance and abs(default.frame_rate / rate - 1) <= RATE_TOLERANCE:
        return default
    sampling_rate, hop = fitting_mel(rate, default.sampling_rate, tolerance)
    n_fft = max(1024, 1 << math.ceil(math.log2(2 * hop)))
    return MelSpec.preset(
        "hifigan", sampling_rate=sampling_rate, hop_length=hop, n_fft=n_fft, win_length=n_fft, n_mels=80
    )


def upsampling(hop: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return HiFi-GAN's upsampling rates, whose product is ``hop``, and kernel sizes.

    Of the products of whole numbers up to `LARGEST_RATE`: four factors if possible, as in the official networks, of
    which the largest is least. A kernel is twice its rate, and one more for odd rates, whose padding is then whole.

    Raises
    ------
    UserError
        The hop has a prime factor above `LARGEST_RATE`.
    """
    products = list(_products(hop, LARGEST_RATE))
    if not products:
        raise UserError(
            f"hop_length {hop}", f"has a prime factor above {LARGEST_RATE}", "give a product of small primes"
        )
    rates = min(products, key=lambda factors: (abs(len(factors) - 4), factors[:1], [-factor for factor in factors]))
    return rates, tuple(2 * rate + rate % 2 for rate in rates)


def _products(number: int, largest: int) -> Iterable[tuple[int, ...]]:
    """Falling factors from 2 to ``largest`` whose product is ``number``."""
    if number == 1:
        yield ()
    for factor in range(min(largest, number), 1, -1):
        if number % factor == 0:
            yield from ((factor, *rest) for rest in _products(number // factor, factor))


def vocoder_config(template: VocoderConfig, spec: MelSpec) -> VocoderConfig:
    """Return ``template`` for another mel: its upsampling, and excerpts of about its length in samples."""
    if template.spec == spec:
        return template
    rates, kernels = upsampling(spec.hop_length)
    frames = max(round(template.segment_size / spec.hop_length), math.ceil(spec.shortest / spec.hop_length))
    return dataclasses.replace(
        template,
        upsample_rates=rates,
        upsample_kernel_sizes=kernels,
        segment_size=frames * spec.hop_length,
        sampling_rate=spec.sampling_rate,
        hop_size=spec.hop_length,
        n_fft=spec.n_fft,
        win_size=spec.win_length,
        num_mels=spec.n_mels,
        num_freq=spec.n_fft // 2 + 1,
        fmin=spec.fmin,
        fmax=spec.fmax,
        mel=spec,
    )


def loss_bands(bands: Mapping[str, tuple[int, float]], spec: MelSpec) -> dict[str, list[int | float]]:
    """Return the bands of `settings.acoustic.Loss`, whose first bins are the default mel's, at their frequencies."""
    default = MelSpec.of(Mel(preset="hifigan")).centre_frequencies()
    own = spec.centre_frequencies()
    firsts = [0 if first == 0 else int(np.argmin(np.abs(own - default[first]))) for first, _ in bands.values()]
    return {name: [first, weight] for (name, (_, weight)), first in zip(bands.items(), firsts, strict=True)}


def common_rate(clips: Sequence[tuple[Fraction, float]]) -> Fraction:
    """Return the frame rate of most of the material; rates within `RATE_TOLERANCE` count together.

    Parameters
    ----------
    clips : frames per second and seconds of each.
    """
    seconds: dict[Fraction, float] = defaultdict(float)
    for rate, length in clips:
        seconds[rate] += length

    def near(rate: Fraction) -> float:
        return sum(amount for other, amount in seconds.items() if abs(other / rate - 1) <= RATE_TOLERANCE)

    return max(seconds, key=lambda rate: (near(rate), seconds[rate]))


def needs_cutting(seconds: Mapping[str, float]) -> set[str]:
    """Return the ids of the recordings to cut: long ones, or all where they are too few to fill a split."""
    if len(seconds) < FEWEST_CLIPS // 2:
        return set(seconds)
    return {id for id, length in seconds.items() if length > LONG_S}


def cutting_of(seconds: float, by: Literal["tier", "silence", "equal"]) -> Cutting:
    """Return how recordings of ``seconds`` in total are cut: into utterances of up to 10 s, or `FEWEST_CLIPS`."""
    longest = min(Cutting.longest, max(SHORTEST_UTTERANCE_S, seconds / FEWEST_CLIPS))
    return Cutting(by=by, longest=longest, seconds=min(Cutting.seconds, longest))


def split_for(clips: Mapping[str, Clip]) -> tuple[Split, Divided]:
    """Return a split that fills training, validation and test, and what it makes of the clips.

    Where sentences are repeated, one is never on both sides. Small corpora hold out a fifth.

    Raises
    ------
    UserError
        There are too few clips.
    """
    settings = Split(test=0.2) if len(clips) < SMALL else Split()
    whole = all(clip.start is None for clip in clips.values())
    if whole and all(clip.text for clip in clips.values()):
        texts = Counter(groups_of(clips, "text").values())
        if max(texts.values()) > 1 and len(texts) > 2:
            settings = dataclasses.replace(settings, by="text")
    fault = None
    for seed in _SEEDS:
        tried = dataclasses.replace(settings, seed=seed)
        try:
            divided = divide(clips, tried)
        except UserError as error:
            fault = fault or error
            continue
        if all(divided.splits.values()):
            return tried, divided
    raise fault or UserError("the recordings", f"give {len(clips)} clips", "add more, at least three")


@dataclasses.dataclass(frozen=True)
class FoundOffset:
    """The delay of the sound, of stretches of the recordings.

    Attributes
    ----------
    offset_ms : median, ms.
    spread_ms : of three in four stretches the distance from it, at most.
    stretches : number of those that could be measured.
    agree : whether these are enough, and near enough to each other.
    clear : whether, besides, the articulators' lead cannot explain it, so that it is to be corrected.
    """

    offset_ms: float
    spread_ms: float
    stretches: int
    agree: bool
    clear: bool


def offset_of(audit: SyncAudit) -> FoundOffset | None:
    """Return the offset that the audit of stretches of the recordings gives for all of them; None with too few.

    They agree if three in four of them could be measured and are within a frame (or 20 ms) of the median. That is clear
    if it is beyond `CLEAR_MS` and `CLEAR_FRAMES`.
    """
    known = [one for one in audit.clips.values() if not math.isnan(one.offset_ms)]
    offsets = [one.offset_ms for one in known if one.correlation >= LEAST_CORRELATION]
    if len(offsets) < LEAST_STRETCHES:
        return None
    offset = float(np.median(offsets))
    apart = np.sort(np.abs(np.array(offsets) - offset))
    spread = float(apart[math.ceil(0.75 * len(apart)) - 1])
    agree = spread <= max(audit.frame_ms, _NEAR_MS) and len(offsets) >= 0.75 * len(audit.clips)
    far = abs(offset) > max(CLEAR_MS, CLEAR_FRAMES * audit.frame_ms)
    return FoundOffset(round(offset, 1), round(spread, 1), len(offsets), agree, agree and far)


def epochs_of(epochs: int, windows_a_step: int, frames: int) -> dict[str, int]:
    """Return ``epochs`` of the small size's mel generator for a number of training frames.

    They are ``epochs``, and with fewer frames than `SMALL_FRAMES` more of them, so that there are as many steps. Where
    they are more than `MOST_STEPS`, ``max_train_steps`` limits those of an epoch.
    """
    steps = math.ceil(frames / windows_a_step)
    scaled = max(epochs, round(epochs * math.ceil(SMALL_FRAMES / windows_a_step) / steps))
    limit = {"max_train_steps": MOST_STEPS // scaled} if scaled * steps > MOST_STEPS else {}
    return {"epochs": scaled} | limit


def window_of(ref_frames: int, rate: Fraction) -> int:
    """Return the frames per window of the small size: as long in time at ``rate`` as ``ref_frames`` at `SMALL_RATE`."""
    return max(min(_SHORTEST_WINDOW, ref_frames), round(ref_frames * float(rate) / SMALL_RATE))


def speaks_by(size: str, minutes: float) -> str:
    """Return ``synthesis.vocoder`` of a size (small, full) and minutes of training speech."""
    if size == "small":
        return "world"
    return "hifigan" if minutes >= VOCODER_MINUTES else "griffin-lim"


def dataset_bytes(frames: int, size: tuple[int, int], spec: MelSpec) -> int:
    """Return the disk that a dataset takes: frames (uint8), sound (16 bits), true and predicted mel (float32)."""
    return frames * (size[0] * size[1] + 2 * spec.hop_length + 3 * 4 * spec.n_mels)


MODEL_BYTES = {"small": 200_000_000, "full": 8_000_000_000}
"""Checkpoints and states of both models: full holds five pairs of HiFi-GAN V1 with their discriminators (1 GB each)."""
