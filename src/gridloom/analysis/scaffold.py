"""A commented analysis file to start from, written from what ROOT files hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gridloom.analysis.roles import (
    BranchInfo,
    FileInfo,
    Reason,
    TreeInfo,
    collections,
    event_id,
    event_trees,
    kinematics_first,
    label_branches,
    size_of,
    weight_branch,
    why_not,
)
from gridloom.errors import InvalidExpression, MissingBranch, MissingTree
from gridloom.expressions import parse

__all__ = ["BranchInfo", "FileInfo", "TreeInfo", "scaffold"]

MOST_FEATURES = 40
MOST_OBJECT_FEATURES = 8
# With more kinds of objects than this only the usual ones are switched on.
MOST_COLLECTIONS = 3
_USUAL = ("jet", "muon", "electron")
_WIDTH = 110


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One sample to be: a tree of a file."""

    name: str
    path: str
    tree: TreeInfo
    signal: bool
    data: bool
    runs: str | None


def scaffold(files: Sequence[FileInfo], *, name: str = "analysis") -> str:
    """A valid analysis file for the given files: guesses are made visibly, with comments that say what to check.

    Raises MissingTree for a file without a tree of numbers, MissingBranch if no branch can be an input.
    """
    sources = _sources(files)
    features, left_out = _candidates(sources)
    objects = _objects(sources)
    if not features and not objects:
        found = ", ".join(name for names in left_out.values() for name in names) or "none"
        fix = f"Numbers per event: {found}. Give files with other branches, or write the analysis file by hand."
        raise MissingBranch("no branch looks like an input of a model", where=sources[0].path, fix=fix)
    parts = (
        _head(sources, name),
        _samples(sources),
        _selection(),
        _features(features, left_out),
        _collections(objects),
        _rest(sources),
    )
    return "\n".join("\n".join(part) for part in parts if part) + "\n"


def _sources(files: Sequence[FileInfo]) -> tuple[_Source, ...]:
    found: list[tuple[str, FileInfo, TreeInfo]] = []
    for file in files:
        trees = event_trees(file)
        if not trees:
            held = ", ".join(tree.name for tree in file.trees) or "none"
            fix = f"Trees in the file: {held}. Give a file with a TTree or RNTuple of events."
            raise MissingTree("no tree with numbers per event", where=file.path, fix=fix)
        stem = file.path.rsplit("/", 1)[-1].removesuffix(".root")
        found += [(stem if len(trees) == 1 else tree.name, file, tree) for tree in trees]
    names = _unique(_as_name(name) for name, _, _ in found)
    is_data = [bool(re.match(r"data|Run20\d\d", name)) for name in names]
    if all(is_data):
        is_data = [False] * len(names)
    simulated = [name for name, data in zip(names, is_data, strict=True) if not data]
    signals = [name for name in simulated if "sig" in name.lower()]
    if len(signals) in (0, len(simulated)):
        signals = simulated[:1]
    return tuple(
        _Source(name=name, path=file.path, tree=tree, signal=name in signals, data=data, runs=_runs_branch(file))
        for name, data, (_, file, tree) in zip(names, is_data, found, strict=True)
    )


def _runs_branch(file: FileInfo) -> str | None:
    runs = [branch.name for tree in file.trees if tree.name == "Runs" for branch in tree.branches]
    return next((name for name in ("genEventSumw", "genEventSumw_") if name in runs), None)


def _as_name(text: str) -> str:
    return re.sub(r"^[^A-Za-z0-9]+", "", re.sub(r"[^A-Za-z0-9_.+-]+", "_", text)) or "sample"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    taken: list[str] = []
    for name in names:
        candidates = (name if number == 1 else f"{name}_{number}" for number in range(1, len(taken) + 2))
        taken.append(next(candidate for candidate in candidates if candidate not in taken))
    return tuple(taken)


