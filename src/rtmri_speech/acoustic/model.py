"""The mel generator: a CNN per frame, or principal components, and an LSTM over its features.

The network is the lab's (EfficientNetV2-B2, mean over space, one bidirectional LSTM whose directions are added,
dropout, a linear layer); its state dict has the names and shapes of the lab's checkpoint. Frames are ``(N, 1, H, W)``
in [0, 1], or between their neighbours (`acoustic.neighbours.around`), mels ``(..., n_mels)`` standardised dB.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rtmri_speech.acoustic.neighbours import differences
from rtmri_speech.acoustic.pitch import outputs_of
from rtmri_speech.errors import UserError
from rtmri_speech.settings.acoustic import PRINCIPAL_COMPONENTS, SIDE, NetworkSettings
from rtmri_speech.settings.fields import fields_of
from rtmri_speech.signal.mel import LARGEST
from rtmri_speech.training.state import is_plain, load_checkpoint
from rtmri_speech.untrusted import require_type

MOST_SPEAKERS = 10_000
"""Keeps the vectors of a malformed checkpoint within memory."""


@dataclasses.dataclass(frozen=True)
class Network(NetworkSettings):
    """Settings of the network, including the number of mel bins.

    Attributes
    ----------
    n_mels : mel bins.
    speakers : those with a vector, with ``speaker_embedding``.
    """

    n_mels: int = 64
    speakers: int = 0

    @classmethod
    def of(cls, settings: NetworkSettings, n_mels: int, speakers: int = 1) -> Network:
        """Return the network of a configuration's ``acoustic`` section, or of a training's settings."""
        shared = {field.name: getattr(settings, field.name) for field, _ in fields_of(NetworkSettings)}
        return cls(**shared, n_mels=n_mels, speakers=speakers if settings.speaker_embedding else 0)

    @property
    def outputs(self) -> int:
        """Values per frame: the mel's, and those of `acoustic.pitch`."""
        return outputs_of(self.n_mels, self.pitch)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.n_mels <= LARGEST["n_mels"]:
            raise UserError("acoustic.n_mels", f"is {self.n_mels!r}", f"give 1 to {LARGEST['n_mels']}")
        if not 0 <= self.speakers <= MOST_SPEAKERS:
            raise UserError("speakers", f"are {self.speakers!r}", f"give 0 to {MOST_SPEAKERS}")


@dataclasses.dataclass(frozen=True)
class Recomputing:
    """Gradient checkpointing: the backbone's blocks in ``segments`` runs, each recomputed in the backward pass."""

    segments: int
    reentrant: bool = False


