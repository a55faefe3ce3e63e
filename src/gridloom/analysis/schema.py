"""The JSON schema of the analysis file (draft 2020-12), for editors, the reference and error messages.

It accepts what the loader accepts, short forms included; rules between keys (a signal must be a class) are the
loader's alone. `python -m gridloom.analysis.schema` writes the shipped file anew.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from gridloom.analysis.forms import Schema, expanded, model_schema, part_at
from gridloom.analysis.models import Analysis
from gridloom.errors import KeyPath
from gridloom.files import write_text

SCHEMA_FILE = Path(__file__).with_name("schema.json")


@cache
def json_schema() -> Schema:
    """The schema of the analysis file."""
    schema = model_schema(Analysis, name="analysis", title="Gridloom analysis file")
    _add_choices(schema)
    return schema


@cache
def expanded_schema() -> Schema:
    """The same without references."""
    return expanded(json_schema())


def _add_choices(schema: dict[str, Any]) -> None:
    """What the models refuse between the keys of one part."""
    parts = schema["$defs"]
    signal = {"required": ["signal"], "properties": {"signal": {"minItems": 1}}}
    regression = {"required": ["regression"], "properties": {"regression": {"type": ["string", "number"]}}}
    parts["Target"]["oneOf"] = [signal, regression]
    parts["Target"]["not"] = {
        "required": ["regression", "classes"],
        "properties": {"regression": {"type": ["string", "number"]}, "classes": {"minItems": 1}},
    }
    chosen = {"type": "string"}
    parts["Model"]["not"] = {"required": ["name", "function"], "properties": {"name": chosen, "function": chosen}}


def schema_at(path: KeyPath) -> Schema | None:
    """The part of the schema that describes a key; None where the schema knows no such key."""
    return part_at(expanded_schema(), path)


def schema_text() -> str:
    """The schema as the shipped file has it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the shipped file anew."""
    write_text(SCHEMA_FILE, schema_text())


if __name__ == "__main__":
    main()
