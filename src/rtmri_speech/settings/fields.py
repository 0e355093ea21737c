"""Fields of settings: each is defined once, as a field of a frozen dataclass with its type, default and description.

Everything else is made from the field: the check of a configuration and the schema for editors (`configuration`, by
pydantic, which reads dataclasses and `Within` as they are), a script's flags (`flags`), a training's state. Nothing
here imports pydantic, so that the job of one clip and speech from a pack start without it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from rtmri_speech.errors import UserError


@dataclasses.dataclass(frozen=True)
class Within:
    """Limits of a value, inside ``Annotated``.

    Attributes
    ----------
    ge, gt, le, lt : bounds of a number: at least, more than, at most, less than.
    pattern : regular expression that a whole text matches.
    min_length : of a list.
    meaning : what the value is, where its type is used in several fields.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    pattern: str | None = None
    min_length: int | None = None
    meaning: str = ""

    def limits(self) -> dict[str, Any]:
        """Return the limits that are set, by name."""
        given = dataclasses.asdict(self)
        del given["meaning"]
        return {name: value for name, value in given.items() if value is not None}

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Add the limits to pydantic's schema of the type."""
        return {**handler(source), **self.limits()}

    def admits(self, value: Any) -> bool:
        """Whether a value of the type is within the limits."""
        return not (
            (self.ge is not None and not value >= self.ge)
            or (self.gt is not None and not value > self.gt)
            or (self.le is not None and not value <= self.le)
            or (self.lt is not None and not value < self.lt)
            or (self.pattern is not None and not re.fullmatch(self.pattern, value))
            or (self.min_length is not None and len(value) < self.min_length)
        )

    def __str__(self) -> str:
        words = {"ge": "of at least", "gt": "more than", "le": "at most", "lt": "less than"}
        bounds = [f"{word} {getattr(self, name)}" for name, word in words.items() if getattr(self, name) is not None]
        return " and ".join(bounds) or self.meaning


Count = Annotated[int, Within(ge=1)]
Whole = Annotated[int, Within(ge=0)]
Positive = Annotated[float, Within(gt=0)]
NotNegative = Annotated[float, Within(ge=0)]
Share = Annotated[float, Within(ge=0, le=1)]
ShareBelowOne = Annotated[float, Within(ge=0, lt=1)]
Id = Annotated[str, Within(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", meaning="a clip's id, in quotes")]
Name = Annotated[str, Within(pattern="^[A-Za-z0-9_-]+$", meaning="a name of letters, digits, - and _")]


def setting(default: Any, description: str, *, flag: str = "", adjustable: bool = False, design: bool = False) -> Any:
    """Define a field of a `Section`.

    Parameters
    ----------
    default : the value, or a function that makes it (a dict's, another section); `dataclasses.MISSING` for none.
    description : what it means, with its unit; shown by ``--help``, by editors and in refusals.
    flag : name of the script's flag where the memo has another than the field's.
    adjustable : of a training: a state goes on with another value.
    design : of a training: under another value it is another training, which starts anew.
    """
    metadata = {"description": description, "flag": flag, "adjustable": adjustable, "design": design}
    if callable(default) and default is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Section:
    """A table of settings; subclasses are frozen dataclasses whose fields are made by `setting`.

    Raises
    ------
    UserError
        A value is outside its field's limits; the key, the value and what is allowed are named.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
    section: ClassVar[str]
    """Its key in the configuration."""

    def __post_init__(self) -> None:
        for field, kind in fields_of(type(self)):
            require_allowed(getattr(self, field.name), kind, f"{self.section}.{field.name}", field)


@functools.cache
def fields_of(section: type) -> list[tuple[dataclasses.Field, Any]]:
    """Return the fields of a section that are settings, each with its type."""
    kinds = typing.get_type_hints(section, include_extras=True)
    return [(field, kinds[field.name]) for field in dataclasses.fields(section) if "description" in field.metadata]


def require_allowed(value: Any, kind: Any, key: str, field: dataclasses.Field) -> None:
    """Refuse a value outside the limits of its type; the type itself is right."""
    if not _admits(value, kind):
        raise refusal(key, value, kind, field.metadata["description"])


def refusal(key: str, value: Any, kind: Any, description: str) -> UserError:
    """Return the sentence that refuses a value: what it is, what is allowed and what the setting means."""
    return UserError(key, f"is {plain(value)!r}", f"give {allowed(kind)} ({description.rstrip('.')})")


def options(kind: Any) -> Iterator[Any]:
    """Yield the alternatives of a type, of a union or of ``Annotated``, without their limits."""
    if typing.get_origin(kind) is Annotated:
        yield from options(typing.get_args(kind)[0])
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for part in typing.get_args(kind):
            yield from options(part)
    else:
        yield kind


def choices(kind: Any) -> list[Any]:
    """Return the words of a type's ``Literal``."""
    return [word for part in options(kind) if typing.get_origin(part) is Literal for word in typing.get_args(part)]


def _admits(value: Any, kind: Any) -> bool:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        limits = [part for part in parts[1:] if isinstance(part, Within)]
        return _admits(value, parts[0]) and all(limit.admits(value) for limit in limits)
    if origin in (typing.Union, types.UnionType):
        return value is None or any(part is not type(None) and _admits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        kinds = [parts[0]] * len(value) if parts[1:] == (...,) else parts
        return len(kinds) == len(value) and all(map(_admits, value, kinds))
    if origin is dict:
        return all(_admits(key, parts[0]) and _admits(inner, parts[1]) for key, inner in value.items())
    return True


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
    type(None): "null",
}


def allowed(kind: Any) -> str:
    """Return in words what a value of a type may be."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        limits = str(parts[1])
        return limits if parts[1].meaning else f"{allowed(parts[0])} {limits}".rstrip()
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(allowed, parts))
    if origin is Literal:
        return "one of " + ", ".join("null" if part is None else str(part) for part in parts)
    if origin is tuple and parts[1:] == (...,):
        return f"a list, each {allowed(parts[0])}"
    if origin is tuple:
        each = list(dict.fromkeys(map(allowed, parts)))
        return f"a list of {len(parts)}, " + (f"each {each[0]}" if len(each) == 1 else " and ".join(each))
    if origin is dict:
        return f"a table, each {allowed(parts[1])}"
    return _WORDS.get(kind, "a table of settings")


def marked(settings: Section, mark: str) -> dict[str, Any]:
    """Return the settings whose field is ``adjustable`` or of the ``design``, as values for JSON."""
    return {
        field.name: plain(getattr(settings, field.name))
        for field, _ in fields_of(type(settings))
        if field.metadata[mark]
    }


def plain(section: Any) -> Any:
    """Return settings as dicts, lists, words and numbers, for JSON."""
    if dataclasses.is_dataclass(section):
        return {field.name: plain(getattr(section, field.name)) for field in dataclasses.fields(section)}
    if isinstance(section, Mapping):
        return {name: plain(value) for name, value in section.items()}
    if isinstance(section, tuple):
        return [plain(value) for value in section]
    return str(section) if isinstance(section, Path) else section
