"""The module of a format, with its libraries."""

from __future__ import annotations

import importlib
from typing import cast

from gridloom.errors import EnvironmentProblem
from gridloom.export.base import Format
from gridloom.exporting import FORMATS, FormatName


def load_format(name: FormatName) -> Format:
    """Import a format's module. Raises EnvironmentProblem when its libraries are missing."""
    try:
        return cast("Format", importlib.import_module(FORMATS[name]))
    except ImportError as error:
        raise EnvironmentProblem(
            f"the format `{name}` needs a library that is not installed: {error.name or error}",
            fix="Install Gridloom with its `export` extra, as the README says.",
        ) from error
