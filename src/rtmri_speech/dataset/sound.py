"""The sound half of a sample: a clip's wav at the model's rate, its ``mel_db.npy`` and ``mask.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.clip import Clip, load_frames
from rtmri_speech.dataset.lab_format import StoredClip
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import WavSamples, copy_audio
from rtmri_speech.signal.mel import MelSpec

TOLERATED_FRAMES = 5
TOLERATED_SHARE = 0.02
"""A difference in length between picture and sound is masked up to the larger of the two, beyond it refused."""


def write_sound(processed_dir: str | Path, clip: Clip, spec: MelSpec, gain: float = 1.0) -> int:
    """Write ``wavs/<id>.wav``, ``mel_db.npy`` and ``mask.npy`` of a clip whose ``mri.npy`` is there.

    The wav has exactly T hops, T being the frames of ``mri.npy``, and the mel is computed from the samples written, so
    that everything made from the wav later sees the same sound. A clip that is taken over keeps its mel and mask.

    Parameters
    ----------
    processed_dir : the directory that holds ``samples/<id>/mri.npy``.
    clip : which sound; its own track is taken when ``clip.audio`` is None.
    spec : the mel.
    gain : factor on every sample of every clip, never a statistic of the corpus.

    Returns
    -------
    Frames without sound (masked), or, negative, frames of sound left over at the end.

    Raises
    ------
    UserError
        The sound is missing, unreadable, silent, or differs in length beyond what is tolerated; or a mel that is taken
        over has another length or other bins.
    """
    processed_dir = Path(processed_dir)
    directory = processed_dir / "samples" / clip.id
    frames = len(load_frames(directory / "mri.npy"))
    source = clip.audio or clip.video
    wav = processed_dir / "wavs" / f"{clip.id}.wav"
    offset = clip.av_offset_ms / 1000
    available = copy_audio(
        source,
        wav,
        sampling_rate=spec.sampling_rate,
        samples=frames * spec.hop_length,
        start=(clip.start or 0.0) + offset,
        # The last frame begins before the end of the stretch and may last beyond it.
        end=None if clip.end is None else clip.end + offset + 1 / float(spec.frame_rate),
        gain=gain,
    )
    missing = frames - available // spec.hop_length
    if abs(missing) > max(TOLERATED_FRAMES, TOLERATED_SHARE * frames):
        wav.unlink()
        raise UserError(
            source,
            f"has {available / spec.sampling_rate:.2f} s of sound for {frames / float(spec.frame_rate):.2f} s of "
            f"video in {(clip.stored or clip.video).name}",
            "pair the right files, or give start and end of the matching part in a table",
        )
    if clip.stored is None:
        samples = WavSamples(wav)
        mel_db = np.full((frames, spec.n_mels), np.float32(spec.db(np.zeros(1))[0]), np.float32)
        whole = spec.mel_db(samples).T
        mel_db[: len(whole)] = whole
        mask = sound_mask(frames, min(available, len(samples)), spec)
    else:
        mel_db, mask = _stored_mel(StoredClip(clip.stored), frames, spec)
    save_npy(directory / "mel_db.npy", mel_db)
    save_npy(directory / "mask.npy", mask)
    # Where the stretch has an end, sound goes on beyond it and none is left over.
    return missing if clip.end is None else max(missing, 0)


def _stored_mel(stored: StoredClip, frames: int, spec: MelSpec) -> tuple[np.ndarray, np.ndarray]:
    load_mel_spec(stored.processed_dir).require_same(spec, str(stored.processed_dir), "the configuration (mel)")
    mel_db, mask = stored.mel_db(), stored.mask()
    if mel_db.shape != (frames, spec.n_mels) or len(mask) != frames:
        raise UserError(
            stored.source,
            f"has {frames} frames, a mel of {mel_db.shape[0]} x {mel_db.shape[1]} and a mask of {len(mask)}",
            "exclude the clip (corpus.exclude) or fix its arrays",
        )
    if not np.isfinite(mel_db).all():
        raise UserError(stored.source, "holds a mel with numbers that are not finite", "exclude it (corpus.exclude)")
    return mel_db.astype(np.float32, copy=False), mask.astype(np.float32, copy=False)


def sound_mask(frames: int, samples: int, spec: MelSpec) -> np.ndarray:
    """Return 1 for each of ``frames`` mel frames that ``samples`` samples of sound fill, else 0, float32 ``(frames,)``.

    A centred frame needs the hop it is centred on, an unpadded one all of its transform.
    """
    needed = spec.hop_length if spec.alignment == "centred" else spec.n_fft
    return (np.arange(frames) * spec.hop_length + needed <= samples).astype(np.float32)
