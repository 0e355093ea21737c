"""Loads a configuration: validates it against the settings and fills in defaults."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import pydantic
import yaml

from rtmri_speech.errors import UserError
from rtmri_speech.paths import written_path
from rtmri_speech.settings.all import Settings
from rtmri_speech.settings.fields import Name, Section, choices, fields_of, is_section, options, refusal
from rtmri_speech.signal.mel import MelSpec

_BEYOND = 2**63
"""Bound on numbers: 64-bit integers."""


def load_configuration(given: Mapping[str, Any]) -> Settings:
    """Return the validated settings of a configuration, with defaults filled in.

    Parameters
    ----------
    given : the merged configuration files and command-line settings.

    Raises
    ------
    UserError
        A key is unknown, a value is not allowed, or values are inconsistent; the error names the key, the value and the
        allowed values.
    """
    read = _read(dict(given), Settings)
    _check_numbers(read)
    try:
        # Via JSON: strict validation then accepts lists for tuples and strings for paths.
        settings = pydantic.TypeAdapter(Settings).validate_json(json.dumps(read))
    except pydantic.ValidationError as error:
        raise _explained(error, read) from None
    _check_source(settings)
    vocoder = settings.synthesis.vocoder
    if vocoder != "hifigan" and settings.synthesis.hifigan_checkpoint:
        raise UserError(
            "synthesis.hifigan_checkpoint", f"is given beside synthesis.vocoder: {vocoder}", "give one of them"
        )
    settings = _with_what_follows(settings)
    spec = MelSpec.of(settings.mel)
    for name, (low, high) in settings.bands.items():
        _check_band(name, low, high, spec)
    if settings.synthesis.bf16 and settings.synthesis.engine == "pack":
        raise UserError(
            "synthesis.bf16",
            "is true, but a pack computes in float32",
            "set synthesis.engine: torch, or leave bf16 out",
        )
    return settings


def _read(value: Any, kind: Any, key: str = "") -> Any:
    """Parse strings in ``value`` recursively by the expected type; others are left unchanged.

    Snakemake passes every value inside ``--config section={...}`` as a string.
    """
    if isinstance(value, str):
        value = _read_text(value, kind, key)
    if isinstance(value, Mapping):
        return {
            name: _read(inner, _kind_within(kind, name), f"{key}.{name}".removeprefix("."))
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_read(inner, _kind_within(kind, number), f"{key}.{number}") for number, inner in enumerate(value)]
    kinds = list(options(kind))
    if isinstance(value, float) and value.is_integer() and int in kinds and float not in kinds:
        return int(value)
    return value


def _kind_within(kind: Any, key: Any) -> Any:
    """The type at a key or index of a value of type ``kind``; Any if there should be none."""
    for option in options(kind):
        parts = typing.get_args(option)
        if is_section(option):
            return {field.name: inner for field, inner in fields_of(option)}.get(key, Any)
        if typing.get_origin(option) is dict:
            return parts[1]
        if typing.get_origin(option) is tuple and isinstance(key, int):
            return parts[0] if parts[1:] == (...,) else parts[key] if key < len(parts) else Any
    return Any


def _read_text(text: str, kind: Any, key: str) -> Any:
    """Parse a string as YAML unless ``kind`` is a string; resolve paths."""
    if text in choices(kind):
        return text
    kinds = set(options(kind))
    word = {"null": type(None), "true": bool, "false": bool}.get(text)
    if not {str, Path, Any} & kinds or word in kinds or (text == "null" and None in choices(kind)):
        try:
            # YAML 1.1 reads 1e-4 as a string, because it has no point.
            return float(text) if {float, int} & kinds and "e" in text.lower() else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):  # the last two for an invalid date and deep nesting
            return text
    if Path in kinds:
        return None if not text and type(None) in kinds else written_path(text, key)
    return text


def _explained(error: pydantic.ValidationError, given: Any) -> UserError:
    """The `UserError` for the first validation error."""
    fault = error.errors(include_url=False, include_context=False)[0]
    key, kind, description, value = [], Settings, Settings.__doc__ or "", given
    for part in fault["loc"]:
        if fault["type"] == "unexpected_keyword_argument" and part == fault["loc"][-1]:
            break
        # A union's branches are part of the location, and so is a missing element of a list.
        inside = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if not inside and not (isinstance(value, dict) and part in value):
            break
        description = _description(kind, part) or description
        key, kind, value = [*key, str(part)], _kind_within(kind, part), value[part]
    where = ".".join(key) or "configuration"
    if fault["loc"][-1] == "[key]":
        return refusal(where, key[-1], Name, description)
    if fault["type"] == "unexpected_keyword_argument":
        (section,) = filter(is_section, options(kind))
        known = [field.name for field, _ in fields_of(section)]
        unknown = ", ".join(repr(name) for name in value if name not in known)
        return UserError(where, f"has unknown setting {unknown}", f"known are {', '.join(known)}")
    return refusal(where, value, kind, description)


def _description(kind: Any, key: Any) -> str:
    section = next(filter(is_section, options(kind)), None)
    fields = fields_of(section) if section else []
    return next((field.metadata["description"] for field, _ in fields if field.name == key), "")


def _check_numbers(value: Any, key: str = "configuration") -> None:
    """Refuse values that JSON does not support, and numbers beyond 64 bits, which ranges may allow."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise UserError(key, f"has unknown setting {name!r}", "put names in quotes")
            _check_numbers(inner, f"{key}.{name}".removeprefix("configuration."))
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner, key)
    elif isinstance(value, int | float) and not -_BEYOND < value < _BEYOND:
        raise UserError(key, f"is {value!r}", "give a number of ordinary size")
    elif not isinstance(value, str | int | float | None):
        raise UserError(key, f"is {value!r}", "put it in quotes if it is text")