class FrameEncoder(nn.Module):
    """The timm backbone, under the lab's prefix ``cnn.backbone``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        options: dict[str, int] = {}
        if network.output_stride is not None:
            options["output_stride"] = network.output_stride
        self._neighbours = network.neighbours
        if self._neighbours:
            options["in_chans"] = 2 * self._neighbours + 1
        try:
            self.backbone = timm.create_model(network.backbone, features_only=True, out_indices=(-1,), **options)
        except (RuntimeError, AttributeError, TypeError, NotImplementedError, ValueError, AssertionError) as error:
            # timm has no specific exception for an unknown name or unsupported option.
            raise UserError(
                "acoustic.backbone",
                f"timm cannot build {network.backbone!r} with output stride {network.output_stride} ({error})",
                "give a convolutional model of timm.list_models() and one of its strides (8, 16, 32)",
            ) from error
        self.channels: int = self.backbone.feature_info.channels()[-1]
        self.stride: int = self.backbone.feature_info.reduction()[-1]

    def forward(self, frames: torch.Tensor, recomputing: Recomputing | None = None) -> torch.Tensor:
        """Return the last feature map ``(N, C, h, w)`` of frames ``(N, 2 * neighbours + 1, H, W)``."""
        picture = differences(frames) if self._neighbours else frames.expand(-1, 3, -1, -1)
        if recomputing is None or not torch.is_grad_enabled():
            return self.backbone(picture)[-1]
        parts = self._parts()
        runs = min(recomputing.segments, len(parts))
        bounds = [len(parts) * number // runs for number in range(runs + 1)]
        if recomputing.reentrant:
            # Reentrant checkpointing requires an input with a gradient.
            picture = picture.detach().requires_grad_()
        for begin, end in itertools.pairwise(bounds):
            segment = _Segment(list(itertools.chain(*parts[begin:end])))
            picture = checkpoint(segment, picture, use_reentrant=recomputing.reentrant)
        return picture

    def features(self, frames: torch.Tensor, recomputing: Recomputing | None = None) -> torch.Tensor:
        """Return the mean of each map over space, ``(N, C)``."""
        return self(frames, recomputing).mean((2, 3))

    def _parts(self) -> list[list[nn.Module]]:
        """The backbone as a chain of the stem and its blocks."""
        children = dict(self.backbone.named_children())
        if "conv_stem" not in children or not isinstance(children.get("blocks"), nn.Sequential):
            raise UserError(
                "--use_checkpoint",
                f"finds no blocks in the backbone {type(self.backbone).__name__}",
                "use a model of the EfficientNet or MobileNet family, or leave the flag out",
            )
        # The stem is one part: its activation is in place, so it cannot be split.
        stem = [children[name] for name in ("conv_stem", "bn1", "act1") if name in children]
        return [stem, *([block] for stage in children["blocks"] for block in stage)]


class _Segment:
    """A run of layers that does not update batch statistics again when it is recomputed."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self._layers, self._computed = layers, False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        again, self._computed = self._computed, True
        with _uncounted(self._layers if again else []):
            for layer in self._layers:
                x = layer(x)
        return x


