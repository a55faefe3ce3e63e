"""`prepare` tasks done in this process, without a run: for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import uproot

from gridloom.analysis.models import Analysis
from gridloom.data import prepare
from gridloom.task import Context, InputFile, Task


def input_file(path: Path, tree: str = "Events") -> InputFile:
    """What a scan says of a file without friends."""
    with uproot.open({path: None}) as file:
        return InputFile(
            path=str(path), uuid=str(file.file.uuid), size=path.stat().st_size, entries=file[tree].num_entries
        )


def prepare_files(analysis: Analysis, sample: str, paths: Iterable[Path], output: Path) -> None:
    """Make the shard of these files in the new folder `output`; raises what `gridloom.data.prepare.run` raises."""
    task = Task(
        kind="prepare",
        label=f"prepare {sample}",
        parameters={"analysis": analysis.model_dump(mode="json", by_alias=True), "sample": sample},
        files=tuple(input_file(path, analysis.tree) for path in paths),
    )
    output.mkdir()
    prepare.run(
        Context(task=task, inputs={}, output=output, scratch=output, stop=lambda: False, progress=lambda _: None)
    )
