"""The documentation agrees with the table of functions, and its examples parse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gridloom.expressions import parse
from gridloom.expressions.reference import main, with_functions

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "expressions.md"


def test_the_page_is_current() -> None:
    assert with_functions(PAGE.read_text()) == PAGE.read_text()


def test_the_page_is_brought_up_to_date(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(re.sub(r"\| `sum\(x\).*\n", "", PAGE.read_text()))
    main([str(page)])
    assert page.read_text() == PAGE.read_text()
    with pytest.raises(ValueError, match="no marks"):
        with_functions("nothing")


def test_the_examples_of_the_page_parse() -> None:
    examples = PAGE.read_text().split("```")[1].strip().splitlines()
    assert len(examples) > 10
    for example in examples:
        assert parse(example).branches
