"""Exports a mel generator and a vocoder as a pack, and verifies it against torch."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rtmri_speech.acoustic.context import Context
from rtmri_speech.acoustic.fold import fold_batch_norm
from rtmri_speech.acoustic.model import AcousticModel, PrincipalComponents
from rtmri_speech.acoustic.predict import AcousticBundle, load_acoustic_model, read_acoustic_checkpoint
from rtmri_speech.dataset.scaler import Scaler
from rtmri_speech.errors import UserError
from rtmri_speech.graphs.run import Graph
from rtmri_speech.graphs.trace import require_onnx, traced
from rtmri_speech.pack.format import GRAPHS, About, digests, require_ports, write_pack
from rtmri_speech.pack.int8 import with_int8_cnn
from rtmri_speech.pack.recurrence import recurrence_graph
from rtmri_speech.pack.speak import models_of
from rtmri_speech.provenance import contents_hash, inputs_digest, require_record
from rtmri_speech.settings.acoustic import Normalisation
from rtmri_speech.settings.use import Pack
from rtmri_speech.threads import available_threads
from rtmri_speech.training.state import load_checkpoint
from rtmri_speech.vocoder.blocks import MelVocoder
from rtmri_speech.vocoder.engine import Vocoder, load_vocoder, streamed_graph
from rtmri_speech.vocoder.interpolation import fitted
from rtmri_speech.vocoder.untrained import read_untrained

MEL_TOLERANCE = 1e-4
"""Maximum difference of standardised mels, and of F0 and voicing, between torch and a pack."""

SMALLEST_SNR = 90.0
"""Minimum signal-to-noise ratio of the pack's sound against torch's, dB."""

_COMPARED_FRAMES = (1, 7)
"""Lengths at which a pack is compared; the second differs from the export's example."""

_CARRIED_SETTINGS = {
    "backbone",
    "components",
    "output_stride",
    "neighbours",
    "rnn_hidden",
    "dropout",
    "n_mels",
    "pitch",
    "speaker_embedding",
    "speakers",
}
"""Supported network settings; others are refused unless they have their default."""

_CARRIED_PARTS = {"cnn", "rnn", "dropout", "head", "speakers"}


def make_pack(
    path: str | Path,
    mri_checkpoint: str | Path,
    hifigan_checkpoint: str | Path,
    terms: Pack,
    *,
    hifigan_config: str | Path | None = None,
    scaler_json: str | Path | None = None,
    context: Context = "sequence",
    calibration: str | Path | None = None,
) -> None:
    """Write a pack.

    Parameters
    ----------
    path : the pack.
    mri_checkpoint, hifigan_checkpoint : the models; the ``.json`` of a vocoder without training for a checkpoint.
    terms : licence, speaker and consent, and the numbers of the CNN.
    hifigan_config : None for the ``config.json`` beside the checkpoint.
    scaler_json : for a checkpoint without a scaler.
    context : default LSTM context of the pack.
    calibration : the mel generator's dataset, for a CNN in int8 (`pack.int8`).

    Raises
    ------
    UserError
        A model is unreadable or not supported by packs, the models are incompatible, or the pack's output differs from
        torch's; nothing is written.
    """
    require_onnx(path)
    if terms.cnn == "int8" and calibration is None:
        raise UserError("pack.cnn", "is int8 without a dataset", "give that of the mel generator (--calibration)")
    scaler = Scaler.load(scaler_json) if scaler_json else None
    acoustic = load_acoustic_model(mri_checkpoint, "cpu", scaler=scaler)
    if terms.cnn == "int8" and isinstance(acoustic.model.cnn, PrincipalComponents):
        raise UserError("pack.cnn", "is int8, but principal components are not a CNN", "leave it in float32")
    vocoder = load_vocoder(hifigan_checkpoint, hifigan_config)
    speaking = fitted(vocoder, acoustic.mel, str(hifigan_checkpoint), str(mri_checkpoint))
    graphs = dict(zip(GRAPHS[:2], acoustic_graphs(acoustic), strict=True))
    speaking_by: dict[str, Any]
    if isinstance(vocoder, Vocoder):
        graphs[GRAPHS[-1]] = streamed_graph(vocoder)
        speaking_by = {"vocoder_delay": vocoder.delay, "vocoder_state": vocoder.state_size}
    else:
        speaking_by = {"untrained": read_untrained(hifigan_checkpoint)[0]}
    files = {"mel generator": mri_checkpoint, "vocoder": hifigan_checkpoint, "scaler": scaler_json}
    trainings = {
        "mel generator": read_acoustic_checkpoint(mri_checkpoint, memory_map=True),
        "vocoder": load_checkpoint(hifigan_checkpoint, memory_map=True) if GRAPHS[-1] in graphs else {},
    }
    about = About(
        **dataclasses.asdict(terms),
        mel=acoustic.mel.to_dict(),
        frame_rate=str(acoustic.mel.frame_rate),
        frame_size=acoustic.frame_size,
        image_size=acoustic.image_size,
        frame_normalisation=acoustic.normalisation,
        features=acoustic.model.cnn.channels,
        scaler=acoustic.scaler.to_dict(),
        **_of_speakers(acoustic),
        context=context,
        ref_frames=acoustic.ref_frames,
        pitch=acoustic.model.network.pitch,
        neighbours=acoustic.neighbours,
        vocoder_mel=None if speaking is vocoder else vocoder.spec.to_dict(),
        graphs=digests(graphs),
        models={name: contents_hash(file) for name, file in files.items() if file},
        trainings={name: _training(content, files[name]) for name, content in trainings.items()},
        **speaking_by,
    )
    for name, graph in graphs.items():
        require_ports(graph, about, name, f"{path}, {name}")
    _require_equal(path, about, graphs, acoustic, speaking)
    if terms.cnn == "int8":
        about, graphs = with_int8_cnn(Path(path), about, graphs, calibration)
    write_pack(path, about, graphs)


