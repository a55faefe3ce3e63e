"""A program that answers as docker does, for what stands around it; what docker itself does is tested with docker.

What it is to answer lies in a folder; every command line is kept there in `asked`.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

HISTORY = (
    "3900000\tCOPY application\n100\tCOPY packages\n454000000\tCOPY libraries\n771000000\tCOPY tensorflow\n129000000\t"
)


def install(programs: Path, folder: Path) -> None:
    """Put it into a folder of programs as `docker`."""
    (programs / "docker").write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__)} {folder} "$@"\n')
    (programs / "docker").chmod(0o755)


def main(folder: Path, words: list[str]) -> int:
    """Do what is asked for."""
    with (folder / "asked").open("a") as asked:
        asked.write(json.dumps(words) + "\n")
    verb = words[0]
    if verb == "build":
        Path(words[words.index("--iidfile") + 1]).write_text("sha256:" + "ab" * 32)
        sys.stdout.write("#5 [system 2/2] RUN apt-get update && apt-get install\n")
        names = [path.relative_to(words[-1]).as_posix() for path in Path(words[-1]).rglob("*") if path.is_file()]
        (folder / "context").write_text("\n".join(sorted(names)))
        packages = Path(words[-1], "requirements", "image-packages.txt").read_text()
        (folder / "packages").write_text(packages)
    elif verb == "history":
        sys.stdout.write(HISTORY)
    elif verb == "image":
        told = {"{{.Id}}": "sha256:" + "ab" * 32, "{{json .Config.Env}}": '["PATH=/opt/gridloom/bin"]'}
        sys.stdout.write(told.get(words[words.index("--format") + 1], '{"org.gridloom.variant": "cpu"}'))
    elif verb == "create":
        sys.stdout.write("c0ffee\n")
    elif verb == "export":
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
            info = tarfile.TarInfo("opt/gridloom/file")
            info.size = 5
            archive.addfile(info, io.BytesIO(b"hello"))
    elif verb == "run":
        answer = json.loads((folder / "answer").read_text())
        sys.stderr.write(answer.get("error", ""))
        sys.stdout.write("a warning\n" + json.dumps(answer["trial"]) + "\n" if "trial" in answer else "")
        return int("error" in answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