# --- the parts of the file --------------------------------------------------------------------------------------
def _head(sources: Sequence[_Source], name: str) -> list[str]:
    lines = [
        "# An analysis file for Gridloom, written from the branches of the files below.",
        "# Names and classes are guesses: read the lines marked CHECK, then try `gridloom check` and `gridloom run`.",
        "gridloom: 1",
        f"name: {_yaml(_as_name(name))}",
        f"tree: {_yaml(sources[0].tree.name)}",
    ]
    if any(_is_normalised(source) for source in sources):
        lines.append("luminosity: 1000  # CHECK: integrated luminosity in /pb")
    return lines


def _is_normalised(source: _Source) -> bool:
    return not source.data and "genWeight" in source.tree.names("number")


def _samples(sources: Sequence[_Source]) -> list[str]:
    lines = ["", "# One entry per process; `files` takes lists and globs (`data/ttbar_*.root`).", "samples:"]
    alone = sum(not source.data for source in sources) == 1
    for source in sources:
        lines += [f"  {_yaml(source.name)}:", f"    files: {_yaml(source.path)}"]
        if source.tree.name != sources[0].tree.name:
            lines.append(f"    tree: {_yaml(source.tree.name)}")
        if source.data:
            lines.append("    data: true  # CHECK: collision data: scored, never trained on, blinded in the report")
        else:
            lines += [*(_class_per_event(source.tree) if alone else _class(source)), *_weight(source)]
    return lines


def _class(source: _Source) -> Iterator[str]:
    yield f"    class: {'signal' if source.signal else 'background'}  # CHECK: what is this process?"


def _class_per_event(tree: TreeInfo) -> Iterator[str]:
    """One file: the classes must be told apart event by event."""
    labels = label_branches(tree)
    condition = f"{_branch(labels[0])} > 0" if labels else "1"
    yield "    class:  # a condition per event, since there is only one sample; or add samples and give each a class"
    yield f"      signal: {_yaml(condition)}  # CHECK: which events are signal?"
    yield "      background: otherwise"
    if len(labels) > 1:
        yield f"      # other candidates: {', '.join(labels[1:10])}"


def _weight(source: _Source) -> Iterator[str]:
    weight = weight_branch(source.tree)
    if _is_normalised(source):
        yield "    normalisation:"
        yield "      cross_section: 1.0  # CHECK: in pb"
        yield "      generator_weight: genWeight"
        if source.runs is not None:
            yield f"      sum_of_weights: {{tree: Runs, branch: {source.runs}}}"
        else:
            yield "      sum_of_weights: events  # CHECK: right only if the file holds all generated events"
    elif weight is not None:
        yield f"    weight: {_yaml(_branch(weight))}  # CHECK: does it hold cross section and luminosity?"
    else:
        yield "    weight: 1  # CHECK: every event counts the same; or an expression, or `normalisation`"


def _selection() -> list[str]:
    return [
        "",
        "# Events to train on, judge and apply to; each named cut is a line of the cutflow.",
        "# selection:",
        '#   four jets: "Sum$(Jet_pt > 25) >= 4"',
    ]


def _candidates(sources: Sequence[_Source]) -> tuple[list[str], dict[Reason, list[str]]]:
    """The flat branches to begin with, and the others by the reason they are left out."""
    tree = sources[0].tree
    shared = set(tree.names("number")).intersection(*(source.tree.names("number") for source in sources))
    jagged = tree.names("jagged")
    left_out: dict[Reason, list[str]] = {}
    used: list[str] = []
    for name in tree.names("number"):
        # `nJet_pt`, made by some converters, only repeats the number of jets.
        if not _branch(name) or name[1:] in jagged:
            continue
        reason = why_not(name, jagged)
        if reason is None and name not in shared:
            reason = "not in every sample"
        if reason is None and len(used) == MOST_FEATURES:
            reason = "further candidates"
        if reason is None:
            used.append(name)
        else:
            left_out.setdefault(reason, []).append(name)
    return used, left_out


