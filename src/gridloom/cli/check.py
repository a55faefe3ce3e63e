"""`gridloom check`: the analysis file and its data validated in seconds, every error at once."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from gridloom.analysis.load import LoadedAnalysis, load_analysis
from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import class_names, classes_of, expressions_of, sample_tree
from gridloom.catalogue import Catalogue
from gridloom.cli.console import new_table, output, size_text
from gridloom.cli.options import RUNS, AnalysisFile, format_named, settings
from gridloom.driver.session import session
from gridloom.expressions import parse, parse_all


def check(
    analysis_file: AnalysisFile,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="FORMAT", help="Also whether the model can be exported so; may be repeated."),
    ] = None,
) -> None:
    """Check the analysis file and its data: every error at once, or what will be read."""
    formats = [format_named(name) for name in to or ()]
    loaded = load_analysis(analysis_file)
    with session(settings(RUNS, jobs=1)) as here:
        here.check(loaded, formats)
        prepared = here.prepare(loaded)
    _show(loaded, prepared.catalogue)


def _show(loaded: LoadedAnalysis, catalogue: Catalogue) -> None:
    analysis = loaded.analysis
    console = output()
    table = new_table("sample", "class", "tree")
    for heading in ("files", "events", "size", "branches read"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, sample in catalogue.samples.items():
        files = f"{len(sample.files)}" + (f" ({len(sample.lost)} lost)" if sample.lost else "")
        kind = "data" if analysis.samples[name].data else ", ".join(classes_of(analysis.samples[name]))
        cells = (name, kind, sample_tree(analysis, name), files, f"{sample.entries:,}", size_text(sample.size))
        table.add_row(*(Text(cell) for cell in cells), str(len(branches_read(analysis, name))))
    console.print(table)
    console.print(_inputs(analysis), markup=False)
    console.print(f"{loaded.path} is fine.", style="green", markup=False)


def _inputs(analysis: Analysis) -> str:
    objects = ", ".join(f"{name} (at most {part.at_most})" for name, part in analysis.collections.items())
    parts = [f"{len(analysis.features)} features", *([f"collections: {objects}"] if objects else [])]
    target = analysis.target.regression or f"{len(class_names(analysis))} classes"
    return f"inputs: {'; '.join(parts)}; target: {target}; {analysis.folds} folds"


def branches_read(analysis: Analysis, sample_name: str) -> frozenset[str]:
    """The branches that a sample's events need."""
    definitions = parse_all(analysis.definitions)
    texts = {text for _, text in expressions_of(analysis, sample_name)}
    return frozenset(name for text in texts for name in parse(text, definitions=definitions).branches)
