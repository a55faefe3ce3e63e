"""What all tests share: no skip passes unseen, and tests on real files run where the files are."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As a worker of one core starts: whichever test touches TensorFlow first, trainings find what they ask for.
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
_DATA = "GRIDLOOM_TEST_DATA"
# Marker -> the variable without which its tests cannot run.
_NEEDED = {"data": _DATA, "site": "GRIDLOOM_TESTBED"}
_NOT_RUN: dict[str, list[str]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need real files or batch systems, where these are missing, are named as not run."""
    for marker, variable in _NEEDED.items():
        if os.environ.get(variable):
            continue
        dropped = [item for item in items if item.get_closest_marker(marker) is not None]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = [item for item in items if item.get_closest_marker(marker) is None]
            _NOT_RUN[variable] = [item.nodeid for item in dropped]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for variable, names in _NOT_RUN.items():
        terminalreporter.section(f"not run: {variable} is not set")
        for name in names:
            terminalreporter.line(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in continuous integration: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def physics_files() -> Path:
    """The folder of real physics files."""
    return Path(os.environ[_DATA])
