"""The page: one self-contained HTML file from an evaluation and its drawn figures."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from gridloom.physics.results import Evaluation
from gridloom.report import provenance as origin
from gridloom.report.figures import FIGURES
from gridloom.report.first_screen import tiles
from gridloom.report.numbers import count
from gridloom.report.readout import Readout
from gridloom.report.sections import SECTIONS, Section
from gridloom.report.style import luminosity
from gridloom.report.tables import Table
from gridloom.report.verdict import ICONS, WORDS, headline, sorted_checks, worst

_FOLDER = files("gridloom.report")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure as the page needs it: inline SVG and what the pointer reads."""

    name: str
    svg: str
    readout: list[Readout]
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure in its place on the page."""

    name: str
    title: str
    caption: str
    wide: bool
    svg: Markup
    readout: Markup


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A section that has something to show."""

    key: str
    title: str
    menu: str
    plots: tuple[Plot, ...]
    tables: tuple[Table, ...]
    folded: tuple[Table, ...]


def _text(*path: str) -> str:
    return _FOLDER.joinpath(*path).read_text(encoding="utf-8")


def json_for_script(value: object) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped just above


def _plot(drawn: Drawn, evaluation: Evaluation) -> Plot:
    drawing = FIGURES[drawn.name]
    return Plot(
        name=drawn.name,
        title=drawing.title,
        caption=drawing.caption_for(evaluation),
        wide=drawn.wide,
        svg=Markup(drawn.svg),  # noqa: S704 - matplotlib escapes the text in it
        readout=json_for_script(drawn.readout),
    )


def _chapter(section: Section, evaluation: Evaluation, figures: Mapping[str, Drawn]) -> Chapter | None:
    plots = tuple(_plot(figures[name], evaluation) for name in section.figures if name in figures)
    tables = tuple(table for make in section.tables for table in make(evaluation))
    folded = tuple(table for make in section.folded for table in make(evaluation))
    if not plots and not tables and not folded:
        return None
    return Chapter(key=section.key, title=section.title, menu=section.menu, plots=plots, tables=tables, folded=folded)


def _facts(evaluation: Evaluation, provenance: origin.Provenance) -> tuple[str, ...]:
    """The line below the name."""
    meta = evaluation.meta
    if meta.kind == "classification":
        what = f"{' + '.join(meta.signal)} against {' + '.join(meta.background)}"
    else:
        what = "regression"
    inputs = f"{len(meta.features)} features"
    if meta.collections:
        inputs += f" and {' + '.join(meta.collections)}"
    found = (what, inputs, f"{meta.folds} folds", luminosity(meta.luminosity), origin.date(provenance))
    return tuple(fact for fact in found if fact)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(lambda name: _text("templates", name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(evaluation: Evaluation, figures: Mapping[str, Drawn], provenance: origin.Provenance) -> str:
    """The whole page. Every name in it is escaped; scripts other than its own are refused by its own policy."""
    script = _text("static", "zoom.js")
    chapters = [_chapter(section, evaluation, figures) for section in SECTIONS]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            evaluation=evaluation,
            meta=evaluation.meta,
            facts=_facts(evaluation, provenance),
            headline=headline(evaluation),
            status=worst(evaluation.verdict),
            checks=sorted_checks(evaluation.verdict),
            icons=ICONS,
            words=WORDS,
            tiles=tiles(evaluation),
            chapters=[chapter for chapter in chapters if chapter is not None],
            groups=origin.groups(provenance),
            count=count,
            css=Markup(_text("static", "page.css")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            script_digest=_digest(script),
        )
    )
