"""Synthesis from a pack by ONNX Runtime, without torch."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from rtmri_speech.acoustic.context import Context, frame_blocks, scaled_frames, scaler_for
from rtmri_speech.acoustic.neighbours import all_around
from rtmri_speech.acoustic.pitch import outputs_of
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.graphs.run import Graph
from rtmri_speech.pack.format import GRAPHS, About, read_about, read_graph
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.synthesis.synthesiser import LIVE_BLOCK_FRAMES, LiveSynthesiser, Synthesiser
from rtmri_speech.threads import available_threads
from rtmri_speech.vocoder.blocks import BLOCK_FRAMES, BlockVocoder, MelVocoder
from rtmri_speech.vocoder.interpolation import fitted
from rtmri_speech.vocoder.untrained import UNTRAINED


class PackMelGenerator:
    """The mel generator of a pack; see `acoustic.context.MelGenerator`.

    Parameters
    ----------
    source : the pack.
    about : its description.
    cnn, recurrence : its graphs.
    """

    def __init__(self, source: Path, about: About, cnn: Graph, recurrence: Graph) -> None:
        self.source, self.frame_size, self.ref_frames = source, about.frame_size, about.ref_frames
        self.neighbours = about.neighbours
        self.mel, self.scaler = MelSpec.from_dict(about.mel), Scaler.from_dict(about.scaler, source)
        scalers = {name: Scaler.from_dict(one, source) for name, one in about.speaker_scalers.items()}
        self._vectors = {name: np.float32(vector) for name, vector in about.speaker_vectors.items()}
        self.speakers = {name: scalers.get(name, self.scaler) for name in self._vectors or scalers}
        self._vector = np.mean([*self._vectors.values()], axis=0) if self._vectors else np.zeros(0, np.float32)
        self._image_size, self._cnn, self._recurrence = about.image_size, cnn, recurrence
        self._features, self._outputs = about.features, outputs_of(self.mel.n_mels, about.pitch)
        self._latest: tuple[np.ndarray, np.ndarray] | None = None

    def spoken_by(self, speaker: str | None) -> PackMelGenerator:
        """Return the generator of a speaker's mel."""
        other = copy.copy(self)
        other.scaler = scaler_for(self, speaker)
        other._vector = self._vectors.get(speaker, self._vector) if speaker else self._vector
        return other

    def features(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Return the features of frames."""
        return np.concatenate([*self.stream(frames)])

    def stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the features of each frame."""
        # One at a time: batches are no faster, and ONNX Runtime keeps the memory of the largest one.
        pictures = (block[:, None] for block in frame_blocks(frames, 1, self.frame_size, self.source))
        for block in all_around(pictures, self.neighbours):
            yield from map(self._of, block)

    def _of(self, stack: np.ndarray) -> np.ndarray:
        """Features ``(1, C)`` of a frame between its neighbours, ``(2 * neighbours + 1, H, W)``; those of the frame
        before it if all are the same."""
        # Videos repeat frames where their rate was raised.
        if self._latest is None or not np.array_equal(self._latest[0], stack):
            features = self._cnn(scaled_frames(stack, self._image_size), (1, self._features))
            self._latest = np.array(stack), features
        return self._latest[1]

    def decode(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs of features."""
        shape = features.shape[:2]
        if len(self._vector):
            features = np.concatenate([features, np.broadcast_to(self._vector, (*shape, len(self._vector)))], -1)
        return self._recurrence(features, (*shape, self._outputs))


class PackVocoder(BlockVocoder):
    """The vocoder of a pack.

    Parameters
    ----------
    about : description of the pack.
    vocoder : its graph.
    block_frames : frames per block.
    """

    def __init__(self, about: About, vocoder: Graph, block_frames: int = BLOCK_FRAMES) -> None:
        super().__init__(MelSpec.from_dict(about.vocoder_mel or about.mel), block_frames, about.vocoder_delay)
        self._vocoder, self._state_size = vocoder, about.vocoder_state

    def _start(self) -> np.ndarray:
        return np.zeros(self._state_size, np.float32)

    def _advance(self, log_mel: np.ndarray, exists: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes = (1, 1, len(exists) * self.hop_length), state.shape
        samples, state = self._vocoder.outputs((log_mel[None], exists[None, None], state), shapes)
        return samples[0, 0], state


def models_of(
    source: Path, about: About, graphs: Mapping[str, Graph], block_frames: int = BLOCK_FRAMES
) -> tuple[PackMelGenerator, MelVocoder]:
    """Return the mel generator and the vocoder of a pack's graphs."""
    cnn, recurrence, vocoder = map(graphs.get, GRAPHS)
    generator = PackMelGenerator(source, about, cnn, recurrence)
    if vocoder is None:
        return generator, UNTRAINED[about.untrained](generator.mel)
    return generator, fitted(PackVocoder(about, vocoder, block_frames), generator.mel, str(source), str(source))


def load_pack(path: str | Path, context: Context | None = None, threads: int | None = None) -> Synthesiser:
    """Load a pack for synthesis of clips.

    Parameters
    ----------
    path : the pack.
    context : LSTM context; None for the pack's default.
    threads : CPU threads; None for all available to this process.

    Raises
    ------
    UserError
        The file is not a complete pack of this version.
    """
    about = read_about(path)
    acoustic, vocoder = models_of(Path(path), about, _graphs(path, about, threads))
    return Synthesiser(acoustic, {"vocoder": vocoder}, context or about.context)


def load_live_pack(
    path: str | Path,
    block_frames: int = LIVE_BLOCK_FRAMES,
    threads: int | None = None,
    speaker: str | None = None,
) -> LiveSynthesiser:
    """Load a pack for live synthesis, in blocks of ``block_frames``; see `load_pack`.

    Parameters
    ----------
    speaker : one that the pack distinguishes; None for a mean of all.
    """
    about = read_about(path)
    generator, vocoder = models_of(Path(path), about, _graphs(path, about, threads), block_frames)
    return LiveSynthesiser(generator.spoken_by(speaker), vocoder)


def _graphs(path: str | Path, about: About, threads: int | None) -> dict[str, Graph]:
    count = threads or available_threads()
    # One after the other, to hold the bytes of only one graph at a time.
    return {name: Graph(read_graph(path, about, name), f"{path}, {name}", count) for name in about.graphs}
