"""The page in a real browser: no error, nothing refused, read-out and zoom at work, nothing wider than a phone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)

# What a reader does, and what the page says then, as JSON in an attribute of the body.
ACTIONS = """<script>
const told = {};
const stage = (name) => document.querySelector(`#figure-${name} .stage`);
const point = (one, kind, x, y, id = 1, type = "mouse") => {
  const frame = one.getBoundingClientRect();
  one.dispatchEvent(new PointerEvent(kind, {clientX: frame.left + x * frame.width, pointerId: id, pointerType: type,
    clientY: frame.top + y * frame.height, bubbles: true, cancelable: true}));
};
const tip = (one) => { const box = one.querySelector(".tip"); return box.hidden ? null : box.innerText; };
const view = (one) => one.querySelector("svg").getAttribute("viewBox").split(" ").map(Number);
const wheel = (one, options) => { const frame = one.getBoundingClientRect();
  one.dispatchEvent(new WheelEvent("wheel", {clientX: frame.left + frame.width / 2, deltaY: -300, bubbles: true,
    clientY: frame.top + frame.height / 2, cancelable: true, ...options})); };
const roc = stage("roc");
roc.scrollIntoView();
point(roc, "pointermove", 0.5, 0.55); told.curve = tip(roc);
point(roc, "pointermove", 0.5, 0.3); told.free = tip(roc);
point(roc, "pointermove", 0.01, 0.99); told.outside = tip(roc);
const bars = stage("importance");
bars.scrollIntoView();
point(bars, "pointermove", 0.5, 0.16); told.bar = tip(bars);
const matrix = stage("correlations_background");
matrix.scrollIntoView();
point(matrix, "pointermove", 0.5, 0.3); told.cell = tip(matrix);
told.home = view(roc);
wheel(roc, {}); told.scrolled = view(roc);
wheel(roc, {ctrlKey: true}); told.zoomed = view(roc);
point(roc, "pointerdown", 0.5, 0.5); point(roc, "pointermove", 0.4, 0.4); point(roc, "pointerup", 0.4, 0.4);
told.moved = view(roc);
roc.dispatchEvent(new MouseEvent("dblclick", {bubbles: true})); told.reset = view(roc);
point(roc, "pointerdown", 0.4, 0.5, 1, "touch"); point(roc, "pointerdown", 0.6, 0.5, 2, "touch");
point(roc, "pointermove", 0.8, 0.5, 2, "touch"); told.pinched = view(roc);
point(roc, "pointerup", 0.4, 0.5, 1, "touch"); point(roc, "pointerup", 0.8, 0.5, 2, "touch");
roc.querySelector(".reset").click(); told.button = view(roc);
roc.dispatchEvent(new KeyboardEvent("keydown", {key: "+", bubbles: true})); told.key = view(roc);
document.body.dataset.told = JSON.stringify(told);
</script></body>"""
WIDTH = """<script>
const whole = document.documentElement;
document.body.dataset.told = JSON.stringify({page: whole.scrollWidth, frame: whole.clientWidth});
</script></body>"""


def page_of(report: Path) -> str:
    return (report / "index.html").read_text(encoding="utf-8")


def browse(page: str, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """The page's elements after its scripts ran, and what the console said."""
    if BROWSER is None:
        if os.environ.get("CI"):
            pytest.fail("continuous integration needs Chromium (Debian's package `chromium`)")
        pytest.skip("no Chromium: install Debian's package `chromium` to check the page in a browser")
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    command = [BROWSER, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def acted(page: str, actions: str) -> str:
    """The page with actions of a reader: without its policy, which refuses scripts other than its own."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", actions)


def told(elements: str) -> dict[str, object]:
    found = re.search(r'data-told="([^"]*)"', elements)
    assert found is not None
    result: dict[str, object] = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    return result


def test_the_page_runs_under_its_own_policy(binary_report: Path, tmp_path: Path) -> None:
    elements, console = browse(page_of(binary_report), tmp_path)
    assert console == []
    assert re.search(r'<html[^>]* data-ready="true"', elements)


def test_hostile_names_do_nothing_even_without_the_policy(hostile_report: Path, tmp_path: Path) -> None:
    elements, console = browse(acted(page_of(hostile_report), "</body>"), tmp_path)
    assert console == []
    assert re.search(r'<html[^>]* data-ready="true"', elements)
    assert "data-owned" not in elements


def test_foreign_scripts_are_refused(binary_report: Path, tmp_path: Path) -> None:
    page = page_of(binary_report).replace(
        "</body>", "<script>document.documentElement.dataset.owned = 1</script></body>"
    )
    elements, console = browse(page, tmp_path)
    assert "data-owned" not in elements
    assert any("Content Security Policy" in line for line in console)


def test_reading_and_zooming(binary_report: Path, tmp_path: Path) -> None:
    elements, console = browse(acted(page_of(binary_report), ACTIONS), tmp_path, "--window-size=1280,1000")
    assert console == []
    result = told(elements)
    assert str(result["curve"]).startswith("Network (AUC 0.7910 ± 0.0030)\nSignal efficiency: 0.4")
    assert str(result["free"]).startswith("Signal efficiency: ")
    assert result["outside"] is None
    assert "Loss of AUC when shuffled" in str(result["bar"])
    assert " × " in str(result["cell"])
    home = result["home"]
    assert result["scrolled"] == home
    assert isinstance(home, list)
    for name in ("zoomed", "moved", "pinched", "key"):
        one = result[name]
        assert isinstance(one, list)
        assert one[2] < home[2], name
        assert one[3] / one[2] == pytest.approx(home[3] / home[2], rel=1e-3)
    assert result["moved"] != result["zoomed"]
    assert result["reset"] == result["button"] == home


def test_nothing_is_wider_than_the_window(binary_report: Path, hostile_report: Path, tmp_path: Path) -> None:
    for name, report in (("binary", binary_report), ("hostile", hostile_report)):
        (tmp_path / name).mkdir()
        elements, _ = browse(acted(page_of(report), WIDTH), tmp_path / name, "--window-size=500,900")
        result = told(elements)
        assert result["page"] == result["frame"]
