"""Scores a directory of generated wavs against a directory of recordings; writes JSON, CSV and a table.

Works for any system's wavs: files are matched by stem, ignoring a suffix ``_generated``, ``_gen`` or ``_original``.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import io
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rtmri_speech.atomic import save_json, save_text
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.evaluation.f0_range import propose_f0_range, require_f0_range
from rtmri_speech.evaluation.metrics import default_spec, report_missing_libraries, score_pair, summarise
from rtmri_speech.settings.flags import require_json
from rtmri_speech.signal.audio import read_audio
from rtmri_speech.signal.mel import MelSpec

_log = logging.getLogger(__name__)

FRAME_SECONDS = 420 / 11413
"""Default frame of the metrics, seconds: that of the memo."""

REFERENCE_ENDINGS = ("_original", "", "_generated", "_gen")
GENERATED_ENDINGS = ("_generated", "_gen", "", "_original")
"""Suffixes in order of preference, if a directory has several files of a clip."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """Result of `score_directories`.

    Attributes
    ----------
    clips : clip to metric to value, NaN where undefined.
    summary : metric to ``mean``, ``median``, ``low``, ``high`` (95 % interval of the mean) and ``n``.
    left_out : clip to the reason why it has no scores.
    settings : rates, mel and library versions.
    """

    clips: dict[str, dict[str, float]]
    summary: dict[str, dict[str, float]]
    left_out: dict[str, str]
    settings: dict[str, Any]

    def write(self, path: str | Path) -> Path:
        """Write ``path`` (JSON, NaN as null) and the clips as CSV (NaN as empty) beside it; return the CSV's path.

        Raises
        ------
        UserError
            ``path`` does not end in ``.json``.
        """
        path = Path(path)
        require_json(path)
        save_json(path, null_for_nan(dataclasses.asdict(self)))
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["id", *self.summary])
        for clip, values in self.clips.items():
            cells = (values.get(name, math.nan) for name in self.summary)
            rows.writerow([clip, *("" if math.isnan(value) else repr(value) for value in cells)])
        save_text(path.with_suffix(".csv"), text.getvalue())
        return path.with_suffix(".csv")

    def table(self) -> str:
        """Return the summary as plain text, one metric per line."""
        width = max(map(len, self.summary))
        lines = [f"{'metric':<{width}}  {'mean':>9}  {'median':>9}  {'95 % interval':>21}  {'n':>4}"]
        for name, row in self.summary.items():
            mean, median, low, high = (
                "-" if math.isnan(row[key]) else f"{row[key]:.3f}" for key in ("mean", "median", "low", "high")
            )
            lines.append(f"{name:<{width}}  {mean:>9}  {median:>9}  {low:>9} - {high:>9}  {row['n']:>4}")
        return "\n".join(lines)


def pair_wavs(
    reference_dir: str | Path, generated_dir: str | Path
) -> tuple[dict[str, tuple[Path, Path]], dict[str, str]]:
    """Match the files of two directories by clip.

    Returns
    -------
    Clip to reference and generated wav, sorted by id; unmatched clip to the reason.

    Raises
    ------
    UserError
        A directory is missing or has no wav, or they have no clip in common.
    """
    references = _wavs_by_id(Path(reference_dir), REFERENCE_ENDINGS)
    generated = _wavs_by_id(Path(generated_dir), GENERATED_ENDINGS)
    pairs, alone = {}, {}
    for clip in sorted(references.keys() | generated.keys()):
        if clip not in references:
            alone[clip] = f"no reference in {reference_dir}"
        elif clip not in generated or generated[clip].resolve() == references[clip].resolve():
            alone[clip] = f"no generated wav in {generated_dir}"
        else:
            pairs[clip] = references[clip], generated[clip]
    if not pairs:
        raise UserError(
            generated_dir,
            f"holds no clip of {reference_dir} (such as {min(generated)} against {min(references)})",
            "give both files of a clip the same stem; a suffix _generated, _gen or _original is ignored",
        )
    return pairs, alone


def _wavs_by_id(directory: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    if not directory.is_dir():
        raise UserError(directory, "is not a directory", "give the directory that holds the wavs")
    found: dict[str, tuple[int, Path]] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix.lower() != ".wav" or path.name.startswith("."):
            continue
        ending = next((ending for ending in endings if ending and path.stem.endswith(ending)), "")
        clip, rank = path.stem.removesuffix(ending), endings.index(ending)
        if clip and (clip not in found or rank < found[clip][0]):
            found[clip] = rank, path
    if not found:
        raise UserError(directory, "holds no .wav file", "give the directory that holds the wavs")
    return {clip: path for clip, (_, path) in found.items()}


def read_pair(
    reference: Path, generated: Path, sampling_rate: int | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Read two wavs as mono signals of the same rate and length; conversions are reported in ``notes``.

    Parameters
    ----------
    sampling_rate : of the comparison, Hz; None is the reference's.

    Returns
    -------
    Reference and generated samples, float32 ``(N,)``, and the rate.

    Raises
    ------
    UserError
        A file is not a complete wav, is empty, or has NaN samples.
    """
    rate = sampling_rate or _header(reference).samplerate
    a, b = (read_audio(path, sampling_rate=rate) for path in (reference, generated))
    for role, path in (("reference", reference), ("generated wav", generated)):
        header = _header(path)
        if header.channels > 1:
            notes.append(f"{header.channels} channels in {path.name}, averaged")
        if header.samplerate != rate:
            notes.append(f"{role} resampled from {header.samplerate} to {rate} Hz")
    if len(a) != len(b):
        more = (len(b) - len(a)) / rate * 1000
        notes.append(
            f"generated wav {abs(more):.1f} ms {'longer' if more > 0 else 'shorter'}, the common length is compared"
        )
    length = min(len(a), len(b))
    return a[:length], b[:length], rate


