"""How the command line speaks: results to standard output, errors and progress to standard error."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gridloom.errors import GridloomError, Problems

_PIPE_WIDTH = 200


def output() -> Console:
    """For what was asked for. Made when needed: tests and pipes change where it goes."""
    return _console(stderr=False)


def errors() -> Console:
    """For errors, notes and progress."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        # A file or a pipe has no width: nothing is to be cut or wrapped there.
        console.width = _PIPE_WIDTH
    return console


def new_table(*headings: str) -> Table:
    """Aligned columns, readable without colour and lines; long cells fold."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def short_id(task_id: str) -> str:
    """The beginning of a task's id that tells it from all others of a plan: `prepare-c1baa083`."""
    kind, _, digest = task_id.rpartition("-")
    return f"{kind}-{digest[:8]}"


def print_error(error: GridloomError) -> None:
    """One line that says what and where, one that says what to do; several errors one after the other."""
    console = errors()
    for one in _each(error):
        console.print(_head(one))
        for line in one.fix.splitlines():
            console.print(Text(f"  {line}"))


def _each(error: GridloomError) -> Iterable[GridloomError]:
    return error.errors if isinstance(error, Problems) else (error,)


def _head(error: GridloomError) -> Text:
    text = Text()
    text.append(f"error[{type(error).__name__}]", style="bold red")
    text.append(f" {error.where}:" if error.where else "", style="bold")
    text.append(f" {error.what}")
    return text


def note(text: str, style: str = "yellow") -> None:
    errors().print(Text(text, style=style))


def size_text(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def shown_path(path: Path) -> str:
    """A path as the user would type it: relative to where she is, if it is below."""
    here = Path.cwd()
    resolved = path.resolve()
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(resolved)
