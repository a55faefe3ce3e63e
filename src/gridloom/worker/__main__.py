"""`python -m gridloom.worker task.json` does one task; with `--serve` the process stays warm for many."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from gridloom.assignment import read_assignment
from gridloom.environment import fixed_variables
from gridloom.errors import GridloomError
from gridloom.task import Progress
from gridloom.worker.operations import OPERATIONS
from gridloom.worker.serve import GRACE, Offers, serve
from gridloom.worker.tasks import KINDS, Hooks, known_error, load_kinds, perform, write_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker; the exit code is the error's."""
    options = _parser().parse_args(arguments)
    kinds = load_kinds(options.kinds) if options.kinds else KINDS
    if options.serve:
        serve(Offers(kinds=kinds, operations=OPERATIONS), preload=options.preload, grace=options.grace)
    return do_one(options.task, kinds)


def do_one(path: Path, kinds: Mapping[str, str]) -> int:
    """Do one task in this process; SIGINT and SIGTERM ask it to save and leave."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    label = path.name
    try:
        assignment = read_assignment(path)
        label = assignment.task.label
        # Before any numerical library is imported: they read these once.
        os.environ.update(fixed_variables(assignment.task.resources.cores, assignment.task.backend))
        perform(assignment, Hooks(stop=stopped.is_set, progress=_unheard), kinds=kinds)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of the process: all is reported
        known = known_error(error, what=label, log=path)
        return _leave(path, known)
    return 0


def _unheard(progress: Progress) -> None:
    """A batch system has no ear for progress; the log has the task's own words."""


def _leave(path: Path, error: GridloomError) -> int:
    sys.stderr.write(f"error[{type(error).__name__}] {error}\n")
    if path.is_file():
        write_error(path.parent, error)
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gridloom.worker", description=__doc__)
    parser.add_argument("task", type=Path, nargs="?", default=Path("task.json"), help="the task.json to do")
    parser.add_argument("--serve", action="store_true", help="take requests on standard input until it ends")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE", help="import this at the start")
    parser.add_argument("--kinds", default="", metavar="MODULE:DICT", help="kinds in place of the built-in ones")
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds to save after the driver is gone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