def _of_speakers(acoustic: AcousticBundle) -> dict[str, Any]:
    """What a pack holds of each speaker: a scaler if it is not that of all, and a vector if the network has them."""
    own = {name: scaler.to_dict() for name, scaler in acoustic.speakers.items() if scaler is not acoustic.scaler}
    if not acoustic.model.network.speaker_embedding:
        return {"speaker_scalers": own}
    vectors = acoustic.model.speakers.weight.detach().cpu().tolist()
    return {"speaker_scalers": own, "speaker_vectors": dict(zip(acoustic.speakers, vectors, strict=True))}


def acoustic_graphs(acoustic: AcousticBundle) -> tuple[bytes, bytes]:
    """Return graphs of the CNN, a frame between its neighbours uint8 ``(2 * neighbours + 1, *image_size)`` to features
    ``(1, C)``, and of the recurrent part.

    Raises
    ------
    UserError
        The network has an unsupported part, or a backbone that cannot be exported.
    """
    source = str(acoustic.source)
    _require_known(acoustic.model, source)
    model = copy.deepcopy(acoustic.model).float().eval()
    fold_batch_norm(model)
    frame = torch.zeros(2 * acoustic.neighbours + 1, *acoustic.image_size, dtype=torch.uint8)
    what = f"{source}, backbone {model.network.backbone}"
    cnn = traced(
        _FrameFeatures(model, acoustic.normalisation, acoustic.neighbours), (frame,), (("frame",), ("features",)), what
    )
    return cnn, recurrence_graph(model, source)


def _require_known(model: AcousticModel, source: str) -> None:
    """Refuse a network with settings or modules that the graphs do not support."""
    usual = type(model.network)()
    unknown = [
        f"the setting {name}"
        for name, value in dataclasses.asdict(model.network).items()
        if name not in _CARRIED_SETTINGS and value != getattr(usual, name)
    ]
    unknown += [f"the part {name}" for name, _ in model.named_children() if name not in _CARRIED_PARTS]
    if unknown:
        raise UserError(source, f"has {unknown[0]}, which a pack cannot hold", "use torch (synthesis: {engine: torch})")


class _FrameFeatures(nn.Module):
    """A frame between its neighbours, uint8 ``(2 * neighbours + 1, H, W)``, to features ``(1, C)``, normalised as
    `signal.video.normalise_frames` does; without neighbours, any number of frames.
    """

    def __init__(self, model: AcousticModel, normalisation: Normalisation, neighbours: int = 0) -> None:
        super().__init__()
        self.model, self.normalisation, self.neighbours = model, normalisation, neighbours

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        picture = frames.float()
        if self.normalisation == "unit":
            picture = (picture / 255)[:, None]
        else:
            low = picture.amin((1, 2), keepdim=True)
            spread = picture.amax((1, 2), keepdim=True) - low
            picture = ((picture - low) / spread.clamp(min=1))[:, None]
        return self.model.features(picture.transpose(0, 1) if self.neighbours else picture)


def _training(content: Mapping[str, Any], source: str | Path) -> dict[str, Any] | None:
    """Provenance of a model's training without file and clip names; None if the checkpoint has none."""
    if content.get("provenance") is None:
        return None
    record = require_record(content["provenance"], source)
    makers = [{name: maker.get(name) for name in ("code", "packages", "from_step")} for maker in record["made_by"]]
    return {"made_by": makers, "seed": record["seed"], "data": inputs_digest(record)}


def _require_equal(
    path: str | Path, about: About, graphs: Mapping[str, bytes], acoustic: AcousticBundle, vocoder: MelVocoder
) -> None:
    """Compare the graphs with torch on noise frames and a speech-like random mel; refuse differences."""
    sessions = {name: Graph(graph, f"{path}, {name}", available_threads()) for name, graph in graphs.items()}
    generator, pack_vocoder = models_of(Path(path), about, sessions)
    rng = np.random.default_rng(0)
    for count in _COMPARED_FRAMES:
        frames = rng.integers(0, 256, (count, *about.frame_size), dtype=np.uint8)
        found, expected = (model.decode(model.features(frames)[None]) for model in (generator, acoustic))
        difference = np.abs(found - expected).max()
        # Negated, so that NaN is refused too.
        if not difference <= MEL_TOLERANCE:
            raise _unequal(path, f"its mels differ from torch's by {difference:.1e} deviations")
        log_mel, f0 = rng.normal(-4, 1, (acoustic.mel.n_mels, count)).astype(np.float32), rng.uniform(80, 300, count)
        snr = signal_to_noise_db(vocoder.synthesise(log_mel, f0), pack_vocoder.synthesise(log_mel, f0))
        if not snr >= SMALLEST_SNR:
            raise _unequal(path, f"its sound differs from torch's, {snr:.0f} dB under it")


def _unequal(path: str | Path, fault: str) -> UserError:
    return UserError(path, fault, "report it with the versions in constraints.txt, and use torch")


def signal_to_noise_db(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the power ratio of ``expected`` to its difference from ``found``, dB."""
    signal, noise = (float(np.square(np.float64(part)).sum()) for part in (expected, found - expected))
    return np.inf if noise == 0 else 10 * float(np.log10(signal / noise))
