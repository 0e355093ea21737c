"""Scores a demo system, and optionally another, on further unseen clips, since the demo has only four test clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtmri_speech.atomic import copy_file
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.filelists import clips_of
from rtmri_speech.dataset.meta import META, load_mel_spec, read_meta
from rtmri_speech.dataset.process import DatasetSettings, Processing
from rtmri_speech.dataset.results import open_results
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.baselines import training_frames
from rtmri_speech.evaluation.metrics import paired_differences
from rtmri_speech.evaluation.ridge import RidgeMel
from rtmri_speech.evaluation.systems import Systems, write_sounds
from rtmri_speech.signal.audio import write_wav
from rtmri_speech.vocoder.naming import PAIR_FILE, steps_of

if TYPE_CHECKING:
    from rtmri_speech.acoustic.predict import Context

COMPARED = ("estoi", "mcd_db", "mel_mse", "f0_correlation", "vuv_error")
"""Metrics compared by paired differences."""

TRAINING_SPREAD = {"estoi": 0.01, "mcd_db": 0.1, "mel_mse": 0.01, "f0_correlation": 0.15, "vuv_error": 0.03}
"""Spread between trainings of the same recipe; two seeds of the demo differed by .000, .02, .002, .14 and .02.

Intervals over clips do not include it: a smaller difference may be due to the seed.
"""

PAIRS = {"against": None, "against_ceiling": "ceiling"}
"""Rows of the other system to the row of ours each is compared with; None is the configured system."""


def load_system(results: str | Path, context: Context) -> Systems:
    """Load the mel generator of a results directory and its vocoder with the most steps, or those it was given.

    Parameters
    ----------
    context : what the LSTM sees for a frame.

    Raises
    ------
    UserError
        A model is missing, unreadable, or has another mel than the directory's dataset.
    """
    from rtmri_speech.acoustic.predict import load_acoustic_model
    from rtmri_speech.vocoder.engine import load_vocoder
    from rtmri_speech.vocoder.interpolation import fitted

    opened = open_results(results)
    dataset, given = opened.dataset, opened.settings.get("synthesis", {})
    checkpoint, generator = (
        opened.path(given[name]) if given.get(name) else None for name in ("mri_checkpoint", "hifigan_checkpoint")
    )
    generator = generator or _last_vocoder(opened.directory / "vocoder")
    acoustic = load_acoustic_model(
        checkpoint or opened.directory / "acoustic" / "mri_acoustic_model.pt",
        scaler=Scaler.load(dataset / "scaler.json"),
        mel=load_mel_spec(dataset),
    )
    vocoder = load_vocoder(generator, device=acoustic.device)
    vocoder = fitted(vocoder, acoustic.mel, str(generator), str(acoustic.source))
    training = clips_of(dataset, "training")
    return Systems(acoustic, vocoder, None, training_frames(dataset, training), RidgeMel(dataset, training), [context])


def _last_vocoder(directory: Path) -> Path:
    vocoders = [path for path in directory.glob("g_*") if PAIR_FILE.fullmatch(path.name)]
    if not vocoders:
        raise UserError(directory, "holds no g_<steps>", "make the system first, or name its results")
    return max(vocoders, key=steps_of)


def prepare(results: str | Path, directory: str | Path, clips: Sequence[Clip]) -> None:
    """Create samples of further clips in ``directory``, with mel, frame size and scaler of a results directory.

    Raises
    ------
    UserError
        A clip cannot be read, or the results directory has no dataset.
    """
    dataset = open_results(results).dataset
    meta = read_meta(dataset)
    size = meta["resize_h"], meta["resize_w"]
    processing = Processing(Path(directory), DatasetSettings(load_mel_spec(dataset), size))
    for clip in clips:
        processing.frames(clip)
        processing.sound(clip)
    copy_file(dataset / META, Path(directory) / META)


def speak_both(
    ours: Systems,
    theirs: Systems | None,
    processed_dir: str | Path,
    ids: Sequence[str],
    sounds: str | Path,
    progress: Callable[[Any], Any] = iter,
) -> tuple[list[str], dict[tuple[str, str], float]]:
    """Write all rows of our system, and generated speech and copy synthesis of the other; return rows and seconds.

    Raises
    ------
    UserError
        The systems have different mels.
    """
    seconds = write_sounds(ours, processed_dir, ids, sounds, progress)
    rows = ours.rows()
    if theirs is None:
        return rows, seconds
    mel = theirs.acoustic.mel
    mel.require_same(ours.acoustic.mel, str(theirs.acoustic.source), str(ours.acoustic.source))
    for id in progress(ids):
        for row, audio, _ in theirs.speak(open_sample(processed_dir, id)):
            name = {theirs.contexts[0]: "against", "ceiling": "against_ceiling"}.get(row)
            if name:
                write_wav(Path(sounds) / name / f"{id}.wav", audio, mel.sampling_rate)
            if row == "ceiling":
                break
    return [*rows, *PAIRS], seconds


def compare(scores: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Return `paired_differences` of `COMPARED`, ours minus theirs, by row of the other system."""
    rows = scores["rows"]
    return {
        row: paired_differences(rows[ours or scores["configured"]]["clips"], rows[row]["clips"], COMPARED)
        for row, ours in PAIRS.items()
        if row in rows
    }
