"""`gridloom site`: the sites that are known, and what is right and wrong with one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from gridloom.cli.console import new_table, note, output
from gridloom.cli.options import RUNS, RunsFolder
from gridloom.driver.site_check import SiteCheck
from gridloom.engines.base import Fact
from gridloom.errors import Interrupted, SiteProblem
from gridloom.sites.load import Sites, load_sites, site_files
from gridloom.sites.models import seconds_of

_STYLES = {"ok": "green", "look": "yellow", "bad": "bold red"}
_NAME_WIDTH = 16

site = typer.Typer(
    help="Sites: where jobs run, as described in sites.yaml.", no_args_is_help=True, rich_markup_mode=None
)


def _known() -> Sites:
    return load_sites(site_files(None, os.environ))


@site.command("list")
def list_sites() -> None:
    """Show all sites: name, engine, and the file that describes each."""
    table = new_table("site", "engine", "described in")
    for loaded in _known().known.values():
        table.add_row(*(Text(cell) for cell in (loaded.name, loaded.site.engine, loaded.origin)))
    output().print(table)


def _time(text: str) -> int:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@site.command()
def check(
    name: Annotated[str, typer.Argument(metavar="SITE", help="Name of the site.", show_default=False)],
    wait: Annotated[
        int, typer.Option("--wait", metavar="TIME", parser=_time, help="How long the job may wait for its start.")
    ] = "10min",  # type: ignore[assignment] # typer parses defaults, too
    runs: RunsFolder = RUNS,
) -> None:
    """Submit one small real job and say in plain words what is right and wrong. Ctrl-C cancels the job."""
    loaded = _known().find(name)
    wrong = 0
    checking = SiteCheck(loaded=loaded, runs=runs, patience=wait, say=_say).facts()
    with _stopping(), closing(checking):
        for fact in checking:
            _show(fact)
            wrong += fact.verdict == "bad"
    if wrong:
        things = "one thing is" if wrong == 1 else f"{wrong} things are"
        fix = "Mend what is marked `bad`, then check again."
        raise SiteProblem(f"{things} wrong with site `{name}`", where=loaded.locate(), fix=fix)
    output().print(f"Site `{name}` is fine.", style="green", markup=False)


def _say(text: str) -> None:
    note(text, style="dim")


def _show(fact: Fact) -> None:
    """One line, or more: the verdict, what was looked at, what was found, what to do."""
    console = output()
    first, *rest = fact.value.splitlines() or [""]
    line = Text()
    line.append(f"{fact.verdict:<6}", style=_STYLES[fact.verdict])
    line.append(f"{fact.name:<{_NAME_WIDTH}}")
    line.append(first)
    console.print(line)
    for more in (*rest, *fact.fix.splitlines()):
        console.print(Text(" " * (6 + _NAME_WIDTH) + more))


@contextmanager
def _stopping() -> Iterator[None]:
    """A closed terminal or a polite kill cancels the job as Ctrl-C does."""

    def leave(*_signal: object) -> NoReturn:
        raise Interrupted("stopped on request")

    kept = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
