"""Validates an ONNX graph from its bytes, before a runtime allocates memory for it.

A graph is a protocol buffer message (`onnx.proto3`). Only the fields that `graphs.trace` and `pack.recurrence` write
are supported; a graph with any other is refused: external data, subgraphs, functions, custom operators.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from rtmri_speech.errors import UserError

_MODEL = {1: "ir_version", 7: "graph", 8: "opset_import"}
_GRAPH = {1: "node", 2: "name", 5: "initializer", 11: "input", 12: "output"}
_NODE = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 7: "domain"}
_ATTRIBUTE = {1: "name", 2: "f", 3: "i", 4: "s", 5: "t", 7: "floats", 8: "ints", 9: "strings", 20: "type"}
_TENSOR = {1: "dims", 2: "data_type", 8: "name", 9: "raw_data"}
_VALUE, _TYPE, _TENSOR_TYPE = {1: "name", 2: "type"}, {1: "tensor"}, {1: "elem_type", 2: "shape"}
_SHAPE, _LENGTH = {1: "dim"}, {1: "value", 2: "name"}

TYPES = {1: ("float32", 4), 2: ("uint8", 1), 3: ("int8", 1), 6: ("int32", 4), 7: ("int64", 8), 9: ("bool", 1)}
"""Supported element types by ONNX's number: name and size in bytes."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10

Field = int | memoryview


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of a graph: its name, element type, and shape, with None for a free dimension."""

    name: str
    type: str
    shape: tuple[int | None, ...]


class _Unsupported(Exception):
    """A malformed or unsupported message."""


def ports(graph: bytes, source: str | Path) -> tuple[list[Port], list[Port]]:
    """Return the inputs and outputs of a graph, after checking the size of each tensor against its shape.

    Raises
    ------
    UserError
        The bytes are not a supported graph; the error names ``source``.
    """
    try:
        model = _fields(memoryview(graph), _MODEL, "model")
        if len(model["graph"]) != 1:
            raise _Unsupported("it has no graph, or several")
        content = _fields(_bytes(model["graph"][0]), _GRAPH, "graph")
        for tensor in content["initializer"]:
            _check_tensor(_bytes(tensor))
        for node in content["node"]:
            _check_node(_bytes(node))
        inputs, outputs = ([_port(_bytes(value)) for value in content[name]] for name in ("input", "output"))
    except _Unsupported as fault:
        raise UserError(source, f"is not a supported graph ({fault})", "make it again with pack_model.py") from None
    return inputs, outputs


def _check_tensor(message: memoryview) -> None:
    tensor = _fields(message, _TENSOR, "tensor")
    number = _last(tensor, "data_type")
    if number not in TYPES:
        raise _Unsupported(f"a tensor of the type {number}")
    shape = [length for dims in tensor["dims"] for length in _whole_numbers(dims)]
    held = sum(len(_bytes(data)) for data in tensor["raw_data"])
    if any(length >> 63 for length in shape) or math.prod(shape) * TYPES[number][1] != held:
        raise _Unsupported(f"a tensor of {held} bytes with the shape {'×'.join(map(str, shape)) or 1}")


def _check_node(message: memoryview) -> None:
    node = _fields(message, _NODE, "node")
    if any(len(_bytes(domain)) for domain in node["domain"]):
        raise _Unsupported("a custom operator")
    for attribute in node["attribute"]:
        for tensor in _fields(_bytes(attribute), _ATTRIBUTE, "attribute")["t"]:
            _check_tensor(_bytes(tensor))


def _port(message: memoryview) -> Port:
    value = _fields(message, _VALUE, "value")
    kind = _fields(_only(value, "type"), _TYPE, "type")
    tensor = _fields(_only(kind, "tensor"), _TENSOR_TYPE, "type of a tensor")
    number = _last(tensor, "elem_type")
    if number not in TYPES:
        raise _Unsupported(f"an input or output of the type {number}")
    lengths: list[int | None] = []
    for dimension in _fields(_only(tensor, "shape"), _SHAPE, "shape")["dim"]:
        length = _fields(_bytes(dimension), _LENGTH, "length")
        lengths.append(_last(length, "value") if length["value"] else None)
    return Port(_text(_only(value, "name")), TYPES[number][0], tuple(lengths))


def _only(message: Mapping[str, list[Field]], name: str) -> memoryview:
    if len(message[name]) != 1:
        raise _Unsupported(f"{len(message[name])} times {name}")
    return _bytes(message[name][0])


def _last(message: Mapping[str, list[Field]], name: str) -> int:
    value = message[name][-1] if message[name] else 0
    if not isinstance(value, int):
        raise _Unsupported(f"{name} is not a number")
    return value


def _bytes(value: Field) -> memoryview:
    if isinstance(value, int):
        raise _Unsupported("a number where a message should be")
    return value


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise _Unsupported("a name that is not text") from None


def _whole_numbers(value: Field) -> Iterator[int]:
    """Values of a repeated integer field, packed or not."""
    if isinstance(value, int):
        yield value
        return
    place = 0
    while place < len(value):
        number, place = _varint(value, place)
        yield number


def _fields(message: memoryview, known: Mapping[int, str], what: str) -> dict[str, list[Field]]:
    """Fields of a message by name, each a list; unknown fields are refused."""
    found: dict[str, list[Field]] = {name: [] for name in known.values()}
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if number not in known:
            raise _Unsupported(f"an unknown field {number} of a {what}")
        if wire == _VARINT:
            value, place = _varint(message, place)
        elif wire in (_BYTES, _FIXED32, _FIXED64):
            if wire == _BYTES:
                size, place = _varint(message, place)
            else:
                size = 4 if wire == _FIXED32 else 8
            value, place = message[place : place + size], place + size
        else:
            raise _Unsupported(f"an unknown wire type in a {what}")
        if place > len(message):
            raise _Unsupported(f"its {what} is cut off")
        found[known[number]].append(value)
    return found


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for count in range(_LONGEST_VARINT):
        if place + count >= len(message):
            raise _Unsupported("a number that is cut off")
        byte = message[place + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, place + count + 1
    raise _Unsupported("a number that is too long")