def _check_source(settings: Settings) -> None:
    needed = {
        "directories": [("corpus", "videos")],
        "table": [("corpus", "table")],
        "lab": [("corpus", "videos"), ("corpus", "audio"), ("lab", "processed")],
    }
    source = settings.corpus.source
    for section, key in needed.get(source, [("corpus", "directory")] if source != "demo" else []):
        if not getattr(getattr(settings, section), key):
            raise UserError(f"{section}.{key}", "is empty", f"source {source!r} needs it")


class _Dumper(yaml.SafeDumper):
    """Writes lists in flow style."""


_Dumper.add_representer(
    list, lambda dumper, values: dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)
)


def configuration_text(settings: Mapping[str, Any], head: str, about: Mapping[str, str]) -> str:
    """Return a configuration file.

    Parameters
    ----------
    settings : plain values, by section.
    head : comment lines of the file.
    about : comments above sections.
    """
    parts = [head]
    for name, section in settings.items():
        comment = f"# {about[name]}\n" if name in about else ""
        dumped = yaml.dump({name: section}, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
        parts.append(comment + dumped)
    return "".join(parts)


def takes_over(settings: Settings) -> bool:
    """Return whether the lab's frames, mels, masks and scaler are used, so that its models are compatible."""
    return settings.corpus.source == "lab" and settings.lab.conventions == "lab"


def _with_what_follows(settings: Settings) -> Settings:
    """Fill in settings that depend on others: mel, vocoder config, and the lab's models."""
    lab, mel = settings.lab, settings.mel
    preset = "lab" if takes_over(settings) else "hifigan"
    if settings.corpus.source == "lab" and mel.preset not in (None, preset):
        raise UserError(
            "mel.preset",
            f"is {mel.preset!r} but lab.conventions is {lab.conventions!r}, whose mel is {preset!r}",
            "leave mel.preset out",
        )
    settings = dataclasses.replace(settings, mel=_completed(mel, preset=preset))
    if takes_over(settings):
        settings = _with_models_of_lab(settings)
        beside = lab.hifigan_checkpoint and lab.hifigan_checkpoint.with_name("config.json")
        config = lab.hifigan_config or beside or Path("config/hifigan_lab.json")
    else:
        config = Path("config/hifigan_v1_11413.json")
    return dataclasses.replace(settings, vocoder=_completed(settings.vocoder, config=config))


S = TypeVar("S", bound=Section)


def _completed(section: S, **values: Any) -> S:
    """``section`` with ``values`` for settings that are None."""
    missing = {name: value for name, value in values.items() if getattr(section, name) is None}
    # Every section is a dataclass.
    return dataclasses.replace(cast(Any, section), **missing)


def _with_models_of_lab(settings: Settings) -> Settings:
    """Use each of the lab's models, or train it further, unless another one is set."""
    lab, synthesis, acoustic, vocoder = settings.lab, settings.synthesis, settings.acoustic, settings.vocoder
    for model, name in (("acoustic", "mri_checkpoint"), ("vocoder", "hifigan_checkpoint")):
        if model in lab.train_on and not getattr(lab, name):
            raise UserError("lab.train_on", f"names {model} but lab.{name} is empty", f"give lab.{name}")
    if "acoustic" in lab.train_on:
        acoustic = _completed(acoustic, resume_ckpt=lab.mri_checkpoint)
    elif lab.mri_checkpoint and not synthesis.mri_checkpoint:
        synthesis = dataclasses.replace(synthesis, mri_checkpoint=lab.mri_checkpoint)
        synthesis = _completed(synthesis, scaler_json=lab.processed / "scaler.json")
    if "vocoder" in lab.train_on:
        vocoder = _completed(vocoder, base=lab.hifigan_checkpoint)
    elif lab.hifigan_checkpoint and not synthesis.hifigan_checkpoint and synthesis.vocoder == "hifigan":
        synthesis = dataclasses.replace(synthesis, hifigan_checkpoint=lab.hifigan_checkpoint)
        synthesis = _completed(synthesis, hifigan_config=lab.hifigan_config)
    return dataclasses.replace(settings, synthesis=synthesis, acoustic=acoustic, vocoder=vocoder)


def _check_band(name: str, low: float, high: float, spec: MelSpec) -> None:
    if not spec.fmin <= low < high <= spec.fmax:
        raise UserError(
            f"bands.{name}",
            f"is {low:g} to {high:g} Hz",
            f"give two rising frequencies inside the filterbank, {spec.fmin:g} to {spec.fmax:g} Hz",
        )
    spec.band(low, high)


def takeover_notes(settings: Settings) -> list[str]:
    """Return notes on what the lab's conventions mean for the two models; empty for other sources.

    Parameters
    ----------
    settings : as `load_configuration` returns them.
    """
    if settings.corpus.source != "lab":
        return []
    if takes_over(settings):
        notes = [f"lab.conventions is lab: frames, mels, masks and scaler come from {settings.lab.processed}."]
    else:
        notes = [
            "lab.conventions is fixed: only the recordings are the lab's; mels are made anew, centred on their video"
            " frames, and the scaler from the training clips. The lab's models predict and read another mel."
        ]
    for model, rule, given, begin in (
        ("mel generator", "train_acoustic", "mri_checkpoint", settings.acoustic.resume_ckpt),
        ("vocoder", "fine_tune_vocoder", "hifigan_checkpoint", settings.vocoder.base),
    ):
        if model == "vocoder" and settings.synthesis.vocoder != "hifigan":
            notes.append(f"The vocoder is {settings.synthesis.vocoder}, without training.")
        elif used := getattr(settings.synthesis, given):
            notes.append(f"The {model} is {used}, as it is.")
        else:
            start = f"on from {begin}" if begin else "from nothing"
            notes.append(f"The {model} must be trained ({rule}), {start}.")
    return notes
