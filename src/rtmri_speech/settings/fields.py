"""Definition of settings: each is a field of a frozen dataclass with type, default and description.

Everything else is derived from the field: validation of a configuration (`configuration`, by pydantic, which supports
dataclasses and `Within`), the schema for editors (`schema`), a script's flags (`flags`), a training's state. pydantic
is not imported here, so that a clip's job and synthesis from a pack start without it.
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
    pattern : regular expression for the whole text.
    min_length : of a list.
    meaning : description of the value, if its type is used in several fields.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    pattern: str | None = None
    min_length: int | None = None
    meaning: str = ""

    def limits(self) -> dict[str, Any]:
        """Return the given limits by name."""
        given = dataclasses.asdict(self)
        del given["meaning"]
        return {name: value for name, value in given.items() if value is not None}

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Add the limits to pydantic's schema of the type."""
        return {**handler(source), **self.limits()}

    def admits(self, value: Any) -> bool:
        """Return whether a value is within the limits."""
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


def setting(
    default: Any, description: str = "", *, flag: str = "", adjustable: bool = False, design: bool = False
) -> Any:
    """Define a field of a `Section`.

    Parameters
    ----------
    default : the value, or a function that makes it (a dict's, another section); `dataclasses.MISSING` for none.
    description : meaning and unit; shown by ``--help``, in editors and in errors. A section's is its docstring.
    flag : name of the script's flag, if other than the field's (for the memo's flags).
    adjustable : a training can be resumed with another value.
    design : another value means another training, which starts over.
    """
    description = description or default.__doc__
    metadata = {"description": description, "flag": flag, "adjustable": adjustable, "design": design}
    if callable(default) and default is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def flag_of(field: dataclasses.Field) -> str:
    """Return the name of a field's flag, without dashes."""
    return field.metadata["flag"] or field.name


def is_section(kind: Any) -> bool:
    """Return whether a type is a `Section`."""
    return isinstance(kind, type) and issubclass(kind, Section)


class Section:
    """A section of settings; subclasses are frozen dataclasses whose fields are defined by `setting`.

    Raises
    ------
    UserError
        A value is outside its limits; the error names the key, the value and the allowed values.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
    section: ClassVar[str]
    """Key in the configuration."""

    def __post_init__(self) -> None:
        for field, kind in fields_of(type(self)):
            require_allowed(getattr(self, field.name), kind, f"{self.section}.{field.name}", field)


def fields_of(section: type) -> list[tuple[dataclasses.Field, Any]]:
    """Return the settings of a section, each with its type."""
    return _fields_of(section)


@functools.cache
def _fields_of(section: type) -> list[tuple[dataclasses.Field, Any]]:
    kinds = typing.get_type_hints(section, include_extras=True)
    return [(field, kinds[field.name]) for field in dataclasses.fields(section) if "description" in field.metadata]


def require_allowed(value: Any, kind: Any, key: str, field: dataclasses.Field) -> None:
    """Refuse a value outside the limits of its type, which is already checked."""
    if not _admits(value, kind):
        raise refusal(key, value, kind, field.metadata["description"])


def refusal(key: str, value: Any, kind: Any, description: str) -> UserError:
    """Return the error for a value, with the allowed values and the setting's description."""
    return UserError(key, f"is {plain(value)!r}", f"give {allowed(kind)} ({description.rstrip('.')})")


def options(kind: Any) -> Iterator[Any]:
    """Yield the alternatives of a type, without limits."""
    if typing.get_origin(kind) is Annotated:
        yield from options(typing.get_args(kind)[0])
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for part in typing.get_args(kind):
            yield from options(part)
    else:
        yield kind


def choices(kind: Any) -> list[Any]:
    """Return the values of a type's ``Literal``."""
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
    """Describe the allowed values of a type."""
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
    """Return the settings with a mark (``adjustable`` or ``design``), as JSON values."""
    return {
        field.name: plain(getattr(settings, field.name))
        for field, _ in fields_of(type(settings))
        if field.metadata[mark]
    }


def plain(section: Any) -> Any:
    """Return settings as JSON values."""
    if dataclasses.is_dataclass(section):
        return {field.name: plain(getattr(section, field.name)) for field in dataclasses.fields(section)}
    if isinstance(section, Mapping):
        return {name: plain(value) for name, value in section.items()}
    if isinstance(section, tuple):
        return [plain(value) for value in section]
    return str(section) if isinstance(section, Path) else section
