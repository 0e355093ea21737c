"""The CNN of a pack in 8-bit integers: calibrated on training frames, judged on validation clips."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rtmri_speech.acoustic.context import predict_db, scaled_frames
from rtmri_speech.acoustic.neighbours import around
from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.sample import Sample, open_sample
from rtmri_speech.errors import UserError
from rtmri_speech.graphs.integers import in_int8
from rtmri_speech.graphs.run import Graph
from rtmri_speech.pack.format import GRAPHS, About, digests, require_ports
from rtmri_speech.pack.speak import PackMelGenerator
from rtmri_speech.threads import available_threads

_log = logging.getLogger(__name__)

CALIBRATION_FRAMES = 64
"""Training frames, spread evenly, whose activations set the scales; more did not change the mel's error."""

JUDGED_CLIPS = 4
"""Validation clips whose mels are compared."""

LARGEST_CHANGE_DB = 1.0
"""Largest root mean square difference of the mel from that of the CNN in float32."""


def with_int8_cnn(
    path: Path, about: About, graphs: Mapping[str, bytes], processed_dir: str | Path
) -> tuple[About, dict[str, bytes]]:
    """Return a pack's description and graphs with the CNN in 8-bit integers, and log what that does to the mel.

    Parameters
    ----------
    path : the pack, for errors.
    about, graphs : of the pack with the CNN in float32.
    processed_dir : the dataset of the mel generator.

    Raises
    ------
    UserError
        The dataset has no training or validation clips, its frames have another size, or the mel would change by more
        than `LARGEST_CHANGE_DB`.
    """
    training, validation = (
        [open_sample(processed_dir, id) for id in clips_of(processed_dir, split)]
        for split in ("training", "validation")
    )
    for sample in (*training, *validation):
        if sample.mri.shape[1:] != about.frame_size:
            size, wanted = ("×".join(map(str, shape)) for shape in (sample.mri.shape[1:], about.frame_size))
            raise UserError(
                Path(processed_dir, "samples", sample.id),
                f"has frames of {size}, and the mel generator was trained on {wanted}",
                "give the dataset that it was trained on",
            )
    cnn = GRAPHS[0]
    smaller = {**graphs, cnn: in_int8(graphs[cnn], _spread(training, about.image_size, about.neighbours))}
    changed = dataclasses.replace(about, graphs=digests(smaller))
    require_ports(smaller[cnn], changed, cnn, f"{path}, {cnn}")
    judged = validation[:JUDGED_CLIPS]
    exact, found = (_mels(path, changed, kind, judged) for kind in (graphs, smaller))
    change = _rms_db(exact, found)
    errors = [_rms_db(mels, [sample.mel_db for sample in judged]) for mels in (exact, found)]
    # Negated, so that NaN is refused too.
    if not change <= LARGEST_CHANGE_DB:
        raise UserError(path, f"int8 changes its mels by {change:.2f} dB (RMS)", "leave it in float32 (pack.cnn)")
    _log.info(
        f"{path}: int8 changes the mels of {len(judged)} validation clips by {change:.2f} dB (RMS); their error is"
        f" {errors[1]:.2f} dB, {errors[0]:.2f} in float32."
    )
    return changed, smaller


def _spread(samples: Sequence[Sample], size: tuple[int, int], neighbours: int) -> list[np.ndarray]:
    """Frames of the clips at even distances, each between its neighbours, uint8 ``(2 * neighbours + 1, *size)``."""
    counts = np.cumsum([0, *(len(sample.mri) for sample in samples)])
    frames = []
    for place in np.linspace(0, counts[-1] - 1, min(CALIBRATION_FRAMES, int(counts[-1]))).astype(int):
        clip = int(np.searchsorted(counts, place, side="right")) - 1
        first = int(place - counts[clip])
        begin = max(first - neighbours, 0)
        pictures = samples[clip].mri[begin : first + neighbours + 1]
        (stack,) = around(pictures[:, None], range(first - begin, first - begin + 1), neighbours)
        frames.append(scaled_frames(stack, size))
    return frames


def _mels(path: Path, about: About, graphs: Mapping[str, bytes], samples: Sequence[Sample]) -> list[np.ndarray]:
    cnn, recurrence = (Graph(graphs[name], f"{path}, {name}", available_threads()) for name in GRAPHS[:2])
    generator = PackMelGenerator(path, about, cnn, recurrence)
    return [predict_db(generator, sample.mri, about.context) for sample in samples]


def _rms_db(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Root mean square difference of mels in dB, over all clips' frames and bins."""
    squares = [np.square(np.float64(a) - b).ravel() for a, b in zip(some, others, strict=True)]
    return float(np.sqrt(np.concatenate(squares).mean()))