@contextmanager
def _uncounted(layers: list[nn.Module]) -> Iterator[None]:
    norms = [m for layer in layers for m in layer.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # The statistics cannot be disabled: recomputation must save the same tensors.
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class PrincipalComponents(nn.Module):
    """A linear encoder in place of the CNN: the principal components of a picture, `SIDE` pixels a side.

    Its weights are computed from the training clips and not trained: few recordings suffice for it, and a step of the
    training takes a fraction of the time. All components have one scale, so that the first one has a variance of one.

    Parameters
    ----------
    components : their number.
    """

    stride: None = None
    """There are no stages."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.channels = components
        self.register_buffer("mean", torch.zeros(SIDE**2))
        self.register_buffer("axes", torch.zeros(SIDE**2, components))

    def fit(self, mean: np.ndarray, axes: np.ndarray, deviations: np.ndarray) -> None:
        """Take mean picture, axes and deviations, as `principal_axes` returns them of `pictures`."""
        scale = 1 / max(float(deviations[0]), float(np.finfo(np.float32).tiny))
        self.mean.copy_(torch.from_numpy(mean))
        self.axes.copy_(torch.from_numpy(axes * np.float32(scale)))

    @staticmethod
    def pictures(frames: torch.Tensor) -> torch.Tensor:
        """Return frames ``(N, 1, H, W)`` averaged to ``(N, SIDE * SIDE)`` pixels."""
        # Larger frames are averaged here too: the axes of 256 x 256 pixels are beyond memory, and no better.
        small = frames if frames.shape[2:] == (SIDE, SIDE) else nn.functional.adaptive_avg_pool2d(frames, SIDE)
        return small.flatten(1)

    def features(self, frames: torch.Tensor, recomputing: Recomputing | None = None) -> torch.Tensor:
        """Return the components ``(N, C)`` of frames ``(N, 1, H, W)``, in float32 under autocast too.

        There is nothing to recompute.
        """
        with torch.autocast(frames.device.type, enabled=False):
            return (self.pictures(frames.float()) - self.mean) @ self.axes

    def forward(self, frames: torch.Tensor, recomputing: Recomputing | None = None) -> torch.Tensor:
        """Return what each pixel adds to each component, as maps ``(N, C, SIDE, SIDE)`` whose mean is the component."""
        added = (self.pictures(frames.float()) - self.mean)[:, None] * self.axes.T
        return SIDE**2 * added.unflatten(2, (SIDE, SIDE))


class Recurrence(nn.Module):
    """A bidirectional LSTM with summed directions, under the lab's prefix ``rnn.lstm``."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return ``(B, T, hidden)`` of features ``(B, T, C)``."""
        forward, backward = self.lstm(features)[0].chunk(2, dim=-1)
        return forward + backward


class AcousticModel(nn.Module):
    """Frames to standardised mel; the CNN runs once per frame, windows gather its features.

    Parameters
    ----------
    network : what it is made of.

    Attributes
    ----------
    speaker : row of the vector that `outputs` uses unless given others, with ``speaker_embedding``; None for the mean
        of all.

    Raises
    ------
    UserError
        timm does not know the backbone or the stride.
    """

    def __init__(self, network: Network = Network()) -> None:
        super().__init__()
        self.network = network
        linear = network.backbone == PRINCIPAL_COMPONENTS
        self.cnn = PrincipalComponents(network.components) if linear else FrameEncoder(network)
        self.rnn = Recurrence(self.cnn.channels + network.speaker_embedding, network.rnn_hidden)
        self.dropout = nn.Dropout(network.dropout)
        self.head = nn.Linear(network.rnn_hidden, network.outputs)
        if network.speaker_embedding:
            self.speakers = nn.Embedding(network.speakers, network.speaker_embedding)
        self.speaker: int | None = None

    def feature_maps(self, frames: torch.Tensor, recomputing: Recomputing | None = None) -> torch.Tensor:
        """Return the last feature maps ``(N, C, h, w)`` of frames ``(N, 2 * neighbours + 1, H, W)``."""
        return self.cnn(frames, recomputing)

    def features(self, frames: torch.Tensor, recomputing: Recomputing | None = None) -> torch.Tensor:
        """Return the features ``(N, C)`` of frames as `feature_maps` takes them: the mean of each map over space."""
        return self.cnn.features(frames, recomputing)

    def decode(self, features: torch.Tensor, speakers: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mel ``(B, T, n_mels)`` of features ``(B, T, C)``; see `outputs`."""
        return self.outputs(features, speakers)[..., : self.network.n_mels]

    def speaker_vectors(self) -> torch.Tensor:
        """Return the vector of each speaker and, last, their mean, for all others, ``(speakers + 1, N)``."""
        vectors = self.speakers.weight
        return torch.cat([vectors, vectors.mean(0, keepdim=True)])

    def outputs(self, features: torch.Tensor, speakers: torch.Tensor | None = None) -> torch.Tensor:
        """Return the mel and, with ``network.pitch``, the outputs of `acoustic.pitch`, ``(B, T, outputs)``.

        In float32 under autocast too: it is cheap, and a recurrence gathers rounding errors.

        Parameters
        ----------
        features : ``(B, T, C)``.
        speakers : row of `speaker_vectors` for each window, int64 ``(B,)``; None for that of ``speaker``. Of no effect
            without ``network.speaker_embedding``.
        """
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.network.speaker_embedding:
                if speakers is None:
                    row = self.network.speakers if self.speaker is None else self.speaker
                    speakers = torch.full((len(features),), row, device=features.device)
                vectors = self.speaker_vectors()[speakers][:, None]
                features = torch.cat([features, vectors.expand(-1, features.shape[1], -1)], -1)
            return self.head(self.dropout(self.rnn(features)))

    def forward(
        self,
        frames: torch.Tensor,
        starts: torch.Tensor,
        length: int,
        recomputing: Recomputing | None = None,
        speakers: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the outputs of windows over consecutive frames.

        Parameters
        ----------
        frames : ``(N, 2 * neighbours + 1, H, W)``, each encoded by the CNN once for all windows.
        starts : int64 ``(P,)``, each window's first frame.
        length : frames per window, R.
        speakers : of the windows, see `outputs`.

        Returns
        -------
        ``(P, R, outputs)``, see `outputs`.
        """
        features = self.features(frames, recomputing)
        # One gather per position in the window: no index repeats, so the gradient's order of summation is fixed.
        windows = torch.stack([features.index_select(0, starts + place) for place in range(length)], 1)
        return self.outputs(windows, speakers)

    def freeze_batch_norm(self) -> None:
        """Make batch normalisation use its running statistics without updating them."""
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor], source: str | Path) -> None:
    """Load a state dict strictly.

    Raises
    ------
    UserError
        A key is missing, unknown, of another shape, or not finite; the error names the first one.
    """
    require_type(state, Mapping[str, Any], "the model", source, "use a checkpoint of this network")
    own = model.state_dict()
    remedy = "use a checkpoint of this network, or set backbone, output stride and rnn_hidden to the checkpoint's"
    for kind, keys in (("lacks", own.keys() - state.keys()), ("has the unknown", state.keys() - own.keys())):
        if keys:
            raise UserError(source, f"{kind} {_counted(keys)}", remedy)
    for key, value in own.items():
        if not is_plain(state[key]) or not state[key].isfinite().all():
            raise UserError(source, f"{key} is not a tensor of finite numbers", "use an earlier checkpoint")
        if state[key].shape != value.shape:
            raise UserError(source, f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}", remedy)
    model.load_state_dict(state)


