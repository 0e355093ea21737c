"""Damage to files: lost, moved or overwritten bytes, and invalid nested values.

`cut_short` truncates a file as a power failure would, `corrupted` damages the bytes of any file.
`disturbed` is a hypothesis strategy over a structure of dicts, lists and values, such as the content of a JSON file or
of a checkpoint, of which a few places are replaced, taken away or added.
"""

import copy
import datetime
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

_HEADER = 512
"""Most formats say within so many bytes how large everything is."""


def cut_short(path: Path, rng: random.Random) -> int:
    """Truncate a file to a random length (including 0, and all but one byte); return the length."""
    size = path.stat().st_size
    left = rng.choice([0, rng.randrange(size), size - 1]) if size else 0
    with path.open("rb+") as file:
        file.truncate(left)
    return left


def corrupted(data: bytes, rng: random.Random, foreign: Sequence[bytes] = ()) -> tuple[str, bytes]:
    """Return the name of a random damage, and ``data`` with it; ``foreign`` are other files, to be mixed up with."""
    if foreign and rng.random() < 0.08:
        return "another kind of file under this name", rng.choice(foreign)
    if foreign and rng.random() < 0.08:
        other = rng.choice(foreign)
        size = rng.choice((8, 32, 128))
        return "the header of another file", other[:size] + data[size:]
    name = rng.choice(list(DAMAGES))
    return name, DAMAGES[name](data, rng)


