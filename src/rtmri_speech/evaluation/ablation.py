"""Ablation: variants of the mel generator, each trained with several seeds on one dataset and scored on held-out clips.

A variant is a set of settings laid over a configuration. Baselines that need no training (mean mel, nearest neighbours,
ridge regression) are rows beside them.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rtmri_speech.acoustic.context import Prediction, predict
from rtmri_speech.acoustic.predict import load_acoustic_model
from rtmri_speech.acoustic.train import TrainingSettings, train
from rtmri_speech.atomic import save_json
from rtmri_speech.configuration import load_configuration
from rtmri_speech.dataset.f0 import spoken_frames, write_f0
from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import Sample, open_sample, recording_of
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.dataset.speakers import clip_speakers
from rtmri_speech.dataset.windows import window_starts_path, write_window_starts
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.f0_range import training_f0_range
from rtmri_speech.evaluation.known_f0 import KnownF0, find_f0
from rtmri_speech.evaluation.mel_generator import OfFrames, baseline_systems
from rtmri_speech.evaluation.metrics import estoi, f0_errors
from rtmri_speech.evaluation.ridge import RIDGE, RidgeMel
from rtmri_speech.settings.acoustic import Acoustic, Training
from rtmri_speech.settings.all import Settings
from rtmri_speech.settings.fields import fields_of, plain
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.tables import markdown_table
from rtmri_speech.untrusted import read_json, read_text
from rtmri_speech.vocoder.griffin_lim import griffin_lim
from rtmri_speech.vocoder.world import world

PARTS = ("validation", "test")

_SECTIONS = {"acoustic", "windows"}
"""What variants may change: they are trained on one dataset."""

_RUN, _MODEL = "run.json", "model.pt"

Scores = dict[str, dict[str, float]]
"""Of each part, by the names of `MEASURES`; those of F0 only where it is predicted."""

MEASURES = {
    "error_db": ("mel error, dB ↓", 2),
    "estoi": ("ESTOI by Griffin-Lim ↑", 3),
    "estoi_world": ("ESTOI by WORLD ↑", 3),
    "f0_correlation": ("F0 correlation ↑", 2),
    "vuv_error": ("V/UV error ↓", 2),
}
"""Column and digits of each."""

Predict = Callable[[Sample], Prediction]
"""From a clip's frames to mel and F0."""


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return a YAML file of settings.

    Raises
    ------
    UserError
        It is missing, no YAML, or not a table.
    """
    remedy = "give a file of settings, such as config/small.yaml"
    try:
        content = yaml.safe_load(read_text(path, missing="check the path", remedy=remedy))
    except yaml.YAMLError as error:
        raise UserError(path, f"is not valid YAML ({str(error).splitlines()[0]})", remedy) from None
    if not isinstance(content, dict):
        raise UserError(path, "is not a table of settings", remedy)
    return content


def laid_over(settings: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of ``overlay``, section by section."""
    whole = dict(settings)
    for key, value in overlay.items():
        both = isinstance(value, Mapping) and isinstance(whole.get(key), Mapping)
        whole[key] = laid_over(whole[key], value) if both else value
    return whole


def variants_of(base: Mapping[str, Any], overlays: Mapping[str, Any], source: str | Path) -> dict[str, Settings]:
    """Return the whole settings of each variant by name.

    Parameters
    ----------
    base : the configuration.
    overlays : settings of each variant by its name; ``{}`` or None for the configuration itself.
    source : of the overlays, for errors.

    Raises
    ------
    UserError
        A variant changes another section than ``acoustic`` and ``windows``, or a setting is refused.
    """
    found = {}
    for name, overlay in overlays.items():
        if not isinstance(overlay := overlay or {}, Mapping) or overlay.keys() - _SECTIONS:
            raise UserError(
                source,
                f"its variant {name!r} is not a table of {' and '.join(sorted(_SECTIONS))}",
                "give settings of these two alone: all variants are trained on one dataset",
            )
        found[str(name)] = load_configuration(laid_over(base, overlay))
    return found


