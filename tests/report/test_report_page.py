"""The page: its text, its safety, its size."""

from __future__ import annotations

import html.parser
import os
import re
from pathlib import Path

import pytest

from gridloom.physics.results import Blinding, ClassYield, Evaluation, Measured, SampleYield
from gridloom.report import tables
from gridloom.report.first_screen import tiles
from gridloom.report.page import json_for_script, render
from gridloom.report.provenance import date, groups
from gridloom.report.verdict import headline, worst

GOLDEN = Path(__file__).with_name("golden")
VOID = {"meta", "link", "img", "br", "path", "use", "rect", "image", "circle"}


def page_of(report: Path) -> str:
    return (report / "index.html").read_text(encoding="utf-8")


def skeleton(page: str) -> str:
    """The page without what is drawn, styled and scripted: those have tests of their own."""
    page = re.sub(r"(<style>).*?(</style>)", r"\1\2", page, flags=re.DOTALL)
    page = re.sub(r"(<script>).*?(</script>)", r"\1\2", page, flags=re.DOTALL)
    page = re.sub(r'(class="readout">).*?(</script>)', r"\1\2", page, flags=re.DOTALL)
    page = re.sub(r'(aria-labelledby="title-\w+">\s*)<svg.*?</svg>', r"\1<svg/>", page, flags=re.DOTALL)
    return re.sub(r"'sha256-[^']*'", "'sha256-'", page)


def compare(name: str, text: str) -> None:
    if os.environ.get("GRIDLOOM_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


class Outline(html.parser.HTMLParser):
    """Checks that elements are closed in order, and collects ids, links and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.scripts = 0
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.targets += [value for key, value in attrs if key in ("href", "src", "xlink:href", "action") and value]
        self.scripts += tag == "script" and values.get("type") is None
        assert not [key for key in values if key.startswith("on")], tag
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed


def test_the_page_is_the_golden_one(binary_report: Path) -> None:
    compare("binary.html", skeleton(page_of(binary_report)))


def test_the_page_is_well_formed_and_asks_for_nothing(binary_report: Path) -> None:
    parsed = outline(page_of(binary_report))
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.scripts == 1
    for target in parsed.targets:
        assert target.startswith(("#", "figures/", "data:")), target
    inside = [target[1:] for target in parsed.targets if target.startswith("#")]
    assert set(inside) <= set(parsed.ids)
    assert "@import" not in page_of(binary_report)
    assert not re.findall(r"url\((?!#)", page_of(binary_report))


def test_links_lead_to_files_that_are_there(binary_report: Path) -> None:
    linked = {target for target in outline(page_of(binary_report)).targets if target.startswith("figures/")}
    there = {f"figures/{path.name}" for path in (binary_report / "figures").iterdir()}
    assert linked == there
    assert {Path(name).suffix for name in linked} == {".pdf", ".png"}


def test_the_page_is_small_enough_to_send(binary_report: Path) -> None:
    assert len(page_of(binary_report).encode()) < 1_000_000


def test_no_name_becomes_markup(hostile_report: Path) -> None:
    parsed = outline(page_of(hostile_report))
    assert parsed.scripts == 1
    assert "img" not in parsed.tags
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "{{ 7 * 7 }}" in page_of(hostile_report)
    assert "&lt;script&gt;document.documentElement" in page_of(hostile_report)


def test_provenance_is_escaped_and_folded(binary_report: Path) -> None:
    page = page_of(binary_report)
    assert "&lt;b&gt;ttbar&lt;/b&gt;.root" in page
    assert "2026-05-04 12:01 UTC" in page
    assert re.search(r"<details><summary>versions</summary>", page)


def test_json_cannot_end_its_script() -> None:
    text = json_for_script({"name": "</script><!--&\u2028"})
    assert not set("<>&\u2028") & set(text)


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_kinds_have_their_own_first_screen(kind: str, request: pytest.FixtureRequest) -> None:
    evaluation: Evaluation = request.getfixturevalue(kind)
    page = render(evaluation, {}, {})
    outline(page)
    compare(f"{kind}.html", skeleton(page))


def test_no_provenance_is_said(binary: Evaluation) -> None:
    assert "No provenance was passed" in render(binary, {}, {})


def test_blinding_is_visible_and_so_is_its_absence(binary: Evaluation) -> None:
    assert "<strong>Blinded</strong>" in render(binary, {}, {})
    unblinded = Blinding(data_samples=("data2018",), blinded=False, statement="Collision data are shown.")
    shown = binary.model_copy(update={"blinding": unblinded})
    page = render(shown, {}, {})
    assert "<strong>Unblinded</strong>" in page
    assert "<strong>Blinded</strong>" not in page


def test_blinded_samples_have_no_numbers(binary: Evaluation) -> None:
    (table,) = tables.yields(binary)
    (row,) = [row for row in table.rows if row[0] == "data2018 (data)"]
    assert row[2:4] == ("blinded", "blinded")


def test_a_sample_of_several_classes_has_a_row_for_each(binary: Evaluation) -> None:
    def one(name: str, raw: int) -> ClassYield:
        return ClassYield(
            name=name, raw=raw, weighted=Measured(value=raw / 2), effective=float(raw), negative_fraction=0.0
        )

    sample = SampleYield(
        sample="ttbar",
        data=False,
        files_read=3,
        files_lost=0,
        scale=0.5,
        total=one("all", 30),
        classes=(one("tt+bb", 10), one("tt+light", 20)),
    )
    (table,) = tables.yields(binary.model_copy(update={"samples": (sample,)}))
    assert [row[:3] for row in table.rows[:3]] == [("ttbar", "all", "30"), ("", "tt+bb", "10"), ("", "tt+light", "20")]


def test_the_verdict_is_that_of_the_worst_check(binary: Evaluation) -> None:
    good, bad = binary.verdict[0], binary.verdict[0].model_copy(update={"status": "bad"})
    cases = {
        (): "Not judged: the evaluation made no checks",
        (good,): "Good, and safe to use",
        (good, binary.verdict[2]): "Usable with care: 1 point to look at",
        (good, bad, bad): "Not safe to use yet: 2 serious problems",
        (binary.verdict[2], bad): "Not safe to use yet: 1 serious problem, and 1 point to look at",
    }
    for checks, text in cases.items():
        assert headline(binary.model_copy(update={"verdict": checks})) == text
    assert worst(()) == "warn"


def test_tiles_without_trees_and_without_significance(binary: Evaluation) -> None:
    alone = binary.discriminations[0].model_copy(update={"reference": None, "difference": None})
    nothing = (
        None if binary.significance is None else binary.significance.model_copy(update={"best": None, "binned": None})
    )
    area, significance, _ = tiles(binary.model_copy(update={"discriminations": (alone,), "significance": nothing}))
    assert (area.lines, area.whiskers) == ((), ())
    assert (significance.value, significance.lines) == ("–", ("No cut leaves enough events",))


def test_provenance_of_any_shape_becomes_rows() -> None:
    found = groups(
        {"seed": 1, "gpu": None, "blind": True, "files": [{"a": {"b": 1.5}}], "long": list(range(3)), "empty": []}
    )
    assert [(group.title, group.rows) for group in found] == [
        ("run", (("seed", "1"), ("gpu", "–"), ("blind", "yes"))),
        ("files", (("[0].a.b", "1.5"),)),
        ("long", (("", "0, 1, 2"),)),
    ]
    (many,) = groups({"many": {str(index): index for index in range(1000)}})
    assert many.rows[-1] == ("…", "600 more in provenance.json")
    assert date({"created": "today"}) == "today"
    assert date({}) is None
