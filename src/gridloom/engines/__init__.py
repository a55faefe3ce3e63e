"""Engines by name; each runs jobs in its own way (`gridloom.engines.base` says what an engine is)."""

from __future__ import annotations

from gridloom.engines.local import LocalEngine

ENGINES = {"local": LocalEngine}

__all__ = ["ENGINES", "LocalEngine"]
