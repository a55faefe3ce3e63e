"""Rendered scripts run by a real bash: every hostile value arrives as it was written, every refusal can be read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import HOSTILE_NAMES, Started, fake_python, hostile_variables, job, names, run_script, site, values
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gridloom.assignment import Assignment
from gridloom.engines import wrapper
from gridloom.engines.base import Cause, State
from gridloom.engines.batches import bundled
from gridloom.engines.ended import judge, read_errors
from gridloom.engines.htcondor import render as htcondor
from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.engines.htcondor.render import Places
from gridloom.engines.notes import Heard
from gridloom.engines.slurm import render as slurm
from gridloom.engines.slurm.options import SlurmOptions
from gridloom.errors import NodeProblem
from gridloom.sites.models import Site
from gridloom.task import Resources

FORMS = ("transfer", "shared", "slurm")
LIMITS = ["--grace", "30", "--wall", "86400", "--saved-exit", "143", "--planned-exit", "85"]


class Node:
    """A job's folder as it is on a node, and the script that was rendered for it."""

    def __init__(self, form: str, root: Path, where: Site, jobs: list[Assignment], kinds: str = "") -> None:
        self.form, self.root, self.jobs = form, root, jobs
        (bundle,) = bundled(jobs, at_most=100, engine=form)
        batch = bundle.batch.folder
        if form == "slurm":
            files, name = slurm.files_of(bundle, where, SlurmOptions(), root, kinds), f"{batch}/{slurm.SCRIPT}"
        else:
            told = where.model_copy(update={"shared_folder": form == "shared"})
            places = Places(root=root, store=root / "store", run="feed", kinds=kinds)
            files, name = htcondor.files_of(bundle, told, HTCondorOptions(), places), f"{batch}/{htcondor.SCRIPT}"
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        self.script = root / name
        self.dump = root / "dump.json"

    def start(self, number: int = 0, **variables: str) -> tuple[int, str, Started | None]:
        """Exit code, what was printed, and how Python was started."""
        own = self.root / self.jobs[number].folder
        arguments = [self.jobs[number].folder] if self.form == "shared" else []
        task = {"SLURM_ARRAY_TASK_ID": str(number)} if self.form == "slurm" else {}
        done, started = run_script(
            self.script,
            *arguments,
            folder=own if self.form == "transfer" else Path("/"),
            dump=self.dump,
            **task,
            **variables,
        )
        printed = (own / "job.out").read_text() if self.form == "slurm" and (own / "job.out").exists() else ""
        return done.returncode, printed + done.stdout + done.stderr, started

    def folder(self, number: int = 0) -> Path:
        """Where a job's log and errors are to be found."""
        own = self.root / self.jobs[number].folder
        return own / "state" if self.form == "transfer" else own


def options_of(form: str) -> list[str]:
    if form == "transfer":
        return ["--transferred", "--delivery", "saved.tar", "--planned", "3600"]
    return ["--notes", "notes.jsonl"]


@pytest.mark.parametrize("form", FORMS)
def test_everything_hostile_arrives_as_it_was_written(form: str, tmp_path: Path) -> None:
    root = tmp_path / 'it\'s "here", $(x) %a\nnew ü'
    python = fake_python(tmp_path / "py 'th' $(on)" / "python")
    jobs = [job("aa", label="a, b\n$(x)"), job("bb", label="ü `id`")]
    where = site(python=str(python), variables=hostile_variables())
    node = Node(form, root, where, jobs, kinds="module:DICT")
    for number in range(2):
        code, printed, started = node.start(number)
        assert (code, printed) == (0, "")
        assert started is not None
        module = ["-m", "gridloom.worker.job", "task.json"]
        assert started.arguments == [str(python), *module, *options_of(form), *LIMITS, "--kinds", "module:DICT"]
        assert started.folder == str(root / jobs[number].folder)
        assert hostile_variables().items() <= started.variables.items()
        node.dump.unlink()
    assert (node.folder() if form == "transfer" else root).is_dir()


