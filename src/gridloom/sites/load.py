"""Load sites from the files that name them: every error of all files at once, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from gridloom.analysis.problems import nearest, problems_of
from gridloom.analysis.repair import without_consequences
from gridloom.analysis.syntax import Position, decoded, place_of, placed_problems, read_document
from gridloom.errors import AnalysisSyntaxError, GridloomError, KeyPath, Problems, SiteProblem
from gridloom.sites.models import Site, SitesFile
from gridloom.sites.schema import expanded_schema

NAME = "sites.yaml"
VARIABLE = "GRIDLOOM_SITES"
BUILT_IN = {"local": Site(engine="local")}
_EXAMPLE = "gridloom: 1\nsites:\n  cluster: {engine: slurm, options: {partition: short}}"


@dataclass(frozen=True, kw_only=True)
class LoadedSite:
    """A site with the file it came from and the place of each of its keys; a built-in one has no file."""

    name: str
    site: Site
    path: Path | None = None
    places: Mapping[KeyPath, Position] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return "built in" if self.path is None else str(self.path)

    def locate(self, key: KeyPath = ()) -> str:
        """`file:line:column` of a key of the site, or of the nearest part around it that the file has."""
        if self.path is None:
            return f"site `{self.name}` (built in)"
        return place_of(self.path, self.places, ("sites", self.name, *key))

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Give errors about a key of the site, such as an option of its engine, their file:line:column."""
        try:
            yield
        except Problems as problems:
            raise Problems(self._place(error) for error in problems.errors) from problems
        except GridloomError as error:
            raise self._place(error) from error

    def _place(self, error: GridloomError) -> GridloomError:
        return error.at(self.locate(error.key)) if error.key or not error.where else error


@dataclass(frozen=True, kw_only=True)
class Sites:
    """All sites that are known, and the files that were looked for."""

    known: Mapping[str, LoadedSite]
    files: tuple[Path, ...]

    def find(self, name: str) -> LoadedSite:
        """A site by its name. Raises SiteProblem, which names the nearest one, or says how to describe the first."""
        if name in self.known:
            return self.known[name]
        near = nearest(name, self.known)
        guess = f"Did you mean `{near}`? " if near else ""
        raise SiteProblem(f"no site `{name}`", fix=guess + self._known_ones())

    def _known_ones(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.known)
        if any(site.path is not None for site in self.known.values()):
            return f"Known sites: {names}. `gridloom site list` says where each is described."
        looked_for = " or ".join(str(path) for path in self.files)
        return f"Known sites: {names}. Describe others in {looked_for}, as in:\n{_EXAMPLE}"


def site_files(project_folder: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where sites may be described, the first in rank first: $GRIDLOOM_SITES names one; the project's; the user's.

    The project's stands beside the analysis file (`project_folder`), else in the current folder. Raises SiteProblem
    when $GRIDLOOM_SITES names no file.
    """
    named = environ.get(VARIABLE, "")
    explicit = [_named_file(named)] if named else []
    here = Path(NAME)
    beside = here if project_folder is None else project_folder / NAME
    project = [beside] if beside.is_file() or beside.resolve() == here.resolve() else [beside, here]
    return (*explicit, *project, _users_file(environ))


def _named_file(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise SiteProblem(
        f"no such file, but ${VARIABLE} names it",
        where=str(path),
        fix=f"Correct ${VARIABLE}, or unset it: then {NAME} beside the analysis file and the user's count.",
    )


def _users_file(environ: Mapping[str, str]) -> Path:
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():  # the specification wants others to be ignored
        folder = Path(environ.get("HOME") or Path.home()) / ".config"
    return folder / "gridloom" / NAME


def load_sites(files: Sequence[Path]) -> Sites:
    """The sites of some files, those of a first one before those of a second; files that do not exist are passed over.

    Raises the error there is, or Problems with all errors of all files.
    """
    known: dict[str, LoadedSite] = {}
    errors: list[GridloomError] = []
    for path in files:
        try:
            found = _load_file(path)
        except Problems as problems:
            errors += problems.errors
        except (AnalysisSyntaxError, SiteProblem) as error:
            errors.append(error)
        else:
            known = {**found, **known}
    if errors:
        raise errors[0] if len(errors) == 1 else Problems(errors)
    built_in = {name: LoadedSite(name=name, site=site) for name, site in BUILT_IN.items()}
    return Sites(known={**built_in, **known}, files=tuple(files))


def _load_file(path: Path) -> dict[str, LoadedSite]:
    content = _read(path)
    return {} if content is None else load_text(decoded(content, path), path)


def load_text(text: str, path: Path) -> dict[str, LoadedSite]:
    """The sites of one file's text; `path` is for the messages. Raises as `load_sites` does."""
    try:
        document = read_document(text, name="the file of sites", begin=f"Write it as in:\n{_EXAMPLE}")
    except AnalysisSyntaxError as error:
        raise error.at(f"{path}:{error.where}") from error
    try:
        content = SitesFile.model_validate(document.values)
    except ValidationError as error:
        unreadable = tuple(problem.key for _, problem in document.problems if problem.key)
        found = without_consequences(problems_of(error, document.values, expanded_schema()), unreadable)
        raise placed_problems(document, found, path) from error
    if document.problems:
        raise placed_problems(document, (), path)
    return {
        name: LoadedSite(name=name, site=site, path=path, places=document.places)
        for name, site in content.sites.items()
    }


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SiteProblem(
            f"cannot be read: {error.strerror}", where=str(path), fix="Make it a readable file, or remove it."
        ) from error
