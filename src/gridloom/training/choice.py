"""Whether a run's loops are compiled with XLA: asked for, by a rule, or by one probe of the run; never by each job.

The choice changes the last bits of a result, so all folds, retries and resumptions of a run take the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.analysis.models import Analysis
from gridloom.errors import DamagedResult
from gridloom.files import write_text
from gridloom.training.loop import flops_per_step

FILE = "tune.json"

# Below, a step is over almost before TensorFlow has started its operations one by one, and XLA is faster. Above, flat
# networks lose at most some per cent without it and gain up to a fifth (docs/performance.md), and compile sooner.
SMALL_STEP = 2e7
# So much faster must a probe find the other way: two runs on like machines should not differ in their bits by chance.
CLEARLY = 1.15


class Choice(BaseModel):
    """With XLA or without, and why; `seconds` are those of a step with XLA and without, where both were measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    xla: bool
    why: str
    seconds: tuple[float, float] | None = None


def by_rule(network: Any, analysis: Analysis) -> Choice:
    """What is chosen without measuring: a function of the network and the batch alone."""
    if analysis.training.precision != "float32":
        return Choice(xla=False, why="rule: reduced precision without XLA")
    flops = flops_per_step(network, analysis, analysis.training.batch)
    small = flops < SMALL_STEP
    why = f"rule: {flops:.2g} operations per step, XLA below {SMALL_STEP:.2g}"
    return Choice(xla=small, why=why)


def is_clear(choice: Choice) -> bool:
    """Whether a probe could not find anything else: XLA on tiny steps."""
    return choice.xla


def by_probe(rule: Choice, *, with_xla: float, without: float) -> Choice:
    """The rule's choice, unless the other one was measured to be clearly faster; both in seconds per step."""
    mine, other = (with_xla, without) if rule.xla else (without, with_xla)
    ratio = mine / other
    other_name = "without XLA" if rule.xla else "with XLA"
    why = f"probe: {other_name} {ratio:.2f} times as fast as the other way, {CLEARLY:g} are needed to choose it"
    return Choice(xla=rule.xla != (ratio > CLEARLY), why=why, seconds=(with_xla, without))


def chosen(network: Any, analysis: Analysis, inputs: Mapping[str, Path]) -> Choice:
    """The choice of a training. Raises DamagedResult if the run's probe has left nothing that can be read."""
    if analysis.training.backend == "jax":
        return Choice(xla=True, why="JAX always compiles with XLA")
    if analysis.training.xla != "auto":
        return Choice(xla=analysis.training.xla == "on", why="as the analysis file says")
    probes = [folder for name, folder in inputs.items() if name.startswith("tune-")]
    return _read(probes[0]) if probes else by_rule(network, analysis)


def write_choice(folder: Path, choice: Choice) -> None:
    write_text(folder / FILE, choice.model_dump_json(indent=1) + "\n")


def _read(folder: Path) -> Choice:
    try:
        return Choice.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise DamagedResult(
            f"the run's choice of compiler cannot be read: {error}",
            where=str(folder),
            fix="Delete this folder and run again: it is measured anew.",
        ) from error
