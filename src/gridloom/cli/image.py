"""`gridloom image`: build the container image that carries Gridloom to worker nodes, and try one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from gridloom.analysis.load import LoadedAnalysis, load_analysis
from gridloom.cli.console import new_table, note, output, shown_path, size_text
from gridloom.driver.session import placed
from gridloom.driver.settings import image_named
from gridloom.errors import ImageProblem
from gridloom.images import build as building
from gridloom.images import context as contexts
from gridloom.images.check import Trial
from gridloom.images.check import check as check_image
from gridloom.images.commands import Log, log_file
from gridloom.images.forms import find_apptainer, no_apptainer, workshop
from gridloom.images.places import check_target, size_of

image = typer.Typer(
    help="Container images: Gridloom and its libraries, for nodes that have neither.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_DIGITS = 12


class Form(StrEnum):
    DOCKER = "docker"
    SIF = "sif"
    DIRECTORY = "directory"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A form of an image that is there: how a runtime is told of it, and the runtime that tries it."""

    form: str
    image: str
    size: int
    runtime: str


@image.command()
def build(
    analysis_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ANALYSIS.yaml]", help="An analysis: its `packages` come into the image.", show_default=False
        ),
    ] = None,
    to: Annotated[
        list[Form] | None,
        typer.Option("--to", help="Form to make, once for each: `sif` and `directory` are for apptainer."),
    ] = None,
    variant: Annotated[Literal["cpu", "cuda"], typer.Option("--variant", help="TensorFlow for CPUs or GPUs.")] = "cpu",
    tag: Annotated[str, typer.Option("--tag", metavar="NAME:TAG", help="Name of the image.", show_default=False)] = "",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of SIF and directory.")] = Path("images"),
    platform: Annotated[str, typer.Option("--platform", metavar="OS/ARCH", help="Such as linux/arm64.")] = "",
    builder: Annotated[Literal["auto", "docker", "podman"], typer.Option("--builder", help="What builds.")] = "auto",
    base: Annotated[str, typer.Option("--base", metavar="IMAGE", help="Another base, of Debian's kind.")] = "",
    check: Annotated[bool, typer.Option("--check/--no-check", help="Try each form by a small run in it.")] = True,
) -> None:
    """Build the image, in the forms that sites use, and try each of them."""
    forms = tuple(dict.fromkeys(to or [Form.DOCKER]))
    loaded = load_analysis(analysis_file) if analysis_file is not None else None
    recipe = _recipe(loaded, tag, variant, platform, base)
    targets = _targets(recipe.tag, forms, out)
    program = building.find_builder(builder)
    with log_file(_say) as log:
        built = _build(recipe, program, loaded, log)
        made = (_in_builder(built), *_files(built, targets, out, log))
    wanted = tuple(one for one in made if one.form in forms)
    trials = {one.image: _tried(one.image, one.runtime) for one in wanted if check and _can_be_tried(one)}
    _show(built, wanted, trials)
    _agree(trials.values())
    _show_next(wanted)


def _recipe(loaded: LoadedAnalysis | None, tag: str, variant: str, platform: str, base: str) -> building.Recipe:
    packages = loaded.analysis.packages if loaded is not None else ()
    name = loaded.analysis.name if loaded is not None and packages else ""
    return building.Recipe(
        tag=tag or building.default_tag(variant, name),
        variant=variant,
        packages=packages,
        platform=platform,
        base=base,
    )


def _targets(tag: str, forms: tuple[Form, ...], out: Path) -> dict[Form, Path]:
    """Where files go. Raises what can be known before minutes are spent."""
    if Form.SIF in forms and not find_apptainer():
        raise no_apptainer()
    name = tag.rpartition("/")[2].replace(":", "-")
    places = {Form.SIF: out / f"{name}.sif", Form.DIRECTORY: out / name}
    targets = {form: path.absolute() for form, path in places.items() if form in forms}
    for target in targets.values():
        check_target(target)
    if targets:
        with log_file(_say) as log, workshop(out, log):
            pass
    return targets


def _build(recipe: building.Recipe, program: str, loaded: LoadedAnalysis | None, log: Log) -> building.Built:
    _say(f"building {recipe.tag} with {program}")
    clock = time.perf_counter()
    if loaded is None:
        built = building.build(recipe, program, log)
    else:
        with placed(loaded):
            built = building.build(recipe, program, log)
    _say(f"built in {time.perf_counter() - clock:.0f} s")
    return built


