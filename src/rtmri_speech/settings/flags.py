"""Generates a script's flags from its settings, and the command line for given settings.

A field is the flag ``--<name>``, also in nested sections. A boolean is ``--name`` or ``--no-name``; a list has several
values; a dict has values ``NAME:VALUE:VALUE``.
"""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rtmri_speech import command_line
from rtmri_speech.errors import UserError
from rtmri_speech.settings.fields import Section, choices, fields_of, flag_of, is_section, options, require_allowed

S = TypeVar("S")


def _flat(section: type) -> Iterator[tuple[dataclasses.Field, Any, str]]:
    """Yield each field of a section and its nested sections, with its type and flag."""
    for field, kind in fields_of(section):
        if is_section(kind):
            yield from _flat(kind)
        else:
            yield field, kind, flag_of(field)


def add_flags(parser: argparse._ActionsContainer, section: type, *only: str) -> None:
    """Add a flag for each field of ``section``, or for those named in ``only``."""
    for field, kind, flag in _flat(section):
        if only and field.name not in only:
            continue
        default = _default(field)
        # The memo's scripts have both dashes.
        spellings = dict.fromkeys([flag, flag.replace("_", "-"), flag.replace("-", "_")])
        parser.add_argument(
            *(f"--{spelling}" for spelling in spellings),
            dest=flag,
            default=default,
            help=_help(field.metadata["description"], default),
            **_reading(kind),
        )
        kinds = list(options(kind))
        if bool in kinds and kinds != [bool]:
            parser.add_argument(f"--no-{flag}", dest=flag, action="store_false", default=default, help="do without")


def _default(field: dataclasses.Field) -> Any:
    """A field's default; None where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _help(description: str, default: Any) -> str:
    # argparse interprets %.
    return description.replace("%", "%%") + ("" if default is None else " (default: %(default)s)")


def _reading(kind: Any) -> dict[str, Any]:
    """Arguments of `add_argument` for a type."""
    kinds = [option for option in options(kind) if option is not type(None)]
    words = [word for word in choices(kind) if word is not None]
    if words:
        return {"choices": words, "type": type(words[0])}
    if kinds == [bool]:
        return {"action": argparse.BooleanOptionalAction}
    if bool in kinds:
        return {"nargs": "?", "const": True, "type": next(option for option in kinds if option is not bool)}
    (only,) = kinds
    origin, parts = typing.get_origin(only), typing.get_args(only)
    if origin is dict:
        return {"nargs": "*", "metavar": "NAME:VALUE"}
    if origin is tuple:
        count = {"nargs": "*"} if parts[1:] == (...,) else {"nargs": len(parts)}
        if words := choices(parts[0]):
            return count | {"choices": words}
        return count | {"type": next(options(parts[0])), "metavar": "VALUE"}
    return {"type": only, "metavar": {Path: "PATH", int: "N", float: "X"}.get(only, "WORD")}


def from_flags(section: type[S], args: argparse.Namespace, **others: Any) -> S:
    """Return the settings that the flags of `add_flags` gave; a field without a flag has its default.

    Parameters
    ----------
    others : fields that are not settings.

    Raises
    ------
    UserError
        A value is outside its limits; the error names the flag.
    """
    values = {}
    for field, kind in fields_of(section):
        if is_section(kind):
            values[field.name] = from_flags(kind, args)
            continue
        flag = flag_of(field)
        values[field.name] = _value(getattr(args, flag, _default(field)), kind, flag)
        require_allowed(values[field.name], kind, f"--{flag}", field)
    return section(**values, **others)


def _value(given: Any, kind: Any, flag: str) -> Any:
    """Convert a value from argparse to the field's type."""
    if not isinstance(given, list):
        return given
    (only,) = [option for option in options(kind) if option is not type(None)]
    if typing.get_origin(only) is not dict:
        return tuple(given)
    table, kinds = {}, typing.get_args(typing.get_args(only)[1])
    for word in given:
        name, *numbers = word.split(":")
        try:
            table[name] = tuple(next(options(kind))(number) for kind, number in zip(kinds, numbers, strict=True))
        except ValueError:
            raise UserError(f"--{flag}", f"is {word}", f"give NAME:{':'.join(['VALUE'] * len(kinds))}") from None
    return table


def command_line_of(settings: Any, section: type | None = None, *only: str) -> str:
    """Return the flags for ``settings``, or only for those defined by its base class ``section``.

    Parameters
    ----------
    only : names of the fields that are given, where it is not all of them.
    """
    words = []
    for field, _ in fields_of(section or type(settings)):
        if only and field.name not in only:
            continue
        value = getattr(settings, field.name)
        flag = flag_of(field)
        if isinstance(value, Section):
            words.append(command_line_of(value))
        elif value is False:
            words.append(f"--no-{flag}")
        else:
            if isinstance(value, dict):
                value = [":".join(map(str, [name, *numbers])) for name, numbers in value.items()]
            words.append(command_line.flags({flag: value}))
    return " ".join(filter(None, words))


def require_json(path: Path) -> None:
    """Refuse another ending for the JSON of ``--output``, beside which a table is written.

    Raises
    ------
    UserError
        The path does not end in ``.json``.
    """
    if path.suffix != ".json":
        raise UserError(path, "is not a .json file", "give --output a name ending in .json")


def add_sounds(parser: argparse.ArgumentParser) -> None:
    """Add the flags for sounds that are compared with recordings; `named_directories` reads ``--generated``."""
    parser.add_argument(
        "--recorded", required=True, type=Path, metavar="DIR", help="directory of the recordings, <id>.wav"
    )
    parser.add_argument(
        "--generated",
        nargs="+",
        required=True,
        metavar="NAME=DIR",
        help="rows: a name and a directory of <id>.wav; the names of scores.json get full titles",
    )
    parser.add_argument("--input_file", type=Path, help="file list of the clips (default: all of --recorded)")


def named_directories(flag: str, words: Iterable[str]) -> dict[str, Path]:
    """Return the directories of a flag's words ``NAME=DIR`` by name, in order.

    Raises
    ------
    UserError
        A word has no name, no directory, or the name of another; the error names ``flag``.
    """
    rows: dict[str, Path] = {}
    for word in words:
        name, _, directory = word.partition("=")
        if not name or not directory or name in rows:
            raise UserError(flag, f"is {word!r}", "give NAME=DIR, each name once")
        rows[name] = Path(directory)
    return rows
