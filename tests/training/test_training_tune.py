"""With XLA or without: one choice for all trainings of a run, which noise does not turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tasks import Prepared

from gridloom.errors import DamagedResult, Interrupted
from gridloom.models.check import untrained
from gridloom.task import Context
from gridloom.training import train, tune
from gridloom.training.choice import CLEARLY, Choice, by_probe, by_rule, chosen, write_choice

WITH, WITHOUT = Choice(xla=True, why="rule"), Choice(xla=False, why="rule")


def probed(case: Prepared, name: str) -> Context:
    task = case.bench.fold_task(case.analysis, "tune", 0)
    context = case.bench.context(task, {}, name=name)
    tune.run(context)
    return context


@pytest.mark.parametrize("rule", [WITH, WITHOUT])
def test_only_what_is_clearly_faster_turns_the_rule(rule: Choice) -> None:
    def found(mine: float, other: float) -> bool:
        times = {"with_xla": mine, "without": other} if rule.xla else {"with_xla": other, "without": mine}
        return by_probe(rule, **times).xla

    assert found(1.0, 2.0) is rule.xla
    assert found(CLEARLY - 0.01, 1.0) is rule.xla
    assert found(CLEARLY + 0.01, 1.0) is not rule.xla
    why = by_probe(rule, with_xla=3.0, without=2.0)
    assert why.seconds == (3.0, 2.0)
    assert "times as fast" in why.why


def test_the_rule_looks_at_network_and_batch_alone(prepared: Mapping[str, Prepared], tmp_path: Path) -> None:
    case = prepared["flat"]
    large = {"parameters": {"hidden": [500, 500]}}
    for training, model, xla in (
        ({"batch": 64}, {}, True),
        ({"batch": 4096}, large, False),
        ({"batch": 64, "precision": "mixed_bfloat16"}, {}, False),
    ):
        analysis = case.changed(training=training, model=model)
        choice = by_rule(untrained(analysis, tmp_path).body, analysis)
        assert choice.xla is xla
        assert choice.why.startswith("rule: ")


def test_a_probe_measures_both_ways_and_is_short(prepared: Mapping[str, Prepared]) -> None:
    case = prepared["objects"]
    # Above the border of the rule, so that there is something to measure.
    wider = replace(case, analysis=case.changed(model={"parameters": {"hidden": [256, 256]}}, training={"batch": 256}))
    context = probed(wider, "probe")
    found = Choice.model_validate_json((context.output / "tune.json").read_bytes())
    assert found.seconds is not None
    assert min(found.seconds) > 0
    assert found.why.startswith("probe: ")


def test_a_probe_of_tiny_steps_measures_nothing(prepared: Mapping[str, Prepared]) -> None:
    case = prepared["objects"]
    tiny = case.changed(model={"parameters": {"objects": [4], "hidden": [4]}}, training={"batch": 16})
    context = probed(replace(case, analysis=tiny), "tiny probe")
    found = Choice.model_validate_json((context.output / "tune.json").read_bytes())
    assert (found.xla, found.seconds) == (True, None)


def test_a_probe_stops(prepared: Mapping[str, Prepared]) -> None:
    case = prepared["objects"]
    analysis = case.changed(model={"parameters": {"hidden": [256, 256]}}, training={"batch": 256})
    context = case.bench.context(case.bench.fold_task(analysis, "tune", 0), {}, name="stopped probe", stop=lambda: True)
    with pytest.raises(Interrupted):
        tune.run(context)


def test_a_training_takes_the_choice_of_its_run(prepared: Mapping[str, Prepared], tmp_path: Path) -> None:
    case = prepared["objects"]
    folder = tmp_path / "tune-0"
    folder.mkdir()
    write_choice(folder, Choice(xla=False, why="probe: so it was"))
    task = case.bench.fold_task(case.changed(training={"epochs": 1}), "train", 0)
    context = case.bench.context(task, {**case.inputs, "tune-0": folder}, name="told")
    train.run(context)
    described = json.loads((context.output / "model.json").read_text())
    assert (described["backend"], described["xla"], described["why"]) == ("tensorflow", False, "probe: so it was")


def test_what_the_file_says_counts_more_than_a_probe(prepared: Mapping[str, Prepared], tmp_path: Path) -> None:
    case = prepared["objects"]
    for text, xla in (("on", True), ("off", False)):
        assert chosen(None, case.changed(training={"xla": text}), {"tune-0": tmp_path}).xla is xla
    with pytest.raises(DamagedResult, match="choice of compiler"):
        chosen(None, case.analysis, {"tune-0": tmp_path})