def _in_builder(built: building.Built) -> Made:
    return Made(form=Form.DOCKER, image=built.tag, size=built.size, runtime=Path(built.builder).name)


def _files(built: building.Built, targets: dict[Form, Path], out: Path, log: Log) -> Iterable[Made]:
    if not targets:
        return
    with workshop(out, log) as shop:
        saved = shop.save(built) if shop.apptainer else None
        for form, target in targets.items():
            clock = time.perf_counter()
            if saved is None:
                _say(f"unpacking {shown_path(target)} from what {Path(built.builder).name} exports: no apptainer here")
                shop.exported(built, target)
            else:
                _say(f"making {shown_path(target)} with {shop.apptainer}")
                (shop.sif if form is Form.SIF else shop.directory)(built, saved, target)
            _say(f"made in {time.perf_counter() - clock:.0f} s")
            yield Made(form=form, image=str(target), size=size_of(target), runtime="apptainer")


def _can_be_tried(made: Made) -> bool:
    return made.form == Form.DOCKER or bool(find_apptainer())


def _tried(name: str, runtime: str) -> Trial:
    _say(f"trying {name} by a small run in it")
    return check_image(image_named(name), runtime)


def _agree(trials: Iterable[Trial]) -> None:
    if len({trial.digest for trial in trials}) > 1:
        raise ImageProblem(
            "the forms of the image did not train the same networks", fix="Build it anew; if that helps not, report it."
        )


# --- what is shown ----------------------------------------------------------------------------------------------------
def _say(text: str) -> None:
    note(text, style="dim")


def _table(*first: str) -> Table:
    table = new_table(*first)
    for heading in ("start", "run", "AUC"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("networks", no_wrap=True)
    return table


def _cells(trial: Trial) -> tuple[str, ...]:
    return f"{trial.start:.1f} s", f"{trial.seconds:.0f} s", f"{trial.auc:.4f}", trial.digest[:_DIGITS]


def _show(built: building.Built, made: Iterable[Made], trials: Mapping[str, Trial]) -> None:
    table = _table("form", "size", "image")
    for one in made:
        cells = _cells(trials[one.image]) if one.image in trials else ("", "not tried", "", "")
        table.add_row(*(Text(cell) for cell in (one.form, size_text(one.size), one.image, *cells)))
    console = output()
    console.print(table)
    console.print(f"layers: {', '.join(f'{name} {size_text(size)}' for name, size in built.layers)}", markup=False)
    console.print(f"digest of the image, whatever its form: {built.digest}", markup=False)


def _show_next(made: Iterable[Made]) -> None:
    images = ", ".join(one.image for one in reversed(tuple(made)))
    output().print(f"In sites.yaml a site runs in it by `container: {{image: [{images}]}}`.", markup=False)


# --- trying, and building elsewhere -----------------------------------------------------------------------------------
@image.command()
def check(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="SIF files, directories, or names that docker or podman knows."),
    ],
    container: Annotated[
        Literal["auto", "apptainer", "podman", "docker"], typer.Option("--container", help="What runs them.")
    ] = "auto",
) -> None:
    """Try images by a small run in each: without network, with nothing but a folder of its own to write to."""
    trials = [_tried(name, container) for name in images]
    table = _table("image", "runtime", "architecture")
    for name, trial in zip(images, trials, strict=True):
        table.add_row(*(Text(cell) for cell in (name, trial.runtime, trial.architecture, *_cells(trial))))
    output().print(table)


@image.command()
def context(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.", show_default=False)],
    analysis_file: Annotated[
        Path | None,
        typer.Argument(metavar="[ANALYSIS.yaml]", help="An analysis: its `packages` come into the image."),
    ] = None,
) -> None:
    """Write what the image is built from, for a machine that has docker or podman."""
    packages = load_analysis(analysis_file).analysis.packages if analysis_file is not None else ()
    files = contexts.context(packages)
    contexts.write_context(files, folder)
    output().print(
        f"{len(files)} files in {shown_path(folder)}. Where docker or podman is: docker build -t "
        f"{building.default_tag('cpu')} {shown_path(folder)}",
        markup=False,
    )
