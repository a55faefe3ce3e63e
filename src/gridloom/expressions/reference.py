"""The table of functions in the documentation, made from the table that the parser uses.

`python -m gridloom.expressions.reference docs/reference/expressions.md` brings the page up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gridloom.expressions.functions import functions_reference
from gridloom.files import write_text

BEGIN = "<!-- functions: written by `python -m gridloom.expressions.reference` -->\n"
END = "<!-- end -->\n"


def with_functions(page: str) -> str:
    """The page with the table of functions between its marks brought up to date; raises ValueError without marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no marks for the table of functions")
    rows = "".join(f"| {_codes(signature)} | {meaning} |\n" for _, signature, meaning in functions_reference())
    return f"{before}{BEGIN}| function | meaning |\n|---|---|\n{rows}{END}{after}"


def _codes(signature: str) -> str:
    return " or ".join(f"`{form}`" for form in signature.split(" or "))


def main(arguments: list[str]) -> None:
    page = Path(arguments[0] if arguments else "docs/reference/expressions.md")
    write_text(page, with_functions(page.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