@dataclass(frozen=True)
class HeldOut:
    """The dataset of an ablation, and how a prediction is scored on it.

    Parameters
    ----------
    processed_dir : the dataset, made before.
    """

    processed_dir: Path

    @functools.cached_property
    def spec(self) -> MelSpec:
        """Mel of the dataset."""
        return load_mel_spec(self.processed_dir)

    @functools.cached_property
    def ridge(self) -> RidgeMel:
        """Ridge regression on the training clips."""
        return RidgeMel(self.processed_dir, self.ids("training"))

    @functools.cached_property
    def f0_range(self) -> tuple[float, float]:
        """Range of the speakers' F0, Hz."""
        return training_f0_range(self.processed_dir, self.spec)

    @functools.cached_property
    def known_f0(self) -> KnownF0 | None:
        """F0 of the recordings, and by ridge regression; None without a voice."""
        return find_f0(self.processed_dir, self.ids("training"), self.spec, self.f0_range, self.ridge.pictures)

    def write_f0(self, directory: Path) -> None:
        """Write the F0 that a mel generator learns, once."""
        ids = clips_of(self.processed_dir, "training", "validation")
        missing = [id for id in ids if not (directory / f"{id}.npy").exists()]
        write_f0(self.processed_dir, missing, directory, self.spec, self.f0_range)

    def ids(self, part: str) -> list[str]:
        """Return the clips of a part."""
        return clips_of(self.processed_dir, part, may_be_empty=part == "test")

    def clips(self, part: str) -> Iterator[tuple[Sample, np.ndarray]]:
        """Yield each clip of a part, with the samples of its recording, float32 ``(N,)``."""
        for id in self.ids(part):
            recording = read_audio(recording_of(self.processed_dir, id), sampling_rate=self.spec.sampling_rate)
            yield open_sample(self.processed_dir, id), recording

    def scores(self, predict: Predict) -> Scores:
        """Return the scores of what predicts a mel, and F0 or None, from a clip's frames.

        ``error_db`` is the root mean squared difference from the recording's mel over speech frames and bins, dB;
        ``estoi`` that of the predicted mel by Griffin-Lim, and ``estoi_world`` that of mel and F0 by WORLD, means over
        the clips; ``f0_correlation`` and ``vuv_error`` are of the predicted F0 (`f0_errors`) over all speech frames.
        Parts without clips are left out.
        """
        spec, found = self.spec, {}
        for part in PARTS:
            squares, spoken, by_world, tracks = [], [], [], []
            for clip, recording in self.clips(part):
                mel_db, f0 = predict(clip)
                speech = spoken_frames(self.processed_dir, clip, spec) & (clip.sound_mask > 0)
                squares.append(((mel_db - clip.mel_db) ** 2)[speech].ravel())
                made = griffin_lim(spec, spec.linear_from_db(mel_db).T)
                spoken.append(estoi(recording, made, spec.sampling_rate))
                if f0 is not None and self.known_f0:
                    voiced = world(spec, spec.log_from_db(mel_db.T), f0)
                    by_world.append(estoi(recording, voiced, spec.sampling_rate))
                    tracks.append((self.known_f0.spoken(clip), f0))
            if squares:
                error = {"error_db": float(np.sqrt(np.concatenate(squares).mean()))}
                found[part] = error | speech_measures({"estoi": spoken, "estoi_world": by_world}, tracks)
        return found

    def untrained(self) -> dict[str, Predict]:
        """Return what predicts without training, by name; only ridge regression predicts F0."""
        scaler = Scaler.load(self.processed_dir / "scaler.json")
        systems = baseline_systems(self.processed_dir, self.ids("training"), scaler, self.ridge)
        regressed = self.known_f0 and self.known_f0.ridge.predict

        def predicting(name: str, mel_of: OfFrames) -> Predict:
            f0_of = regressed if name == RIDGE else None
            return lambda clip: Prediction(mel_of(clip.mri), f0_of(clip.mri) if f0_of else None)

        return {name[:1].upper() + name[1:]: predicting(name, mel_of) for name, mel_of in systems.items()}

    def baselines(self) -> dict[str, Scores]:
        """Return the scores of what needs no training, by name."""
        return {name: self.scores(predict) for name, predict in self.untrained().items()}

    def trained(self, directory: Path, settings: Settings) -> Predict:
        """Return what the mel generator predicts that `run_variant` has trained in ``directory``."""
        bundle = load_acoustic_model(directory / _MODEL, scaler=Scaler.load(self.processed_dir / "scaler.json"))
        ids = [id for part in PARTS for id in self.ids(part)]
        speakers = clip_speakers(self.processed_dir, ids, bundle.speakers)
        return lambda clip: predict(bundle.spoken_by(speakers[clip.id]), clip.mri, settings.acoustic.context)


