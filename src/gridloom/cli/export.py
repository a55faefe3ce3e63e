"""`gridloom export`: files of the trained networks for other runtimes."""

from __future__ import annotations

import os
from dataclasses import replace as changed
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gridloom.cli.console import new_table, output, shown_path, size_text
from gridloom.cli.options import RUNS, Jobs, RunsFolder, SiteName, format_named, settings
from gridloom.cli.progress import progress
from gridloom.cli.run import leaving, stopping
from gridloom.driver.export import PRELOAD, Exported
from gridloom.driver.export import export as export_run
from gridloom.driver.runs import Runs
from gridloom.driver.session import session
from gridloom.driver.settings import find_site
from gridloom.exporting import FORMATS


def export(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder or the beginning of its name.", show_default=False)
    ],
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="FORMAT", help=f"{', '.join(FORMATS)}; may be repeated.", show_default=False),
    ],
    more: Annotated[list[str] | None, typer.Argument(metavar="[FORMAT...]", help="Further formats.")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the files.")] = Path("exports"),
    replace: Annotated[bool, typer.Option("--replace", help="Replace files that are there already.")] = False,
    jobs: Jobs = 0,
    runs: RunsFolder = RUNS,
    site: SiteName = "",
) -> None:
    """Write the trained networks for other runtimes: all folds with the choice of an event's own, and each fold alone.

    Raw features go in: the transforms are inside. Every file is run on real events and compared with the trained
    model; one that disagrees is not written.
    """
    found = Runs(runs).find(run)
    formats = [format_named(name) for name in (*to, *(more or ()))]
    place = find_site(site, Path(found.manifest.analysis_file).parent, os.environ) if site else None
    chosen = changed(settings(found.runs.root, jobs, "", place), preload=PRELOAD)
    with session(chosen) as here, progress() as listener, stopping(here.stop, chosen), leaving(here.stop):
        exported = export_run(here, found, formats, out, replace, listener)
    _show(exported)


def _show(exported: tuple[Exported, ...]) -> None:
    table = new_table("file", "model", "size", "one event", "largest difference")
    for column in (2, 3, 4):
        table.columns[column].justify = "right"
    for one in exported:
        found = one.description
        for artefact, comparison in zip(found.artefacts, found.comparisons, strict=True):
            model = "all folds" if artefact.fold is None else f"fold {artefact.fold}"
            name = shown_path(one.folder / artefact.file)
            signature = f" {artefact.signature}" if artefact.signature else ""
            cells = (
                f"{name}{signature}",
                model,
                size_text(artefact.size),
                f"{artefact.milliseconds:.3f} ms",
                f"{comparison.largest:.1e}",
            )
            table.add_row(*(Text(cell) for cell in cells))
    output().print(table)
    for one in exported:
        for comparison in one.description.comparisons:
            for shift in comparison.shifts:
                error = "" if shift.uncertainty is None else f" +- {shift.uncertainty:.4f}"
                output().print(
                    f"{comparison.file}: {shift.figure} {shift.value:.4f}{error}, shifted by {shift.shift:.1e}",
                    markup=False,
                )
