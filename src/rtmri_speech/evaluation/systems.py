"""Scores an experiment's systems on its test clips, beside mean mel, nearest neighbours, ridge and copy synthesis.

Each row is one way from a clip to sound. Wavs are written first and scored from disk, so that ``evaluate.py`` gives the
same numbers.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtmri_speech.acoustic.pitch import split_outputs
from rtmri_speech.atomic import save_json, save_text
from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.sample import Sample, open_sample, recording_of
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.speakers import clip_speakers
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.baselines import NEIGHBOURS, NearestFrames, mean_mel
from rtmri_speech.evaluation.known_f0 import KnownF0
from rtmri_speech.evaluation.metrics import real_time_factor, report_missing_libraries, score_pair, summarise
from rtmri_speech.evaluation.phonemes import PAUSE, find_phonemes, phoneme_of_frames, read_phonemes
from rtmri_speech.evaluation.ridge import RIDGE, RidgeMel
from rtmri_speech.evaluation.scores import library_versions, null_for_nan, read_pair
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.threads import limit_threads
from rtmri_speech.vocoder.griffin_lim import GRIFFIN_LIM_TITLE, griffin_lim
from rtmri_speech.workers import end_with_parent, reporting_lost_workers

if TYPE_CHECKING:
    from rtmri_speech.acoustic.context import Context
    from rtmri_speech.acoustic.predict import AcousticBundle
    from rtmri_speech.vocoder.blocks import MelVocoder

_log = logging.getLogger(__name__)

TITLES = {
    "sequence": ("Generated, whole clip", "rtMRI to mel to speech; the LSTM sees the whole clip"),
    "window": ("Generated, by windows", "the LSTM sees the windows it was trained on, averaged where they overlap"),
    "causal": ("Generated, causal", "the LSTM sees the window that ends with the frame, as in live use"),
    "base_vocoder": ("Generated, base vocoder", "the predicted mel through the vocoder before its fine-tuning"),
    "floor": ("Floor: mean mel", "the training clips' mean mel in every frame, through the vocoder: ignores the video"),
    "look_up": (
        "Look-up: nearest neighbours",
        "the mean mel of the most similar training frames, through the vocoder: no model",
    ),
    "ridge": (
        RIDGE,
        "the mel predicted from neighbouring frames by ridge regression, through the vocoder: closed form, no network",
    ),
    "ceiling": (
        "Ceiling: copy synthesis",
        "the true mel through the same vocoder: what a perfect mel generator would reach",
    ),
    "ceiling_base": ("Copy synthesis, base vocoder", "the true mel through the vocoder before its fine-tuning"),
    "griffin_lim": (GRIFFIN_LIM_TITLE, "the true mel by Griffin and Lim's algorithm: no vocoder"),
    "against": ("Compared system", "the models of the other results directory, in the same context"),
    "against_ceiling": (
        "Compared system: copy synthesis",
        "the true mel through the other results directory's vocoder",
    ),
}
"""Title and description of every possible row."""

SCORES_FILE, TABLE_FILE, SOUNDS = "scores.json", "scores.csv", "sounds"

_TABLE_METRICS = ("estoi", "mel_mse", "mcd_db", "f0_correlation", "vuv_error", "real_time_factor")


@dataclass(frozen=True)
class Systems:
    """The models of an experiment and its baselines.

    Attributes
    ----------
    acoustic, vocoder : the experiment's models; the vocoder after fine-tuning.
    base : the vocoder before fine-tuning, or None.
    look_up, ridge : nearest neighbours among the training frames, and ridge regression on them.
    contexts : of the LSTM, the configured one first.
    f0 : of the rows without a network, for vocoders that need F0: of the recording with its mel, the median with the
        mean mel, and by ridge regression with the mels of nearest neighbours and of ridge regression.

    Raises
    ------
    UserError
        A vocoder reads another mel than the acoustic model predicts, or needs F0 and there is none.
    """

    acoustic: AcousticBundle
    vocoder: MelVocoder
    base: MelVocoder | None
    look_up: NearestFrames
    ridge: RidgeMel
    contexts: Sequence[Context]
    f0: KnownF0 | None = None

    def __post_init__(self) -> None:
        if self.vocoder.needs_f0 and self.f0 is None:
            raise UserError("the training clips", "have too little voiced speech for F0", "choose another vocoder")
        for vocoder in filter(None, (self.vocoder, self.base)):
            vocoder.spec.require_same(self.acoustic.mel, "the vocoder", str(self.acoustic.source))

    def rows(self) -> list[str]:
        """Return the rows (keys of `TITLES`) in table order, the configured system first."""
        with_base = ("base_vocoder",) if self.base else ()
        ceilings = ("ceiling", "ceiling_base", "griffin_lim") if self.base else ("ceiling", "griffin_lim")
        return [*self.contexts, *with_base, "floor", "look_up", "ridge", *ceilings]

    def speak(self, sample: Sample, speaker: str | None = None) -> Iterator[tuple[str, np.ndarray, float | None]]:
        """Yield each row's name, samples float32 ``(T * hop,)``, and synthesis time in seconds.

        ``speaker`` is that of the clip, as of `dataset.speakers.known_speakers`.

        The time covers CNN, LSTM and vocoder on this machine; None for baselines.
        """
        import torch

        from rtmri_speech.acoustic.context import decode_in_context
        from rtmri_speech.acoustic.predict import frame_features

        acoustic = self.acoustic.spoken_by(speaker)
        spec, scaler, model = acoustic.mel, acoustic.scaler, acoustic.model
        frames, known = sample.mri, self.f0
        with torch.inference_mode():
            start = time.perf_counter()
            features = frame_features(acoustic, sample.mri)
            seconds_cnn = time.perf_counter() - start
            predicted = {}
            for context in self.contexts:
                start = time.perf_counter()
                outputs = decode_in_context(model.outputs, features, context, acoustic.ref_frames)
                standardised, f0 = split_outputs(outputs.cpu().numpy(), spec.n_mels)
                predicted[context] = spec.log_from_db(scaler.restore(standardised).T)
                audio = self.vocoder.synthesise(predicted[context], f0)
                yield context, audio, seconds_cnn + time.perf_counter() - start
        true_db = sample.mel_db.T
        true = spec.log_from_db(true_db)
        if self.base:
            yield "base_vocoder", self.base.synthesise(predicted[self.contexts[0]]), None
        floor = mean_mel(scaler, len(sample.mri)).T
        yield "floor", self.vocoder.synthesise(spec.log_from_db(floor), known and known.constant(frames)), None
        nearest = self.look_up.predict(sample.mri, min(NEIGHBOURS, self.look_up.count)).T
        regressed = known and known.ridge.predict(frames)
        yield "look_up", self.vocoder.synthesise(spec.log_from_db(nearest), regressed), None
        yield "ridge", self.vocoder.synthesise(spec.log_from_db(self.ridge.predict(frames).T), regressed), None
        yield "ceiling", self.vocoder.synthesise(true, known and np.nan_to_num(known.spoken(sample))), None
        if self.base:
            yield "ceiling_base", self.base.synthesise(true), None
        yield "griffin_lim", griffin_lim(spec, spec.linear_from_db(true_db)), None


def seen_clips(
    processed_dir: str | Path, acoustic: AcousticBundle, elsewhere: Iterable[str] = ()
) -> dict[str, set[str] | None]:
    """Return the clips each training stage saw, for `require_unseen`; None if unknown.

    The acoustic checkpoint lists its clips, unless it is, or was initialised from, one of the lab's. Scaler and vocoder
    are trained on the training and validation file lists, unless named in ``elsewhere``.
    """
    training, validation = (set(clips_of(processed_dir, split)) for split in ("training", "validation"))
    named = None if acoustic.seen is None else set(acoustic.seen)
    seen = {"scaler": training, "acoustic": named, "vocoder": training | validation}
    return seen | dict.fromkeys(elsewhere)


def write_sounds(
    systems: Systems,
    processed_dir: str | Path,
    ids: Sequence[str],
    directory: str | Path,
    progress: Callable[[Any], Any] = iter,
) -> dict[tuple[str, str], float]:
    """Write ``<directory>/<row>/<id>.wav`` for every row and clip.

    Returns
    -------
    (row, clip) to synthesis time in seconds, for rows that are systems.
    """
    seconds = {}
    speakers = clip_speakers(processed_dir, ids, systems.acoustic.speakers)
    if ids:
        # Warm up: one-off work, such as choosing kernels, must not count towards the first clip's time.
        for _ in systems.speak(open_sample(processed_dir, ids[0])):
            break
    for id in progress(ids):
        for row, audio, spent in systems.speak(open_sample(processed_dir, id), speakers[id]):
            write_wav(Path(directory) / row / f"{id}.wav", audio, systems.acoustic.mel.sampling_rate)
            if spent is not None:
                seconds[row, id] = spent
    return seconds


@dataclass(frozen=True)
class _Job:
    """Scoring of one row's wav of one clip."""

    row: str
    id: str
    reference: Path
    generated: Path
    spec: MelSpec
    scaler: Scaler
    f0_range: tuple[float, float]


