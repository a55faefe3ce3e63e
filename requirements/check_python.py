"""Say at once when this Python cannot build the locked environment."""

import sys

OLDEST, NEWEST = (3, 11), (3, 13)
if not OLDEST <= sys.version_info[:2] <= NEWEST:
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"Gridloom needs Python 3.11 to 3.13; this is {found}. Name another one: make PYTHON=python3.12 ...")
