"""The one seam to HTCondor: every call to the bindings, and what their errors mean."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.errors import EngineUnavailable, SiteProblem, SubmissionRefused

_MOST = 500  # ids in one call
_NO_ANSWER = ("connect", "locate", "timed out", "timeout", "communicat", "authenticat", "end of", "closed", "reset")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Schedd:
    """A schedd by its options; each call finds it anew, since it may come back at another address."""

    options: HTCondorOptions

    def __post_init__(self) -> None:
        self._library()

    def submit(self, text: str) -> int:
        """Submit a description; its cluster. Raises EngineUnavailable, SubmissionRefused."""
        library = self._library()
        schedd = self._ask("submit", self._schedd)
        try:
            return int(schedd.submit(library.Submit(text)).cluster())
        except library.HTCondorException as error:
            words = _words(error)
            if any(word in words.lower() for word in _NO_ANSWER):
                raise EngineUnavailable(f"the schedd did not answer a submission: {words}") from error
            raise SubmissionRefused(
                f"HTCondor refused the jobs: {words}", fix="Correct the site's options, or ask the pool's admin."
            ) from error

    def query(self, constraint: str, attributes: Sequence[str], *, clusters: bool = False) -> list[dict[str, Any]]:
        """Jobs in the queue (with `clusters` the clusters, too, whose jobs are still to be made)."""
        library = self._library()
        how = library.QueryOpt.IncludeClusterAd if clusters else library.QueryOpt.Default
        found = self._ask("query", lambda: self._schedd().query(constraint, list(attributes), opts=how))
        return [{name: ad[name] for name in attributes if name in ad} for ad in found]

    def history(self, constraint: str, attributes: Sequence[str], *, at_most: int) -> list[dict[str, Any]]:
        """Jobs that have left the queue, newest first."""
        found = self._ask("history", lambda: list(self._schedd().history(constraint, list(attributes), at_most)))
        return [{name: ad[name] for name in attributes if name in ad} for ad in found]

    def act(self, action: str, jobs: Sequence[str] | str) -> None:
        """Remove, Hold, Release, VacateFast jobs, given by ids or by a constraint."""
        library = self._library()
        chosen = getattr(library.JobAction, action)
        parts: list[list[str] | str] = (
            [jobs]
            if isinstance(jobs, str)
            else [list(jobs[start : start + _MOST]) for start in range(0, len(jobs), _MOST)]
        )
        for part in parts:
            self._ask(action, lambda part=part: self._schedd().act(chosen, part, "asked for by Gridloom"))  # type: ignore[misc]

    def edit(self, job: str, attribute: str, expression: str) -> None:
        """Change an attribute of a job."""
        self._ask("edit", lambda: self._schedd().edit([job], attribute, expression))

    def versions(self) -> tuple[str, str]:
        """Versions of the schedd and of the bindings."""
        library = self._library()
        ad = self._ask("locate", self._location)
        return _number(str(ad.get("CondorVersion", "?"))), _number(str(library.version()))

    def vacate_times(self) -> tuple[int, ...]:
        """Seconds that the pool's machines grant a job that is evicted."""
        library = self._library()
        ads = self._ask(
            "query",
            lambda: self._collector().query(library.AdType.Startd, "true", ["Machine", "MachineMaxVacateTime"]),
        )
        return tuple(int(ad["MachineMaxVacateTime"]) for ad in ads if "MachineMaxVacateTime" in ad)

    def machines(self) -> frozenset[str]:
        """Names of the pool's machines."""
        library = self._library()
        ads = self._ask("query", lambda: self._collector().query(library.AdType.Startd, "true", ["Machine"]))
        return frozenset(str(ad["Machine"]) for ad in ads if "Machine" in ad)

    # --- the bindings -----------------------------------------------------------------------------------------
    def _library(self) -> Any:
        if "tensorflow" in sys.modules and "htcondor2" not in sys.modules:
            # TensorFlow's own TLS library takes the place of the one that the bindings need: no schedd ever answers.
            raise SiteProblem(
                "HTCondor's Python bindings cannot be used in a process that has loaded TensorFlow before",
                fix="Use the `gridloom` command, or a Python process that does not import TensorFlow or Keras.",
            )
        if self.options.config:
            # Read by the bindings when they are first imported.
            os.environ["CONDOR_CONFIG"] = self.options.config
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                import htcondor2
        except ImportError as error:
            raise SiteProblem(
                "HTCondor's Python bindings are not installed",
                fix="Install the `htcondor` extra, in the version of the pool: `pip install htcondor==VERSION`.",
            ) from error
        if any("CONDOR_CONFIG" in str(warning.message) for warning in said) and not self.options.collector:
            # To wait for a schedd that this machine knows nothing of would be to wait for ever.
            raise SiteProblem(
                "this machine has no configuration of HTCondor",
                fix="Run Gridloom on the pool's submit host, or set `config` or `collector` in the site's options.",
            )
        return htcondor2

    def _collector(self) -> Any:
        library = self._library()
        return library.Collector(self.options.collector) if self.options.collector else library.Collector()

    def _location(self) -> Any:
        library = self._library()
        return self._collector().locate(library.DaemonType.Schedd, self.options.schedd or None)

    def _schedd(self) -> Any:
        library = self._library()
        if self.options.schedd or self.options.collector:
            return library.Schedd(self._location())
        return library.Schedd()

    def _ask(self, what: str, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except (self._library().HTCondorException, OSError, RuntimeError) as error:
            raise EngineUnavailable(
                f"the schedd did not answer ({what}): {_words(error)}",
                where=self.options.schedd or "this machine's schedd",
                fix="Jobs go on; Gridloom asks again. `condor_q` shows whether the schedd is there.",
            ) from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _number(text: str) -> str:
    """`23.9.6` of `$CondorVersion: 23.9.6 2024-08-08 ... $`."""
    words = text.split()
    return words[1] if len(words) > 1 else text
