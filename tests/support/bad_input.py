"""Kinds of bad input: what is changed in a good analysis and its files, and the error that must come."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gridloom.testing.ntuples import damage_basket, make_events, truncate, write_sample, write_tree

ANALYSIS = """\
gridloom: 1
name: toy
samples:
  signal: {files: "signal*.root", class: signal, weight: 1}
  background:
    files: "background*.root"
    class: background
    weight: genWeight
features:
  - MET_pt
  - Lepton_pt
target: {signal: signal}
folds: 3
training: {batch: 64, epochs: 2}
evaluation: {reference: false, bootstrap: 20}
"""
EVENTS = 300
NAN_AT = 250

Edits = Sequence[tuple[str, str]]
Change = Callable[[Path], object]


def other_columns(**changes: Any) -> dict[str, Any]:
    return {**make_events(EVENTS, seed=3, first_event=5000), **changes}


def with_nan() -> Any:
    values = np.ones(EVENTS, np.float32)
    values[NAN_AT] = np.nan
    return values


def words(home: Path) -> None:
    for name, first in (("signal", 1), ("background", 1000)):
        columns = make_events(EVENTS, seed=3, first_event=first) | {"word": np.array(["a"] * EVENTS)}
        write_tree(home / f"{name}.root", columns)


def jagged_once(home: Path) -> None:
    columns = other_columns()
    write_tree(home / "signal2.root", columns | {"MET_pt": columns["Jet"].pt})


def without_events(home: Path) -> None:
    write_tree(home / "background.root", {name: values[:0] for name, values in other_columns().items()})


@dataclass(frozen=True, kw_only=True)
class Case:
    """A bad input: what is changed, and the error that must come. `{home}` in it is the folder."""

    name: str
    code: int
    says: str
    fix: str
    edits: Edits = ()
    change: Change = lambda home: None


IN_ADVANCE = (
    Case(
        name="unknown key",
        edits=[("folds: 3", "fold: 3")],
        code=11,
        says="error[UnknownKey] toy.yaml:13:1: unknown key `fold`",
        fix="Did you mean `folds`? Valid keys here: gridloom, name,",
    ),
    Case(
        name="wrong type",
        edits=[("folds: 3", "folds: three")],
        code=12,
        says='error[InvalidValue] toy.yaml:13:1: `folds` must be a whole number from 3 to 100, not "three"',
        fix="",
    ),
    Case(
        name="normalised twice",
        edits=[
            ("weight: genWeight", "weight: genWeight\n    normalisation: {cross_section: 1}"),
            ("name: toy", "name: toy\nluminosity: 1"),
        ],
        code=13,
        says="error[DoubleNormalisation] toy.yaml:10:5: sample `background` is normalised twice, by `weight` and by "
        "`normalisation`",
        fix="Keep one: `weight` if the expression holds cross section and luminosity already",
    ),
    Case(
        name="empty YAML",
        change=lambda home: (home / "toy.yaml").write_text("# nothing yet\n"),
        code=10,
        says="error[AnalysisSyntaxError] toy.yaml:1:1: the analysis file is empty",
        fix="Write `key: value` lines, beginning with `gridloom: 1`",
    ),
    Case(
        name="missing branch",
        edits=[("- MET_pt", "- MET_pT")],
        code=24,
        says="error[MissingBranch] toy.yaml:10:5: there is no branch `MET_pT` in tree `Events` ({home}/signal.root "
        "(and 1 more file))",
        fix="Did you mean `MET_pt`?",
    ),
    Case(
        name="text branch",
        edits=[("- MET_pt", "- word")],
        change=words,
        code=25,
        says="error[BranchType] toy.yaml:10:5: branch `word` holds text ({home}/signal.root: Events (and 1 more file))",
        fix="Use a branch of numbers, or of lists of numbers.",
    ),
    Case(
        name="lists in one of the files",
        change=jagged_once,
        code=25,
        says="error[BranchType] toy.yaml:10:5: branch `MET_pt` holds lists, unlike in {home}/signal.root "
        "({home}/signal2.root)",
        fix="The files of a sample must be alike",
    ),
    Case(
        name="glob without files",
        edits=[("background*.root", "back/*.root")],
        code=20,
        says="error[NoFiles] toy.yaml:6:5: `back/*.root` matches no file ({home}/back/*.root)",
        fix="The folder `{home}/back` does not exist, only `{home}`.",
    ),
    Case(
        name="folder instead of a file",
        edits=[("background*.root", "back")],
        change=lambda home: (home / "back").mkdir(),
        code=20,
        says="error[NoFiles] toy.yaml:6:5: `back` is a folder ({home}/back)",
        fix="Name its files: `back/*.root`.",
    ),
    Case(
        name="truncated file",
        change=lambda home: truncate(home / "background.root", 0.6),
        code=21,
        says="error[DamagedFile] toy.yaml:6:5: the file is truncated: ",
        fix="Copy the file again; or let the analysis go on without such files: ",
    ),
    Case(
        name="file of no bytes",
        change=lambda home: (home / "background.root").write_bytes(b""),
        code=21,
        says="error[DamagedFile] toy.yaml:6:5: the file is empty (0 bytes) ({home}/background.root)",
        fix="Copy the file again",
    ),
    Case(
        name="no ROOT file",
        change=lambda home: (home / "background.root").write_text("<html>404 Not Found</html>"),
        code=21,
        says="error[DamagedFile] toy.yaml:6:5: not a ROOT file ({home}/background.root)",
        fix="List only ROOT files, or copy the file again.",
    ),
    Case(
        name="empty tree",
        change=without_events,
        code=23,
        says="error[EmptyTree] toy.yaml:6:5: tree `Events` has no entries in the only file of sample `background`",
        fix="List files with events, or remove the sample.",
    ),
    Case(
        name="tree missing in one of the files",
        change=lambda home: write_tree(home / "background2.root", other_columns(), tree="Event"),
        code=22,
        says="error[MissingTree] toy.yaml:6:5: there is no tree `Events`; the file has `Event` "
        "({home}/background2.root)",
        fix="Did you mean `Event`? Set `tree` of the sample or of the analysis",
    ),
    Case(
        name="one file twice",
        change=lambda home: shutil.copy(home / "signal.root", home / "signal2.root"),
        code=34,
        says="error[DuplicateEvents] toy.yaml:4:12: the same ROOT file is there more than once: {home}/signal.root, "
        "{home}/signal2.root",
        fix="List it once (these are copies of or links to one file).",
    ),
    Case(
        name="user's model missing",
        edits=[("folds: 3", 'folds: 3\nmodel: {function: "mine:build"}')],
        code=40,
        says="error[UserModelError] toy.yaml:14:9: there is no module `mine` ({home})",
        fix="Put mine.py beside the analysis file, or install it",
    ),
    Case(
        name="user's model no Python",
        edits=[("folds: 3", 'folds: 3\nmodel: {function: "mine:build"}')],
        change=lambda home: (home / "mine.py").write_text("import keras\ndef build(inputs, outputs:\n"),
        code=40,
        says="error[UserModelError] toy.yaml:14:9: `mine` is no valid Python: '(' was never closed "
        "({home}/mine.py:2:10)",
        fix="Correct this line and run again.",
    ),
    Case(
        name="user's function missing",
        edits=[("folds: 3", 'folds: 3\nmodel: {function: "mine:build"}')],
        change=lambda home: (home / "mine.py").write_text("def bild(inputs, outputs):\n    pass\n"),
        code=40,
        says="error[UserModelError] toy.yaml:14:9: module `mine` has no function `build` ({home}/mine.py)",
        fix="It has: bild.",
    ),
)

WHILE_PREPARING = (
    Case(
        name="list where a number is needed",
        edits=[("- MET_pt", "- Jet_pt")],
        code=25,
        says="error[BranchType] toy.yaml:10:5: branch `Jet_pt` holds one value per object, but one per event is needed",
        fix="Pick an object, `Jet_pt[0]`, or combine them",
    ),
    Case(
        name="damaged basket",
        change=lambda home: damage_basket(home / "background.root", "MET_pt"),
        code=21,
        says="error[DamagedFile] toy.yaml:6:5: tree `Events`, entries 0 to ",
        fix="Copy the file again",
    ),
    Case(
        name="undeclared NaN",
        edits=[("- MET_pt", "- log(MET_pt - 50)")],
        code=30,
        says="error[UndeclaredMissing] toy.yaml:10:5: feature `log(MET_pt - 50)` is NaN for ",
        fix="If that means `not there` (as `Jet_pt[0]` without jets), add `missing: nan` to the feature",
    ),
    Case(
        name="undeclared infinity",
        edits=[("- MET_pt", "- 1 / (Lepton_charge - 1)")],
        code=30,
        says="error[UndeclaredMissing] toy.yaml:10:5: feature `1 / (Lepton_charge - 1)` is infinite for ",
        fix="If that means `not there` (as `Jet_pt[0]` without jets), add `missing: inf` to the feature",
    ),
    Case(
        name="weight that is no number",
        change=lambda home: write_tree(home / "background.root", other_columns(genWeight=with_nan())),
        code=31,
        says="error[BadWeights] toy.yaml:8:5: the weight `genWeight` is not a finite number for 1 of 300 events, first "
        "nan ({home}/background.root, entry 250)",
        fix="Give such events a weight of their own",
    ),
)

CLASSES = (
    Case(
        name="weights sum to less than zero",
        edits=[("weight: 1", 'weight: "-1"')],
        code=31,
        says="error[BadWeights] toy.yaml:4:35: the weights of class `signal` sum to -300 over 300 training events",
        fix="Look at the weights of its samples: a class needs a positive sum.",
    ),
    Case(
        name="all weights zero",
        edits=[("weight: 1", "weight: 0")],
        code=31,
        says="error[BadWeights] toy.yaml:4:35: the weights of class `signal` sum to 0 over 300 training events",
        fix="Look at the weights of its samples: a class needs a positive sum.",
    ),
    Case(
        name="class empty after selection",
        edits=[("folds: 3", "folds: 3\nselection: event > 500")],
        code=32,
        says="error[EmptyClass] toy.yaml:4:35: no event of class `signal` passes `selection`",
        fix="Loosen the cuts, or look at the class's conditions.",
    ),
    Case(
        name="fold without a class",
        edits=[("folds: 3", "folds: 3\nselection: event < 4 || event > 500")],
        code=33,
        says="error[EmptyFold] toy.yaml:13:1: no training event of class `signal` in fold ",
        fix="Use fewer `folds` (at least 3), loosen the selection or add events.",
    ),
    Case(
        name="weights of a fold sum to less than zero",
        edits=[("weight: 1", 'weight: "event < 290 ? 1 : -20"')],
        code=31,
        says="error[BadWeights] toy.yaml:4:35: the weights of class `signal` sum to -",
        fix="Use fewer `folds` or more events",
    ),
    Case(
        name="event ids twice",
        change=lambda home: write_sample(home / "signal2.root", events=20, seed=9),
        code=34,
        says="error[DuplicateEvents] toy.yaml:4:12: 20 events of sample `signal` have the same id (run, "
        "luminosityBlock, event) as an earlier one: (1, 1, ",
        fix="Remove the files or events that are there twice.",
    ),
)
