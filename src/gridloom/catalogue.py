"""What the input files hold: the result of a scan, from which a plan is made."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gridloom.task import InputFile


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LostFile(_Data):
    """A file that could not be read and was skipped, as the analysis file allows."""

    path: str
    reason: str


class SampleFiles(_Data):
    """The files of one sample in sorted order: those that can be read, and those that were skipped."""

    files: tuple[InputFile, ...]
    lost: tuple[LostFile, ...] = ()

    @property
    def entries(self) -> int:
        return sum(file.entries for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all readable files, without friends."""
        return sum(file.size for file in self.files)


class Catalogue(_Data):
    """The files of every sample of an analysis, in the order of the analysis file."""

    samples: dict[str, SampleFiles]