@dataclass
class _Scored:
    """Metrics of a `_Job`, and its squared error by bin (mean over frames) and by frame (mean over bins)."""

    job: _Job
    samples: int
    metrics: dict[str, float]
    by_bin: np.ndarray
    by_frame: np.ndarray
    notes: list[str] = field(default_factory=list)


def _score(job: _Job) -> _Scored:
    notes: list[str] = []
    reference, generated, rate = read_pair(job.reference, job.generated, job.spec.sampling_rate, notes)
    metrics = score_pair(
        reference,
        generated,
        rate,
        job.spec.hop_length,
        spec=job.spec,
        scaler=job.scaler,
        f0_range=job.f0_range,
        notes=notes,
    )
    a, b = (
        job.scaler.standardise(job.spec.db(job.spec.mel(signal)).T).astype(np.float64)
        for signal in (reference, generated)
    )
    squared = (b - a) ** 2
    return _Scored(job, len(reference), metrics, squared.mean(axis=0), squared.mean(axis=1), notes)


def score_sounds(
    rows: Sequence[str],
    ids: Sequence[str],
    processed_dir: str | Path,
    directory: str | Path,
    spec: MelSpec,
    scaler: Scaler,
    *,
    f0_range: tuple[float, float],
    seconds: Mapping[tuple[str, str], float],
    phonemes: str | Path | None = None,
    workers: int = 1,
    progress: Callable[[Any], Any] = iter,
) -> dict[str, Any]:
    """Score the output of `write_sounds` against the dataset's wavs.

    Parameters
    ----------
    rows : the configured system first.
    f0_range : of the speakers, Hz (`evaluation.f0_range`).
    seconds : result of `write_sounds`, for ``real_time_factor``.
    phonemes : directory of phoneme files (`find_phonemes`), for the error by phoneme.
    workers : processes to score with.

    Returns
    -------
    For JSON: ``configured`` (row), ``clips`` (id to its ``seconds``), ``rows`` (name to ``title``, ``note``, ``clips``,
    and ``summary`` as in ``evaluate.py``'s files), ``mel_mse_by_bin`` and ``mel_mse_by_phoneme`` (means over frames of
    the squared error of the standardised mel), ``settings``.
    """
    report_missing_libraries()
    jobs = [
        _Job(row, id, recording_of(processed_dir, id), Path(directory) / row / f"{id}.wav", spec, scaler, f0_range)
        for id in ids
        for row in rows
    ]
    scored = []
    for found in progress(_mapped(jobs, workers)):
        scored.append(found)
        if (found.job.row, found.job.id) in seconds:
            spent = seconds[found.job.row, found.job.id]
            found.metrics["real_time_factor"] = real_time_factor(spent, found.samples, spec.sampling_rate)
        for sentence in found.notes:
            _log.info(f"{found.job.id}, {TITLES[found.job.row][0].lower()}: {sentence}")
    found_of = {row: [found for found in scored if found.job.row == row] for row in rows}
    return null_for_nan(
        {
            "configured": rows[0],
            "clips": {found.job.id: {"seconds": found.samples / spec.sampling_rate} for found in found_of[rows[0]]},
            "rows": {
                row: {
                    "title": TITLES[row][0],
                    "note": TITLES[row][1],
                    "clips": {one.job.id: one.metrics for one in found},
                    "summary": summarise(one.metrics for one in found),
                }
                for row, found in found_of.items()
            },
            "mel_mse_by_bin": {
                "frequencies_hz": [round(float(hertz), 1) for hertz in spec.centre_frequencies()],
                "rows": {
                    row: np.average(
                        [one.by_bin for one in found], axis=0, weights=[len(one.by_frame) for one in found]
                    ).tolist()
                    for row, found in found_of.items()
                },
            },
            "mel_mse_by_phoneme": _by_phoneme(found_of, spec, phonemes),
            "settings": {"mel": spec.to_dict(), "f0_range_hz": list(f0_range), "libraries": library_versions()},
        }
    )


