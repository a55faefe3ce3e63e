"""What a prediction consists of: which samples' trees, which variations, which format. Plain data for both sides."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gridloom.analysis.models import IDENTIFIER_PATTERN, Analysis, Friend, Sample
from gridloom.analysis.queries import class_names
from gridloom.task import InputFile

# The one sample of an analysis that is reduced to what scoring needs.
SAMPLE = "scored"
FRIEND = "gridloom"
_UNSAFE = re.compile(r"\W")

Format = Literal["ttree", "rntuple"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variation(_Data):
    """Branches that take the place of others in selection and features; the event id, and so the fold, stays."""

    name: Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
    branches: dict[str, str] = Field(min_length=1)


class Request(_Data):
    """What a prediction writes: `tree` is the friend's name; `nominal`: the last friend of a file identifies events."""

    tree: str = FRIEND
    format: Format = "ttree"
    variations: tuple[Variation, ...] = ()
    nominal: bool = False


class Wanted(_Data):
    """What is to be scored, as the user says it: files and globs, those of friends and of nominal events.

    `like` is the sample whose tree and friends the files have, `tree` another tree than its. `fresh`: files that the
    run has read are taken as they are now.
    """

    files: tuple[str, ...] = Field(min_length=1)
    friends: tuple[tuple[str, ...], ...] = ()
    nominal: tuple[str, ...] = ()
    like: str = ""
    tree: str = ""
    fresh: bool = False
    request: Request = Request()


class Group(_Data):
    """Files with the same trees, and the analysis reduced to what their scoring needs."""

    analysis: Analysis
    files: tuple[InputFile, ...]


class ScoredFile(_Data):
    """What is known of a file whose events were scored."""

    path: str
    uuid: str
    entries: int
    selected: int
    output: str


def output_name(number: int) -> str:
    """The name of a task's friend of its file `number`."""
    return f"friend-{number:04d}.root"


def branch_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the scores' branches, valid in C++: one per class, or `prediction` for a regression."""
    if not classes:
        return ("prediction",)
    names: list[str] = []
    for text in classes:
        name = f"score_{_UNSAFE.sub('_', text)}"
        while name in names:
            name += "_"
        names.append(name)
    return tuple(names)


def application_analysis(analysis: Analysis, like: Sample, *, nominal: bool) -> Analysis:
    """The analysis with one sample alone: no weight, no label, the trees as `like` has them.

    With `nominal` the last friend is the nominal file's tree, entry by entry.
    """
    tree = like.tree or analysis.tree
    friends = [friend.model_copy(update={"files": None if friend.files is None else ("*",)}) for friend in like.friends]
    if nominal:
        friends.append(Friend(tree=tree, files=("*",)))
    sample = Sample(files=("*",), tree=tree, data=True, friends=tuple(friends))
    target = analysis.target.model_copy(update={"classes": class_names(analysis)})
    return analysis.model_copy(update={"samples": {SAMPLE: sample}, "target": target})
