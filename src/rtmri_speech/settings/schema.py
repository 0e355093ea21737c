"""The schema of the configuration for editors: ``python -m rtmri_speech.settings.schema config/schema.yaml``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pydantic
import yaml

from rtmri_speech.settings.all import Settings
from rtmri_speech.settings.fields import plain


def schema_text() -> str:
    """Return the JSON schema of `Settings` as YAML."""
    schema = pydantic.TypeAdapter(Settings).json_schema()
    content = _in_place(schema, schema["$defs"], plain(Settings()))
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Settings of rtmri-speech"}
    first = "# Made from src/rtmri_speech/settings by `python -m rtmri_speech.settings.schema config/schema.yaml`.\n"
    return first + yaml.safe_dump(head | content, sort_keys=False, width=120, allow_unicode=True)


def _in_place(rule: dict[str, Any], definitions: dict[str, Any], default: Any = None) -> dict[str, Any]:
    """A schema with references resolved and defaults of sections filled in, so that it reads top down."""
    rule = dict(rule)
    if name := rule.pop("$ref", None):
        rule = definitions[name.removeprefix("#/$defs/")] | rule
    alternatives = [inner for inner in rule.get("anyOf", []) if inner != {"type": "null"}]
    if len(alternatives) == 1:
        # An optional value.
        rule = _in_place(alternatives[0], definitions) | rule
        rule["type"] = [rule["type"], "null"]
        del rule["anyOf"]
    first = {"description": " ".join(rule["description"].split())} if "description" in rule else {}
    inner = {key: value for key, value in rule.items() if key not in ("title", "description", "default", "$defs")}
    if "properties" in inner:
        inner["properties"] = {
            name: _in_place(one, definitions, default[name] if isinstance(default, dict) else one.get("default"))
            for name, one in inner["properties"].items()
        }
    if "items" in inner:
        inner["items"] = _in_place(inner["items"], definitions)
    if "patternProperties" in inner:
        patterns = inner["patternProperties"].items()
        inner["patternProperties"] = {pattern: _in_place(one, definitions) for pattern, one in patterns}
        inner["additionalProperties"] = False
    filled_in = "default" in rule or (default is not None and "properties" not in inner)
    return first | inner | ({"default": default} if filled_in else {})


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")
