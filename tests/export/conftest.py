"""What the tests of the room share: a finished run."""

from scored_run import folder, run

__all__ = ["folder", "run"]