def speech_measures(
    similar: Mapping[str, Sequence[float]], tracks: Sequence[tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Return the means of ESTOI, and `f0_errors` over all speech frames, of a part's clips: those in `MEASURES`.

    Undefined values are left out.

    Parameters
    ----------
    similar : ESTOI of each clip, by measure.
    tracks : of each clip, F0 of the recording, Hz, NaN outside of speech, and the F0 to score, ``(T,)``.
    """
    scores = {name: float(np.nanmean(values)) for name, values in similar.items() if not np.isnan(values).all()}
    if tracks:
        truth, scored = map(np.concatenate, zip(*tracks, strict=True))
        scores |= f0_errors(truth, scored, ~np.isnan(truth))
    return {name: scores[name] for name in MEASURES if not math.isnan(scores.get(name, math.nan))}


def is_finished(directory: Path) -> bool:
    """Return whether `run_variant` has trained and scored a variant in ``directory``."""
    return "scores" in _recorded(directory)


def _recorded(directory: Path) -> dict[str, Any]:
    """What `run_variant` has recorded in ``directory``; empty if nothing."""
    path = directory / _RUN
    return read_json(path, missing="run it again", remedy="delete it and run it again") if path.exists() else {}


def run_variant(data: HeldOut, settings: Settings, seed: int, directory: Path, f0_dir: Path) -> dict[str, Any] | int:
    """Train one variant with one seed and score it; a finished run is read, and a stopped one resumed.

    Parameters
    ----------
    data : what to train and score on.
    settings : whole settings of the variant.
    seed : of the training.
    directory : of this run.
    f0_dir : of F0 to learn, made where a variant needs it.

    Returns
    -------
    ``{"settings": ..., "seconds": CPU seconds of the training, "scores": Scores}``, or the exit code of a training that
    a signal stopped.

    Raises
    ------
    UserError
        What a training raises, or the directory has a run with other settings.
    """
    acoustic, ref_frames = settings.acoustic, settings.windows.ref_frames
    own = {"acoustic": plain(acoustic) | {"seed": seed}, "windows": plain(settings.windows)}
    record: dict[str, Any] = _recorded(directory) or {"settings": own, "seconds": 0.0}
    if record.get("settings") != own:
        raise UserError(directory, "has a run with other settings", "delete it, or give another --output_dir")
    if "scores" in record:
        return record
    for part in ("training", "validation"):
        if not window_starts_path(data.processed_dir, part, ref_frames).exists():
            write_window_starts(data.processed_dir, part, ref_frames)
    if acoustic.pitch:
        data.write_f0(f0_dir)
    directory.mkdir(parents=True, exist_ok=True)
    save_json(directory / _RUN, record)
    model, begun = directory / _MODEL, time.process_time()
    code = train(_training(data, acoustic, ref_frames, seed, directory, model, f0_dir))
    record["seconds"] += time.process_time() - begun
    save_json(directory / _RUN, record)
    if code == 0:
        record["scores"] = data.scores(data.trained(directory, settings))
        save_json(directory / _RUN, record)
    return code or record


def _training(
    data: HeldOut, acoustic: Acoustic, ref_frames: int, seed: int, directory: Path, model: Path, f0_dir: Path
) -> TrainingSettings:
    shared = {field.name: getattr(acoustic, field.name) for field, _ in fields_of(Training)}
    return TrainingSettings(
        **(shared | {"seed": seed, "picture_epochs": 0}),
        processed_dir=data.processed_dir,
        out_ckpt=model,
        log_dir=directory / "logs",
        state_dir=directory / "state",
        ref_frames=ref_frames,
        f0_dir=f0_dir,
    )


def ablation_table(
    baselines: Mapping[str, Scores], runs: Mapping[str, Sequence[Mapping[str, Any]]], overlays: Mapping[str, Any]
) -> str:
    """Return the Markdown table of an ablation.

    Parameters
    ----------
    baselines : from `HeldOut.baselines`.
    runs : of each variant, what `run_variant` returned for each seed; a variant without runs is left out.
    overlays : settings of each variant, as given.
    """
    head = ["", "settings", "seeds"]
    for part in PARTS:
        head += [f"{part}: {title}" for title, _ in MEASURES.values()]
    rows = [[name, "", "–", *cells([scores], MEASURES), "–"] for name, scores in baselines.items()]
    for name, made in runs.items():
        if not made:
            continue
        seconds = np.mean([run["seconds"] for run in made])
        rows.append(
            [
                name,
                _written(overlays[name]),
                str(len(made)),
                *cells([run["scores"] for run in made], MEASURES),
                f"{seconds:.0f}",
            ]
        )
    return markdown_table([*head, "CPU s"], rows)


def cells(scores: Sequence[Scores], measures: Mapping[str, tuple[str, int]]) -> Iterable[str]:
    """Yield the mean over seeds of each part and measure, with the lowest and the highest if there are several."""
    for part in PARTS:
        for name, (_, digits) in measures.items():
            values = [one[part][name] for one in scores if name in one.get(part, {})]
            if not values:
                yield "–"
                continue
            spread = f" ({min(values):.{digits}f} – {max(values):.{digits}f})" if len(values) > 1 else ""
            yield f"{np.mean(values):.{digits}f}{spread}"


def _written(overlay: Mapping[str, Any] | None) -> str:
    """Settings of a variant on one line."""
    if not overlay:
        return "as configured"
    return f"`{yaml.safe_dump(dict(overlay), default_flow_style=True, width=10_000, sort_keys=False).strip()}`"


def with_section(page: str, title: str, text: str) -> str:
    """Return a Markdown page with the section ``## title`` replaced, or added at its end."""
    parts = page.rstrip("\n").split("\n## ")
    section = f"{title}\n\n{text.strip()}\n"
    for number, part in enumerate(parts[1:], 1):
        if part.split("\n", 1)[0] == title:
            parts[number] = section
            break
    else:
        parts.append(section)
    return "\n\n## ".join(part.strip("\n") for part in parts) + "\n"
