"""Files of sites are loaded, or refused with every error at once and the place of each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gridloom.errors import AnalysisSyntaxError, GridloomError, Problems, SiteProblem
from gridloom.sites.load import load_sites, load_text, site_files
from gridloom.sites.models import Needs, Site
from gridloom.task import Resources

GOLDEN = Path(__file__).with_name("golden")
FILE = Path("sites.yaml")
USERS = "gridloom: 1\nsites:\n  shared: {engine: slurm}\n  mine: {engine: htcondor}\n"
KNOWN = "`local`, `shared`, `mine`"
EXAMPLE = "gridloom: 1\nsites:\n  cluster: {engine: slurm, options: {partition: short}}"
PROJECTS = "gridloom: 1\nsites:\n  shared: {engine: htcondor, grace: 1 min}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_site_with_all_defaults() -> None:
    site = load_text("gridloom: 1\nsites: {a: {engine: slurm}}\n", FILE)["a"].site
    assert site == Site(engine="slurm")
    assert site.python == sys.executable
    assert (site.grace, site.checkpoint, site.poll) == (30, 3600, 10)


def test_quantities_and_short_forms() -> None:
    text = """\
gridloom: 1
sites:
  a:
    engine: slurm
    setup: source setup.sh
    grace: 1.5 min
    checkpoint: 90
    resources:
      default: {memory: 2 GB, wall: 8 h}
      train: {memory: 3 GiB, cores: 4, disk: 1 TB, gpus: 1}
