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
_NOT_RUN: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `data` need GRIDLOOM_TEST_DATA; without it they are named as not run."""
    if os.environ.get(_DATA):
        return
    kept = [item for item in items if item.get_closest_marker("data") is None]
    dropped = [item for item in items if item.get_closest_marker("data") is not None]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
        _NOT_RUN.extend(item.nodeid for item in dropped)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _NOT_RUN:
        terminalreporter.section(f"not run: {_DATA} is not set")
        for name in _NOT_RUN:
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
