"""Synthesis with a trained generator by torch, with folded weight norm, and its export as a graph."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from rtmri_speech.atomic import replacing
from rtmri_speech.errors import UserError
from rtmri_speech.graphs.trace import require_onnx, traced
from rtmri_speech.threads import available_threads
from rtmri_speech.vocoder.blocks import BLOCK_FRAMES, BlockVocoder, MelVocoder
from rtmri_speech.vocoder.checkpoint import config_of, read_generator
from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.streaming import StreamedGenerator
from rtmri_speech.vocoder.untrained import read_untrained


class Vocoder(BlockVocoder):
    """A loaded generator, by torch.

    Parameters
    ----------
    generator : weight-normed or folded; it is folded.
    config : its config.
    device : torch device.
    bf16 : use bfloat16 for most of it (`Generator.halve`), which is faster with hardware support.
    block_frames : frames per block.

    Attributes
    ----------
    state_size : numbers that a stream keeps from block to block.
    """

    def __init__(
        self,
        generator: Generator,
        config: VocoderConfig,
        device: str | torch.device = "cpu",
        bf16: bool = False,
        block_frames: int = BLOCK_FRAMES,
    ) -> None:
        self.generator = generator.fold().to(device)
        if bf16:
            self.generator.halve()
        self._streamed = StreamedGenerator(self.generator)
        super().__init__(config.spec, block_frames, self._streamed.delay)
        self.state_size = self._streamed.state_size
        self.config, self.device = config, torch.device(device)

    def _start(self) -> torch.Tensor:
        return torch.zeros(self.state_size, device=self.device)

    def _advance(self, log_mel: np.ndarray, exists: np.ndarray, state: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
        mel, mask = (torch.from_numpy(array).to(self.device) for array in (log_mel, exists))
        with torch.inference_mode():
            samples, state = self._streamed(mel[None], mask[None, None], state)
        return samples[0, 0].cpu().numpy(), state


def load_vocoder(
    checkpoint: str | Path,
    config: str | Path | None = None,
    device: str | torch.device = "cpu",
    *,
    bf16: bool = False,
    block_frames: int = BLOCK_FRAMES,
) -> MelVocoder:
    """Load a ``g_<steps>`` file, official, the lab's or ours, or the ``.json`` of a vocoder without training.

    Parameters
    ----------
    config : the HiFi-GAN config; by default the ``config.json`` beside the checkpoint.

    Raises
    ------
    UserError
        The checkpoint or its config is unreadable, or they do not match.
    """
    if Path(checkpoint).suffix == ".json":
        return read_untrained(checkpoint)[1]
    generator, settings = read_generator(checkpoint, config_of(checkpoint, config))
    return Vocoder(generator, settings, device, bf16, block_frames)


def write_float_wav(path: str | Path, audio: np.ndarray, sampling_rate: int) -> None:
    """Write a mono 32-bit float wav, atomically, without rounding or clipping."""
    import soundfile

    # libsndfile does not report a full disk.
    wav = io.BytesIO()
    soundfile.write(wav, np.asarray(audio, np.float32), sampling_rate, subtype="FLOAT", format="WAV")
    with replacing(path) as temporary:
        temporary.write_bytes(wav.getvalue())


ONNX_TOLERANCE = 1e-4
"""Maximum difference between a graph's samples and the vocoder's: 80 dB below full scale."""


def generator_graph(vocoder: Vocoder) -> bytes:
    """Return the generator as an ONNX graph.

    Input ``log_mel`` float32 ``(1, n_mels, T)``, output ``audio`` float32 ``(1, 1, T * hop)``; T is free.

    Raises
    ------
    UserError
        The export fails.
    """
    # A float32 copy on the CPU; the caller's is unchanged.
    generator = vocoder.generator.fold().cpu()
    example = torch.zeros(1, vocoder.spec.n_mels, vocoder.block_frames)
    frames = torch.export.Dim("frames", min=1)
    return traced(generator, (example,), (("log_mel",), ("audio",)), "the vocoder", ({2: frames},))


def streamed_graph(vocoder: Vocoder) -> bytes:
    """Return the generator over a stream (`StreamedGenerator`) as an ONNX graph.

    Inputs ``log_mel`` float32 ``(1, n_mels, T)``, ``exists`` ``(1, 1, T)`` and ``state`` ``(state_size,)``, outputs
    ``audio`` ``(1, 1, T * hop)`` and ``next_state``; T is free.

    Raises
    ------
    UserError
        The export fails.
    """
    streamed = StreamedGenerator(vocoder.generator.fold().cpu())
    example = torch.zeros(1, vocoder.spec.n_mels, vocoder.block_frames)
    frames = torch.export.Dim("frames", min=1)
    return traced(
        streamed,
        (example, example[:, :1], torch.zeros(streamed.state_size)),
        (("log_mel", "exists", "state"), ("audio", "next_state")),
        "the vocoder",
        ({2: frames}, {2: frames}, None),
    )


def export_onnx(vocoder: MelVocoder, path: str | Path) -> float:
    """Write `generator_graph`, and return the maximum difference of its samples from the vocoder's.

    Raises
    ------
    UserError
        The packages that write and run graphs are not installed, the vocoder has no graph, or the graph's samples
        differ by more than
        `ONNX_TOLERANCE`; then no file is left.
    """
    require_onnx(path)
    if not isinstance(vocoder, Vocoder):
        raise UserError(path, "would be of a vocoder without training, which has no graph", "give a g_<steps> file")
    from rtmri_speech.graphs.run import Graph

    graph = generator_graph(vocoder)
    # Another length than the example's, to check that it is dynamic.
    mel = np.random.default_rng(0).normal(-4, 1, (vocoder.spec.n_mels, vocoder.block_frames // 2 + 3))
    mel = mel.astype(np.float32)
    # Computed on the CPU, since another device may round differently.
    expected = Vocoder(vocoder.generator, vocoder.config, block_frames=vocoder.block_frames).synthesise(mel)
    made = Graph(graph, path, available_threads())(mel[None], (1, 1, len(expected)))[0, 0]
    difference = float(np.abs(made - expected).max())
    if not difference <= ONNX_TOLERANCE:
        raise UserError(path, f"the graph's samples differ by {difference:.1e}", "report it with these versions")
    with replacing(path) as temporary:
        temporary.write_bytes(graph)
    return difference
