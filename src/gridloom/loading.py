"""`gridloom.load`: a run's networks in a notebook or a script."""

from __future__ import annotations

from pathlib import Path

from gridloom.analysis.load import load_analysis
from gridloom.driver.runs import Runs
from gridloom.errors import NotFound
from gridloom.prediction.model import Model
from gridloom.prediction.models import load_fold_models


def load(run: str | Path | None = None, *, runs: str | Path = "runs") -> Model:
    """The networks of a finished run, by its folder or the beginning of its name (the newest without one).

    Raises NotFound when there is no such run or it is not finished, DamagedResult, UserModelError.
    """
    found = Runs(Path(runs)).find(None if run is None else str(run))
    store = found.runs.store
    folders = {task.id: store.folder(task.id) for task in found.manifest.tasks if task.kind == "train"}
    missing = [name for name in folders if store.verify(name) is None]
    if missing:
        raise NotFound(
            f"{len(missing)} of the {len(folders)} networks of the run are not there",
            where=str(found.folder),
            fix=f"`gridloom resume {found.folder.name}` trains what is missing.",
        )
    analysis = load_analysis(found.folder / "analysis.yaml").analysis
    beside = Path(found.manifest.analysis_file).parent
    return Model.of(analysis, load_fold_models(folders, analysis.folds, user_folder=beside))
