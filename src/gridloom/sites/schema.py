"""The JSON schema of `sites.yaml` (draft 2020-12), for editors, the reference and error messages.

`python -m gridloom.sites.schema` writes the shipped file anew.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from gridloom.analysis.forms import Schema, expanded, model_schema
from gridloom.files import write_text
from gridloom.sites.models import SitesFile

SCHEMA_FILE = Path(__file__).with_name("schema.json")


@cache
def json_schema() -> Schema:
    """The schema of a file of sites."""
    return model_schema(SitesFile, name="sites", title="Gridloom sites")


@cache
def expanded_schema() -> Schema:
    """The same without references."""
    return expanded(json_schema())


def schema_text() -> str:
    """The schema as the shipped file has it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the shipped file anew."""
    write_text(SCHEMA_FILE, schema_text())


if __name__ == "__main__":
    main()
