"""What results depend on: versions per kind, and the user's code wherever it is imported from."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from gridloom import environment
from gridloom.analysis.models import Analysis
from gridloom.environment import (
    available_cores,
    code_digest,
    code_files,
    describe_environment,
    environment_digest,
    machine,
    thread_variables,
    versions,
)
from gridloom.errors import EnvironmentProblem, Problems, UserModelError

ANALYSIS = Analysis.model_validate(
    {
        "gridloom": 1,
        "name": "a",
        "samples": {"s": {"files": "a.root", "class": "s", "weight": 1}},
        "features": ["x"],
        "target": {"signal": "s"},
    }
)


def test_shards_do_not_depend_on_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {kind: environment_digest(kind) for kind in environment.DISTRIBUTIONS}
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if "keras" in name else real(name))
    changed = {kind for kind, digest in before.items() if environment_digest(kind) != digest}
    assert changed == {"tune", "train", "evaluate", "predict", "export"}


def test_the_environment_is_described_without_heavy_imports(tmp_path: Path) -> None:
    found = describe_environment(ANALYSIS, tmp_path)
    assert (found.code, found.code_files) == ("", {})
    assert set(found.kinds) == set(environment.DISTRIBUTIONS)
    assert found.versions["python"] == versions()["python"]
    assert found.machine == machine()
    assert available_cores() >= 1
    assert set(thread_variables(3).values()) == {"3", "1"}


def test_a_missing_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environment.DISTRIBUTIONS, "report", ("no-such|nor-such",))
    with pytest.raises(EnvironmentProblem, match="no-such or nor-such is not installed"):
        environment_digest("report")


def test_the_users_packages_belong_to_what_runs_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = environment.DISTRIBUTIONS
    before = {kind: environment_digest(kind) for kind in kinds}
    found = {kind: environment_digest(kind, ("rich",)) for kind in kinds}
    assert {kind for kind in kinds if found[kind] != before[kind]} == {"tune", "train", "evaluate", "predict", "export"}
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "rich" else real(name))
    assert environment_digest("train", ("rich",)) != found["train"]
    assert environment_digest("train", ("no-such-package",)) != before["train"]


def with_packages(*packages: str) -> Analysis:
    return ANALYSIS.model_copy(update={"packages": packages})


def test_the_users_packages_are_described(tmp_path: Path) -> None:
    found = describe_environment(with_packages("rich>=1", "hypothesis"), tmp_path)
    assert found.versions["rich"] == importlib.metadata.version("rich")
    assert found.kinds["train"] == environment_digest("train", ("rich", "hypothesis"))
    assert "hypothesis" not in describe_environment(ANALYSIS, tmp_path).versions


def test_packages_that_are_missing_or_older_are_errors_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(Problems) as caught:
        describe_environment(with_packages("no_such-package>=1", "rich", "hypothesis>=9999"), tmp_path)
    missing, older = caught.value.errors
    assert (missing.what, missing.key) == ("no-such-package is not installed", ("packages", 0))
    assert (older.what, older.key) == (
        f"hypothesis is here in version {importlib.metadata.version('hypothesis')}",
        ("packages", 2),
    )
    assert all(isinstance(error, EnvironmentProblem) and error.where == sys.prefix for error in (missing, older))
    assert "`hypothesis>=9999`" in older.fix
    assert "gridloom image build" in older.fix


def test_the_users_module_and_what_it_imports_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\nfrom layers import block\nimport helpers.deep as deep\n")
    (tmp_path / "layers.py").write_text("import mine\nblock = 1\n")
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "deep.py").write_text("from . import other\n")
    (tmp_path / "unused.py").write_text("")
    assert list(code_files("mine:build", tmp_path)) == ["helpers/__init__.py", "helpers/deep.py", "layers", "mine"]
    before = code_digest("mine:build", tmp_path)
    (tmp_path / "unused.py").write_text("x = 1\n")
    assert code_digest("mine:build", tmp_path) == before
    (tmp_path / "helpers" / "deep.py").write_text("x = 1\n")
    assert code_digest("mine:build", tmp_path) != before
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    again = code_digest("mine:build", moved)
    (moved / "unused.py").unlink()
    assert code_digest("mine:build", moved) == again


def test_a_module_that_cannot_be_parsed_still_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def (:\n")
    assert list(code_files("mine:build", tmp_path)) == ["mine"]


def test_an_installed_module_is_found(tmp_path: Path) -> None:
    assert "gridloom/task.py" in code_files("gridloom.task:Task", tmp_path)


def test_a_missing_module_is_the_users_error(tmp_path: Path) -> None:
    analysis = ANALYSIS.model_copy(
        update={"model": ANALYSIS.model.model_copy(update={"function": "no_such_module:build"})}
    )
    with pytest.raises(UserModelError, match="no_such_module") as caught:
        describe_environment(analysis, tmp_path)
    assert caught.value.key == ("model", "function")
    assert "no_such_module" not in sys.modules


def test_finding_code_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "explosive.py").write_text("raise SystemExit\n")
    assert list(code_files("explosive:build", tmp_path)) == ["explosive"]


def test_a_machine_without_cpuinfo(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert isinstance(machine()["processor"], str)


def with_backend(backend: str) -> Analysis:
    return ANALYSIS.model_copy(update={"training": ANALYSIS.training.model_copy(update={"backend": backend})})


def test_a_back_end_belongs_to_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.9" if name.startswith("jax") else real(name))
    before, found = (describe_environment(with_backend(name), tmp_path) for name in ("tensorflow", "jax"))
    assert {kind for kind in found.kinds if found.kinds[kind] != before.kinds[kind]} == {"train"}
    assert found.kinds["train"] == environment_digest("train", ("jax", "jaxlib"))
    assert (found.versions["jax"], found.versions["jaxlib"]) == ("0.9", "0.9")
    assert "jax" not in before.versions


def test_a_back_end_that_is_missing_is_said_at_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def missing(name: str) -> str:
        if name.startswith("jax"):
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(Problems) as caught:
        describe_environment(with_backend("jax"), tmp_path)
    assert [error.what for error in caught.value.errors] == [
        f"`backend: jax` needs {name}, which is not installed" for name in ("jax", "jaxlib")
    ]
    assert {error.key for error in caught.value.errors} == {("training", "backend")}
    assert "`jax` extra" in caught.value.errors[0].fix
