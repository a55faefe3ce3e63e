"""The reference of sites is generated, complete and current."""

from __future__ import annotations

import re
from pathlib import Path

from gridloom.sites.load import load_text
from gridloom.sites.models import Site
from gridloom.sites.reference import EXAMPLE_FILE, main, reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sites.md"


def test_the_page_is_current(tmp_path: Path) -> None:
    """Otherwise run `python -m gridloom.sites.reference docs/reference/sites.md`."""
    assert PAGE.read_text() == reference()
    main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text() == reference()


def test_the_example_loads_and_uses_every_key_of_a_site() -> None:
    sites = load_text(EXAMPLE_FILE.read_text(), EXAMPLE_FILE)
    used = {key for loaded in sites.values() for key in loaded.site.model_fields_set}
    assert used == set(Site.model_fields)


def test_every_key_has_a_type_and_a_meaning() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    for row in rows:
        _, _, kind, _, meaning, _ = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
        assert kind
        assert meaning.endswith(".")