def _counted(keys: set[str]) -> str:
    first, *others = sorted(keys)
    return f"key {first}" + (f" and {len(others)} others" if others else "")


def load_fitting_weights(model: nn.Module, state: Mapping[str, torch.Tensor]) -> int:
    """Load tensors that match by name and shape, for a warm start; return their number."""
    own = model.state_dict()
    fitting = {
        key: value for key, value in state.items() if key in own and is_plain(value) and own[key].shape == value.shape
    }
    model.load_state_dict({**own, **fitting})
    return len(fitting)


def load_pretrained_backbone(model: AcousticModel, file: str | Path | None) -> None:
    """Load weights pretrained on photographs into the CNN, from a file or, if ``file`` is None, from timm's hub.

    Raises
    ------
    UserError
        The hub cannot be reached, or the file lacks a tensor of the backbone.
    """
    state = _hub_weights(model.network) if file is None else _file_weights(Path(file))
    own = model.cnn.backbone.state_dict()
    wanted = {key for key in own if not key.endswith("num_batches_tracked")}
    source = file or f"pretrained weights of {model.network.backbone}"
    if missing := wanted - state.keys():
        raise UserError(
            source, f"lacks {_counted(missing)} of {model.network.backbone}", "give a file for this backbone"
        )
    load_weights(model.cnn.backbone, {**own, **{key: state[key] for key in wanted}}, source)


def _hub_weights(network: Network) -> Mapping[str, torch.Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return timm.create_model(network.backbone, pretrained=True, features_only=True).state_dict()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise UserError(
            "--cnn_pretrained",
            f"the weights of {network.backbone} cannot be fetched ({reason})",
            "download them where there is a network and give the file: --cnn_pretrained FILE (acoustic.cnn_pretrained)",
        ) from error


def _file_weights(file: Path) -> Mapping[str, torch.Tensor]:
    remedy = "give a .pth or .safetensors file of the backbone's weights"
    if file.suffix == ".safetensors" and file.is_file():
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except (SafetensorError, RuntimeError, ValueError) as error:  # the latter two from torch
            raise UserError(file, f"cannot be read ({error})", remedy) from error
    content = load_checkpoint(file, remedy)
    return next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), Mapping)), content)
