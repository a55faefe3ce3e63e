"""`gridloom.load`: a run's networks in a notebook or a script."""

from __future__ import annotations

from pathlib import Path

from gridloom.analysis.load import load_analysis
from gridloom.driver.prediction import check_code, networks
from gridloom.driver.runs import Runs
from gridloom.environment import code_files
from gridloom.files import digest_bytes
from gridloom.prediction.model import Model
from gridloom.prediction.models import load_fold_models


def load(run: str | Path | None = None, *, runs: str | Path = "runs") -> Model:
    """The networks of a finished run, by its folder or the beginning of its name (the newest without one).

    Raises NotFound when there is no such run or it is not finished, DamagedResult, UserModelError.
    """
    found = Runs(Path(runs)).find(None if run is None else str(run))
    store = found.runs.store
    folders = {name: store.folder(name) for name in networks(found, store)}
    analysis = load_analysis(found.folder / "analysis.yaml").analysis
    beside = Path(found.manifest.analysis_file).parent
    if analysis.model.function is not None:
        files = code_files(analysis.model.function, beside)
        check_code(found, {name: digest_bytes(path.read_bytes()) for name, path in files.items()})
    return Model.of(analysis, load_fold_models(folders, analysis.folds, user_folder=beside))
