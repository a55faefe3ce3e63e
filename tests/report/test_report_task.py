"""The report task as the worker calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridloom.errors import DamagedResult, Interrupted
from gridloom.physics.results import Evaluation, write_evaluation
from gridloom.report.task import gather_provenance, run
from gridloom.task import Context, Progress, Task


def context(folder: Path, *, stop: bool = False, seen: list[Progress] | None = None) -> Context:
    inputs = {name: folder / name for name in ("evaluate-0123", "train-4567")}
    for path in (*inputs.values(), folder / "output", folder / "scratch"):
        path.mkdir(exist_ok=True)
    return Context(
        task=Task(
            kind="report",
            label="report",
            parameters={"analysis": {"name": "tth"}, "provenance": {"machine": "a laptop"}},
            inputs=tuple(inputs),
            code="c0de",
        ),
        inputs=inputs,
        output=folder / "output",
        scratch=folder / "scratch",
        stop=lambda: stop,
        progress=(seen if seen is not None else []).append,
    )


def test_the_task_writes_the_page_and_its_figures(regression: Evaluation, tmp_path: Path) -> None:
    seen: list[Progress] = []
    task = context(tmp_path, seen=seen)
    write_evaluation(tmp_path / "evaluate-0123" / "evaluation.json", regression)
    (tmp_path / "train-4567" / "provenance.json").write_text(json.dumps({"threads": 2}))
    run(task)
    page = (tmp_path / "output" / "index.html").read_text(encoding="utf-8")
    for text in ("a laptop", "threads", "train-4567", "c0de"):
        assert text in page
    assert (tmp_path / "output" / "figures" / "residuals.pdf").is_file()
    assert (tmp_path / "output" / "figures" / "residuals.png").is_file()
    assert seen[-1].done == seen[-1].total


def test_it_stops_on_request_and_leaves_no_page(regression: Evaluation, tmp_path: Path) -> None:
    task = context(tmp_path, stop=True)
    write_evaluation(tmp_path / "evaluate-0123" / "evaluation.json", regression)
    with pytest.raises(Interrupted):
        run(task)
    assert not (tmp_path / "output" / "index.html").exists()


@pytest.mark.parametrize("content", [None, "", "{}", '{"meta": 1}', "\udcff"])
def test_a_damaged_evaluation_is_named(content: str | None, tmp_path: Path) -> None:
    task = context(tmp_path)
    path = tmp_path / "evaluate-0123" / "evaluation.json"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DamagedResult) as caught:
        run(task)
    assert caught.value.where == str(path)


def test_an_evaluation_must_be_among_the_inputs(tmp_path: Path) -> None:
    task = context(tmp_path)
    without = Context(
        task=task.task,
        inputs={},
        output=task.output,
        scratch=task.scratch,
        stop=task.stop,
        progress=task.progress,
    )
    with pytest.raises(DamagedResult, match="no evaluation among its inputs"):
        run(without)


def test_damaged_provenance_is_named(tmp_path: Path) -> None:
    task = context(tmp_path)
    (tmp_path / "train-4567" / "provenance.json").write_text("{")
    with pytest.raises(DamagedResult, match="not readable as JSON"):
        gather_provenance(task)
