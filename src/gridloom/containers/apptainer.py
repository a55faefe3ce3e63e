"""Apptainer, or Singularity: images are SIF files, unpacked directories, or fetched from an address."""

from __future__ import annotations

from gridloom.containers.enclosure import Enclosure, Runtime, is_address, is_file, mounts


def takes(image: str) -> bool:
    return is_file(image) or is_address(image)


def arguments(enclosure: Enclosure) -> tuple[str, ...]:
    """`exec` with nothing of the host but what is named: neither home, environment, /tmp nor processes."""
    return (
        "exec",
        "--containall",
        "--cleanenv",
        "--no-eval",  # values of variables are text, not shell
        "--no-privs",
        *(() if enclosure.network else ("--net", "--network", "none")),
        *mounts(enclosure, "ro"),
        "--pwd",
        enclosure.folder,
        *(gpu() if enclosure.gpu else ()),
        *enclosure.options,
        enclosure.image,
        *enclosure.command,
    )


def outside(variable: str) -> str:
    return f"APPTAINERENV_{variable}"


def gpu() -> tuple[str, ...]:
    return ("--nv",)


APPTAINER = Runtime(
    name="apptainer",
    programs=("apptainer", "singularity"),
    takes=takes,
    arguments=arguments,
    outside=outside,
    gpu=gpu,
)
