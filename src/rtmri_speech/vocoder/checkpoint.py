"""HiFi-GAN's checkpoint files ``g_<steps>`` and ``do_<steps>``, with official names and layout.

A ``g_`` file is a dict with ``generator``; a ``do_`` file a dict with ``mpd``, ``msd``, ``optim_g``, ``optim_d``,
``steps`` and ``epoch``. Weight-normed tensors are ``weight_g`` and ``weight_v``, spectral-normed ones ``weight_orig``,
``weight_u`` and ``weight_v``, as `jik876/hifi-gan` names them; ``optim_d`` numbers the scale discriminators first. Ours
additionally contain the mel and the padding, which the official program ignores.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from rtmri_speech.errors import UserError
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.training.state import is_plain, load_checkpoint, save_checkpoint
from rtmri_speech.untrusted import require_type
from rtmri_speech.vocoder.config import CONFIG_NAME, PADDINGS, VocoderConfig, read_config, write_config
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.naming import discriminator_file, generator_file, pair_files

_log = logging.getLogger(__name__)

State = dict[str, torch.Tensor]

_FAR_WIDER = 64
"""Maximum ratio of a config's largest layer to the checkpoint's."""

_NAMES = (
    ("parametrizations.weight.original0", "weight_g"),
    ("parametrizations.weight.original1", "weight_v"),
    ("parametrizations.weight.original", "weight_orig"),
    ("parametrizations.weight.0._u", "weight_u"),
    ("parametrizations.weight.0._v", "weight_v"),
)


def official_name(name: str) -> str:
    """Return the official name of a tensor of our modules (PyTorch's parametrisations rename them)."""
    for ours, official in _NAMES:
        if name.endswith("." + ours):
            return name[: -len(ours)] + official
    return name


def official_state(module: nn.Module) -> State:
    """Return the state dict of a generator or discriminator under its official names."""
    return {official_name(name): tensor for name, tensor in module.state_dict().items()}


def load_official(module: nn.Module, state: Mapping[str, torch.Tensor], source: str | Path) -> None:
    """Load tensors with official names into ``module``, strictly.

    Raises
    ------
    UserError
        A tensor is missing, unknown, not finite or of another shape; the error names ``source`` and the first one.
    """
    ours = {official_name(name): (name, tensor) for name, tensor in module.state_dict().items()}
    state = {official_name(str(name)): tensor for name, tensor in state.items()}
    remedy = "give the config.json that belongs to this checkpoint"
    for name, (_, tensor) in ours.items():
        if name not in state:
            raise UserError(source, f"does not fit its config: it lacks {name}", remedy)
        if not is_plain(state[name]):
            raise UserError(source, f"{name} is not a tensor of numbers", "give a file written by the training")
        if state[name].shape != tensor.shape:
            raise UserError(
                source,
                f"does not fit its config: {name} has the shape {tuple(state[name].shape)}, the config asks for "
                f"{tuple(tensor.shape)}",
                remedy,
            )
        if not state[name].isfinite().all():
            raise UserError(source, f"holds numbers in {name} that are not finite", "use an earlier checkpoint")
    if unknown := state.keys() - ours.keys():
        raise UserError(source, f"does not fit its config, which has no {min(unknown)}", remedy)
    module.load_state_dict({ours[name][0]: tensor for name, tensor in state.items()})


def infer_padding(keys: Iterable[str], named: str | None, source: str | Path) -> str:
    """Return the padding a generator was trained with, from the names of its tensors and from its config.

    A weight-normed ``conv_pre`` is official, a plain one with weight-normed ``ups`` is the lab's. For a folded file the
    config must specify it.

    Raises
    ------
    UserError
        The config contradicts the file, or the file is folded and the config does not specify the padding.
    """
    keys = {official_name(str(key)) for key in keys}
    if "conv_pre.weight_g" in keys:
        shown, reason = "official", "its conv_pre is weight-normed, which the lab's never is"
    elif "ups.0.weight_g" in keys:
        shown, reason = "lab", "its conv_pre is plain although its ups are weight-normed, as only the lab's are"
    elif named is None:
        raise UserError(
            source,
            "is folded (without weight norm), so that its padding does not show",
            'add "padding": "official" or "lab" to its config.json',
        )
    else:
        return named
    if named is not None and named != shown:
        raise UserError(
            source,
            f"was trained with {shown} padding ({reason}) and its config says {named}",
            f'set "padding": "{shown}"',
        )
    return shown


def read_generator(path: str | Path, config: VocoderConfig) -> tuple[Generator, VocoderConfig]:
    """Build the generator of a ``g_`` file and load it.

    Returns
    -------
    The generator (weight-normed, or folded if the file is), and ``config`` with its padding.

    Raises
    ------
    UserError
        The file is unreadable, not a generator, or does not match ``config``.
    """
    content = load_checkpoint(path)
    state = generator_state(content, path)
    names = set(map(official_name, map(str, state)))
    config = dataclasses.replace(
        config, padding=infer_padding(names, config.padding or padding_of(content, path), path)
    )
    if content.get("mel") is not None:
        MelSpec.from_dict(content["mel"], str(path)).require_same(config.spec, str(path), "its config")
    _require_widths(state, config, path)
    generator = Generator(config, folded="ups.0.weight_g" not in names)
    load_official(generator, state, path)
    return generator, config


def generator_state(content: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Return the generator's tensors in the content of a ``g_<steps>`` file; a file without is refused."""
    state = content.get("generator")
    if not isinstance(state, dict):
        raise UserError(path, "holds no 'generator'", "give a g_<steps> file of HiFi-GAN")
    return state


def padding_of(content: Mapping[str, Any], path: str | Path) -> str | None:
    """Return the padding in one of our ``g_`` files; None for the official program's."""
    return require_type(content.get("padding"), Literal[PADDINGS] | None, "padding", path, "give a g_<steps> file")


def _require_widths(state: Mapping[str, Any], config: VocoderConfig, path: str | Path) -> None:
    """Refuse a config with far larger layers than the file before allocating memory.

    Smaller differences are reported by layer when the weights are loaded.
    """
    held = max((tensor.numel() for tensor in state.values() if is_plain(tensor)), default=0)
    widest = config.upsample_initial_channel
    asked = max(
        widest * config.num_mels,
        *((widest >> n) * (widest >> n + 1) * kernel for n, kernel in enumerate(config.upsample_kernel_sizes)),
        (widest >> 1) ** 2 * max(config.resblock_kernel_sizes),
    )
    if asked > _FAR_WIDER * held:
        raise UserError(
            path,
            f"does not fit its config, whose largest layer has {asked} numbers or more (the file's has {held})",
            "give the config.json that belongs to this checkpoint",
        )


def config_of(checkpoint: str | Path, config: str | Path | None) -> VocoderConfig:
    """Read ``config``, by default the ``config.json`` beside ``checkpoint``."""
    return read_config(config or Path(checkpoint).parent / CONFIG_NAME)


def newest_pair(directory: str | Path) -> tuple[Path, dict, dict] | None:
    """Return the newest readable pair as (``g_`` file, its content, ``do_`` content), or None.

    Each unreadable pair that is passed over is logged.
    """
    for generator, rest in reversed(pair_files(directory).values()):
        try:
            return generator, load_checkpoint(generator), load_checkpoint(rest)
        except UserError as error:
            _log.info(f"{error.subject} {error.fault}: the pair before it is used.")
    return None


def write_pair(directory: str | Path, steps: int, generator: dict[str, Any], rest: dict[str, Any]) -> None:
    """Write ``do_<steps>``, then ``g_<steps>``, which completes the pair."""
    save_checkpoint(discriminator_file(directory, steps), rest)
    save_checkpoint(generator_file(directory, steps), generator)


def publish_pair(directory: str | Path, steps: int, target: str | Path) -> None:
    """Copy a pair and its config without the optimisers' moments (three quarters of the size), as a base.

    The official program can read it: an optimiser without moments starts fresh.
    """
    generator, rest = (load_checkpoint(name(directory, steps)) for name in (generator_file, discriminator_file))
    for name in ("optim_g", "optim_d"):
        rest[name] = {**rest[name], "state": {}}
    write_config(Path(target) / CONFIG_NAME, read_config(directory))
    write_pair(target, steps, generator, rest)


def prune_pairs(
    directory: str | Path,
    made: Iterable[int],
    *,
    keep_last: int,
    best: int | None = None,
    keep_every: int = 0,
    archive: str | Path | None = None,
) -> list[int]:
    """Delete pairs that are not to be kept, or move them to ``archive``.

    Parameters
    ----------
    made : steps of the pairs written by this training; others, such as a base, are never removed.
    keep_last : number of newest pairs to keep, at least one.
    best : steps of the best pair, which is kept.
    keep_every : keep pairs whose steps are a multiple of this; 0 for none.

    Returns
    -------
    the steps of the pairs that went.
    """
    made = sorted(made)
    kept = set(made[-max(keep_last, 1) :]) | {best}
    gone = [steps for steps in made if steps not in kept and not (keep_every and steps % keep_every == 0)]
    for steps in gone:
        # A pruning that was killed between the two files is finished by the next.
        for path in (generator_file(directory, steps), discriminator_file(directory, steps)):
            if archive is None:
                path.unlink(missing_ok=True)
            elif path.exists():
                Path(archive).mkdir(parents=True, exist_ok=True)
                shutil.move(path, Path(archive) / path.name)
    return gone
