"""A driver to be killed: `site_driver.py FOLDER SITE COUNT STEPS [submit]`; with `submit` it dies after submitting."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from site_runs import SiteRun, independent, make_site

from gridloom.assignment import Assignment


def main(folder: str, site: str, count: str, steps: str, die: str = "") -> None:
    run = SiteRun(Path(folder), make_site(site))
    engine = run.engine()
    submit = engine.submit

    def submit_and_die(jobs: Sequence[Assignment]) -> tuple[str, ...]:
        submit(jobs)
        os.kill(os.getpid(), signal.SIGKILL)
        return ()

    if die == "submit":
        engine.submit = submit_and_die  # type: ignore[method-assign]
    run.drive(independent("steps", int(count), steps=int(steps)), engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
