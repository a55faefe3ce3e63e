"""JSON schemas of models (draft 2020-12), and the way through one: what may stand at a place of a file.

Shared by the analysis file and the files of sites.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gridloom.errors import KeyPath

Schema: TypeAlias = Mapping[str, Any]

_REFERENCE = "#/$defs/"


class _Generator(GenerateJsonSchema):
    """No generated titles (they repeat the key), and keys of mappings are checked too."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        generated = super().dict_schema(schema)
        keys = schema.get("keys_schema")
        if "patternProperties" in generated:
            generated["additionalProperties"] = False
        elif keys and "min_length" in keys:
            generated["propertyNames"] = {"minLength": keys["min_length"]}
        elif keys and keys["type"] == "literal":
            generated["propertyNames"] = {"enum": list(keys["expected"])}
        return generated


def model_schema(model: type[BaseModel], *, name: str, title: str) -> dict[str, Any]:
    """The schema of a file that a model describes; parts it is made of stand in `$defs`."""
    schema = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    for part in (schema, *schema["$defs"].values()):
        part.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:gridloom:{name}:1",
        "title": title,
        **schema,
    }


def expanded(schema: Schema) -> Schema:
    """The same with every `$ref` replaced by what it points to, beside what stands there itself (a default)."""
    definitions: Schema = schema["$defs"]

    def expand(value: Any) -> Any:
        if isinstance(value, list):
            return [expand(item) for item in value]
        if not isinstance(value, dict):
            return value
        own = {key: expand(inner) for key, inner in value.items() if key != "$ref"}
        name = str(value.get("$ref", ""))
        return {**own, **expand(definitions[name.removeprefix(_REFERENCE)])} if name else own

    whole: Schema = expand({key: value for key, value in schema.items() if key != "$defs"})
    return whole


def forms(node: Schema) -> Iterator[Schema]:
    """The forms a value may have: `anyOf` flattened, without null."""
    # A choice without a type only says which keys go together.
    choices = [choice for choice in node.get("anyOf", ()) if "required" not in choice or "type" in choice]
    if not choices and node.get("type") != "null":
        yield node
    for choice in choices:
        yield from forms(choice)


def part_at(schema: Schema, path: KeyPath) -> Schema | None:
    """The part of an expanded schema that describes a key; None where it knows no such key."""
    node = schema
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


def keys_of(form: Schema) -> tuple[str, ...]:
    """The keys that a mapping may have, where they are known."""
    return tuple(form.get("properties", form.get("propertyNames", {}).get("enum", ())))
