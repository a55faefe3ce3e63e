"""`gridloom new`: a commented analysis file from what ROOT files hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from gridloom.analysis.load import load_text
from gridloom.analysis.write import FileInfo, scaffold
from gridloom.cli.console import output, shown_path
from gridloom.cli.options import RUNS, settings
from gridloom.driver.session import session
from gridloom.errors import InvalidValue, NoFiles
from gridloom.files import write_text


def new(
    files: Annotated[list[str], typer.Argument(metavar="FILE.root...", help="One or more ROOT files.")],
    target: Annotated[Path, typer.Option("--output", "-o", help="The analysis file to write.")] = Path("analysis.yaml"),
) -> None:
    """Write a commented analysis file from the branches of ROOT files."""
    if target.exists():
        raise InvalidValue(
            "the file exists already", where=str(target), fix="Give another name with -o, or remove it first."
        )
    paths = [_as_written(file, target) for file in files]
    with session(settings(RUNS, jobs=1)) as here:
        answer = here.engine.ask("describe", {"files": list(files)})
    found = TypeAdapter(list[FileInfo]).validate_python(answer)
    named = [FileInfo(path=path, trees=info.trees) for path, info in zip(paths, found, strict=True)]
    name = target.stem
    text = scaffold(named, name=name)
    load_text(text, target)  # what we write can be read
    write_text(target, text)
    console = output()
    console.print(f"{shown_path(target)} is written. Read the lines marked CHECK, then:", markup=False)
    console.print(f"  gridloom check {target}\n  gridloom run {target}", markup=False)


def _as_written(file: str, target: Path) -> str:
    """A file as the analysis file names it: relative to itself."""
    if "://" in file:
        return file
    path = Path(file)
    if not path.is_file():
        raise NoFiles("no such file", where=file, fix="Give the path of a ROOT file.")
    return file if path.is_absolute() else os.path.relpath(path.resolve(), target.resolve().parent)
