"""Reads untrusted files (text, JSON, arrays, settings) without running code, or refuses them.

Declared sizes are checked against the file before memory is allocated, and each value against its expected type; an
error names the value and the file.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tokenize
import types
import typing
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from rtmri_speech.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_SHOWN = 60
"""Characters of a wrong value shown in an error."""

_UNREADABLE_ARRAY = (ValueError, EOFError, TypeError, OverflowError, tokenize.TokenError, RecursionError, MemoryError)
"""Raised by NumPy for a damaged header, which it parses as Python source."""

UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, KeyError)
"""Raised by zipfile: broken directory or stream, unknown compression, password, seek beyond the end."""

_DENSEST = 1032
"""Maximum compression ratio of deflate."""


def read_text(path: str | Path, *, missing: str, remedy: str) -> str:
    """Return a text file in UTF-8, with or without a byte order mark.

    Raises
    ------
    UserError
        There is no such file (``missing`` is the remedy), or it is not text.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "there is no such file", missing)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(path, "is not UTF-8 text", remedy) from None


def read_json(path: str | Path, *, missing: str, remedy: str) -> Any:
    """Return the content of a JSON file; see `parse_json` and `read_text`."""
    return parse_json(read_text(path, missing=missing, remedy=remedy), path, remedy)


def parse_json(text: str, source: str | Path, remedy: str) -> Any:
    """Return the content of a JSON text; NaN and infinity are refused. ``source`` is named in errors."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise UserError(source, f"is not valid JSON ({error})", remedy) from None
    except RecursionError:
        raise UserError(source, "is not valid JSON (nested too deeply)", remedy) from None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not valid JSON")


def read_array(path: str | Path, *, missing: str, remedy: str, memory_map: bool = False) -> np.ndarray:
    """Return the array of real numbers in an ``.npy`` file, in memory or as a read-only map.

    Raises
    ------
    UserError
        There is no such file, the array is incomplete, or its type is not a real number.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "there is no such file", missing)
    try:
        # A memory map fails on a declared shape larger than the file before any memory is allocated.
        array = np.lib.format.open_memmap(path, mode="r")
    except _UNREADABLE_ARRAY as error:
        raise UserError(path, f"is not a complete .npy array ({_reason(error)})", remedy) from None
    _require_numbers(array.dtype, path, remedy)
    return array if memory_map else np.array(array)


@contextmanager
def array_of_zip(path: str | Path, name: str, *, remedy: str) -> Iterator[tuple[tuple[int, ...], Iterator[np.ndarray]]]:
    """Yield the shape of a named array of real numbers in an ``.npz`` file, and an iterator over its first axis.

    One entry is in memory at a time.

    Raises
    ------
    UserError
        There is no such file or name, or the array is damaged, does not match its header, or is not numeric.
    """
    path, member_name = Path(path), f"{name}.npy"
    if not path.is_file():
        raise UserError(path, "there is no such file", remedy)
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(member_name)
            if entry.file_size > _DENSEST * max(entry.compress_size, 1):
                raise ValueError(f"{member_name} cannot hold the {entry.file_size} bytes it declares")
            with archive.open(entry) as member:
                version = np.lib.format.read_magic(member)[0]
                read = np.lib.format.read_array_header_1_0 if version == 1 else np.lib.format.read_array_header_2_0
                shape, fortran, dtype = read(member)
                _require_numbers(dtype, path, remedy)
                size = math.prod(shape) * dtype.itemsize
                if fortran or not shape or min(shape) < 0 or size != entry.file_size - member.tell():
                    raise ValueError(f"{member_name} does not have the size of an array of shape {shape}")
                yield shape, _entries(member, shape, dtype)
    except (*_UNREADABLE_ARRAY, *UNREADABLE_ZIP) as error:
        raise UserError(path, f"is not a complete file of arrays ({_reason(error)})", remedy) from None


def _entries(member: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    size = dtype.itemsize * math.prod(shape[1:])
    for _ in range(shape[0]):
        content = member.read(size)
        if len(content) < size:
            raise EOFError("it is cut off")
        yield np.frombuffer(content, dtype).reshape(shape[1:])


def _require_numbers(dtype: np.dtype, path: Path, remedy: str) -> None:
    if dtype.kind not in "biuf":
        raise UserError(path, f"holds values of type {dtype}, not numbers", remedy)


def _reason(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:120] or type(error).__name__


def require_type(value: Any, kind: Any, name: str, source: str | Path, remedy: str) -> Any:
    """Return ``value`` if it has the type ``kind`` (a list becomes a tuple if required), else refuse it.

    Parameters
    ----------
    value : from a file, made of dicts, lists, strings and numbers.
    kind : a type annotation of int, float (finite), str, bool, None, dict, list, tuple, Literal, unions of them, or
        Any. An int is accepted as a float; a bool is not a number.
    name, source : of the value and its file, for the error.
    remedy : of the error.
    """
    try:
        return _as(value, kind)
    except TypeError:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
        raise UserError(source, f"{name} is {shown}, not {_named(kind)}", remedy) from None


def build(kind: type[T], settings: Any, source: str | Path, remedy: str) -> T:
    """Return the dataclass ``kind`` built from a dict of settings.

    Raises
    ------
    UserError
        ``settings`` is not a dict, or a setting is unknown, missing, of the wrong type, or refused by the class; the
        error names ``source`` and the setting.
    """
    require_type(settings, dict, "its content", source, remedy)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(map(str, settings.keys() - fields.keys())):
        raise UserError(source, f"has the unknown setting {unknown[0]!r}", remedy)
    kinds = typing.get_type_hints(kind)
    values = {name: require_type(value, kinds[name], name, source, remedy) for name, value in settings.items()}
    none = dataclasses.MISSING
    for name, field in fields.items():
        if name not in settings and field.default is none and field.default_factory is none:
            raise UserError(source, f"lacks the setting {name}", remedy)
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(source, f"{error.subject} {error.fault}", error.remedy) from None


def _as(value: Any, kind: Any) -> Any:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for part in parts:
            try:
                return _as(value, part)
            except TypeError:
                continue
        raise TypeError
    if origin is typing.Literal:
        fits = any(type(value) is type(part) and value == part for part in parts)
    elif origin is tuple and isinstance(value, list | tuple):
        parts = (parts[0],) * len(value) if parts[1:] == (...,) else parts
        if len(parts) != len(value):
            raise TypeError
        return tuple(map(_as, value, parts))
    elif origin is list and isinstance(value, list | tuple):
        return [_as(item, parts[0]) for item in value]
    elif (origin is dict or origin is Mapping) and isinstance(value, Mapping):
        return {_as(key, parts[0]): _as(item, parts[1]) for key, item in value.items()}
    elif kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        kind = type(None) if kind is None else kind
        fits = isinstance(kind, type) and isinstance(value, kind)
    if not fits:
        raise TypeError
    return value


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


_WORDS = {int: "a whole number", float: "a finite number", str: "a word", bool: "true or false", dict: "a table"}


def _named(kind: Any) -> str:
    """Description of a type for an error message."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_named, parts))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, parts))
    if origin in (tuple, list):
        count = f"{len(parts)} of " if parts[1:] and parts[1] is not ... else ""
        return f"a list of {count}{_named(parts[0]).removeprefix('a ')}s".replace("true or falses", "true or false")
    if origin in (dict, Mapping):
        return f"a table of {_named(parts[1])} each"
    if kind in (None, type(None)):
        return "nothing"
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))
