"""Engines by name; each runs jobs in its own way (`gridloom.engines.base` says what an engine is)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gridloom.engines.base import Engine
from gridloom.engines.local import LocalEngine, LocalSettings


def _local(folder: Path, jobs: int) -> Engine:
    return LocalEngine(LocalSettings(jobs=jobs), folder)


ENGINES: dict[str, Callable[[Path, int], Engine]] = {"local": _local}

__all__ = ["ENGINES", "Engine"]
