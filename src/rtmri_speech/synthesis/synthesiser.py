"""The models in use: loaded once, any number of clips to speech, and frames to samples while they come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.synthesis.models import Models
from rtmri_speech.synthesis.speech import Speech
from rtmri_speech.training.distributed import chosen_device
from rtmri_speech.vocoder.engine import Vocoder, load_vocoder

if TYPE_CHECKING:
    from rtmri_speech.acoustic.predict import AcousticBundle

LIVE_BLOCK_FRAMES = 4
"""Frames the vocoder makes at a time in a live stream: fewer delay less, and compute more of what is around anew."""


class Synthesiser:
    """A mel generator and its vocoders, ready for use.

    Parameters
    ----------
    acoustic : the mel generator.
    vocoders : by name.
    context : what the LSTM sees for a frame: ``sequence``, ``window`` or ``causal``.
    bf16 : whether the CNN computes in bfloat16.

    Attributes
    ----------
    mel : what the mel generator predicts and the vocoders read.
    frame_size : height and width of the frames to give, pixels.

    Raises
    ------
    UserError
        A vocoder reads another mel than the mel generator predicts.
    """

    def __init__(
        self, acoustic: AcousticBundle, vocoders: Mapping[str, Vocoder], context: str = "sequence", bf16: bool = False
    ) -> None:
        for name, vocoder in vocoders.items():
            acoustic.mel.require_same(vocoder.spec, str(acoustic.source), f"the vocoder {name}")
        self.mel, self.frame_size = acoustic.mel, acoustic.frame_size
        self._acoustic, self._vocoders, self._context = acoustic, dict(vocoders), context
        self._precision = "bfloat16" if bf16 else "float32"

    def speech(self, frames: Iterable[np.ndarray]) -> Speech:
        """Return the speech of gray frames uint8 ``(H, W)``; memory does not grow with the number of frames."""
        from rtmri_speech.acoustic.predict import predict_db

        mel_db = predict_db(self._acoustic, frames, self._context, self._precision)
        log_mel = np.float32(self.mel.log_from_db(mel_db).T)
        return Speech(mel_db, {name: vocoder.synthesise(log_mel) for name, vocoder in self._vocoders.items()})


class LiveSynthesiser:
    """Frames in, samples out, while the speaker speaks: the LSTM sees the latest frames only.

    Parameters
    ----------
    acoustic : the mel generator, used in ``causal`` context.
    vocoder : its ``block_frames`` are part of the delay.

    Attributes
    ----------
    look_ahead : frames after its own that a sample depends on, the vocoder's; the causal mel generator has none.
    latency_frames : frames from the beginning of a frame until its samples can be heard, at most: the block it is part
        of, and the look-ahead. Computing comes on top.
    latency : the same in seconds.
    """

    def __init__(self, acoustic: AcousticBundle, vocoder: Vocoder) -> None:
        acoustic.mel.require_same(vocoder.spec, str(acoustic.source), "the vocoder")
        self._acoustic, self._vocoder = acoustic, vocoder
        self.look_ahead = vocoder.receptive_field[1]
        self.latency_frames = vocoder.block_frames + self.look_ahead
        self.latency = self.latency_frames / float(acoustic.mel.frame_rate)

    def stream(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the samples of each block of frames as soon as the frames it depends on are there.

        Parameters
        ----------
        frames : gray uint8 ``(H, W)``, one after the other.

        Yields
        ------
        float32 ``(block_frames * hop_length,)``, the last one shorter.
        """
        yield from self._vocoder.stream(self._log_mels(frames))

    def _log_mels(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        from rtmri_speech.acoustic.predict import frame_features

        acoustic = self._acoustic
        window: deque[torch.Tensor] = deque(maxlen=acoustic.ref_frames)
        for frame in frames:
            with torch.inference_mode():
                window.append(frame_features(acoustic, frame[None]))
                standardised = acoustic.model.decode(torch.cat(tuple(window))[None])[0, -1:]
            mel_db = acoustic.scaler.restore(standardised.cpu().numpy())
            yield np.float32(acoustic.mel.log_from_db(mel_db).T)


def load_synthesiser(models: Models, warn: Callable[[str], None] | None = None) -> Synthesiser:
    """Load models for use.

    Parameters
    ----------
    models : which.
    warn : told of what an existing vocoder config has that a new one may not.

    Raises
    ------
    UserError
        A file cannot be read, or the models do not fit each other.
    """
    device = chosen_device(models.device)
    names = models.vocoder_names

    def vocoders() -> dict[str, Vocoder]:
        return {
            name: load_vocoder(file, models.hifigan_config, device, bf16=models.bf16, warn=warn)
            for name, file in names.items()
        }

    # Reading tensors leaves the interpreter free for importing timm, and the other way round.
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(vocoders)
        from rtmri_speech.acoustic.fold import fold_batch_norm
        from rtmri_speech.acoustic.predict import load_acoustic_model

        scaler = Scaler.load(models.scaler_json) if models.scaler_json else None
        acoustic = load_acoustic_model(models.mri_checkpoint, models.device, scaler=scaler)
        _require_expected(models, acoustic)
        fold_batch_norm(acoustic.model)
        return Synthesiser(acoustic, reading.result(), models.context, models.bf16)


def _require_expected(models: Models, acoustic: AcousticBundle) -> None:
    for name in ("n_mels", "rnn_hidden"):
        expected, held = getattr(models, name), getattr(acoustic.model.network, name)
        if expected not in (None, held):
            flag = "--" + name.replace("_", "-")
            raise UserError(flag, f"is {expected} but {models.mri_checkpoint} has {held}", "leave the flag out")
