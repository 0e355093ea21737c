"""The configuration: checked against one schema before any work, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from rtmri_speech.errors import UserError
from rtmri_speech.paths import written_path
from rtmri_speech.signal.mel import MelSpec

_BEYOND = 2**63
"""Whole numbers from here on do not fit the 64 bits that programs count with."""


def load_configuration(settings: Mapping[str, Any], schema: Path) -> dict[str, Any]:
    """Return ``settings`` completed with the schema's defaults and checked.

    Parameters
    ----------
    settings : the merged configuration files and command-line settings.
    schema : the YAML file of the schema.

    Raises
    ------
    UserError
        A key is unknown, a value is not allowed, or values contradict each other: with the key, the value and what is
        allowed.
    """
    rules = yaml.safe_load(schema.read_text(encoding="utf-8"))
    complete = _completed(dict(settings), rules, rules)
    validator = jsonschema.Draft202012Validator(rules)
    if error := jsonschema.exceptions.best_match(validator.iter_errors(complete)):
        raise _explained(error)
    _check_numbers(complete)
    _check_source(complete)
    _fill_in_what_follows(complete)
    spec = mel_spec(complete["mel"])
    for name, (low, high) in complete["bands"].items():
        _check_band(name, low, high, spec)
    if complete["synthesis"]["bf16"] and complete["synthesis"]["engine"] == "pack":
        raise UserError(
            "synthesis.bf16",
            "is true, but a pack computes in float32",
            "set synthesis.engine: torch, or leave bf16 out",
        )
    return complete


def mel_spec(settings: Mapping[str, Any]) -> MelSpec:
    """Return the `MelSpec` of the configuration's ``mel`` section; new mels must stay below the Nyquist frequency."""
    given = {key: value for key, value in settings.items() if key != "preset" and value is not None}
    given.setdefault("win_length", settings["n_fft"])
    spec = MelSpec.preset(settings["preset"], **given)
    spec.require_below_nyquist()
    return spec


def _completed(value: Any, rule: Mapping[str, Any], schema: Mapping[str, Any], key: str = "") -> Any:
    """Fill defaults in and read text as what it stands for, recursively; what does not fit is left for the validator.

    Snakemake hands over every value inside a ``--config section={...}`` as text.
    """
    if "$ref" in rule:
        rule = {**schema["$defs"][rule["$ref"].removeprefix("#/$defs/")], **rule}
    if isinstance(value, str):
        value = _read(value, rule, key)
    if isinstance(value, Mapping):
        complete = dict(value)
        known = rule.get("properties", {})
        for name, inner in known.items():
            if name not in complete and "default" in inner:
                complete[name] = inner["default"]
        others = rule.get("additionalProperties")
        others = others if isinstance(others, Mapping) else {}
        return {
            name: _completed(inner, known.get(name, others), schema, f"{key}.{name}".removeprefix("."))
            for name, inner in complete.items()
        }
    if isinstance(value, list):
        first, rest = rule.get("prefixItems", []), rule.get("items", {})
        rules = [*first, *[rest] * (len(value) - len(first))]
        return [
            _completed(inner, one, schema, f"{key}.{number}")
            for number, (inner, one) in enumerate(zip(value, rules, strict=False))
        ]
    if isinstance(value, float) and value.is_integer() and "integer" in _kinds(rule) and "number" not in _kinds(rule):
        return int(value)
    return value


def _kinds(rule: Mapping[str, Any]) -> list[str]:
    kinds = rule.get("type", [] if "enum" in rule else "string")
    return [kinds] if isinstance(kinds, str) else kinds


def _read(text: str, rule: Mapping[str, Any], key: str) -> Any:
    """What a text stands for where ``rule`` allows no text, or has a word for something else; a path as written."""
    kinds = _kinds(rule)
    if text in rule.get("enum", []):
        return text
    word = {"null": "null", "true": "boolean", "false": "boolean"}.get(text)
    if "string" not in kinds or word in kinds:
        try:
            # YAML 1.1 reads 1e-4 as a word: it wants a point.
            return float(text) if {"number", "integer"} & set(kinds) and "e" in text.lower() else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):  # the last two by a date that is none, and by deep nesting
            return text
    if rule.get("format") == "path":
        return None if not text and "null" in kinds else written_path(text, key)
    return text


def _explained(error: jsonschema.ValidationError) -> UserError:
    """One sentence for the most relevant fault the validator found."""
    key = ".".join(str(part) for part in error.absolute_path) or "configuration"
    meaning = error.schema.get("description", "see config/schema.yaml")
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]
            # A key of YAML may be a number or nothing too.
            unknown = ", ".join(sorted(repr(name) for name in error.instance if name not in known))
            return UserError(key, f"has unknown setting {unknown}", f"known are {', '.join(known)}")
        case "enum":
            allowed = "one of " + ", ".join(map(str, error.validator_value))
        case "minimum":
            allowed = f"at least {error.validator_value}"
        case "maximum":
            allowed = f"at most {error.validator_value}"
        case "exclusiveMinimum":
            allowed = f"more than {error.validator_value}"
        case "exclusiveMaximum":
            allowed = f"less than {error.validator_value}"
        case "type":
            kinds = error.validator_value
            allowed = "a value of type " + (kinds if isinstance(kinds, str) else " or ".join(kinds))
        case _:
            return UserError(key, error.message, f"it stands for: {meaning.rstrip('.')}")
    return UserError(key, f"is {error.instance!r}", f"give {allowed} ({meaning.rstrip('.')})")


