"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gridloom.driver.runs import Runs
from gridloom.driver.settings import PRELOAD, Settings, image_named
from gridloom.errors import InvalidValue
from gridloom.exporting import FORMATS, FormatName
from gridloom.sites.load import LoadedSite

# Whether it can be read is for the loader to say, with an exit code of its own.
AnalysisFile = Annotated[
    Path, typer.Argument(metavar="ANALYSIS.yaml", help="The analysis file.", show_default=False, readable=False)
]
RunName = Annotated[
    str | None,
    typer.Argument(metavar="[RUN]", help="A run's folder or the beginning of its name; default: the newest."),
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=0, help="Tasks at a time; 0: as many as there are cores.", show_default=True)
]
RunsFolder = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help="Folder of runs and results.", envvar="GRIDLOOM_RUNS")
]
SiteName = Annotated[
    str, typer.Option("--site", metavar="NAME", help="Do the tasks as jobs of this site (`gridloom site list`).")
]
# Other kinds of tasks than the built-in ones, as `module:DICT`: for tests and plug-in authors.
Kinds = Annotated[str, typer.Option("--kinds", metavar="MODULE:DICT", hidden=True)]

ImageName = Annotated[
    str,
    typer.Option(
        "--image",
        metavar="IMAGE",
        help="Run the tasks in this image: a SIF file, a directory, or a name that docker or podman knows.",
    ),
]
ContainerRuntime = Annotated[
    Literal["", "auto", "apptainer", "podman", "docker", "none"],
    typer.Option("--container", metavar="RUNTIME", help="auto, apptainer, podman, docker, or none: without any."),
]

RUNS = Path("runs")


def format_named(name: str) -> FormatName:
    """A format of exports. Raises InvalidValue."""
    for known in FORMATS:
        if name == known:
            return known
    raise InvalidValue(f"there is no format `{name}`", fix=f"Formats: {', '.join(FORMATS)}.")


def settings(
    runs: Path, jobs: int = 0, kinds: str = "", site: LoadedSite | None = None, image: str = "", container: str = ""
) -> Settings:
    return Settings(
        runs=Runs(runs),
        jobs=jobs,
        kinds=kinds,
        preload=() if kinds else PRELOAD,
        site=site,
        image=str(image_named(image)) if image else "",
        container=container,
    ).checked()