def _features(used: Sequence[str], left_out: Mapping[Reason, Sequence[str]]) -> list[str]:
    lines = ["", "# Inputs of the model, one number per event: branches or expressions."]
    lines += ["features:", *(f"  - {_yaml(_branch(name))}" for name in used)] if used else ["features: []"]
    if left_out:
        lines.append("# Left out:")
    for why, names in left_out.items():
        explained = "truth, not known in data (the model would look the answer up)" if why == "truth" else why
        lines += _list_of(explained, names)
    return lines


def _list_of(title: str, names: Sequence[str]) -> Iterator[str]:
    most = 40
    text = f"#   {title}:"
    for name in (*names[:most], *([f"and {len(names) - most} more"] if len(names) > most else [])):
        if len(text) + len(name) > _WIDTH:
            yield text
            text = "#    "
        text += f" {name}"
    yield text


def _objects(sources: Sequence[_Source]) -> dict[str, tuple[str, ...]]:
    """Jagged branches that every sample has, by collection."""
    tree = sources[0].tree
    shared = set(tree.names("jagged")).intersection(*(source.tree.names("jagged") for source in sources))
    return {
        prefix: kept
        for prefix, names in collections(tree).items()
        if len(kept := tuple(name for name in names if name in shared and _branch(name))) > 1
    }


def _collections(every: Mapping[str, Sequence[str]]) -> list[str]:
    if not every:
        return []
    usual = [prefix for prefix in every if prefix.lower() in _USUAL]
    on = list(every) if len(every) <= MOST_COLLECTIONS else usual or list(every)[:1]
    lines = ["", "# Inputs of variable number: objects are put in order, cut or padded to `at_most`, and masked."]
    lines.append("collections:")
    for prefix in on:
        lines += _collection(prefix, every[prefix])
    off = [prefix for prefix in every if prefix not in on]
    if off:
        lines += _list_of("further collections in the files, to be written likewise", off)
    return lines


def _collection(prefix: str, names: Sequence[str]) -> Iterator[str]:
    ordered = kinematics_first(names)
    size = size_of(names)
    yield f"  {_yaml(prefix)}:"
    if size is not None:
        yield f'    # where: "{size} > 25"'
        yield f"    order_by: {_yaml('-' + _branch(size))}"
    yield "    at_most: 10"
    yield "    features:"
    yield from (f"      - {_yaml(_branch(name))}" for name in ordered[:MOST_OBJECT_FEATURES])
    if len(ordered) > MOST_OBJECT_FEATURES:
        yield from ("      " + line for line in _list_of("more", ordered[MOST_OBJECT_FEATURES:]))


def _rest(sources: Sequence[_Source]) -> list[str]:
    names = event_id(sources[0].tree)
    if names and all(event_id(source.tree) == names for source in sources):
        identity = [f"event_id: [{', '.join(_yaml(_branch(name)) for name in names)}]"]
    else:
        identity = [
            "event_id: entry  # no run and event number in all samples: events are known by file and entry number"
        ]
    return [
        "",
        "# What to learn; the classes are those of the samples.",
        "target:",
        "  signal: signal",
        "",
        "# Decides the fold of an event, so that it is never judged by a model that trained on it.",
        *identity,
        "folds: 5",
        "",
        "# Everything below has a sensible default; see the reference of the analysis file.",
        "training:",
        "  batch: 1024",
        "  epochs: 30",
        "  optimizer: {name: adam, learning_rate: 1e-3}",
        "  seed: 1",
    ]


# --- text -------------------------------------------------------------------------------------------------------
def _branch(name: str) -> str:
    """A branch as an expression: in backquotes where its name is no plain word; empty if it cannot be written."""
    for text in (name, f"`{name}`"):
        try:
            if parse(text).branches == {name}:
                return text
        except InvalidExpression:
            continue
    return ""


def _yaml(text: str) -> str:
    """Text as YAML: plain where that is safe, else in double quotes."""
    plain = re.fullmatch(r"(-?[A-Za-z_]|[./])[A-Za-z0-9_./+ >=*?-]*|root://[A-Za-z0-9_./:*?-]+", text)
    is_word = text.lower() in ("null", "true", "false")
    return text if plain and not is_word and text.strip() == text else json.dumps(text, ensure_ascii=False)
