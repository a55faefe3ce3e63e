"""An image unpacked without apptainer: what docker exports, and beside it what apptainer reads of an image."""

from __future__ import annotations

import json
import shlex
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gridloom.errors import ImageProblem
from gridloom.files import writing
from gridloom.images.build import Built
from gridloom.images.commands import Log, answer, end
from gridloom.images.failures import explain
from gridloom.images.places import LABELS

# The label by which a SIF file or a directory says which image it was made from (see `gridloom.worker.inside`).
LABEL = "org.gridloom.image"
_VARIABLES = Path(".singularity.d", "env", "10-docker2singularity.sh")


def export(built: Built, folder: Path, log: Log) -> None:
    """Unpack an image into a new folder. Raises ImageProblem, DiskFull, NotWritable."""
    if not hasattr(tarfile, "tar_filter"):
        raise ImageProblem(
            "this Python cannot unpack archives safely", fix="Use Python 3.11.4 or newer, or install apptainer."
        )
    with writing(folder):
        folder.mkdir()
        with _archive(built, log) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            unpack(archive, folder)
        (folder / _VARIABLES).parent.mkdir(parents=True)
        (folder / _VARIABLES).write_text(exports(_of(built, "Env") or ()))
        (folder / LABELS).write_text(json.dumps({**dict(_of(built, "Labels") or {}), LABEL: built.digest}) + "\n")


def exports(variables: Iterable[str]) -> str:
    """Shell that sets an image's variables, as apptainer reads it."""
    pairs = [text.partition("=") for text in variables]
    return "#!/bin/sh\n" + "".join(f"export {name}={shlex.quote(value)}\n" for name, _, value in pairs)


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack all but devices; nothing gets outside of the folder. Raises tarfile.TarError."""
    for member in archive:
        if not member.isdev():
            archive.extract(member, folder, filter="tar")


def _of(built: Built, field: str) -> Any:
    told = answer([built.builder, "image", "inspect", "--format", f"{{{{json .Config.{field}}}}}", built.tag])
    return json.loads(told)


@contextmanager
def _archive(built: Built, log: Log) -> Iterator[IO[bytes]]:
    """The file system of an image as a stream of tar."""
    container = answer([built.builder, "create", built.tag])
    try:
        with (
            log.path.open("ab") as words,
            subprocess.Popen([built.builder, "export", container], stdout=subprocess.PIPE, stderr=words) as process,
        ):
            assert process.stdout is not None
            try:
                yield process.stdout
            except BaseException:
                end(process)
                raise
        if process.returncode:
            raise explain("the image cannot be exported", log.path.read_text(errors="replace"), log.path)
    except tarfile.TarError as error:
        raise ImageProblem(f"the image cannot be exported: {error}", where=str(log.path)) from error
    finally:
        subprocess.run([built.builder, "rm", container], capture_output=True, check=False)
