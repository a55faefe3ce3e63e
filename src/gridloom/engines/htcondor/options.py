"""Options of an HTCondor site."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Plain = Annotated[str, Field(pattern=r"^[^\n\r\x00]*$")]


class HTCondorOptions(BaseModel):
    """How to reach the pool, and what its admin wants in every submission."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: _Plain = Field(default="", description="The pool's configuration file; default: what `CONDOR_CONFIG` says.")
    collector: _Plain = Field(default="", description="Host of the pool's collector; default: this machine's pool.")
    schedd: _Plain = Field(default="", description="Name of the schedd; default: the one of this machine.")
    accounting_group: _Plain = Field(default="", description="Accounting group.")
    requirements: _Plain = Field(default="", description="An expression that nodes must fulfil.")
    submit: dict[Annotated[str, Field(pattern=r"^(?:[A-Za-z_][A-Za-z0-9_]*|[+]|My\.)[A-Za-z0-9_.]*$")], _Plain] = Field(
        default={}, description="Further lines of the submit description, such as `+JobFlavour`."
    )
    wall_attribute: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        default="MaxRuntime", description="The job attribute from which the pool learns the wall time, in seconds."
    )