def _flipped(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64))):
        out[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(out)


def _overwritten(data: bytes, rng: random.Random) -> bytes:
    first, last = _stretch(data, rng)
    return data[:first] + rng.randbytes(last - first) + data[last:]


def _zeroed(data: bytes, rng: random.Random) -> bytes:
    first, last = _stretch(data, rng)
    return data[:first] + bytes(last - first) + data[last:]


def _removed(data: bytes, rng: random.Random) -> bytes:
    first, last = _stretch(data, rng)
    return data[:first] + data[last:]


def _duplicated(data: bytes, rng: random.Random) -> bytes:
    first, last = _stretch(data, rng)
    return data[:last] + data[first:last] * rng.choice((1, 1, 5)) + data[last:]


def _inserted(data: bytes, rng: random.Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + rng.randbytes(rng.choice((1, 4, 100))) + data[place:]


def _swapped(data: bytes, rng: random.Random) -> bytes:
    a, b, c = sorted(_place(data, rng) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _absurd(data: bytes, rng: random.Random) -> bytes:
    """An integer in the header that is far too large, far too small, or negative."""
    size, order = rng.choice((2, 4, 8)), rng.choice("<>")
    value = rng.choice((0, 1, 0x7FFF, 0xFFFF, 10**6, 10**9, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1))
    number = struct.pack(f"{order}Q", value)
    number = number[:size] if order == "<" else number[-size:]
    # Numbers lie at even places.
    place = min(_place(data, rng) // 2 * 2, max(len(data) - size, 0))
    return data[:place] + number + data[place + size :]


def _lines_changed(data: bytes, rng: random.Random) -> bytes:
    """A byte that may break text: a quote, bracket, tab, NUL, line end, or invalid UTF-8."""
    out = data
    for _ in range(rng.choice((1, 3, 10))):
        place = _place(out, rng)
        odd = rng.choice((b"\0", b'"', b"{", b"]", b"\t", b"\r", b"\n", b"\xff", b"-", b"1e999", b"\xe2\x80\xa8", b":"))
        out = out[:place] + odd + out[place + rng.randrange(2) :]
    return out


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped bits": _flipped,
    "cut off": lambda data, rng: data[: _place(data, rng)],
    "cut off at the front": lambda data, rng: data[_place(data, rng) :],
    "overwritten": _overwritten,
    "zeroed": _zeroed,
    "a block lost": _removed,
    "a block twice": _duplicated,
    "bytes put in": _inserted,
    "blocks swapped": _swapped,
    "an absurd number": _absurd,
    "odd characters": _lines_changed,
    "junk at the end": lambda data, rng: data + rng.randbytes(rng.choice((1, 100, 5000))),
    "empty": lambda data, rng: b"",
    "twice over": lambda data, rng: data + data,
    "UTF-16": lambda data, rng: data.decode("utf-8", "replace").encode("utf-16"),
    "with a byte order mark": lambda data, rng: b"\xef\xbb\xbf" + data,
}


def _place(data: bytes, rng: random.Random) -> int:
    """A place in the file; every second time in its header or its end, where many formats have an index."""
    last = max(len(data) - 1, 0)
    where = rng.random()
    if where < 0.35:
        return rng.randint(0, min(_HEADER, last))
    if where < 0.5:
        return rng.randint(max(last - _HEADER, 0), last)
    return rng.randint(0, last)


def _stretch(data: bytes, rng: random.Random) -> tuple[int, int]:
    first = _place(data, rng)
    return first, min(first + rng.choice((1, 4, 16, 100, 1000, max(len(data) // 4, 1))), len(data))


PATHS = ("../x", "a/b", "/tmp/x", "..\\x", "C:\\x", "CON", "nul", "com1", ".", "..", "", " ", "a" * 300, "-rf", "a\nb")
"""Ids that would lead out of the results, or are no file's name on some system."""

PLAIN_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from((0, 1, -1, 3, 10**9, -(10**9), 2**63, 10**30)),
    st.sampled_from((0.0, -0.5, 1e-300, 1e300, 0.1)),
    st.sampled_from(("", "abc", "0", "1e999", "null", "\0", "é\u2028", "a\nb", "x" * 5000, *PATHS)),
    st.sampled_from(([], [[]], {}, [0], [1, 2, 3], {"": None}, [[[[]]]], {"a": {"b": 1}})),
)
"""What may stand anywhere in a JSON file."""

NUMBERS_BEYOND_JSON = st.sampled_from((float("nan"), float("inf"), float("-inf")))

YAML_VALUES = st.one_of(
    PLAIN_VALUES,
    NUMBERS_BEYOND_JSON,
    st.sampled_from((datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), b"bytes", {1: 2}, {None: 1}, {True: 0})),
    st.sampled_from(("[1,", "{a: b", "!!python/name:os.system", "&a *b", "- - -", "true", "1.5", "2020-01-01")),
)
"""What may stand anywhere in a configuration; the text of a ``--config`` may be any YAML."""


@st.composite
def disturbed(draw: Callable[..., Any], content: Any, values: st.SearchStrategy = PLAIN_VALUES) -> Any:
    """Return ``content`` (dicts, lists and values) with one to three places replaced, taken away, added or renamed."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        holders = [holder for holder in _holders(content) if holder]
        if not holders:
            return draw(values)
        # A level is chosen before a place on it, or the many leaves would leave no damage for the roots.
        holder = draw(st.sampled_from(holders))
        key = draw(st.sampled_from(sorted(holder, key=str) if isinstance(holder, dict) else range(len(holder))))
        change = draw(st.sampled_from(("replace", "replace", "replace", "take away", "add", "rename", "wrap")))
        if change == "replace":
            holder[key] = draw(values)
        elif change == "take away":
            del holder[key]
        elif change == "wrap":
            holder[key] = [holder[key]]
        elif isinstance(holder, dict):
            new = draw(st.sampled_from(("", "x", "id", *PATHS)))
            holder[new] = holder.pop(key) if change == "rename" else draw(values)
        else:
            holder.insert(key, draw(values))
    if draw(st.integers(0, 19)) == 0:
        return draw(values)
    return content


def _holders(content: Any) -> Iterator[Any]:
    if isinstance(content, dict | list):
        yield content
        for inner in content.values() if isinstance(content, dict) else content:
            yield from _holders(inner)
