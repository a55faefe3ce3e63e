"""The reference of the analysis file is generated, complete and current."""

from __future__ import annotations

import re
from pathlib import Path

from gridloom.analysis.load import load_analysis
from gridloom.analysis.models import Analysis
from gridloom.analysis.reference import EXAMPLE_FILE, main, reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "analysis-file.md"


def test_the_page_is_current(tmp_path: Path) -> None:
    """Otherwise run `python -m gridloom.analysis.reference docs/reference/analysis-file.md`."""
    assert PAGE.read_text() == reference()
    main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text() == reference()


def test_the_example_loads_and_uses_every_key_of_the_file() -> None:
    analysis = load_analysis(EXAMPLE_FILE).analysis
    assert analysis.model_fields_set == set(Analysis.model_fields)


def test_every_key_has_a_type_and_a_meaning() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 70
    for row in rows:
        _, _, kind, _, meaning, _ = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        assert kind
        assert meaning.endswith((".", "..."))