def _header(path: Path) -> Any:
    """Sampling rate and channels of a wav, as `soundfile.info`."""
    try:
        return soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise UserError(path, f"cannot be read ({error.error_string})", "write it again as a wav") from None


def score_directories(
    reference_dir: str | Path,
    generated_dir: str | Path,
    *,
    hop: int | None = None,
    spec: MelSpec | None = None,
    scaler: Scaler | None = None,
    f0_range: tuple[float, float] | None = None,
    progress: Callable[[Any], Any] = iter,
) -> Scores:
    """Score every clip present in both directories.

    Parameters
    ----------
    spec, scaler : mel and training statistics of the standardised errors, given together; clips are compared at the
        mel's rate and hop. Without them, each clip is compared at its reference's rate in `default_spec`, with
        statistics over all references of that rate, which do not depend on the system scored.
    hop : samples per frame without ``spec``; None is the nearest to the memo's 36.8 ms.
    f0_range : of the speakers, Hz; None proposes it from the references (`propose_f0_range`).
    progress : wraps the list of clips while they are scored.

    Raises
    ------
    UserError
        There is nothing to score.
    """
    pairs, left_out = pair_wavs(reference_dir, generated_dir)
    for clip, sentence in left_out.items():
        _log.info(f"{clip}: {sentence}; left out")
    report_missing_libraries()
    if spec is None:
        standards = _reference_standards([reference for reference, _ in pairs.values()], hop)
    else:
        standards = {spec.sampling_rate: (spec, scaler)}
    if f0_range is None:
        mel = next(iter(standards.values()))[0]
        f0_range = propose_f0_range([path for path, _ in pairs.values()], mel.sampling_rate, mel.hop_length)
        _log.info(f"F0 search range {f0_range[0]:g} to {f0_range[1]:g} Hz, estimated from the references")
    else:
        require_f0_range(*f0_range, min(standards))

    clips: dict[str, dict[str, float]] = {}
    for clip, (reference, generated) in progress(pairs.items()):
        notes: list[str] = []
        try:
            a, b, rate = read_pair(reference, generated, spec.sampling_rate if spec else None, notes)
            mel, statistics = standards[rate]
            clips[clip] = score_pair(
                a, b, rate, mel.hop_length, spec=mel, scaler=statistics, f0_range=f0_range, notes=notes
            )
        except UserError as error:
            left_out[clip] = str(error)
            notes = [f"{error} It is left out."]
        for note in notes:
            _log.info(f"{clip}: {note}")
    if not clips:
        raise UserError(generated_dir, "holds no clip that can be scored", "see the reasons above")
    settings = {
        "mel": [mel.to_dict() for mel, _ in standards.values()],
        "standardised_by": "the references" if scaler is None else "the training clips",
        "f0_range_hz": f0_range,
        "libraries": library_versions(),
    }
    return Scores(clips, summarise(clips.values()), dict(sorted(left_out.items())), settings)


def default_hop(sampling_rate: int) -> int:
    """Return the length of a frame of `FRAME_SECONDS` in samples."""
    return round(FRAME_SECONDS * sampling_rate)


def _reference_standards(references: list[Path], hop: int | None) -> dict[int, tuple[MelSpec, Scaler]]:
    """Mel and statistics of the references by sampling rate; unreadable and too short ones are reported later."""
    specs: dict[int, MelSpec] = {}
    mels: dict[int, list[np.ndarray]] = {}
    for path in references:
        try:
            rate = _header(path).samplerate
            samples = read_audio(path, sampling_rate=rate)
        except UserError:
            continue
        spec = specs.setdefault(rate, default_spec(rate, hop or default_hop(rate)))
        mels.setdefault(rate, [])
        if len(samples) >= spec.shortest:
            mels[rate].append(spec.db(spec.mel(samples)).T)
    standards = {}
    for rate, spec in specs.items():
        frames = np.concatenate(mels[rate] or [np.zeros((1, spec.n_mels))])
        standards[rate] = spec, Scaler(frames.mean(0), frames.std(0), len(frames))
    return standards


def library_versions() -> dict[str, str]:
    """Return the versions of the installed libraries that scores depend on."""
    versions = {}
    for name in ("numpy", "librosa", "soxr", "pystoi", "pyworld-prebuilt", "pesq"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def null_for_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by None in nested mappings and lists."""
    if isinstance(value, Mapping):
        return {key: null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [null_for_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
