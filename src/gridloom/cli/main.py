"""`gridloom`: one analysis file in, a trained and honestly judged model out."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, NoReturn

import typer

from gridloom import __version__
from gridloom.cli import (
    cancel,
    check,
    clean,
    export,
    image,
    logs,
    new,
    plan,
    predict,
    report,
    resume,
    run,
    site,
    status,
    watch,
)
from gridloom.cli.console import errors, print_error
from gridloom.crash import write_crash_log
from gridloom.errors import GridloomError, Interrupted

app = typer.Typer(
    name="gridloom",
    help="Train deep-learning models from ROOT ntuples: one analysis file in, a trained and honestly judged model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    new.new,
    check.check,
    plan.plan,
    run.run,
    status.status,
    watch.watch,
    logs.logs,
    resume.resume,
    cancel.cancel,
    report.report,
    predict.predict,
    export.export,
    clean.clean,
):
    app.command()(command)
app.add_typer(site.site, name="site")
app.add_typer(image.image, name="image")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gridloom {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Options before any command."""


def main() -> NoReturn:
    """Run the command line: the exit code is the error's, and no traceback is ever shown."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except GridloomError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the border of the process: kept in a file and named
        log = write_crash_log(error)
        errors().print(f"error[{type(error).__name__}] this should not have happened: {error}", markup=False)
        errors().print(f"  Please report it with {log}", markup=False)
        sys.exit(1)
    sys.exit(0)


def _interrupt(*_signal: object) -> NoReturn:
    raise Interrupted("stopped on request")


if __name__ == "__main__":
    main()