def _mapped(jobs: list[_Job], workers: int) -> Iterator[_Scored]:
    if workers <= 1 or len(jobs) < 2:
        yield from map(_score, jobs)
        return
    # Spawn, not fork: torch's threads do not survive a fork, and Windows has no fork.
    context = multiprocessing.get_context("spawn")
    with (
        reporting_lost_workers("run it again, with fewer threads if memory is short"),
        ProcessPoolExecutor(workers, context, initializer=_begin_worker) as pool,
    ):
        yield from pool.map(_score, jobs)


def _begin_worker() -> None:
    """Limit a worker to one thread, and have it exit with its parent."""
    limit_threads(1)
    end_with_parent()


def _by_phoneme(
    found_of: Mapping[str, Sequence[_Scored]], spec: MelSpec, directory: str | Path | None
) -> dict[str, dict[str, Any]]:
    """Mean squared error by phoneme and row, most frequent phoneme first, without pauses."""
    errors: dict[str, dict[str, list[np.ndarray]]] = {}
    for row, found in found_of.items():
        for one in found:
            path = directory and find_phonemes(directory, one.job.id)
            if not path:
                continue
            labels = np.array(phoneme_of_frames(read_phonemes(path), len(one.by_frame), spec))
            for phoneme in set(labels.tolist()) - {PAUSE}:
                errors.setdefault(phoneme, {}).setdefault(row, []).append(one.by_frame[labels == phoneme])
    frames = {phoneme: sum(map(len, next(iter(rows.values())))) for phoneme, rows in errors.items()}
    return {
        phoneme: {
            "frames": frames[phoneme],
            "rows": {row: float(np.mean(np.concatenate(parts))) for row, parts in errors[phoneme].items()},
        }
        for phoneme in sorted(errors, key=lambda phoneme: (-frames[phoneme], phoneme))
    }


