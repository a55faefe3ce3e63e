"""Packages that the user's own model needs: what may be asked for, and what an analysis without them is called."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gridloom.analysis.load import load_text
from gridloom.analysis.models import Analysis
from gridloom.analysis.packages import LOCKED, checked_requirement, package_name, satisfies
from gridloom.analysis.write import to_yaml
from gridloom.errors import GridloomError, InvalidValue, Problems

ROOT = Path(__file__).parents[2]
GOOD = """\
gridloom: 1
name: higgs
samples:
  s: {files: s.root, class: s, weight: 1}
  b: {files: b.root, class: b, weight: 1}
features: [x]
target: {signal: s}
model: {function: mine:build}
"""


def errors_of(text: str) -> tuple[GridloomError, ...]:
    with pytest.raises(Problems) as caught:
        load_text(text, Path("analysis.yaml"))
    return caught.value.errors


def loaded(packages: str) -> Analysis:
    return load_text(f"{GOOD}packages: {packages}\n", Path("analysis.yaml")).analysis


def test_requirements_have_a_normal_form() -> None:
    assert loaded('[einops, "My_Package [fast] >= 1.2,<2"]').packages == ("einops", "My_Package[fast]<2,>=1.2")
    assert package_name("My_Package[fast]<2") == "my-package"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("einops @ https://example.org/einops.whl", "names an address"),
        ("einops @ file:///tmp/x", "names an address"),
        ("./einops", "is no requirement"),
        ("-e einops", "is no requirement"),
        ("--index-url=https://example.org", "is no requirement"),
        ("einops; python_version > '3'", "has a condition"),
        ("einops; rm -rf ~", "is no requirement"),
        ("einops\n--pre", "is no requirement"),
        ("einops # comment", "is no requirement"),
        ("einops==", "is no requirement"),
        ("numpy", "Gridloom's own"),
        ("TensorFlow_CPU==2.0", "Gridloom's own"),
        ("gridloom", "Gridloom's own"),
    ],
)
def test_what_no_image_is_built_from(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked_requirement(text)


def test_wrong_packages_are_named_with_their_place() -> None:
    wrong = GOOD + "packages:\n  - einops\n  - numpy<2\n  - git+https://example.org/x\n  - 7\n"
    errors = errors_of(wrong)
    assert [error.where for error in errors] == [f"analysis.yaml:{line}:5" for line in (11, 12, 13)]
    assert all(isinstance(error, InvalidValue) for error in errors)
    assert errors[0].what == (
        "item 2 of `packages`: `numpy` is Gridloom's own, in the version that all results are made with"
    )
    assert "item 4 of `packages` must be text" in errors[2].what


def test_a_package_is_given_once() -> None:
    (error,) = errors_of(GOOD + "packages: [einops, Einops>=1]\n")
    assert (error.what, error.where) == ("package `einops` is given 2 times", "analysis.yaml:9:20")


def test_packages_without_a_model_of_ones_own() -> None:
    (error,) = errors_of(GOOD.replace("model: {function: mine:build}", "packages: [einops]"))
    assert (error.key, error.where) == (("packages",), "analysis.yaml:8:1")


def test_an_analysis_without_packages_is_dumped_as_ever() -> None:
    """What is dumped enters the ids of tasks: results made before there were packages are still found."""
    assert "packages" not in loaded("[]").model_dump(mode="json", by_alias=True)
    assert loaded("[einops]").model_dump(mode="json")["packages"] == ["einops"]


def test_packages_are_written_back() -> None:
    analysis = loaded("[einops>=0.8]")
    assert load_text(to_yaml(analysis), Path("analysis.yaml")).analysis == analysis


@pytest.mark.parametrize(
    ("requirement", "version", "fits"),
    [("a", "1.0", True), ("a>=1,<2", "1.9.1", True), ("a>=1,<2", "2.0", False), ("a>=1", "2.0rc1", True)],
)
def test_versions_that_satisfy(requirement: str, version: str, fits: bool) -> None:
    assert satisfies(requirement, version) is fits


def test_gridlooms_own_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["cpu"], *extras["cuda"], *extras["worker"], "gridloom"]
    assert {canonicalize_name(Requirement(text).name) for text in texts} == LOCKED
