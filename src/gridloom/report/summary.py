"""The result of a run in the terminal: aligned, readable without colour; no heavy import."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gridloom.physics.results import Evaluation, RegressionScores, Status
from gridloom.report import numbers
from gridloom.report.verdict import ICONS, WORDS, headline, sorted_checks, worst

_COLOURS: dict[Status, str] = {"good": "green", "warn": "yellow", "bad": "red"}


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _text(value: str, style: str = "") -> Text:
    """Names are shown as they are, never read as rich's markup."""
    return Text(value, style=style)


def _row(table: Table, name: str, value: str, detail: str = "") -> None:
    table.add_row(_text(name), _text(value, "bold"), _text(detail, "dim"))


def _classification(table: Table, evaluation: Evaluation) -> None:
    if evaluation.discriminations:
        main = evaluation.discriminations[0]
        _row(table, "AUC, network", numbers.interval(main.network.area), "68 %, out-of-fold")
        if main.reference is not None:
            detail = "" if main.difference is None else f"network − trees: {numbers.interval(main.difference)}"
            _row(table, "AUC, boosted trees", numbers.interval(main.reference.area), detail)
    if evaluation.confusion is not None:
        _row(table, "Balanced accuracy", numbers.interval(evaluation.confusion.accuracy))
    significance = evaluation.significance
    if significance is None:
        return
    uncertainty = numbers.percent(evaluation.meta.background_uncertainty, 0)
    detail = f"Asimov, {uncertainty} background uncertainty"
    if significance.binned is not None and significance.binned.asimov is not None:
        _row(table, "Significance, bins", numbers.interval(significance.binned.asimov), detail)
    if significance.best is not None and significance.best.asimov is not None:
        _row(table, "Significance, one cut", numbers.interval(significance.best.asimov), detail)


def _scores(table: Table, name: str, scores: RegressionScores) -> None:
    _row(table, f"Resolution, {name}", numbers.interval(scores.resolution), f"bias {numbers.interval(scores.bias)}")


def _results(evaluation: Evaluation) -> Table:
    table = _grid()
    _classification(table, evaluation)
    if evaluation.regression is not None:
        _scores(table, "network", evaluation.regression.network)
        if evaluation.regression.reference is not None:
            _scores(table, "boosted trees", evaluation.regression.reference)
    _row(table, "Events", numbers.count(evaluation.meta.events), f"{evaluation.meta.folds} folds")
    return table


def _checks(evaluation: Evaluation) -> Table:
    table = _grid()
    for check in sorted_checks(evaluation.verdict):
        status = _text(f"{ICONS[check.status]} {WORDS[check.status]}", _COLOURS[check.status])
        table.add_row(status, _text(check.name), _text(check.statement))
    return table


def summary(evaluation: Evaluation) -> RenderableType:
    """Verdict, results and checks, for `rich.console.Console.print`."""
    status = worst(evaluation.verdict)
    head = _text(f"{ICONS[status]} {evaluation.meta.analysis}: {headline(evaluation)}", f"bold {_COLOURS[status]}")
    parts: list[RenderableType] = [head, Text(), _results(evaluation), Text(), _checks(evaluation)]
    if evaluation.blinding.blinded:
        parts += [Text(), _text(f"Blinded: {evaluation.blinding.statement}", "bold")]
    return Group(*parts)
