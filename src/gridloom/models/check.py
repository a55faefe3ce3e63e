"""What is wrong with the model an analysis asks for, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import model_name, output_count
from gridloom.environment import check_source, code_files
from gridloom.errors import GridloomError, InvalidValue, UnknownKey, UserModelError
from gridloom.models import MODELS

if TYPE_CHECKING:
    from gridloom.models.network import Network


def check_model(analysis: Analysis, folder: Path) -> tuple[GridloomError, ...]:
    """All errors of the model, each with its place in the analysis file.

    A shipped model's parameters are checked without Keras; the user's own function is called, as a training would.
    """
    if analysis.model.function is None:
        return named_model_errors(analysis)
    try:
        # Reading it first: what is no Python is said in a moment, without Keras.
        check_source(analysis.model.function, code_files(analysis.model.function, folder))
    except UserModelError as error:
        return (error,)
    try:
        untrained(analysis, folder)
    except GridloomError as error:
        return (error,)
    return ()


def untrained(analysis: Analysis, folder: Path) -> Network:
    """The network of an analysis with transforms that change nothing; raises what `build_network` raises."""
    from gridloom.models.network import Moments, Transforms, build_network

    def plain(columns: int) -> Moments:
        return Moments(mean=(0.0,) * columns, scale=(1.0,) * columns)

    count = len(analysis.features)
    transforms = Transforms(
        features=plain(count) if count else None,
        quantiles=((0.0, 1.0),) * count,
        collections={name: plain(len(part.features)) for name, part in analysis.collections.items()},
        target=None if analysis.target.regression is None else plain(1),
    )
    return build_network(analysis, transforms, output_count(analysis), folder)


def named_model_errors(analysis: Analysis) -> tuple[GridloomError, ...]:
    """Errors of a model that is given by name: the name itself, or its parameters."""
    name = str(model_name(analysis))
    if name not in MODELS:
        what, fix = f"no model is called `{name}`", f"Models: {', '.join(MODELS)}; or give `function: module:function`."
        return (InvalidValue(what, fix=fix, key=("model", "name")),)
    return _parameter_errors(name, analysis.model.parameters)


def _parameter_errors(name: str, parameters: Mapping[str, object]) -> tuple[GridloomError, ...]:
    try:
        MODELS[name].parameters.model_validate(dict(parameters))
    except ValidationError as error:
        known = ", ".join(MODELS[name].parameters.model_fields)
        found: list[GridloomError] = []
        for problem in error.errors():
            key = ("model", "parameters", *problem["loc"])
            if problem["type"] == "extra_forbidden":
                what = f"`{name}` has no parameter `{problem['loc'][-1]}`"
                found.append(UnknownKey(what, fix=f"Parameters of {name}: {known}.", key=key))
            else:
                found.append(InvalidValue(f"parameter of `{name}`: {problem['msg']}", key=key))
        return tuple(found)
    return ()