def scores_table(scores: Mapping[str, Any], id: str | None = None) -> str:
    """Return the main metrics of every row as plain text: means over clips, or the values of clip ``id``."""
    known = [metric for metric in _TABLE_METRICS if any(metric in row["summary"] for row in scores["rows"].values())]
    width = max(len(TITLES[row][0]) for row in scores["rows"])
    lines = [" ".join([f"{id or 'mean':<{width}}", *(f"{metric:>16}" for metric in known)])]
    for name, row in scores["rows"].items():
        found = row["clips"][id] if id else {metric: summary["mean"] for metric, summary in row["summary"].items()}
        cells = (found.get(metric) for metric in known)
        shown = (f"{'-' if value is None else format(value, '.3f'):>16}" for value in cells)
        lines.append(" ".join([f"{TITLES[name][0]:<{width}}", *shown]))
    return "\n".join(lines)


def write_scores(directory: str | Path, scores: Mapping[str, Any]) -> None:
    """Write ``scores.json``, and the values by row and clip as ``scores.csv``, to ``directory``."""
    save_text(Path(directory) / TABLE_FILE, scores_csv(scores))
    save_json(Path(directory) / SCORES_FILE, scores)


def scores_csv(scores: Mapping[str, Any]) -> str:
    """Return the values by row and clip as CSV; undefined ones are empty."""
    metrics = list(dict.fromkeys(name for row in scores["rows"].values() for name in row["summary"]))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["row", "id", *metrics])
    for name, row in scores["rows"].items():
        for id, values in row["clips"].items():
            cells = (values.get(metric) for metric in metrics)
            table.writerow([name, id, *("" if value is None or math.isnan(value) else repr(value) for value in cells)])
    return text.getvalue()
