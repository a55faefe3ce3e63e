"""The documentation agrees with the code: links resolve, snippets load, commands and exit codes exist."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer.main
from ruamel.yaml import YAML

from gridloom.analysis.load import load_text
from gridloom.analysis.models import Analysis
from gridloom.cli.main import app
from gridloom.engines.registry import engine_kind, read_options
from gridloom.errors import KINDS
from gridloom.sites import load as sites

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
)

LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[\s/$`])gridloom ([a-z]+)\b")


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _dedented(text: str, indent: str) -> str:
    return "\n".join(line.removeprefix(indent) for line in text.splitlines())


@cache
def snippets() -> tuple[Snippet, ...]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            indent, language, content = match.groups()
            line = text.count("\n", 0, match.start()) + 2
            found.append(Snippet(page=page, line=line, language=language, text=_dedented(content, indent)))
    return tuple(found)


def of_language(language: str) -> list[Snippet]:
    return [snippet for snippet in snippets() if snippet.language == language]


def is_whole(snippet: Snippet) -> bool:
    return re.search(r"^gridloom: 1\b", snippet.text, re.MULTILINE) is not None


def analysis_snippets(*, whole: bool) -> list[Snippet]:
    return [item for item in of_language("yaml") if not has_sites(item) and is_whole(item) == whole]


def has_sites(snippet: Snippet) -> bool:
    return re.search(r"^sites:", snippet.text, re.MULTILINE) is not None


def name_of(value: object) -> str:
    if isinstance(value, Path):
        return str(value.relative_to(ROOT))
    return value.name if isinstance(value, Snippet) else str(value)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as Markdown viewers make them: small letters, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def code_of(page: Path) -> Iterator[str]:
    """What stands as code: fenced blocks, indented lines, code in a line."""
    for match in FENCE.finditer(page.read_text()):
        yield match.group(3)
    text = prose(page)
    yield from re.findall(r"^    (.+)$", text, re.MULTILINE)
    yield from CODE.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_inside_the_project_resolve(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target}"


@pytest.mark.parametrize("folder", ["how-to", "decisions", "reference"])
def test_the_index_lists_every_page(folder: str) -> None:
    listed = set(LINK.findall(prose(DOCS / "index.md")))
    pages = {page.relative_to(DOCS).as_posix() for page in (DOCS / folder).glob("*.md")}
    assert pages <= listed


def test_decisions_are_numbered_without_a_gap() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        assert page.name.startswith(f"{number:04d}-")
        assert page.read_text().startswith(f"# {number}. ")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page: Path) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = {name for code in code_of(page) for name in COMMAND.findall(code)}
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_targets_of_make_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for code in code_of(page) for name in re.findall(r"^make ([a-z]+)\b", code, re.MULTILINE)}
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_exist(page: Path) -> None:
    for code in code_of(page):
        for script in re.findall(r"python ((?:benchmarks|examples)/\S+\.py)", code):
            assert (ROOT / script).is_file(), script


def test_exit_codes_are_current() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| .+ \|$", (DOCS / "exit-codes.md").read_text(), re.MULTILINE)
    assert [(int(code), kind) for code, kind in rows] == [(kind.exit_code, name) for name, kind in KINDS.items()]


def test_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    shown = re.search(r"<!-- layers -->\n```text\n(.*?)```", (DOCS / "architecture.md").read_text(), re.DOTALL)
    assert shown is not None
    assert shown.group(1).splitlines() == [layer.replace(" : ", ", ") for layer in layers]


def test_every_room_is_in_the_architecture() -> None:
    text = (DOCS / "architecture.md").read_text()
    source = ROOT / "src" / "gridloom"
    packages = {f"`{path.parent.name}/`" for path in source.glob("*/__init__.py")}
    modules = {f"`{path.name}`" for path in source.glob("*.py") if not path.name.startswith("__")}
    assert {room for room in packages | modules if room not in text} == set()


@pytest.mark.parametrize("snippet", analysis_snippets(whole=True), ids=name_of)
def test_whole_analysis_files_load(snippet: Snippet) -> None:
    assert load_text(snippet.text, Path(snippet.name)).analysis.gridloom == 1


@pytest.mark.parametrize("snippet", analysis_snippets(whole=False), ids=name_of)
def test_parts_of_analysis_files_have_known_keys(snippet: Snippet) -> None:
    content = YAML(typ="safe", pure=True).load(snippet.text)
    rest = {
        "gridloom": 1,
        "name": "rest",
        "samples": {"signal": {"files": "signal.root", "class": "signal", "weight": 1}},
        "target": {"signal": "signal"},
    }
    assert Analysis.model_validate({**rest, **content}).gridloom == 1


@pytest.mark.parametrize("snippet", [item for item in of_language("yaml") if has_sites(item)], ids=name_of)
def test_files_of_sites_load_and_their_options_exist(snippet: Snippet) -> None:
    text = snippet.text if is_whole(snippet) else f"gridloom: 1\n{snippet.text}"
    for loaded in sites.load_text(text, Path(snippet.name)).values():
        read_options(loaded.site, engine_kind(loaded.site.engine))


@pytest.mark.parametrize("snippet", of_language("python"), ids=name_of)
def test_python_snippets_compile(snippet: Snippet) -> None:
    ast.parse(snippet.text, filename=snippet.name)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_and_lines_hold_no_leftovers(page: Path) -> None:
    assert re.search(r"\b(TODO|FIXME|XXX)\b", page.read_text()) is None