@pytest.mark.parametrize("form", FORMS)
def test_setup_runs_before_python_in_the_same_shell(form: str, tmp_path: Path) -> None:
    """What it sets stays, wherever it leads, and it sees the site's variables."""
    python = fake_python(tmp_path / "python")
    setup = ('cd / && export "TWICE=$ONCE $ONCE" # a comment', "alias ls=false\nexport LINES_OF=two", "set -u")
    node = Node(form, tmp_path, site(python=str(python), variables={"ONCE": "a b"}, setup=setup), [job()])
    code, printed, started = node.start()
    assert (code, printed) == (0, "")
    assert started is not None
    assert (started.variables["TWICE"], started.variables["LINES_OF"]) == ("a b a b", "two")
    assert started.folder == str(tmp_path / node.jobs[0].folder)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"setup": ("true", "cd / && echo 'no module \"x\"' >&2 && false")}, "setup command 2 of the site failed on "),
        ({"setup": "source /no/such/view/setup.sh"}, "setup command 1 of the site failed on "),
        ({"python": "/no/such/python"}, "there is no Python where the site says on "),
    ],
)
def test_a_refusal_is_an_error_that_can_be_read(form: str, changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    python = fake_python(tmp_path / "python")
    node = Node(form, tmp_path, site(**{"python": str(python), **changes}), [job()])
    code, printed, started = node.start()
    assert (code, started) == (NodeProblem.exit_code, None)
    (error,) = read_errors(node.folder())
    assert isinstance(error, NodeProblem)
    assert error.what.startswith(told)
    assert len(error.what) > len(told)
    assert "of the site" in error.fix
    found = judge(code, Heard(), node.folder(), memory_mb=1000)
    assert (found.state, found.cause, found.reason) == (State.EVICTED, Cause.NODE, error.what)
    if "setup" in changes:
        assert "no module" in printed or "No such file" in printed


def test_an_element_of_the_array_without_a_folder_leaves(tmp_path: Path) -> None:
    node = Node("slurm", tmp_path, site(python=str(fake_python(tmp_path / "python"))), [job()])
    done, started = run_script(node.script, folder=Path("/"), dump=node.dump, SLURM_ARRAY_TASK_ID="5")
    assert (done.returncode, started) == (60, None)


@pytest.mark.parametrize("form", ["shared", "slurm"])
def test_a_folder_that_the_node_does_not_see_is_the_nodes_fault(form: str, tmp_path: Path) -> None:
    node = Node(form, tmp_path / "seen", site(python=str(fake_python(tmp_path / "python"))), [job()])
    script = tmp_path / "script.sh"
    script.write_bytes(node.script.read_bytes())
    node.root.rename(tmp_path / "gone")
    done, started = run_script(script, node.jobs[0].folder, folder=Path("/"), dump=node.dump, SLURM_ARRAY_TASK_ID="0")
    assert (done.returncode, started) == (60, None)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(folder=names, variables=st.lists(values, min_size=1, max_size=20))
@example(folder="-n", variables=["", "'", '"', "\\", "\n", "$", "`", "!", "\r", "\x7f", "~", "#"])
@example(folder="~", variables=list(HOSTILE_NAMES))
@example(folder="'\n'", variables=["'\n'"])
def test_any_text_survives_the_shell(folder: str, variables: list[str]) -> None:
    """Values of variables, and folders that are the run's and Python's."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / folder
        try:
            root.mkdir()
        except OSError:  # a name that is too long in bytes
            return
        wanted = {f"V{number}": value for number, value in enumerate(variables)}
        # A site cannot name a Python with a line end in its path.
        python = fake_python(root / "python" if "\n" not in folder else Path(temporary) / "other" / "python")
        for form in ("shared", "slurm"):
            node = Node(form, root, site(python=str(python), variables=wanted), [job(form)])
            code, printed, started = node.start()
            assert (code, printed) == (0, "")
            assert started is not None
            assert wanted.items() <= started.variables.items()
            assert started.folder == str(root / node.jobs[0].folder)
            node.dump.unlink()


def test_the_script_names_its_limits() -> None:
    """Grace and wall time come from site and task; without other kinds nothing is said of them."""
    text = wrapper.script(
        site(grace="2 min"), Resources(wall_seconds=77), kinds="", head=[], folder="", options=["--notes n"]
    )
    assert "--grace 120 --wall 77 " in text
    assert "--kinds" not in text
