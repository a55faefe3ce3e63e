"""The one seam to Slurm: every command that is run, and what its failures mean."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gridloom.engines.slurm.options import SlurmOptions
from gridloom.errors import EngineUnavailable, SiteProblem, SubmissionRefused

_PATIENCE = 60  # seconds: a busy controller answers late
_MOST = 200  # ids in one command
# What the commands say when the controller is away or busy; anything else that sbatch says is a refusal.
_NO_ANSWER = re.compile(
    r"unable to contact|socket timed out|connection refused|timed out|zero bytes|communication|not responding"
    r"|resource temporarily unavailable|in backup mode|try again|protocol authentication",
    re.IGNORECASE,
)
_NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)
# All that jobs see of the submitting shell: nothing of it, above all no credentials, travels by accident.
_VARIABLES = frozenset({"HOME", "USER", "LOGNAME", "LANG", "PATH", "SLURM_CONF"})
_OPTIONS = ("SBATCH_", "SLURM_JOB", "SQUEUE_", "SCANCEL_", "SINFO_", "SACCT_")
_ACCOUNTED = ("JobID", "State", "ExitCode", "NodeList", "Reason")


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Slurm's commands under the options of a site."""

    options: SlurmOptions

    def submit(self, script: str, folder: str) -> str:
        """Hand an array over; its id. Raises EngineUnavailable, SubmissionRefused."""
        clean = {name: value for name, value in self._environment().items() if name in _VARIABLES}
        done = self._run(["sbatch", "--parsable", f"--chdir={folder}"], script=script, environment=clean)
        if done.returncode:
            words = _words(done.stderr)
            if _NO_ANSWER.search(words):
                raise EngineUnavailable(f"Slurm did not answer a submission: {words}")
            raise SubmissionRefused(
                f"Slurm refused the jobs: {words}",
                fix="Correct the site's options (`sinfo` shows partitions, `sacctmgr show assoc` accounts).",
            )
        return done.stdout.strip().partition(";")[0]

    def queue(self, name: str = "") -> list[dict[str, Any]]:
        """All of the user's jobs that the controller remembers."""
        command = ["squeue", "--json", "--me", "--states=all", *([f"--name={name}"] if name else [])]
        try:
            found = json.loads(self._answer(command))
        except ValueError as error:
            raise EngineUnavailable(f"squeue gave no JSON: {error}") from error
        return [job for job in found.get("jobs", ()) if isinstance(job, dict)]

    def accounted(self, ids: Sequence[str]) -> list[dict[str, str]]:
        """What the accounting remembers of some jobs; nothing where there is none."""
        rows: list[dict[str, str]] = []
        for start in range(0, len(ids), _MOST):
            rows += self._accounted(["--jobs", ",".join(ids[start : start + _MOST])])
        return rows

    def accounted_name(self, name: str) -> list[dict[str, str]]:
        return self._accounted(["--name", name, "--starttime", "now-30days"])

    def _accounted(self, which: list[str]) -> list[dict[str, str]]:
        command = ["sacct", "--allocations", "--array", "--noheader", "--parsable2", f"--format={','.join(_ACCOUNTED)}"]
        done = self._run([*command, *which])
        if done.returncode:
            words = _words(done.stderr)
            if _NO_ACCOUNTING.search(words):
                return []
            raise EngineUnavailable(f"sacct did not answer: {words}")
        return [dict(zip(_ACCOUNTED, line.split("|"), strict=False)) for line in done.stdout.splitlines()]

    def has_accounting(self) -> bool:
        """Whether `sacct` answers at all."""
        if self.options.accounting != "auto":
            return self.options.accounting == "yes"
        try:
            return self._run(["sacct", "--noheader", "--allocations", "--jobs", "0"]).returncode == 0
        except SiteProblem:
            return False

    def cancel(self, ids: Sequence[str], *, signal: str = "") -> None:
        """End jobs (TERM, then KILL after the cluster's KillWait), or send all their processes a signal."""
        how = [f"--signal={signal}", "--full"] if signal else []
        for start in range(0, len(ids), _MOST):
            done = self._run(["scancel", *how, *ids[start : start + _MOST]])
            if done.returncode and _NO_ANSWER.search(done.stderr):
                raise EngineUnavailable(f"Slurm did not answer: {_words(done.stderr)}")

    def control(self, *arguments: str) -> str:
        """What `scontrol` says."""
        return self._answer(["scontrol", *arguments])

    def nodes(self) -> list[str]:
        """Names of the partition's nodes."""
        where = [f"--partition={self.options.partition}"] if self.options.partition else []
        return self._answer(["sinfo", "--noheader", "--Node", "--format=%N", *where]).split()

    def time_limit(self, partition: str) -> int | None:
        """Seconds that a job of a partition (the default one without a name) may take; None without a limit."""
        rows = [line.split() for line in self._answer(["sinfo", "--noheader", "--format=%P %l"]).splitlines()]
        wanted = set(partition.split(",")) if partition else set()
        limits = [
            seconds_of(limit) for name, limit in rows if (name.rstrip("*") in wanted if wanted else name.endswith("*"))
        ]
        known = [limit for limit in limits if limit is not None]
        return max(known) if known and len(known) == len(limits) else None

    def partitions(self) -> str:
        return self._answer(["sinfo", "--noheader", "--format=%P"])

    def _answer(self, command: list[str]) -> str:
        done = self._run(command)
        if not done.returncode:
            return done.stdout
        words = _words(done.stderr)
        if command[0] == "scontrol" and not _NO_ANSWER.search(words):
            raise SubmissionRefused(f"Slurm refused: {words}", where=" ".join(command))
        raise EngineUnavailable(
            f"Slurm did not answer ({command[0]}): {words}",
            fix="Jobs go on; Gridloom asks again. `sinfo` shows whether the controller is there.",
        )

    def _run(
        self, command: list[str], *, script: str | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                # None of them is to read what the user types.
                stdin=subprocess.DEVNULL if script is None else None,
                input=script,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_PATIENCE,
                check=False,
                env=self._environment() if environment is None else environment,
            )
        except FileNotFoundError as error:
            raise SiteProblem(
                f"there is no command `{command[0]}` on this machine",
                fix="Run Gridloom where Slurm's commands are, such as the cluster's login node.",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise EngineUnavailable(f"{command[0]} gave no answer in {_PATIENCE} s") from error

    def _environment(self) -> Mapping[str, str]:
        # Options of the commands may also come from variables: those of the user's shell are not the site's.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OPTIONS)}
        found = {**kept, "SLURM_BITSTR_LEN": "0", "LC_ALL": "C.UTF-8"}
        return {**found, "SLURM_CONF": self.options.config} if self.options.config else found


def seconds_of(limit: str) -> int | None:
    """Seconds of Slurm's `days-hours:minutes:seconds` in its shorter forms, too; None for `infinite`."""
    days, _, rest = limit.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in parts) or (days and not days.isdigit()):
        return None
    if days:
        numbers = [int(days) * 24 + int(parts[0]), *map(int, parts[1:]), 0, 0][:3]
    else:
        numbers = [0, *map(int, parts), 0] if len(parts) == 1 else [0, 0, *map(int, parts)][-3:]
        numbers = numbers[:3]
    return numbers[0] * 3600 + numbers[1] * 60 + numbers[2]


def _words(text: str) -> str:
    return " ".join(text.split())[:400] or "it said nothing"
