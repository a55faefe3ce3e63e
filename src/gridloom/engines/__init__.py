"""Engines by name; each runs jobs in its own way (`gridloom.engines.base` says what an engine is)."""

from __future__ import annotations

from gridloom.engines.registry import ENGINES, EngineKind, make_engine

__all__ = ["ENGINES", "EngineKind", "make_engine"]
