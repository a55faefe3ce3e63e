"""How runs are done, and how it is written down in a run's folder, so that `resume` does it the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.driver.runs import Runs
from gridloom.errors import DamagedResult
from gridloom.files import write_text
from gridloom.sites.load import LoadedSite, load_sites, site_files

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

    @property
    def here(self) -> bool:
        """Whether tasks run in processes of this one."""
        return self.site is None or self.site.site.engine == "local"


class How(BaseModel):
    """Content of how.json: where the run was driven last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str = ""
    jobs: int = 0
    kinds: str = ""
    runs: str = ""


def write_how(folder: Path, settings: Settings) -> None:
    """Write down how a run is done."""
    how = How(
        site=settings.site.name if settings.site is not None else "",
        jobs=settings.jobs,
        kinds=settings.kinds,
        runs=str(settings.runs.root.resolve()),
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
    site = find_site(how.site, analysis_file.parent, environ) if how.site else None
    preload = () if how.kinds else PRELOAD
    return Settings(runs=runs, jobs=how.jobs, kinds=how.kinds, preload=preload, site=site)


def find_site(name: str, project: Path, environ: Mapping[str, str]) -> LoadedSite:
    """A site by its name. Raises SiteProblem, and Problems with all errors of the files of sites."""
    return load_sites(site_files(project, environ)).find(name)
