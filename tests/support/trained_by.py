"""`python trained_by.py task.json`: do a training in a process of its own, on the back end that the task asks for.

The file holds the task and the folders of its inputs, output and scratch; `stop_at` is the call to stop at, or 0.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import count
from pathlib import Path


def main(path: Path) -> int:
    from gridloom.environment import worker_variables
    from gridloom.errors import Interrupted
    from gridloom.task import Context, Task

    content = json.loads(path.read_text())
    task = Task.model_validate(content["task"])
    os.environ.update(worker_variables(1, task.backend))
    from gridloom.training import train

    calls = count(1)
    context = Context(
        task=task,
        inputs={name: Path(folder) for name, folder in content["inputs"].items()},
        output=Path(content["output"]),
        scratch=Path(content["scratch"]),
        stop=lambda: next(calls) == content["stop_at"],
        progress=lambda _: None,
    )
    try:
        train.run(context)
    except Interrupted:
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
