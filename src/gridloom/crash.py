"""Keep the traceback of an unforeseen error in a file that can be sent to the developers."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path


def write_crash_log(error: BaseException) -> Path:
    """Write the traceback to a file of its own in the system's folder for temporary files."""
    with tempfile.NamedTemporaryFile("w", prefix="gridloom-crash-", suffix=".log", delete=False) as stream:
        traceback.print_exception(error, file=stream)
    return Path(stream.name)
