"""Docker and Podman, whose command lines are alike: images are names."""

from __future__ import annotations

from collections.abc import Sequence

from gridloom.containers.enclosure import TEMPORARY, Enclosure, Runtime, is_address, is_file, mounts


def takes(image: str) -> bool:
    return not is_file(image) and not is_address(image)


def docker_arguments(enclosure: Enclosure) -> tuple[str, ...]:
    user = f"{enclosure.user}:{enclosure.group}"
    groups = [word for group in enclosure.groups for word in ("--group-add", group)]
    return _arguments(enclosure, ("--user", user, *groups), "readonly", docker_gpu())


def podman_arguments(enclosure: Enclosure) -> tuple[str, ...]:
    """Rootless, the user is the same inside and outside; files stay hers."""
    keep = () if enclosure.user == "0" else ("--userns", "keep-id")
    user = f"{enclosure.user}:{enclosure.group}"
    return _arguments(enclosure, (*keep, "--user", user), "ro=true", podman_gpu())


def _arguments(enclosure: Enclosure, user: Sequence[str], read_only: str, gpu: Sequence[str]) -> tuple[str, ...]:
    program, *rest = enclosure.command
    return (
        "run",
        "--rm",
        "--interactive",  # the end of its input tells a container that whoever started it is gone
        *(("--name", enclosure.name) if enclosure.name else ()),
        "--log-driver",
        "none",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--security-opt",
        "label=disable",  # SELinux would refuse the folders
        "--network",
        "host" if enclosure.network else "none",
        *user,
        *mounts(enclosure, read_only),
        "--workdir",
        enclosure.folder,
        "--env",
        f"HOME={TEMPORARY}",
        *(word for name in enclosure.variables for word in ("--env", name)),
        *(gpu if enclosure.gpu else ()),
        *enclosure.options,
        "--entrypoint",
        program,
        enclosure.image,
        *rest,
    )


def same(variable: str) -> str:
    return variable


def docker_gpu() -> tuple[str, ...]:
    return ("--gpus", "all")


def podman_gpu() -> tuple[str, ...]:
    return ("--device", "nvidia.com/gpu=all")


def kill(name: str) -> tuple[str, ...]:
    return ("rm", "--force", name)


DOCKER = Runtime(
    name="docker",
    programs=("docker",),
    takes=takes,
    arguments=docker_arguments,
    outside=same,
    gpu=docker_gpu,
    kill=kill,
    adds_groups=True,
)
PODMAN = Runtime(
    name="podman",
    programs=("podman",),
    takes=takes,
    arguments=podman_arguments,
    outside=same,
    gpu=podman_gpu,
    kill=kill,
)
