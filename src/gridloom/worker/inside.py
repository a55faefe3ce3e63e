"""The image that this process runs in, as whoever started it says, and as the image itself says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from gridloom.assignment import JOB_TEMPORARY
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


def empty_temporary(folder: Path = Path(JOB_TEMPORARY), mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Remove what was left in a container's /tmp: the folder beside the job that lies there, and outlives it.

    It is never entered by way of /tmp, where folders that the container was shown, such as the store, may be mounted;
    should any mount be seen in it, everything stays.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    whole = str(folder.resolve())
    # The fifth field is the place of a mount; blanks and the like in it are escaped by three octal digits.
    places = (line.split()[4].encode().decode("unicode_escape") for line in mounts.read_text().splitlines())
    if any(place == whole or place.startswith(f"{whole}/") for place in places):
        return
    shutil.rmtree(folder, ignore_errors=True)
