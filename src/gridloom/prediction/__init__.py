"""Scores for events: every event by the model of its own fold, as friend trees of ROOT files or as arrays."""
