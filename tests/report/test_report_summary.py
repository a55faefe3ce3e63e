"""The summary in the terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from gridloom.physics.results import Evaluation
from gridloom.report.summary import summary

GOLDEN = Path(__file__).with_name("golden")


def shown(evaluation: Evaluation, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, legacy_windows=False).print(summary(evaluation))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_summary_is_the_golden_one(kind: str, request: pytest.FixtureRequest) -> None:
    text = shown(request.getfixturevalue(kind))
    if os.environ.get("GRIDLOOM_WRITE_GOLDEN"):
        (GOLDEN / f"{kind}.txt").write_text(text, encoding="utf-8")
    assert text == (GOLDEN / f"{kind}.txt").read_text(encoding="utf-8")


def test_names_are_not_read_as_markup(hostile: Evaluation) -> None:
    check = hostile.verdict[0].model_copy(update={"name": "[red]x[/red]", "statement": "[/] [link=a]"})
    text = shown(hostile.model_copy(update={"verdict": (check,)}))
    assert "[red]x[/red]" in text
    assert "[/] [link=a]" in text


def test_it_fits_a_narrow_terminal(binary: Evaluation) -> None:
    assert max(len(line) for line in shown(binary, width=60).splitlines()) <= 60


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; import gridloom.report.summary; "
        "heavy = {'numpy', 'matplotlib', 'mplhep', 'scipy', 'sklearn', 'tensorflow', 'jinja2'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
