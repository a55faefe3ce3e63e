"""Tasks done in the process of the test, on real ROOT files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridloom.analysis.models import Analysis
from gridloom.data import prepare
from gridloom.task import Context, Progress, Task
from gridloom.testing.preparing import input_file


def dumped(analysis: Analysis) -> dict[str, Any]:
    return analysis.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A folder in which tasks are done one after the other."""

    folder: Path
    seen: list[Progress] = field(default_factory=list)

    def context(
        self, task: Task, inputs: Mapping[str, Path], *, name: str, stop: Callable[[], bool] = lambda: False
    ) -> Context:
        output = self.folder / name
        scratch = self.folder / f"{name}.scratch"
        output.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        return Context(task=task, inputs=inputs, output=output, scratch=scratch, stop=stop, progress=self.seen.append)

    def prepared(self, analysis: Analysis, files: Mapping[str, list[Path]], tree: str = "Events") -> dict[str, Path]:
        """Do the `prepare` tasks of all samples: task id -> shard folder."""
        done: dict[str, Path] = {}
        for sample, paths in files.items():
            task = Task(
                kind="prepare",
                label=f"prepare {sample}",
                parameters={"analysis": dumped(analysis), "sample": sample},
                files=tuple(input_file(path, tree) for path in paths),
            )
            context = self.context(task, {}, name=f"{task.id}-{len(done)}")
            prepare.run(context)
            done[task.id] = context.output
        return done

    def fold_task(self, analysis: Analysis, kind: Any, fold: int) -> Task:
        return Task(
            kind=kind,
            label=f"{kind} fold {fold}",
            parameters={"analysis": dumped(analysis), "fold": fold},
            folder=str(self.folder),
        )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An analysis and its shards."""

    analysis: Analysis
    inputs: Mapping[str, Path]
    bench: Bench

    def changed(self, **changes: Any) -> Analysis:
        """The analysis with other settings of parts that `prepare` does not look at."""
        content = self.analysis.model_dump(mode="json", by_alias=True)
        for key, value in changes.items():
            content[key] = {**content[key], **value} if isinstance(value, dict) else value
        return Analysis.model_validate(content)
