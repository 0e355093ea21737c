"""Synthesis with a trained generator: whole clips and live streams of mel frames, sample for sample the same.

Weight norm is folded into the weights. Both ways work block by block on one grid of frames, each block with the frames
around it that its samples depend on, so that memory does not grow with the length and a stream equals the whole clip to
the last bit (a convolution's rounding depends on the length it is given).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from rtmri_speech.atomic import replacing
from rtmri_speech.errors import UserError
from rtmri_speech.vocoder.checkpoint import config_of, read_generator
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.generator import Generator

BLOCK_FRAMES = 128
"""Frames made at a time: so many that those computed twice cost little, so few that they fit the processor's cache."""


class Vocoder:
    """A generator ready for synthesis.

    Parameters
    ----------
    generator : of any state; it is folded.
    config : its config.
    device : where to compute.
    bf16 : compute most of it in bfloat16 (`Generator.halve`), which is faster where the processor has it.
    block_frames : frames made at a time; a stream's delay is this many and the `receptive_field` after them.

    Attributes
    ----------
    spec : the mel it reads.
    sampling_rate, hop_length : of what it makes, Hz and samples a frame.
    receptive_field : frames before and after that a frame's samples depend on.
    """

    def __init__(
        self,
        generator: Generator,
        config: VocoderConfig,
        device: str | torch.device = "cpu",
        bf16: bool = False,
        block_frames: int = BLOCK_FRAMES,
    ) -> None:
        if block_frames < 1:
            raise UserError("block_frames", f"is {block_frames}", "give at least 1")
        self.generator = generator.fold().to(device)
        if bf16:
            self.generator.halve()
        self.config, self.spec = config, config.spec
        self.device, self.block_frames = torch.device(device), block_frames
        self.sampling_rate, self.hop_length = config.sampling_rate, config.hop_size
        self.receptive_field = generator.receptive_field

    def synthesise(self, log_mel: np.ndarray) -> np.ndarray:
        """Return the waveform of a log mel.

        Parameters
        ----------
        log_mel : natural log of the linear mel, ``(n_mels, T)``.

        Returns
        -------
        samples in [-1, 1], float32 ``(T * hop_length,)``.

        Raises
        ------
        UserError
            The mel has another shape or holds numbers that are not finite.
        """
        return np.concatenate(list(self.stream([log_mel])) or [np.zeros(0, np.float32)])

    def stream(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the waveform block by block while the mel comes in.

        Parameters
        ----------
        pieces : log mels ``(n_mels, t)`` that follow each other, of any lengths.

        Yields
        ------
        float32 ``(block_frames * hop_length,)``, the last one shorter; together what `synthesise` makes of the whole.

        Raises
        ------
        UserError
            As `synthesise`.
        """
        before, after = self.receptive_field
        held = np.zeros((self.config.num_mels, 0), np.float32)
        first, made = 0, 0  # frames before ``held``, and frames whose samples were yielded
        for piece in pieces:
            held = np.concatenate([held, self._checked(piece)], axis=1)
            while first + held.shape[1] >= made + self.block_frames + after:
                yield self._block(held, first, made, made + self.block_frames)
                made += self.block_frames
                drop = max(made - before - first, 0)
                held, first = held[:, drop:], first + drop
        total = first + held.shape[1]
        while made < total:
            end = min(made + self.block_frames, total)
            yield self._block(held, first, made, end)
            made = end

    def _block(self, held: np.ndarray, first: int, start: int, end: int) -> np.ndarray:
        """Samples of frames ``[start, end)``; ``held`` begins with frame ``first``."""
        before, after = self.receptive_field
        low, high = max(start - before, first), min(end + after, first + held.shape[1])
        mel = torch.from_numpy(np.ascontiguousarray(held[:, low - first : high - first])).to(self.device)
        with torch.inference_mode():
            audio = self.generator(mel[None])[0, 0]
        return audio[(start - low) * self.hop_length : (end - low) * self.hop_length].float().cpu().numpy()

    def _checked(self, log_mel: np.ndarray) -> np.ndarray:
        log_mel = np.asarray(log_mel)
        if log_mel.ndim != 2 or log_mel.shape[0] != self.config.num_mels:
            transposed = log_mel.ndim == 2 and log_mel.shape[1] == self.config.num_mels
            raise UserError(
                "the log mel",
                f"has the shape {log_mel.shape}" + (": its axes are transposed" if transposed else ""),
                f"give ({self.config.num_mels}, frames)",
            )
        if not np.isfinite(log_mel).all():
            raise UserError("the log mel", "holds numbers that are not finite", "make it again")
        return log_mel.astype(np.float32, copy=False)


def load_vocoder(
    checkpoint: str | Path,
    config: str | Path | None = None,
    device: str | torch.device = "cpu",
    *,
    bf16: bool = False,
    block_frames: int = BLOCK_FRAMES,
    warn: Callable[[str], None] | None = None,
) -> Vocoder:
    """Load a ``g_<steps>`` file, official, the lab's or ours.

    Parameters
    ----------
    config : the HiFi-GAN config; by default the ``config.json`` beside the checkpoint.
    warn : told of what an existing config has that a new one may not.

    Raises
    ------
    UserError
        The checkpoint or its config cannot be read, or they do not fit each other.
    """
    generator, settings = read_generator(checkpoint, config_of(checkpoint, config, warn))
    return Vocoder(generator, settings, device, bf16, block_frames)


def write_float_wav(path: str | Path, audio: np.ndarray, sampling_rate: int) -> None:
    """Write a mono wav of 32-bit floats, whole or not at all; nothing is rounded or clipped."""
    import soundfile

    # libsndfile has no word for a full disk.
    wav = io.BytesIO()
    soundfile.write(wav, np.asarray(audio, np.float32), sampling_rate, subtype="FLOAT", format="WAV")
    with replacing(path) as temporary:
        temporary.write_bytes(wav.getvalue())


ONNX_TOLERANCE = 1e-4
"""Largest difference allowed between a graph's samples and the vocoder's: 80 dB under full scale."""


def export_onnx(vocoder: Vocoder, path: str | Path) -> float:
    """Write the generator as an ONNX graph, and return by how much its samples differ from the vocoder's at most.

    Input ``log_mel`` float32 ``(1, n_mels, T)``, output ``audio`` float32 ``(1, 1, T * hop)``; T is free.

    Raises
    ------
    UserError
        The packages of the extra ``onnx`` are not installed, or the graph's samples differ by more than
        `ONNX_TOLERANCE`; then no file is left.
    """
    import importlib.util

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            path, f"cannot be written without {' and '.join(missing)}", 'in the checkout, pip install -e ".[onnx]"'
        )
    import onnxruntime

    # A copy on the processor: the caller's stays on its device, whose rounding would count as a difference.
    vocoder = Vocoder(vocoder.generator, vocoder.config, block_frames=vocoder.block_frames)
    example = torch.zeros(1, vocoder.config.num_mels, vocoder.block_frames)
    with replacing(path) as temporary:
        torch.onnx.export(
            vocoder.generator,
            (example,),
            str(temporary),
            input_names=["log_mel"],
            output_names=["audio"],
            dynamic_shapes=({2: torch.export.Dim("frames", min=2)},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        # Another length than the example's, to see that it is free.
        mel = np.random.default_rng(0).normal(-4, 1, (vocoder.config.num_mels, vocoder.block_frames // 2 + 3))
        mel = mel.astype(np.float32)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        difference = float(np.abs(session.run(None, {"log_mel": mel[None]})[0][0, 0] - vocoder.synthesise(mel)).max())
        if difference > ONNX_TOLERANCE:
            raise UserError(path, f"the graph's samples differ by {difference:.1e}", "report it with these versions")
    return difference
