"""Exports mels for the vocoder: ``<id>.npy``, float32 ``(n_mels, T)``, natural logarithm of the linear mel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.clip import require_id
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.sample import open_sample
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec

_log = logging.getLogger(__name__)


def save_log_mel(path: str | Path, spec: MelSpec, mel_db: np.ndarray) -> None:
    """Write a mel in dB ``(T, n_mels)`` in the vocoder's format."""
    save_npy(path, spec.log_from_db(mel_db).T.astype(np.float32))


def sample_ids(processed_dir: str | Path) -> list[str]:
    """Return the ids of all clips with samples."""
    samples = Path(processed_dir) / "samples"
    return sorted(path.name for path in samples.iterdir() if path.is_dir()) if samples.is_dir() else []


def export_each(
    processed_dir: str | Path,
    output_dir: str | Path,
    mel_db_of: Callable[[str], np.ndarray],
    spec: MelSpec,
    *,
    ids: Sequence[str] | None,
    overwrite: bool,
) -> None:
    """Write the log mel of each clip, continuing after clips that cannot be read.

    Parameters
    ----------
    processed_dir : the dataset.
    output_dir : of ``<id>.npy``.
    mel_db_of : returns the mel of a clip, dB ``(T, n_mels)``.
    spec : of that mel.
    ids : clips; None for all with samples.
    overwrite : whether to replace existing mels.

    Raises
    ------
    UserError
        There is no clip, or some could not be read; raised after the others are written.
    """
    output_dir = Path(output_dir)
    ids = sample_ids(processed_dir) if ids is None else ids
    if not ids:
        raise UserError(Path(processed_dir) / "samples", "holds no clip", "make the dataset first (snakemake dataset)")
    faults, there = [], 0
    for id in ids:
        target = output_dir / f"{require_id(id, '--clips')}.npy"
        if target.exists() and not overwrite:
            there += 1
            continue
        try:
            save_log_mel(target, spec, mel_db_of(id))
        except UserError as fault:
            _log.info(f"error: {fault}")
            faults.append(fault)
    written = len(ids) - there - len(faults)
    _log.info(
        f"{output_dir}: {written} mels written" + (f", {there} were there already (--overwrite)." if there else ".")
    )
    if faults:
        raise UserError(
            faults[0].subject, f"{faults[0].fault} ({len(faults)} of {len(ids)} clips failed)", faults[0].remedy
        )


def export_true(
    processed_dir: str | Path,
    output_dir: str | Path,
    *,
    ids: Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the log mels of ``mel_db.npy``; see `export_each`."""
    export_each(
        processed_dir,
        output_dir,
        lambda id: open_sample(processed_dir, id).mel_db,
        load_mel_spec(processed_dir),
        ids=ids,
        overwrite=overwrite,
    )
