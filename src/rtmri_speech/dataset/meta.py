"""``meta.json``: the settings of a processed directory, with the lab's keys and as a `MelSpec`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtmri_speech.atomic import save_json
from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import PRESETS, MelSpec
from rtmri_speech.untrusted import build, read_json, require_type

META = "meta.json"


def write_meta(processed_dir: str | Path, spec: MelSpec, size: tuple[int, int], ref_frames: int) -> None:
    """Write ``meta.json`` of a processed directory.

    It has settings only, so that it does not change with the clips; those are in the file lists, and their statistics
    in ``scaler.json`` (the lab's meta.json repeats both).

    Parameters
    ----------
    spec : the mel of ``mel_db.npy``.
    size : height and width of the frames, pixels.
    ref_frames : frames per window.
    """
    save_json(
        Path(processed_dir) / META,
        {
            "sr": spec.sampling_rate,
            "n_mels": spec.n_mels,
            "n_fft": spec.n_fft,
            "win_length": spec.win_length,
            "hop_length": spec.hop_length,
            "preemph": spec.preemphasis,
            "resize_h": size[0],
            "resize_w": size[1],
            "ref_frames": ref_frames,
            "mel": spec.to_dict(),
        },
    )


def read_meta(processed_dir: str | Path) -> dict[str, Any]:
    """Return ``meta.json`` of a processed directory; refuse it if missing or malformed."""
    path = Path(processed_dir) / META
    meta = read_json(path, missing="make the dataset first (snakemake dataset)", remedy="make it again")
    return require_type(meta, dict, "its content", path, "make it again")


def load_mel_spec(processed_dir: str | Path) -> MelSpec:
    """Return the mel of a processed directory; a ``meta.json`` without one is from the lab's system."""
    meta, path = read_meta(processed_dir), Path(processed_dir) / META
    if "mel" in meta:
        return MelSpec.from_dict(meta["mel"], str(path))
    remedy = "copy meta.json from the directory the samples came from"
    try:
        lab = {
            "sampling_rate": meta["sr"],
            "n_fft": meta["n_fft"],
            "win_length": meta["win_length"] or meta["n_fft"],
            "hop_length": meta["hop_length"],
            "n_mels": meta["n_mels"],
            "preemphasis": meta["preemph"],
        }
    except KeyError as error:
        raise UserError(path, f"lacks {error}", remedy) from None
    return build(MelSpec, {**PRESETS["lab"], **lab}, path, remedy)
