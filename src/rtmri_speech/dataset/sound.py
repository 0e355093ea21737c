"""Audio part of a sample: writes a clip's wav at the model's rate, ``mel_db.npy`` and ``mask.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtmri_speech.atomic import save_npy
from rtmri_speech.dataset.clip import Clip
from rtmri_speech.dataset.sample import load_frames, recording_of
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import WavSamples, copy_audio
from rtmri_speech.signal.mel import MelSpec

TOLERATED_FRAMES = 5
TOLERATED_SHARE = 0.02
"""A difference in length between video and sound is masked up to the larger of these, beyond it refused."""


def write_sound(processed_dir: str | Path, clip: Clip, spec: MelSpec, gain: float = 1.0) -> int:
    """Write ``wavs/<id>.wav``, ``mel_db.npy`` and ``mask.npy`` of a clip with an existing ``mri.npy``.

    The mel is computed from the written samples, so that all later stages use the same sound. Parameters and errors are
    those of `write_wav_of`.

    Returns
    -------
    Number of frames without sound (masked), or, negative, of surplus frames of sound at the end.
    """
    frames, available = write_wav_of(processed_dir, clip, spec, gain)
    samples = WavSamples(recording_of(processed_dir, clip.id))
    mel_db = np.full((frames, spec.n_mels), np.float32(spec.db(np.zeros(1))[0]), np.float32)
    whole = spec.mel_db(samples).T
    mel_db[: len(whole)] = whole
    directory = Path(processed_dir) / "samples" / clip.id
    save_npy(directory / "mel_db.npy", mel_db)
    save_npy(directory / "mask.npy", sound_mask(frames, min(available, len(samples)), spec))
    missing = frames - available // spec.hop_length
    # With an explicit end the sound continues beyond it, so none is surplus.
    return missing if clip.end is None else max(missing, 0)


def write_wav_of(processed_dir: str | Path, clip: Clip, spec: MelSpec, gain: float = 1.0) -> tuple[int, int]:
    """Write ``wavs/<id>.wav`` of a clip with exactly T hops for the T frames of its ``mri.npy``.

    Parameters
    ----------
    processed_dir : the directory with ``samples/<id>/mri.npy``.
    clip : its sound, or the video's own track if ``clip.audio`` is None.
    spec : the mel.
    gain : factor on every sample, the same for all clips; never a statistic of the corpus.

    Returns
    -------
    The number of frames T, and of the samples of sound available for them.

    Raises
    ------
    UserError
        The sound is missing, unreadable, silent, or differs in length beyond the tolerance.
    """
    processed_dir = Path(processed_dir)
    frames = len(load_frames(processed_dir / "samples" / clip.id / "mri.npy"))
    source = clip.audio or clip.video
    wav = recording_of(processed_dir, clip.id)
    offset = clip.av_offset_ms / 1000
    available = copy_audio(
        source,
        wav,
        sampling_rate=spec.sampling_rate,
        samples=frames * spec.hop_length,
        start=(clip.start or 0.0) + offset,
        # The last frame starts before the end of the interval and may extend beyond it.
        end=None if clip.end is None else clip.end + offset + 1 / float(spec.frame_rate),
        gain=gain,
    )
    if abs(frames - available // spec.hop_length) > max(TOLERATED_FRAMES, TOLERATED_SHARE * frames):
        wav.unlink()
        raise UserError(
            source,
            f"has {available / spec.sampling_rate:.2f} s of sound for {frames / float(spec.frame_rate):.2f} s of "
            f"video in {clip.video.name}",
            "pair the right files, or give start and end of the matching part in a table",
        )
    return frames, available


def sound_mask(frames: int, samples: int, spec: MelSpec) -> np.ndarray:
    """Return 1 for each of ``frames`` mel frames covered by ``samples`` samples of sound, else 0, float32
    ``(frames,)``.

    A centred frame needs its hop, an unpadded one its whole transform.
    """
    needed = spec.hop_length if spec.alignment == "centred" else spec.n_fft
    return (np.arange(frames) * spec.hop_length + needed <= samples).astype(np.float32)
