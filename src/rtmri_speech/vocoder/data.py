"""Training excerpts of mel and audio, cut at frame boundaries; the batch of a step is a function of seed and step.

The mel comes from files (predicted by the acoustic model, and optionally mixed with true ones), or is computed from the
audio by the config's `MelSpec`, with the surrounding samples, so that it equals the mel of the whole recording.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from rtmri_speech.dataset.filelists import read_filelist
from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import WavSamples
from rtmri_speech.signal.mel import LOG_FLOOR, MelSpec, log_mel_tensor
from rtmri_speech.training.batches import StepBatches
from rtmri_speech.training.state import seed_for_step
from rtmri_speech.untrusted import read_array
from rtmri_speech.vocoder.augmentation import Smoothing, recorded
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.scanner import in_scanner

_log = logging.getLogger(__name__)

LONGEST_DIFFERENCE_FRAMES, LONGEST_DIFFERENCE_SHARE = 5, 0.02
"""Tolerance for the lengths of mel and audio: frames, or share of the longer one."""
_SILENCE = math.log(LOG_FLOOR)
_ROUNDING = 1e-3


def read_mel(path: str | Path, n_mels: int) -> np.ndarray:
    """Read a log mel, float32 ``(n_mels, T)`` or the official ``(1, n_mels, T)``, memory-mapped.

    Raises
    ------
    UserError
        The file is missing or not an array, is transposed, empty or has another number of bins, or has values that are
        not finite or below ``ln 1e-5`` (which suggests decibels).
    """
    path = Path(path)
    missing = "make the clip's mel, or take the clip out of the list"
    mel = read_array(path, missing=missing, remedy="make it again", memory_map=True)
    if mel.ndim == 3 and mel.shape[0] == 1:
        mel = mel[0]
    if mel.ndim != 2 or mel.shape[0] != n_mels:
        transposed = mel.ndim == 2 and mel.shape[1] == n_mels
        raise UserError(
            path,
            f"has the shape {mel.shape}" + (": its axes are transposed" if transposed else ""),
            f"give a log mel of shape ({n_mels}, frames)",
        )
    if not mel.shape[1] or mel.dtype.kind != "f":
        raise UserError(path, f"holds {mel.shape[1]} frames of {mel.dtype}", "give at least one frame of float32")
    if not np.isfinite(mel).all():
        raise UserError(path, "holds numbers that are not finite (NaN or infinity)", "make it again")
    if mel.min() < _SILENCE - _ROUNDING:
        raise UserError(
            path,
            f"holds {mel.min():.1f}, below the least natural-log mel, ln 1e-5 = {_SILENCE:.1f}: decibels?",
            "give the natural logarithm",
        )
    return mel


@dataclass(frozen=True)
class VocoderClip:
    """A training recording: its wav, and the files of its predicted and true mel, if any.

    ``frames`` is the usable length in mel frames.
    """

    id: str
    wav_path: Path
    frames: int
    mel_path: Path | None
    extra_mel_path: Path | None

    def samples(self, first: int, last: int) -> np.ndarray:
        """Return samples ``[first, last)``, float32, zero outside the file."""
        # Reopened each time: workers would share the file position, and many clips exhaust file descriptors.
        with WavSamples(self.wav_path) as wav:
            low, high = (min(max(bound, 0), len(wav)) for bound in (first, last))
            block = np.zeros(last - first, np.float32)
            block[low - first : high - first] = wav[low:high]
        return block


def open_clips(
    filelist: str | Path,
    wavs_dir: str | Path,
    config: VocoderConfig,
    *,
    mels_dir: str | Path | None = None,
    extra_mels_dir: str | Path | None = None,
) -> list[VocoderClip]:
    """Open the clips of a file list and check each completely.

    Parameters
    ----------
    filelist : one id per line, see `dataset.filelists`.
    wavs_dir : of ``<id>.wav``.
    mels_dir, extra_mels_dir : of ``<id>.npy``, float32 ``(n_mels, T)`` natural log; None computes the mel.

    Raises
    ------
    UserError
        A file is missing or unusable, a wav has another rate, or the lengths of mel and wav differ; the error names the
        file and both values.
    """
    return [
        _open_clip(
            id,
            Path(wavs_dir) / f"{id}.wav",
            config,
            None if mels_dir is None else Path(mels_dir) / f"{id}.npy",
            None if extra_mels_dir is None else Path(extra_mels_dir) / f"{id}.npy",
        )
        for id in read_filelist(filelist)
    ]


def _open_clip(id: str, wav: Path, config: VocoderConfig, mel: Path | None, extra: Path | None) -> VocoderClip:
    with WavSamples(wav) as opened:
        rate, length = opened.sampling_rate, len(opened)
    if rate != config.sampling_rate:
        raise UserError(
            wav, f"is at {rate} Hz and the config at {config.sampling_rate} Hz", "give wavs of the config's rate"
        )
    whole = length // config.hop_size
    if not whole:
        raise UserError(
            wav, f"has {length} samples, less than one frame of {config.hop_size}", "take the clip out of the list"
        )
    frames = whole
    for path in filter(None, (mel, extra)):
        count = read_mel(path, config.num_mels).shape[1]
        difference = abs(count - whole)
        if difference > max(LONGEST_DIFFERENCE_FRAMES, LONGEST_DIFFERENCE_SHARE * max(count, whole)):
            raise UserError(
                path,
                f"has {count} frames and {wav} has {whole} ({length} samples)",
                "give the mel and the wav of the same clip",
            )
        if difference:
            _log.info(f"{path}: has {count} frames, its wav {whole}; the first {min(count, whole)} are used.")
        frames = min(frames, count)
    return VocoderClip(id, wav, frames, mel, extra)


def fingerprint(clips: Sequence[VocoderClip]) -> str:
    """Return a hash of the clips' ids and files: a training resumes only with the same data."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(clip.id.encode())
        for path in (clip.wav_path, clip.mel_path, clip.extra_mel_path):
            digest.update(b"-" if path is None else hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def whole_clip(clip: VocoderClip, config: VocoderConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return a clip's log mel, float32 ``(n_mels, T)``, and its samples, float32 ``(T * hop,)``, for validation.

    The mel is the predicted one if there are files, never the true one.
    """
    if clip.mel_path is not None:
        mel = np.array(read_mel(clip.mel_path, config.num_mels)[:, : clip.frames], np.float32)
        return mel, clip.samples(0, clip.frames * config.hop_size)
    margin = _margin(config.spec)
    return _with_mel(clip.samples(-margin * config.hop_size, (clip.frames + margin) * config.hop_size), config)


class Excerpts(Dataset):
    """Batches by step: item ``k`` is the batch of step ``k``, a pure function of the seed and ``k``.

    An item is a dict of ``mel``, float32 ``(B, n_mels, F)``, and ``audio``, float32 ``(B, F * hop)``, with F the
    config's ``segment_frames``. Shorter clips are padded with silence.

    Parameters
    ----------
    clips : to draw from; each epoch uses every clip once, at a random position.
    extra_mels_weight : probability that an excerpt's mel is the true one.
    rank, ranks : this process's share of each batch.
    """

    def __init__(
        self,
        clips: Sequence[VocoderClip],
        config: VocoderConfig,
        extra_mels_weight: float = 0.0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if config.batch_size % ranks:
            raise UserError(
                "config key batch_size", f"is {config.batch_size}", f"give a multiple of the {ranks} processes"
            )
        self.clips, self.config = clips, config
        self.extra_mels_weight, self.rank, self.ranks = extra_mels_weight, rank, ranks
        self.batches = StepBatches(len(clips), config.batch_size, config.seed)
        self.smoothing = Smoothing(config.smooth_mels, config.smooth_bins, config.smooth_frames, config.mel_noise)

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        """Return this process's share of the batch of step ``step``."""
        chosen = self.batches[step]
        drawn = [self.draw(step, place, chosen[place]) for place in range(self.rank, len(chosen), self.ranks)]
        return {
            "mel": torch.from_numpy(np.stack([mel for mel, _ in drawn])),
            "audio": torch.from_numpy(np.stack([audio for _, audio in drawn])),
        }

    def draw(self, step: int, place: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the excerpt of clip ``number`` at ``place`` in the batch of ``step``: mel and samples."""
        rng = np.random.default_rng(seed_for_step(self.config.seed, step, place))
        clip, config, frames = self.clips[number], self.config, self.config.segment_frames
        true_mel = clip.extra_mel_path is not None and rng.random() < self.extra_mels_weight
        path = clip.extra_mel_path if true_mel else clip.mel_path
        if path is not None:
            first = int(rng.integers(max(clip.frames - frames, 0) + 1))
            last = min(first + frames, clip.frames)
            mel = np.full((config.num_mels, frames), _SILENCE, np.float32)
            mel[:, : last - first] = read_mel_frames(path, first, last)
            audio = np.zeros(frames * config.hop_size, np.float32)
            audio[: (last - first) * config.hop_size] = clip.samples(first * config.hop_size, last * config.hop_size)
        else:
            mel, audio = _with_mel(_augmented(clip, frames, config, rng), config)
        if config.smooth_mels and step >= config.smooth_start and (true_mel or path is None):
            mel = self.smoothing(mel, rng)
        return mel, audio


def read_mel_frames(path: Path, first: int, last: int) -> np.ndarray:
    """Return frames ``[first, last)`` of a mel file checked by `read_mel`."""
    mel = np.load(path, mmap_mode="r", allow_pickle=False)
    return mel[..., first:last].reshape(mel.shape[-2], last - first)


def _augmented(clip: VocoderClip, frames: int, config: VocoderConfig, rng: np.random.Generator) -> np.ndarray:
    """Return samples of ``frames`` frames and their margins, from a random place and changed as the config says."""
    speed = 1 + config.augment_rate * rng.uniform(-1, 1)
    first = int(rng.integers(max(clip.frames - math.ceil(frames * speed), 0) + 1))
    gain = 10 ** (rng.uniform(*config.augment_gain_db) / 20)
    hop, margin = config.hop_size, _margin(config.spec)
    begin, end = first * hop - round(margin * hop * speed), first * hop + round((frames + margin) * hop * speed)
    block = clip.samples(begin, end)
    if speed != 1:
        import soxr

        block = soxr.resample(block, config.sampling_rate * speed, config.sampling_rate, quality="MQ")
    length = (frames + 2 * margin) * hop
    block = np.pad(block, (0, max(length - len(block), 0)))[:length] * np.float32(gain)
    peak = np.abs(block).max()
    if gain > 1 and peak > 1:
        block /= peak
    if config.augment_scanner and rng.random() < config.augment_scanner:
        block = in_scanner(block, config.sampling_rate, rng)
    elif config.augment_recording and rng.random() < config.augment_recording:
        block = recorded(block, config.sampling_rate, rng)
    return block


def _with_mel(block: np.ndarray, config: VocoderConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the log mel ``(n_mels, F)`` and the samples ``(F * hop,)`` of a block that has a margin on either side."""
    margin, hop = _margin(config.spec), config.hop_size
    frames = len(block) // hop - 2 * margin
    mel = log_mel_tensor(config.spec.mel_tensor(torch.from_numpy(block)))[:, margin : margin + frames]
    return mel.numpy(), block[margin * hop : (margin + frames) * hop]


def _margin(spec: MelSpec) -> int:
    """Frames on either side of an excerpt that its mel depends on."""
    reach = spec.n_fft - spec.hop_length
    return math.ceil((reach if spec.alignment == "start" else reach / 2) / spec.hop_length)
