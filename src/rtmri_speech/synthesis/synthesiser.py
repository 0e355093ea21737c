"""Synthesis with loaded models of any engine: of clips, and of live streams of frames."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rtmri_speech.acoustic.context import Context, MelGenerator, predict
from rtmri_speech.acoustic.pitch import split_outputs
from rtmri_speech.errors import UserError
from rtmri_speech.synthesis.speech import Speech
from rtmri_speech.vocoder.blocks import BlockVocoder, MelVocoder
from rtmri_speech.vocoder.interpolation import fitted

LIVE_BLOCK_FRAMES = 1
"""Frames per vocoder block in a live stream: more mean less computation and more latency."""


class Synthesiser:
    """A mel generator and its vocoders, ready for use.

    Parameters
    ----------
    acoustic : the mel generator.
    vocoders : by name; mels are interpolated for those of another frame rate.
    context : what the LSTM sees for a frame: ``sequence``, ``window`` or ``causal``.

    Attributes
    ----------
    mel : output of the mel generator.
    frame_size : height and width of input frames, pixels.
    speakers : those that the mel generator distinguishes.

    Raises
    ------
    UserError
        A vocoder has a mel of another window or other filters than the mel generator.
    """

    def __init__(
        self, acoustic: MelGenerator, vocoders: Mapping[str, MelVocoder], context: Context = "sequence"
    ) -> None:
        self._vocoders = {
            name: fitted(vocoder, acoustic.mel, f"the vocoder {name}", str(acoustic.source))
            for name, vocoder in vocoders.items()
        }
        self.mel, self.frame_size = acoustic.mel, acoustic.frame_size
        self.speakers: Sequence[str] = tuple(acoustic.speakers)
        self._acoustic, self._context = acoustic, context

    def spoken_by(self, speaker: str | None) -> Synthesiser:
        """Return the synthesiser of a speaker's speech; see `MelGenerator.spoken_by`."""
        if speaker is None:
            return self
        return Synthesiser(self._acoustic.spoken_by(speaker), self._vocoders, self._context)

    def speech(self, frames: Iterable[np.ndarray]) -> Speech:
        """Return the speech for gray frames uint8 ``(H, W)``, holding one block of frames at a time in memory."""
        mel_db, f0 = predict(self._acoustic, frames, self._context)
        log_mel = np.float32(self.mel.log_from_db(mel_db).T)
        audio = {name: vocoder.synthesise(log_mel, f0) for name, vocoder in self._vocoders.items()}
        return Speech(mel_db, f0, audio)


class LiveSynthesiser:
    """Live synthesis: frames in, samples out; the LSTM sees only the latest frames.

    Parameters
    ----------
    acoustic : the mel generator, used in ``causal`` context.
    vocoder : its ``block_frames`` add to the latency.

    Attributes
    ----------
    mel, frame_size : of the output; height and width of input frames, pixels.
    block_seconds : length of a block.
    look_ahead : seconds of future pictures that a sample depends on, through the vocoder, and through the neighbours in
        the CNN's input; the causal LSTM adds none.
    latency : maximum delay from a time in the pictures to its sample, seconds: block plus look-ahead, without
        computation.
    """

    def __init__(self, acoustic: MelGenerator, vocoder: MelVocoder) -> None:
        acoustic.mel.require_same(vocoder.spec, str(acoustic.source), "the vocoder")
        if not isinstance(vocoder, BlockVocoder):
            raise UserError("the vocoder", "synthesises whole clips only", "use a HiFi-GAN of this frame rate")
        self._acoustic, self._vocoder = acoustic, vocoder
        self.mel, self.frame_size = acoustic.mel, acoustic.frame_size
        self.block_seconds = vocoder.block_frames / float(self.mel.frame_rate)
        self.look_ahead = vocoder.delay / vocoder.sampling_rate + acoustic.neighbours / float(self.mel.frame_rate)
        self.latency = self.block_seconds + self.look_ahead

    def stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the samples of each block as soon as the frames it depends on have arrived.

        Parameters
        ----------
        frames : gray uint8 ``(H, W)``.

        Yields
        ------
        float32, as `BlockVocoder.stream`.
        """
        yield from self._vocoder.stream(self._log_mels(frames))

    def _log_mels(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        acoustic = self._acoustic
        window: deque[np.ndarray] = deque(maxlen=acoustic.ref_frames)
        frames = iter(frames)
        # A stream that ends before its first frame has no speech, and is no fault of a video.
        first = [*itertools.islice(frames, 1)]
        for features in acoustic.stream(itertools.chain(first, frames)) if first else ():
            window.append(features)
            outputs = acoustic.decode(np.concatenate(window)[None])[0, -1:]
            standardised, _ = split_outputs(outputs, acoustic.mel.n_mels)
            yield np.float32(acoustic.mel.log_from_db(acoustic.scaler.restore(standardised)).T)