"""
    site = load_text(text, FILE)["a"].site
    assert site.setup == ("source setup.sh",)
    assert (site.grace, site.checkpoint) == (90, 90)
    assert site.resources["train"] == Needs(memory=3072, cores=4, disk=1_000_000, gpus=1)
    asked = site.needs("train", Resources())
    assert asked == Resources(cores=4, memory_mb=3072, disk_mb=1_000_000, gpus=1, wall_seconds=28_800)
    assert site.needs("report", Resources()) == Resources(memory_mb=2000, wall_seconds=28_800)


def test_every_error_at_once_in_the_order_of_the_file() -> None:
    """The golden file holds what a user sees for a file that is wrong in every part."""
    with pytest.raises(Problems) as caught:
        load_text((GOLDEN / "all_wrong.yaml").read_text(), FILE)
    assert str(caught.value) + "\n" == (GOLDEN / "all_wrong.txt").read_text()
    assert caught.value.exit_code == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            f"sites.yaml:1:1: the file of sites is empty\n  Write it as in:\n{EXAMPLE}",
        ),
        ("gridloom: 1\nsites: {a: {engine: slurm}\n", "sites.yaml:3:1: not valid YAML: "),
        ("gridloom: 1\nsites:\n\ta: {}\n", "sites.yaml:3:1: a tab where YAML needs spaces\n  Indent with spaces only."),
    ],
)
def test_no_yaml(text: str, message: str) -> None:
    with pytest.raises(AnalysisSyntaxError) as caught:
        load_text(text, FILE)
    assert str(caught.value).startswith(message)


def test_a_problem_of_yaml_alone_is_an_error(home: Path) -> None:
    with pytest.raises(AnalysisSyntaxError, match=r"a\.yaml:2:28: `engine` is given twice, first in line 2"):
        load_sites([write(home / "a.yaml", "gridloom: 1\nsites: {a: {engine: slurm, engine: slurm}}\n")])


def test_places_of_a_sites_keys(home: Path) -> None:
    path = write(home / "sites.yaml", "gridloom: 1\nsites:\n  a:\n    engine: slurm\n    options: {partition: p}\n")
    loaded = load_sites([path]).find("a")
    assert loaded.locate(("options", "partition")) == f"{path}:5:15"
    assert loaded.locate(("options", "account")) == f"{path}:5:5"
    assert loaded.locate() == f"{path}:3:3"
    assert loaded.origin == str(path)
    local = load_sites([]).find("local")
    assert local.locate(("options",)) == "site `local` (built in)"
    assert local.origin == "built in"


def test_the_projects_site_replaces_the_users_as_a_whole(home: Path) -> None:
    files = [write(home / "project.yaml", PROJECTS), write(home / "user.yaml", USERS)]
    sites = load_sites(files)
    assert set(sites.known) == {"local", "shared", "mine"}
    shared = sites.find("shared")
    assert (shared.site.engine, shared.site.grace, shared.path) == ("htcondor", 60, files[0])


def test_a_file_may_describe_local(home: Path) -> None:
    path = write(home / "a.yaml", "gridloom: 1\nsites: {local: {engine: local, grace: 5 s}}\n")
    assert load_sites([path]).find("local").site.grace == 5


def test_errors_of_all_files_are_told_together(home: Path) -> None:
    files = [
        write(home / "a.yaml", "gridloom: 1\nsites: {a: {engine: slurm, grace: 0}}\n"),
        write(home / "b.yaml", "a: b: c\n"),
        write(home / "c.yaml", "gridloom: 1\nsites: {c: {}}\n"),
    ]
    with pytest.raises(Problems) as caught:
        load_sites(files)
    assert [Path(error.where.partition(":")[0]).name for error in caught.value.errors] == ["a.yaml", "b.yaml", "c.yaml"]


def test_what_is_no_readable_file(home: Path) -> None:
    with pytest.raises(SiteProblem, match="cannot be read: Is a directory"):
        load_sites([home])
    write(home / "latin.yaml", "").write_bytes(b"gridloom: 1\n# \xe9\n")
    with pytest.raises(AnalysisSyntaxError, match=r"latin\.yaml:2:3: the file is not UTF-8 text"):
        load_sites([home / "latin.yaml"])
    assert set(load_sites([home / "none.yaml", home / "latin.yaml" / "below"]).known) == {"local"}


def found(error: pytest.ExceptionInfo[GridloomError]) -> tuple[str, str]:
    return error.value.what, error.value.fix


def test_an_unknown_site_names_the_nearest(home: Path) -> None:
    sites = load_sites([write(home / "sites.yaml", USERS)])
    with pytest.raises(SiteProblem) as caught:
        sites.find("share")
    assert found(caught) == (
        "no site `share`",
        f"Did you mean `shared`? Known sites: {KNOWN}. `gridloom site list` says where each is described.",
    )
    assert caught.value.exit_code == 58


def test_without_any_site_the_files_and_an_example_are_shown(home: Path) -> None:
    files = site_files(None, {"XDG_CONFIG_HOME": "/config"})
    with pytest.raises(SiteProblem) as caught:
        load_sites(files).find("goegrid")
    assert found(caught) == (
        "no site `goegrid`",
        f"Known sites: `local`. Describe others in sites.yaml or /config/gridloom/sites.yaml, as in:\n{EXAMPLE}",
    )


def test_where_files_are_looked_for(home: Path) -> None:
    user = {"HOME": "/home/jo"}
    config = Path("/home/jo/.config/gridloom/sites.yaml")
    assert site_files(None, user) == (FILE, config)
    assert site_files(None, {**user, "XDG_CONFIG_HOME": "relative"}) == (FILE, config)
    project = home / "project"
    assert site_files(project, user) == (project / FILE, FILE, config)
    write(project / FILE, PROJECTS)
    assert site_files(project, user) == (project / FILE, config)
    assert site_files(home / "here", user) == (home / "here" / FILE, config)
    assert site_files(None, {})[-1] == Path(os.environ["HOME"]) / ".config" / "gridloom" / FILE


def test_a_file_named_explicitly_comes_first(home: Path) -> None:
    named = write(home / "other.yaml", PROJECTS)
    assert site_files(None, {"GRIDLOOM_SITES": str(named), "HOME": "/h"})[0] == named
    with pytest.raises(SiteProblem, match=r"no-such\.yaml: no such file, but \$GRIDLOOM_SITES names it"):
        site_files(None, {"GRIDLOOM_SITES": "no-such.yaml"})
