"""`gridloom clean`: remove results that no run refers to."""

from __future__ import annotations

from typing import Annotated

import typer

from gridloom.cli.console import output, size_text
from gridloom.cli.options import RUNS, RunsFolder
from gridloom.driver.runs import Runs


def clean(
    runs: RunsFolder = RUNS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove results that no run refers to (remove a run by removing its folder first)."""
    known = Runs(runs)
    console = output()
    if not known.store.root.is_dir():
        console.print("Nothing to remove.")
        return
    with known.store.cleaning():
        removed = known.store.clean(known.kept_ids(), dry_run=dry_run)
    for one in removed:
        console.print(f"{size_text(one.size):>10}  {one.name}", markup=False)
    total = size_text(sum(one.size for one in removed))
    console.print(f"{total} in {len(removed)} results {'would be' if dry_run else 'were'} removed.", markup=False)
