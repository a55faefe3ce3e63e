"""Containers: (image, command, what it may see) -> the command line of apptainer, docker or podman."""

from __future__ import annotations

from collections.abc import Mapping

from gridloom.containers.apptainer import APPTAINER
from gridloom.containers.docker import DOCKER, PODMAN
from gridloom.containers.enclosure import Enclosure, Runtime

# In the order in which they are looked for: those first that need neither a daemon nor its rights.
RUNTIMES: Mapping[str, Runtime] = {"apptainer": APPTAINER, "podman": PODMAN, "docker": DOCKER}

__all__ = ["RUNTIMES", "Enclosure", "Runtime"]