def _check_numbers(value: Any, key: str = "configuration") -> None:
    """Refuse numbers that no machine counts with, which a schema's ranges let pass."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_numbers(inner, f"{key}.{name}".removeprefix("configuration."))
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(inner, key)
    elif isinstance(value, int | float) and not -_BEYOND < value < _BEYOND:
        raise UserError(key, f"is {value!r}", "give a number of ordinary size")


def _check_source(settings: Mapping[str, Any]) -> None:
    needed = {
        "directories": [("corpus", "videos")],
        "table": [("corpus", "table")],
        "lab": [("corpus", "videos"), ("corpus", "audio"), ("lab", "processed")],
    }
    source = settings["corpus"]["source"]
    for section, key in needed.get(source, []):
        if not settings[section][key]:
            raise UserError(f"{section}.{key}", "is empty", f"source {source!r} needs it")


def takes_over(settings: Mapping[str, Any]) -> bool:
    """Whether frames, mels, masks and scaler are those that the lab made, and so its models fit."""
    return settings["corpus"]["source"] == "lab" and settings["lab"]["conventions"] == "lab"


def _fill_in_what_follows(settings: dict[str, Any]) -> None:
    """Settings left empty whose value depends on others: mel, vocoder config, and which models are the lab's."""
    lab, mel, vocoder = settings["lab"], settings["mel"], settings["vocoder"]
    preset = "lab" if takes_over(settings) else "hifigan"
    if settings["corpus"]["source"] == "lab" and mel["preset"] not in (None, preset):
        raise UserError(
            "mel.preset",
            f"is {mel['preset']!r} but lab.conventions is {lab['conventions']!r}, whose mel is {preset!r}",
            "leave mel.preset out",
        )
    mel["preset"] = mel["preset"] or preset
    if takes_over(settings):
        _use_models_of_lab(settings)
        beside = lab["hifigan_checkpoint"] and str(Path(lab["hifigan_checkpoint"]).with_name("config.json"))
        vocoder["config"] = vocoder["config"] or lab["hifigan_config"] or beside or "config/hifigan_lab.json"
    vocoder["config"] = vocoder["config"] or "config/hifigan_v1_11413.json"


def _use_models_of_lab(settings: dict[str, Any]) -> None:
    """Let each of the lab's models be used, or trained further; a setting that names another one comes first."""
    lab, synthesis, acoustic, vocoder = (settings[name] for name in ("lab", "synthesis", "acoustic", "vocoder"))
    for model, checkpoint in (("acoustic", "mri_checkpoint"), ("vocoder", "hifigan_checkpoint")):
        if model in lab["train_on"] and not lab[checkpoint]:
            raise UserError("lab.train_on", f"names {model} but lab.{checkpoint} is empty", f"give lab.{checkpoint}")
    if "acoustic" in lab["train_on"]:
        acoustic["resume_ckpt"] = acoustic["resume_ckpt"] or lab["mri_checkpoint"]
    elif lab["mri_checkpoint"] and not synthesis["mri_checkpoint"]:
        synthesis["mri_checkpoint"] = lab["mri_checkpoint"]
        synthesis["scaler_json"] = synthesis["scaler_json"] or str(Path(lab["processed"]) / "scaler.json")
    if "vocoder" in lab["train_on"]:
        vocoder["base"] = vocoder["base"] or lab["hifigan_checkpoint"]
    elif lab["hifigan_checkpoint"] and not synthesis["hifigan_checkpoint"]:
        synthesis["hifigan_checkpoint"] = lab["hifigan_checkpoint"]
        synthesis["hifigan_config"] = synthesis["hifigan_config"] or lab["hifigan_config"]


def _check_band(name: str, low: float, high: float, spec: MelSpec) -> None:
    if not spec.fmin <= low < high <= spec.fmax:
        raise UserError(
            f"bands.{name}",
            f"is {low:g} to {high:g} Hz",
            f"give two rising frequencies inside the filterbank, {spec.fmin:g} to {spec.fmax:g} Hz",
        )
    spec.band(low, high)


def takeover_notes(settings: Mapping[str, Any]) -> list[str]:
    """Return what a lab's conventions mean for the two models, in sentences for who plans a run; else nothing.

    Parameters
    ----------
    settings : as `load_configuration` returns them.
    """
    if settings["corpus"]["source"] != "lab":
        return []
    lab, synthesis = settings["lab"], settings["synthesis"]
    if takes_over(settings):
        notes = [f"lab.conventions is lab: frames, mels, masks and scaler come from {lab['processed']}."]
    else:
        notes = [
            "lab.conventions is fixed: only the recordings are the lab's; mels are made anew, centred on their video"
            " frames, and the scaler from the training clips. The lab's models predict and read another mel."
        ]
    for model, rule, given, begin in (
        ("mel generator", "train_acoustic", "mri_checkpoint", settings["acoustic"]["resume_ckpt"]),
        ("vocoder", "fine_tune_vocoder", "hifigan_checkpoint", settings["vocoder"]["base"]),
    ):
        if synthesis[given]:
            notes.append(f"The {model} is {synthesis[given]}, as it is.")
        else:
            start = f"on from {begin}" if begin else "from nothing"
            notes.append(f"The {model} must be trained ({rule}), {start}.")
    return notes
