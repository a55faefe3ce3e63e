"""One tree of errors: each says what is wrong, where, and what to do next, and has its own exit code.

Errors cross process borders as JSON (`as_json`, `from_json`), never as pickles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

KeyPath = tuple[str | int, ...]


class GridloomError(Exception):
    """What went wrong, where, and what to do next.

    `where` is text for people (a file, an entry, a job); `key` is the place in the analysis file that the error
    belongs to, from which the command line finds file:line:column.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "", key: KeyPath = ()) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix
        self.key = key

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.fix}" if self.fix else head

    def at(self, where: str) -> GridloomError:
        """The same error with the place it was found at."""
        return type(self)(self.what, where=where, fix=self.fix, key=self.key)

    def as_json(self) -> dict[str, object]:
        return {
            "kind": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
            "key": list(self.key),
        }


# --- the analysis file ------------------------------------------------------------------------------------------
class AnalysisSyntaxError(GridloomError):
    """The analysis file cannot be read as YAML."""

    exit_code = 10


class UnknownKey(GridloomError):
    exit_code = 11


class InvalidValue(GridloomError):
    """A value of the wrong type or outside its range."""

    exit_code = 12


class DoubleNormalisation(GridloomError):
    exit_code = 13


class InvalidExpression(GridloomError):
    exit_code = 14


# --- input files ------------------------------------------------------------------------------------------------
class NoFiles(GridloomError):
    """A file does not exist, or a glob matches nothing."""

    exit_code = 20


class DamagedFile(GridloomError):
    exit_code = 21


class MissingTree(GridloomError):
    exit_code = 22


class EmptyTree(GridloomError):
    exit_code = 23


class MissingBranch(GridloomError):
    exit_code = 24


class BranchType(GridloomError):
    """A branch holds another type than its use needs."""

    exit_code = 25


# --- events -----------------------------------------------------------------------------------------------------
class UndeclaredMissing(GridloomError):
    """NaN or infinity in a column that declares no missing values."""

    exit_code = 30


class BadWeights(GridloomError):
    """The weights of a class sum to zero or less."""

    exit_code = 31


class EmptyClass(GridloomError):
    exit_code = 32


class EmptyFold(GridloomError):
    exit_code = 33


class DuplicateEvents(GridloomError):
    exit_code = 34


class AmbiguousClass(GridloomError):
    """An event belongs to no class or to more than one."""

    exit_code = 35


class DoesNotFit(GridloomError):
    """A value has no place in the type that prepared events are stored in."""

    exit_code = 36


# --- models and training ----------------------------------------------------------------------------------------
class UserModelError(GridloomError):
    """The user's own model cannot be imported or built."""

    exit_code = 40


class OutputShape(GridloomError):
    exit_code = 41


class LossNotFinite(GridloomError):
    exit_code = 42


class ExportMismatch(GridloomError):
    """An exported file does not say what the trained model says."""

    exit_code = 43


class UnsupportedLayer(GridloomError):
    """A layer that an export's format cannot take."""

    exit_code = 44


# --- running ----------------------------------------------------------------------------------------------------
class DiskFull(GridloomError):
    exit_code = 50


class DamagedResult(GridloomError):
    """A stored result does not agree with its own digests."""

    exit_code = 51


class TaskFailed(GridloomError):
    """A task ended without a valid result and without an error of its own."""

    exit_code = 52


class RunLocked(GridloomError):
    """Another driver holds the run."""

    exit_code = 53


class NotFound(GridloomError):
    """No such run, result or file of Gridloom's own."""

    exit_code = 54


class EnvironmentProblem(GridloomError):
    """A library is missing or unusable on this machine."""

    exit_code = 55


class NotWritable(GridloomError):
    """A folder or file that Gridloom should write may not be written, or something else has its place."""

    exit_code = 56


class EngineUnavailable(GridloomError):
    """An engine gives no answer now: no statement about any job."""

    exit_code = 57


class SiteProblem(GridloomError):
    """A site is not known, or cannot do what was asked of it."""

    exit_code = 58


class SubmissionRefused(GridloomError):
    """The batch system took the request and said no: a wrong partition, account or limit."""

    exit_code = 59


class NodeProblem(GridloomError):
    """A worker node cannot do the task; another one may."""

    exit_code = 60


class ImageProblem(GridloomError):
    """A container image or runtime is missing, cannot be read, or does not fit; or an image cannot be built."""

    exit_code = 61


class Interrupted(GridloomError):
    """Stopped on request after saving; running again goes on from there."""

    exit_code = 130


class Problems(GridloomError):
    """Several errors reported at once; the exit code is that of the first."""

    def __init__(self, errors: Iterable[GridloomError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))
        # One exit code per kind: with several errors the first decides.
        self.exit_code = self.errors[0].exit_code  # type: ignore[misc]


def merged(errors: Iterable[GridloomError], others: str) -> tuple[GridloomError, ...]:
    """The same error found at several places as one, which names the first place and counts the `others` (a noun)."""
    groups: dict[tuple[type[GridloomError], str, KeyPath], list[GridloomError]] = {}
    for error in errors:
        groups.setdefault((type(error), error.what, error.key), []).append(error)
    return tuple(_merge(group, others) for group in groups.values())


def _merge(group: list[GridloomError], others: str) -> GridloomError:
    first = group[0]
    number = len({error.where for error in group} - {first.where})
    if not number:
        return first
    return first.at(f"{first.where} (and {number} more {others}{'s' * (number > 1)})")


KINDS: dict[str, type[GridloomError]] = {
    kind.__name__: kind
    for kind in (
        GridloomError,
        AnalysisSyntaxError,
        UnknownKey,
        InvalidValue,
        DoubleNormalisation,
        InvalidExpression,
        NoFiles,
        DamagedFile,
        MissingTree,
        EmptyTree,
        MissingBranch,
        BranchType,
        UndeclaredMissing,
        BadWeights,
        EmptyClass,
        EmptyFold,
        DuplicateEvents,
        AmbiguousClass,
        DoesNotFit,
        UserModelError,
        OutputShape,
        LossNotFinite,
        ExportMismatch,
        UnsupportedLayer,
        DiskFull,
        DamagedResult,
        TaskFailed,
        RunLocked,
        NotFound,
        EnvironmentProblem,
        NotWritable,
        EngineUnavailable,
        SiteProblem,
        SubmissionRefused,
        NodeProblem,
        ImageProblem,
        Interrupted,
    )
}


def from_json(data: dict[str, object]) -> GridloomError:
    """The error that `as_json` described; an unknown kind becomes a plain GridloomError."""
    kind = KINDS.get(str(data.get("kind")), GridloomError)
    key = data.get("key")
    return kind(
        str(data.get("what", "")),
        where=str(data.get("where", "")),
        fix=str(data.get("fix", "")),
        key=tuple(key) if isinstance(key, list) else (),
    )
