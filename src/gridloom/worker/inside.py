"""The image that this process runs in, as whoever started it says, and as the image itself says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gridloom.assignment import JOB_TEMPORARY
from gridloom.containers.enclosure import TEMPORARY
from gridloom.containers.variables import DIGEST, IMAGE, RUNTIME
from gridloom.results import Image

# Where apptainer keeps an image's labels; `gridloom image build` adds the digest of the image that a SIF or a directory
# was made from, so that all forms of an image have one name.
LABELS = Path("/.singularity.d/labels.json")
LABEL = "org.gridloom.image"


def image(environ: Mapping[str, str] = os.environ, labels: Path = LABELS) -> Image | None:
    """The image around this process; None where there is none."""
    if not environ.get(RUNTIME):
        return None
    digest = environ.get(DIGEST, "") or _labels(labels).get(LABEL, "")
    return Image(name=environ.get(IMAGE, ""), digest=digest, runtime=environ[RUNTIME])


def _labels(path: Path) -> Mapping[str, str]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def empty_temporary(inside: Path = Path(TEMPORARY), outside: Path = Path(JOB_TEMPORARY)) -> None:
    """Remove what was left in a container's /tmp, if that is the folder of the job's own, which outlives it."""
    if not outside.is_dir() or not inside.samefile(outside):
        return
    for path in inside.iterdir():
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
