"""The JSON schema of the analysis file (draft 2020-12), for editors, the reference and error messages.

It accepts what the loader accepts, short forms included; rules between keys (a signal must be a class) are the
loader's alone. `python -m gridloom.analysis.schema` writes the shipped file anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gridloom.analysis.models import Analysis
from gridloom.errors import KeyPath
from gridloom.files import write_text

Schema: TypeAlias = Mapping[str, Any]

SCHEMA_FILE = Path(__file__).with_name("schema.json")
_REFERENCE = "#/$defs/"


class _Generator(GenerateJsonSchema):
    """No generated titles (they repeat the key), and keys of mappings are checked too."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        generated = super().dict_schema(schema)
        if "patternProperties" in generated:
            generated["additionalProperties"] = False
        elif (keys := schema.get("keys_schema")) and "min_length" in keys:
            generated["propertyNames"] = {"minLength": keys["min_length"]}
        return generated


@cache
def json_schema() -> Schema:
    """The schema of the analysis file."""
    schema = Analysis.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    for part in (schema, *schema["$defs"].values()):
        part.pop("title", None)
    _add_choices(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:gridloom:analysis:1",
        "title": "Gridloom analysis file",
        **schema,
    }


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


def resolve(node: Schema) -> Schema:
    """The part that `$ref` points to, with what stands beside the reference (a default) added."""
    name = str(node.get("$ref", ""))
    if not name:
        return node
    definition: Schema = json_schema()["$defs"][name.removeprefix(_REFERENCE)]
    return {**{key: value for key, value in node.items() if key != "$ref"}, **definition}


def forms(node: Schema) -> Iterator[Schema]:
    """The forms a value may have: `anyOf` flattened, without null."""
    node = resolve(node)
    choices = [choice for choice in node.get("anyOf", ()) if "required" not in choice]
    if not choices and node.get("type") != "null":
        yield node
    for choice in choices:
        yield from forms(choice)


def schema_at(path: KeyPath) -> Schema | None:
    """The part of the schema that describes a key; None where the schema knows no such key."""
    node: Schema = json_schema()
    for key in path:
        found = next((inner for form in forms(node) if (inner := _inside(form, key)) is not None), None)
        if found is None:
            return None
        node = found
    return node


def _inside(form: Schema, key: str | int) -> Schema | None:
    if isinstance(key, int):
        items: Schema | None = form.get("items")
        return items
    named = form.get("properties", {}).get(key)
    patterns = tuple(form.get("patternProperties", {}).values())
    other = form.get("additionalProperties")
    found = named or (patterns[0] if patterns else other)
    return found if isinstance(found, Mapping) else None


def schema_text() -> str:
    """The schema as the shipped file has it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the shipped file anew."""
    write_text(SCHEMA_FILE, schema_text())


if __name__ == "__main__":
    main()
