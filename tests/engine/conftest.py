"""What tests of engines share: HTCondor's bindings without a pool."""

from __future__ import annotations

import sys

import pytest
from fake_htcondor import FakeCondor


@pytest.fixture
def condor(monkeypatch: pytest.MonkeyPatch) -> FakeCondor:
    """A pool in this process; whoever imports `htcondor2` gets it."""
    found = FakeCondor()
    monkeypatch.setitem(sys.modules, "htcondor2", found.module)
    return found
