"""What the branches of an unknown ntuple are probably for, guessed from their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

BranchType = Literal["number", "jagged", "other"]


@dataclass(frozen=True, kw_only=True)
class BranchInfo:
    """A branch: one number per event, one per object (jagged), or something else; `dtype` as NumPy names it."""

    name: str
    type: BranchType
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class TreeInfo:
    """A TTree or RNTuple."""

    name: str
    entries: int
    branches: tuple[BranchInfo, ...]

    def names(self, kind: BranchType) -> tuple[str, ...]:
        return tuple(branch.name for branch in self.branches if branch.type == kind)


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A ROOT file as the analysis file shall name it, and its trees."""

    path: str
    trees: tuple[TreeInfo, ...]


Reason = Literal[
    "identifies the event",
    "weight",
    "truth",
    "trigger or quality flag",
    "systematic variation",
    "count of objects",
    "index",
    "not in every sample",
    "further candidates",
]

_RUN = ("run", "runnumber", "run_number", "run_no")
_LUMI = ("luminosityblock", "lumi", "lumiblock", "luminosity_block", "lumi_block", "lumisection", "ls")
_EVENT = ("event", "eventnumber", "event_number", "evt", "evtnumber", "event_no", "eventid")
_OTHER_IDS = ("bunchcrossing", "orbitnumber", "entry", "index", "jet_no", "id")
_WEIGHT = re.compile(r"(^|[_a-z])(weight|weights|evtwt|scale1fb)s?($|[_A-Z0-9])|^w$|[a-z]Weight", re.IGNORECASE)
# What the detector cannot see: a network that is given it learns to look the answer up.
_TRUTH = re.compile(
    r"^(gen|Gen|LHE|HTXS|MC|mc_|truth|Truth|Pileup|PSWeight|true_)|(^|_)(gen|truth|mc)(_|[A-Z]|$)|genIdx|genPart|genJet"
    r"|(hadron|parton)Flavour|flavou?r$|[Pp][Dd][Gg][Ii][Dd]$|^(label|target|class|signal|is[A-Z]\w*|is_\w+)$|_label$"
)
_LABEL = re.compile(r"^(label|target|signal|is[A-Z]\w*|is_\w+)$|_label$")
_FLAG = re.compile(r"^(HLT|L1|Flag|DST|trigger|Trigger|trg)(_|[A-Z]|$)|^HLTrigger|^L1simulation")
_COUNT = re.compile(r"^[nN](_?[A-Za-z]\w*)$")
_VARIATION = re.compile(r"((?<!Pile)Up|Down|_up|_down)$")
_INDEX = re.compile(r"Idx\w*$|_index$")
_NOT_EVENTS = ("Runs", "LuminosityBlocks", "MetaData", "ParameterSets")


def why_not(name: str, jagged: Iterable[str] = ()) -> Reason | None:
    """Why a branch is no input of a model; None if it may be one. `jagged`: the branches with several objects."""
    if name.lower() in (*_RUN, *_LUMI, *_EVENT, *_OTHER_IDS):
        return "identifies the event"
    if _WEIGHT.search(name):
        return "weight"
    counted = _counted(name, jagged)
    if _TRUTH.search(name) or (counted and _TRUTH.search(counted)):
        return "truth"
    if _FLAG.search(name):
        return "trigger or quality flag"
    if _VARIATION.search(name):
        return "systematic variation"
    if _INDEX.search(name):
        return "index"
    return "count of objects" if counted else None


def _counted(name: str, jagged: Iterable[str]) -> str | None:
    """The objects that a branch such as `nJet` or `n_sv` counts."""
    match = _COUNT.match(name)
    objects = match[1].lstrip("_") if match else ""
    prefixes = {branch.partition("_")[0].lower() for branch in jagged}
    return objects if objects and any(objects.lower().startswith(prefix) for prefix in prefixes) else None


def event_id(tree: TreeInfo) -> tuple[str, ...]:
    """Integer branches that identify an event: run, luminosity block if there is one, event; or none."""
    integers = {branch.name.lower(): branch.name for branch in tree.branches if "int" in branch.dtype}
    run, lumi, event = (
        next((integers[word] for word in words if word in integers), None) for words in (_RUN, _LUMI, _EVENT)
    )
    return tuple(name for name in (run, lumi, event) if name is not None) if run and event else ()


def weight_branch(tree: TreeInfo) -> str | None:
    """The branch that looks like the whole weight of an event."""
    words = ("weight", "eventweight", "event_weight", "evtweight", "totalweight", "mcweight", "scale1fb", "w")
    flat = {name.lower(): name for name in tree.names("number")}
    return next((flat[word] for word in words if word in flat), None)


def label_branches(tree: TreeInfo) -> tuple[str, ...]:
    """Branches that seem to say the class of an event."""
    return tuple(name for name in tree.names("number") if _LABEL.search(name))


def event_trees(file: FileInfo) -> tuple[TreeInfo, ...]:
    """The trees with events: `Events` if there is one, else the one with most to offer and those like it."""
    usable = [
        tree for tree in file.trees if tree.name not in _NOT_EVENTS and (tree.names("number") + tree.names("jagged"))
    ]
    if not usable:
        return ()
    best = max(usable, key=lambda tree: (tree.name.lower() == "events", len(tree.branches), tree.entries))
    names = {branch.name for branch in best.branches}
    return tuple(tree for tree in usable if {branch.name for branch in tree.branches} == names)


def collections(tree: TreeInfo) -> Mapping[str, tuple[str, ...]]:
    """Jagged branches by the prefix they share: `Jet_pt`, `Jet_eta` -> `Jet`; truth and indices left out."""
    found: dict[str, list[str]] = {}
    for branch in tree.branches:
        prefix, underscore, _ = branch.name.partition("_")
        if (
            branch.type == "jagged"
            and underscore
            and prefix
            and why_not(branch.name) in (None, "trigger or quality flag")
        ):
            found.setdefault(prefix, []).append(branch.name)
    usable = {prefix: tuple(names) for prefix, names in found.items() if len(names) > 1}
    return {prefix: names for prefix, names in usable.items() if not _FLAG.search(f"{prefix}_")}


def kinematics_first(names: Sequence[str]) -> tuple[str, ...]:
    """Momentum and direction before everything else, otherwise in the order of the file."""
    return tuple(sorted(names, key=lambda name: _KINEMATICS.get(_suffix(name), len(_KINEMATICS))))


def size_of(names: Sequence[str]) -> str | None:
    """The branch that objects are ordered by: transverse momentum, else energy."""
    by_suffix = {_suffix(name): name for name in names}
    return next((by_suffix[suffix] for suffix in ("pt", "et", "e", "energy") if suffix in by_suffix), None)


_KINEMATICS = {
    suffix: rank
    for rank, suffix in enumerate(("pt", "eta", "phi", "mass", "m", "px", "py", "pz", "et", "e", "energy", "charge"))
}


def _suffix(name: str) -> str:
    return name.partition("_")[2].lower()
