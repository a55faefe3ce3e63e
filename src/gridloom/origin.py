"""What prepared events were made from: a fingerprint of the events, and one of each of their features.

Tasks of one family select the same events of the same files and differ in features alone: what one of them has
prepared, another need not read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import expressions_of
from gridloom.expressions.expression import parse
from gridloom.files import digest_json
from gridloom.task import CONTRACT_VERSIONS, Task

ORIGIN = "origin.json"


class Origin(BaseModel):
    """Digests of the files, of all that decides on events and other arrays, and of every feature in its order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: str
    family: str
    features: tuple[str, ...]

    @classmethod
    def of(cls, task: Task) -> Origin:
        """Of a `prepare` task. Raises InvalidExpression."""
        stated: Any = task.parameters["analysis"]
        analysis = Analysis.model_validate(stated)
        others = [
            text for key, text in expressions_of(analysis, str(task.parameters["sample"])) if key[0] != "features"
        ]
        apart = {name: value for name, value in stated.items() if name not in ("features", "definitions")}
        family: dict[str, object] = {
            "version": CONTRACT_VERSIONS["prepare"],
            "parameters": {**task.parameters, "analysis": apart},
            "definitions": _used(others, analysis.definitions),
            "files": files_of(task),
            "environment": task.environment,
        }
        features = [
            [item.expression, list(item.missing), _used([item.expression], analysis.definitions)]
            for item in analysis.features
        ]
        return cls(
            files=files_of(task), family=digest_json(family), features=tuple(digest_json(item) for item in features)
        )


def files_of(task: Task) -> str:
    """Digest of what a task reads; cheap, since it is asked of every task."""
    identities = [[file.uuid, file.size, list(file.friend_uuids)] for file in task.files]
    return digest_json([identities, len(task.lost_files)])


def read_origin(folder: Path) -> Origin | None:
    """What a result says of its origin; None if nothing that can be read."""
    try:
        return Origin.model_validate_json((folder / ORIGIN).read_bytes())
    except (OSError, ValidationError):
        return None


def _used(texts: Iterable[str], definitions: Mapping[str, str]) -> dict[str, str]:
    """The definitions that expressions use, also through others."""
    found: dict[str, str] = {}
    waiting = list(texts)
    while waiting:
        for name in _names(waiting.pop()) & definitions.keys() - found.keys():
            found[name] = definitions[name]
            waiting.append(definitions[name])
    return found


@lru_cache(maxsize=4096)
def _names(text: str) -> frozenset[str]:
    """The names in an expression; thousands of tasks have the same ones."""
    return parse(text).branches
