"""Write an analysis as YAML: short forms, and only what differs from the defaults."""

from __future__ import annotations

import io
from collections.abc import Sequence

from ruamel.yaml import YAML

from gridloom.analysis.models import Analysis, Cut, Feature, Part
from gridloom.analysis.scaffold import BranchInfo, FileInfo, TreeInfo, scaffold
from gridloom.analysis.syntax import Value

__all__ = ["BranchInfo", "FileInfo", "TreeInfo", "scaffold", "to_yaml"]

_WIDTH = 110
# One item may stand without its list, and a number without quotes.
_ONE_OR_MANY = ("files", "signal")
_EXPRESSIONS = ("weight", "generator_weight", "corrections", "factor")


def to_yaml(analysis: Analysis) -> str:
    """The analysis file of an analysis; loading it gives an equal analysis."""
    yaml = YAML()
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(_mapping(analysis), stream)
    return stream.getvalue()


def _mapping(part: Part) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if field.is_required() or value != field.get_default(call_default_factory=True):
            key = field.alias or name
            found[key] = _short(key, _plain(value))
    return found


def _plain(value: object) -> Value:
    if isinstance(value, Feature):
        return _feature(value)
    if isinstance(value, Part):
        return _mapping(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        cuts = [item for item in value if isinstance(item, Cut)]
        return _cuts(cuts) if cuts else [_plain(item) for item in value]
    assert value is None or isinstance(value, bool | int | float | str)
    return value


def _short(key: str, value: Value) -> Value:
    if key in _ONE_OR_MANY and isinstance(value, list) and len(value) == 1:
        return value[0]
    if key in _EXPRESSIONS and isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and str(int(value)) == value else value
    return value


def _feature(feature: Feature) -> Value:
    rest = _mapping(feature)
    if feature.name == feature.expression:
        del rest["expression"]
    return feature.name if list(rest) == ["name"] else rest


def _cuts(cuts: Sequence[Cut]) -> Value:
    if all(cut.name == cut.cut for cut in cuts):
        return [cut.cut for cut in cuts]
    if len({cut.name for cut in cuts}) < len(cuts):
        return [{"name": cut.name, "cut": cut.cut} for cut in cuts]
    return {cut.name: cut.cut for cut in cuts}
