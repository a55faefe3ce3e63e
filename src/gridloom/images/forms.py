"""The forms of an image for nodes without docker: a SIF file, an unpacked directory."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gridloom.errors import ImageProblem, NotWritable
from gridloom.files import writing
from gridloom.images.build import Built
from gridloom.images.commands import Log, run
from gridloom.images.exported import LABEL, export
from gridloom.images.places import beside, open_to_all, remove

# A SIF compressed by gzip, apptainer's default, pays for it at every start.
_COMPRESSION = ("--mksquashfs-args", "-comp zstd -Xcompression-level 3")
_NO_ZSTD = re.compile(
    r"unknown flag: --mksquashfs-args|compressor \"?zstd|invalid -comp|-Xcompression-level", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """A folder beside the targets, where an image is taken apart; apptainer, where there is one."""

    folder: Path
    log: Log
    apptainer: str = ""

    def save(self, built: Built) -> Path:
        """The image as one file."""
        path = self.folder / "image.tar"
        # Podman would write another kind of archive.
        kind = ("--format", "docker-archive") if Path(built.builder).name == "podman" else ()
        run([built.builder, "save", *kind, "--output", str(path), built.tag], self.log, "the image cannot be saved")
        return path

    def sif(self, built: Built, saved: Path, target: Path) -> None:
        """Make a SIF file of a saved image. Raises ImageProblem, DiskFull, NotWritable."""
        with beside(target) as fresh:
            try:
                self._convert(built, saved, fresh, _COMPRESSION)
            except ImageProblem as problem:
                if not _NO_ZSTD.search(str(problem)):
                    raise
                self.log.say("apptainer or mksquashfs cannot do zstd here: compressing by gzip, which starts slower")
                self._convert(built, saved, fresh, ())

    def directory(self, built: Built, saved: Path, target: Path) -> None:
        """Unpack a saved image. Raises ImageProblem, DiskFull, NotWritable."""
        with beside(target) as fresh:
            self._convert(built, saved, fresh, ("--sandbox", "--fix-perms"))
            open_to_all(fresh)

    def _convert(self, built: Built, saved: Path, fresh: Path, options: tuple[str, ...]) -> None:
        recipe = self.folder / "image.def"
        recipe.write_text(definition(built, saved))
        # On the targets' disk, which was chosen for images; and what is left of a killed build goes with the folder.
        temporary = {} if "APPTAINER_TMPDIR" in os.environ else {"APPTAINER_TMPDIR": str(self.folder)}
        what = "the image cannot be converted"
        run([self.apptainer, "build", *options, str(fresh), str(recipe)], self.log, what, variables=temporary)

    def exported(self, built: Built, target: Path) -> None:
        """Unpack an image without apptainer. Raises ImageProblem, DiskFull, NotWritable."""
        with beside(target) as fresh:
            export(built, fresh, self.log)
            open_to_all(fresh)


def find_apptainer() -> str:
    """The program that makes SIF files, or nothing."""
    return shutil.which("apptainer") or shutil.which("singularity") or ""


def no_apptainer() -> ImageProblem:
    """What is said when a SIF file is asked for without apptainer."""
    return ImageProblem(
        "there is no apptainer to make a SIF file with",
        fix="Install apptainer; or make a directory, `--to directory`, which apptainer runs as well.",
    )


@contextmanager
def workshop(out: Path, log: Log) -> Iterator[Workshop]:
    """A workshop in the folder of the targets. Raises NotWritable."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):
        raise NotWritable("nothing may be written here", where=str(out), fix="Name another folder with `--out`.")
    folder = Path(tempfile.mkdtemp(prefix=".gridloom-image-", dir=out))
    try:
        yield Workshop(folder=folder.resolve(), log=log, apptainer=find_apptainer())
    finally:
        remove(folder)


def definition(built: Built, saved: Path) -> str:
    """Apptainer's definition of the same image, with the digest that all forms share as a label."""
    return f"Bootstrap: docker-archive\nFrom: {saved}\n\n%labels\n    {LABEL} {built.digest}\n"
