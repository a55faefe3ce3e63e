"""How runs are done, and how it is written down in a run's folder, so that `resume` does it the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.driver.runs import Runs
from gridloom.engines.registry import engine_kind, read_options
from gridloom.errors import DamagedResult, ImageProblem, SiteProblem
from gridloom.files import write_text
from gridloom.journal import JOURNAL, history, read_journal
from gridloom.sites.load import LoadedSite, load_sites, site_files
from gridloom.sites.models import Container

FILE = "how.json"

# Imported by workers that wait for the first training, while another one scans and reads.
PRELOAD = ("gridloom.training.train",)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How runs are done: here, or as jobs of a `site`."""

    runs: Runs
    jobs: int = 0
    kinds: str = ""
    preload: tuple[str, ...] = PRELOAD
    site: LoadedSite | None = None
    image: str = ""
    container: str = ""  # a runtime's name, `auto` or `none`; "" is what the site says

    @property
    def here(self) -> bool:
        """Whether tasks run in processes of this one."""
        return self.site is None or self.site.site.engine == "local"

    @property
    def enclosed(self) -> Container | None:
        """The container that tasks run in: as the site says, but for what was asked for.

        Raises ImageProblem when a runtime was asked for without any image.
        """
        container = self.site.site.container if self.site is not None else None
        if self.container == "none":
            return None
        changes: dict[str, object] = {"image": (image_named(self.image),)} if self.image else {}
        if self.container:
            changes["runtime"] = self.container
        if container is not None:
            return container.model_copy(update=changes)
        if not self.image and self.container:
            raise ImageProblem(
                "there is no image to run in",
                fix="Name one by `--image`: a SIF file, a directory, or a name that docker or podman knows. "
                "`gridloom image build` makes one.",
            )
        return Container.model_validate(changes) if self.image else None

    def checked(self) -> Settings:
        """With the site's own number of jobs here, or `jobs` as the limit there.

        Raises SiteProblem for a site on this machine that asks for what only a batch system gives.
        """
        if self.site is None:
            return self
        site = self.site.site
        if not self.here and self.enclosed != site.container:
            changed = site.model_copy(update={"container": self.enclosed})
            return replace(self, site=replace(self.site, site=changed)).checked()
        if not self.here:
            with self.site.placed():
                read_options(site, engine_kind(site.engine))  # before any file is looked at
            limits = site.limits.model_copy(update={"jobs": self.jobs}) if self.jobs else site.limits
            return replace(self, site=replace(self.site, site=site.model_copy(update={"limits": limits})))
        ignored = site.model_fields_set - {"engine", "options", "container"}
        if ignored:
            raise SiteProblem(
                f"the engine `local` runs tasks in this environment, whatever `{min(ignored)}` says",
                where=self.site.locate((min(ignored),)),
                fix="Leave it out of the site, or choose another engine.",
            )
        with self.site.placed():
            options = read_options(site, engine_kind(site.engine)).model_dump()
        return replace(self, jobs=self.jobs or int(options["jobs"]))


def image_named(text: str) -> str:
    """An image as it was named on the command line: files by their whole path."""
    path = Path(text).expanduser()
    if "://" in text or not (path.exists() or text.startswith((".", "~", "/")) or text.endswith(".sif")):
        return text
    return str(path.absolute())


class How(BaseModel):
    """Content of how.json: where the run was driven last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str = ""
    site_file: str = ""
    jobs: int = 0
    kinds: str = ""
    image: str = ""
    container: str = ""


def write_how(folder: Path, settings: Settings) -> None:
    """Write down how a run is done."""
    how = How(
        site=_name(settings),
        site_file=str(settings.site.path.absolute()) if settings.site is not None and settings.site.path else "",
        jobs=settings.jobs,
        kinds=settings.kinds,
        image=settings.image,
        container=settings.container,
    )
    write_text(folder / FILE, how.model_dump_json(indent=1) + "\n")


def read_how(folder: Path) -> How:
    """How a run was done last. Raises DamagedResult."""
    try:
        return How.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return How()
    except (OSError, ValidationError) as error:
        raise DamagedResult(
            "how the run is done cannot be read", where=str(folder / FILE), fix="Use `gridloom run` with its options."
        ) from error


def settings_of(how: How, runs: Runs, analysis_file: Path, environ: Mapping[str, str]) -> Settings:
    """The settings that were written down; the site as its file describes it now."""
    site = find_site(how.site, analysis_file.parent, environ, first=how.site_file) if how.site else None
    preload = () if how.kinds else PRELOAD
    return Settings(
        runs=runs,
        jobs=how.jobs,
        kinds=how.kinds,
        preload=preload,
        site=site,
        image=how.image,
        container=how.container,
    ).checked()


def find_site(name: str, project: Path, environ: Mapping[str, str], *, first: str = "") -> LoadedSite:
    """A site by its name, in the file `first` or where sites are described.

    Raises SiteProblem, and Problems with all errors of the files of sites.
    """
    files = (*([Path(first)] if first else []), *site_files(project, environ))
    return load_sites(files).find(name)


def check_place(folder: Path, settings: Settings) -> None:
    """Raise SiteProblem if jobs of the run are at another site: it can be done at one place at a time."""
    before = read_how(folder).site
    if not before or before == _name(settings):
        return
    states = history(read_journal(folder / JOURNAL)).tasks.values()
    out = sum(record.state == "submitted" for record in states)
    if out:
        raise SiteProblem(
            f"{out} jobs of the run are at site `{before}`",
            where=str(folder),
            fix=f"`gridloom resume {folder.name}` goes on there; `gridloom cancel {folder.name}` ends them first.",
        )


def _name(settings: Settings) -> str:
    return settings.site.name if settings.site is not None and not settings.here else ""
