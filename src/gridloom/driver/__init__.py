"""Drives a run: gives ready tasks to an engine, watches them, tries again what was lost, keeps the journal."""
