"""Analyses of tiny ntuples, scanned and prepared as a run does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tasks import Bench, dumped

from gridloom.analysis.models import Analysis
from gridloom.data import prepare
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.scan import scan
from gridloom.data.shard import Shard
from gridloom.task import InputFile, Task

CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "tiny",
    "luminosity": 1000.0,
    "samples": {
        "signal": {"files": "signal*.root", "class": "s", "weight": "genWeight"},
        "background": {"files": "background*.root", "class": "b", "weight": "genWeight"},
    },
    "features": ["MET_pt", "Lepton_pt"],
    "target": {"signal": "s"},
    "folds": 3,
}


def analysis_of(**changes: Any) -> Analysis:
    """The tiny analysis with other parts."""
    return Analysis.model_validate({**CONTENT, **changes})


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder of ROOT files."""

    folder: Path

    def prepare(
        self,
        analysis: Analysis,
        sample: str,
        files: tuple[InputFile, ...],
        *,
        stop: Callable[[], bool] = lambda: False,
        lost: tuple[str, ...] = (),
        donor: Path | None = None,
    ) -> Shard:
        bench = Bench(folder=self.folder / "shards")
        task = Task(
            kind="prepare",
            label=f"prepare {sample}",
            parameters={"analysis": dumped(analysis), "sample": sample},
            files=files,
            lost_files=lost,
        )
        number = len(list(bench.folder.glob("*"))) if bench.folder.exists() else 0
        context = bench.context(task, {}, name=f"{sample}-{number}", stop=stop)
        prepare.run(replace(context, donor=donor))
        return Shard.open(context.output)

    def shards(self, analysis: Analysis, *, one_by_one: bool = False) -> list[Shard]:
        """Scan and prepare all samples: one shard for each sample, or for each file."""
        found = []
        for name, content in scan(analysis, self.folder).samples.items():
            groups = [(file,) for file in content.files] if one_by_one else [content.files]
            lost = tuple(file.path for file in content.lost)
            found += [self.prepare(analysis, name, group, lost=lost) for group in groups]
        return found

    def dataset(self, analysis: Analysis, *, one_by_one: bool = False) -> Dataset:
        return open_dataset(analysis, [shard.folder for shard in self.shards(analysis, one_by_one=one_by_one)])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path)


@pytest.fixture
def tiny() -> Callable[..., Analysis]:
    return analysis_of
