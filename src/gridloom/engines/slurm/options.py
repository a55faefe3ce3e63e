"""Options of a Slurm site."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Word = Annotated[str, Field(pattern=r"^[^\s\x00]*$")]


class SlurmOptions(BaseModel):
    """What the cluster's admin wants in every submission."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: Annotated[str, Field(pattern=r"^[^\n\x00]*$")] = Field(
        default="", description="The cluster's slurm.conf; default: what the commands find."
    )
    partition: _Word = Field(default="", description="Partition.")
    account: _Word = Field(default="", description="Account.")
    qos: _Word = Field(default="", description="Quality of service.")
    reservation: _Word = Field(default="", description="Reservation.")
    constraint: _Word = Field(default="", description="Features that nodes must have.")
    gpu_type: _Word = Field(default="", description="Type of GPU, as in `--gres=gpu:TYPE:1`.")
    sbatch: tuple[Annotated[str, Field(pattern=r"^--?[A-Za-z][^\n\x00]*$")], ...] = Field(
        default=(), description="Further options of sbatch, such as `--nice=100`."
    )
    accounting: Literal["auto", "yes", "no"] = Field(
        default="auto", description="Whether `sacct` may be asked; `auto`: it is tried once."
    )
    array: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="Jobs of one array, at most; below the cluster's MaxArraySize."
    )
    memory: bool = Field(default=True, description="Whether to ask for memory; some clusters refuse `--mem`.")
