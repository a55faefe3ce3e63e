"""`gridloom predict`: fold-correct scores of ROOT files, as friend trees."""

from __future__ import annotations

import os
from dataclasses import replace as changed
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from gridloom.cli.console import new_table, output, shown_path
from gridloom.cli.options import RUNS, ContainerRuntime, ImageName, Jobs, RunsFolder, SiteName, settings
from gridloom.cli.progress import progress
from gridloom.cli.run import leaving, stopping
from gridloom.driver.prediction import PRELOAD, Predicted
from gridloom.driver.prediction import predict as score_files
from gridloom.driver.runs import Runs
from gridloom.driver.session import session
from gridloom.driver.settings import find_site
from gridloom.errors import InvalidValue
from gridloom.scoring import FRIEND, Request, Variation, Wanted

_MOST_SHOWN = 20


def predict(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder or the beginning of its name.", show_default=False)
    ],
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="ROOT files or globs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the friend trees.")] = Path("scores"),
    like: Annotated[
        str, typer.Option("--like", metavar="SAMPLE", help="Whose tree and friends the files have, if they differ.")
    ] = "",
    tree: Annotated[str, typer.Option("--tree", metavar="NAME", help="Tree of the events, if it is another one.")] = "",
    friend: Annotated[
        list[str] | None,
        typer.Option(
            "--friend", metavar="FILES", help="Files or a glob of a friend tree that is read; may be repeated."
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="NAME:BRANCH=OTHER,...",
            help="A systematic variation: other branches in selection and features, the fold stays; may be repeated.",
        ),
    ] = None,
    nominal: Annotated[
        list[str] | None,
        typer.Option(
            "--nominal", metavar="FILES", help="The files are variations of these, entry by entry: folds by these."
        ),
    ] = None,
    form: Annotated[Literal["ttree", "rntuple"], typer.Option("--format", help="How scores are written.")] = "ttree",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the friend tree.")] = FRIEND,
    replace: Annotated[bool, typer.Option("--replace", help="Replace files that are there already.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Take files as they are that changed since the run.")] = False,
    jobs: Jobs = 0,
    runs: RunsFolder = RUNS,
    site: SiteName = "",
    image: ImageName = "",
    container: ContainerRuntime = "",
) -> None:
    """Score every event of files by the model of its own fold: a friend tree for each file, entry for entry.

    Branches: the fold, and a score for each class; -1 (not a number for a regression) outside the selection. The files
    themselves are not touched. The same command goes on after Ctrl-C or a crash.
    """
    found = Runs(runs).find(run)
    request = Request(tree=name, format=form, variations=variations(vary or ()), nominal=bool(nominal))
    wanted = Wanted(
        files=tuple(files),
        friends=tuple((text,) for text in friend or ()),
        nominal=tuple(nominal or ()),
        like=like,
        tree=tree,
        fresh=fresh,
        request=request,
    )
    place = find_site(site, Path(found.manifest.analysis_file).parent, os.environ) if site else None
    chosen = changed(settings(found.runs.root, jobs, "", place, image, container), preload=PRELOAD)
    with session(chosen) as here, progress() as listener, stopping(here.stop, chosen), leaving(here.stop):
        predicted = score_files(here, found, wanted, out, replace, listener)
    _show(predicted, request)


def variations(texts: list[str] | tuple[()]) -> tuple[Variation, ...]:
    """`NAME:BRANCH=OTHER,BRANCH=OTHER` as variations. Raises InvalidValue."""
    return tuple(_variation(text) for text in texts)


def _variation(text: str) -> Variation:
    name, colon, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",")]
    if not (colon and name.isidentifier() and all(left and right for left, _, right in pairs)):
        raise InvalidValue(
            f"`--vary {text}` is no variation",
            fix="It is NAME:BRANCH=OTHER, e.g. `--vary jes_up:Jet_pt=Jet_pt_jesUp,MET_pt=MET_pt_jesUp`.",
        )
    return Variation(name=name, branches={left.strip(): right.strip() for left, _, right in pairs})


def _show(predicted: Predicted, request: Request) -> None:
    table = new_table("file", "entries", "selected", "friend tree")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for friend in predicted.friends[:_MOST_SHOWN]:
        cells = (Path(friend.of.path).name, f"{friend.of.entries:,}", f"{friend.of.selected:,}")
        table.add_row(*(Text(cell) for cell in (*cells, shown_path(Path(friend.path)))))
    console = output()
    console.print(table)
    if len(predicted.friends) > _MOST_SHOWN:
        console.print(f"... and {len(predicted.friends) - _MOST_SHOWN} more", markup=False)
    entries = sum(friend.of.entries for friend in predicted.friends)
    kept = f", {predicted.kept} of them there already" if predicted.kept else ""
    files = "1 file" if len(predicted.friends) == 1 else f"{len(predicted.friends)} files"
    console.print(f"\n{entries:,} events in {files}{kept}.", markup=False)
    first = predicted.friends[0]
    console.print(f'In ROOT: events->AddFriend("{request.tree}", "{shown_path(Path(first.path))}")', markup=False)
