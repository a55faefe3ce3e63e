"""Packages that the user's own model needs: an image is built with them, a node has them or not."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# What Gridloom depends on itself: its locked versions are what results are reproducible with.
LOCKED = frozenset(
    {
        "awkward",
        "cramjam",
        "deflate",
        "gridloom",
        "htchirp",
        "jinja2",
        "keras",
        "matplotlib",
        "mplhep",
        "numba",
        "numpy",
        "packaging",
        "pydantic",
        "rich",
        "ruamel-yaml",
        "scikit-learn",
        "scipy",
        "tensorflow",
        "tensorflow-cpu",
        "typer",
        "uproot",
        "vector",
        "xxhash",
        "zstandard",
    }
)


def checked_requirement(text: str) -> str:
    """A requirement in its normal form. Raises ValueError, in words, for what no image should be built from."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"`{text}` is no requirement; write `name`, `name==1.2` or `name>=1.2,<2`") from error
    if requirement.url is not None:
        raise ValueError(f"`{text}` names an address; packages come by name from the package index")
    if requirement.marker is not None:
        raise ValueError(f"`{text}` has a condition; an image has one Python: leave out what follows `;`")
    if canonicalize_name(requirement.name) in LOCKED:
        raise ValueError(f"`{requirement.name}` is Gridloom's own, in the version that all results are made with")
    return str(requirement)


def package_name(requirement: str) -> str:
    """The name of what is required, as the package index spells it."""
    return canonicalize_name(Requirement(requirement).name)


def satisfies(requirement: str, version: str) -> bool:
    """Whether a version of the package is what a requirement asks for."""
    return Requirement(requirement).specifier.contains(version, prereleases=True)
