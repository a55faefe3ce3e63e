"""The whole network: raw inputs, transforms, the model's body, and the activation that goes with the target."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from gridloom.analysis.models import Analysis, Feature
from gridloom.analysis.queries import model_name
from gridloom.errors import OutputShape, UserModelError
from gridloom.models import MODELS
from gridloom.models.base import ModelInputs, Tensor
from gridloom.models.check import named_model_errors
from gridloom.models.layers import FeatureTransform, ObjectTransform
from gridloom.models.user import last_line, load_function


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean and standard deviation of each column over the training events."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Transforms:
    """All that is fitted on the training folds besides the weights of the network.

    `quantiles`: per flat feature, in standardised units, at evenly spaced levels from 0 to 1.
    """

    features: Moments | None
    quantiles: tuple[tuple[float, ...], ...] = ()
    collections: Mapping[str, Moments] = field(default_factory=dict)
    target: Moments | None = None


@dataclass(frozen=True, kw_only=True)
class Network:
    """`model` ends in probabilities (or the target's units); `body` ends before the activation. They share layers.

    `core` is what of `body` comes after `transform`, which has no weights: what is transformed once can be fed to it
    again and again. `transform` gives features and collections under their names; `core` takes these and the masks.
    """

    model: Any
    body: Any
    transform: Any
    core: Any


def mask_name(collection: str) -> str:
    """Name of the input that says which objects of a collection are there."""
    return f"{collection}_mask"


def build_network(analysis: Analysis, transforms: Transforms, outputs: int, folder: Path) -> Network:
    """Build the network of an analysis with `outputs` outputs (1: sigmoid or regression; more: softmax).

    Raises UserModelError, OutputShape, InvalidValue or UnknownKey for what the analysis file asks.
    """
    inputs = _raw_inputs(analysis)
    prepared = _prepare(analysis, transforms, inputs)
    core = _core(analysis, prepared, outputs, folder)
    tensors = _by_name(prepared)
    # The same layers once more, on what the transforms give: `call`, since calling it would make one layer of it.
    (logits,) = keras.Function(core.inputs, core.outputs).call([tensors[tensor.name] for tensor in core.inputs])
    masks = {mask_name(name) for name in prepared.masks}
    transformed = {name: tensor for name, tensor in tensors.items() if name not in masks}
    return Network(
        model=keras.Model(inputs, _final(logits, transforms, outputs), name="gridloom"),
        body=keras.Model(inputs, logits, name="body"),
        transform=keras.Model(inputs, transformed, name="transform"),
        core=core,
    )


def _core(analysis: Analysis, prepared: ModelInputs, outputs: int, folder: Path) -> Any:
    """The model that the analysis names, on inputs that have been transformed."""
    tensors = _by_name(prepared)
    inputs = {name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name) for name, tensor in tensors.items()}
    logits = _body(analysis, _like(prepared, inputs), outputs, folder)
    _check_output(analysis, logits, outputs)
    # Whatever the precision of the body, the last step is float32.
    return keras.Model(inputs, keras.layers.Activation("linear", dtype="float32", name="logits")(logits), name="core")


def _by_name(prepared: ModelInputs) -> dict[str, Tensor]:
    """All inputs of a model under the names of the raw ones."""
    flat = {} if prepared.features is None else {"features": prepared.features}
    masks = {mask_name(name): mask for name, mask in prepared.masks.items()}
    return {**flat, **prepared.collections, **masks}


def _like(prepared: ModelInputs, tensors: Mapping[str, Tensor]) -> ModelInputs:
    """The same with other tensors, given under the names of the raw inputs."""
    return ModelInputs(
        features=tensors.get("features"),
        collections={name: tensors[name] for name in prepared.collections},
        masks={name: tensors[mask_name(name)] for name in prepared.masks},
        quantiles=prepared.quantiles,
    )


def _raw_inputs(analysis: Analysis) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    if analysis.features:
        inputs["features"] = keras.Input((len(analysis.features),), dtype="float32", name="features")
    for name, collection in analysis.collections.items():
        shape = (collection.at_most, len(collection.features))
        inputs[name] = keras.Input(shape, dtype="float32", name=name)
        inputs[mask_name(name)] = keras.Input((collection.at_most,), dtype="float32", name=mask_name(name))
    return inputs


def _prepare(analysis: Analysis, transforms: Transforms, inputs: Mapping[str, Tensor]) -> ModelInputs:
    features = None
    if transforms.features is not None:
        layer = feature_transform(analysis.features, transforms.features)
        features = layer(inputs["features"])
    masks = {name: inputs[mask_name(name)] for name in analysis.collections}
    collections = {
        name: ObjectTransform(mean=moments.mean, scale=moments.scale, name=f"{name}_transform")(
            inputs[name], masks[name]
        )
        for name, moments in transforms.collections.items()
    }
    indicators = tuple((0.0, 1.0) for feature in analysis.features if feature.missing and feature.indicator)
    quantiles = (*transforms.quantiles, *indicators)
    return ModelInputs(features=features, collections=collections, masks=masks, quantiles=quantiles)


def feature_transform(features: Sequence[Feature], moments: Moments) -> FeatureTransform:
    """The layer that imputes and standardises the flat features."""
    return FeatureTransform(
        mean=moments.mean,
        scale=moments.scale,
        impute=[
            mean if feature.impute == "mean" else float(feature.impute)
            for feature, mean in zip(features, moments.mean, strict=True)
        ],
        sentinels=[sentinels_of(feature) for feature in features],
        nonfinite=[any(isinstance(value, str) for value in feature.missing) for feature in features],
        indicators=[index for index, feature in enumerate(features) if feature.missing and feature.indicator],
        name="features_transform",
    )


def sentinels_of(feature: Feature) -> tuple[float, ...]:
    """The numbers that mean "missing" in a feature; `nan` and `inf` are not among them."""
    return tuple(value for value in feature.missing if not isinstance(value, str))


def _body(analysis: Analysis, prepared: ModelInputs, outputs: int, folder: Path) -> Tensor:
    if analysis.model.function is not None:
        return _user_body(analysis, prepared, outputs, folder)
    errors = named_model_errors(analysis)
    if errors:
        raise errors[0]
    builder = MODELS[str(model_name(analysis))]
    return builder.build(prepared, outputs, builder.parameters.model_validate(analysis.model.parameters))


_CALLED = "It is called as function(inputs, outputs, **parameters) and returns the last layer's tensor."
_READ_ONLY = "In a container only /tmp and the work folder can be written: write there, or not at all."


def _user_body(analysis: Analysis, prepared: ModelInputs, outputs: int, folder: Path) -> Tensor:
    reference = str(analysis.model.function)
    function = load_function(reference, folder)
    try:
        return function(prepared, outputs, **analysis.model.parameters)
    except Exception as error:
        raise UserModelError(
            f"`{reference}` failed: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}",
            where=last_line(error),
            fix=_READ_ONLY if getattr(error, "errno", None) == errno.EROFS else _CALLED,
            key=("model", "function"),
        ) from error


def _check_output(analysis: Analysis, logits: Tensor, outputs: int) -> None:
    shape = getattr(logits, "shape", None)
    if shape is None or tuple(shape) != (None, outputs):
        got = "no tensor" if shape is None else f"shape {tuple(shape)}"
        raise OutputShape(
            f"the model returns {got}; the target needs (None, {outputs})",
            where=analysis.model.function or str(model_name(analysis)),
            fix=f"End with keras.layers.Dense(outputs) without activation; here outputs = {outputs}.",
            key=("model", "function") if analysis.model.function else ("model",),
        )


def _final(logits: Tensor, transforms: Transforms, outputs: int) -> Tensor:
    if transforms.target is not None:
        scale, offset = transforms.target.scale[0], transforms.target.mean[0]
        return keras.layers.Rescaling(scale, offset, dtype="float32", name="prediction")(logits)
    activation = "sigmoid" if outputs == 1 else "softmax"
    return keras.layers.Activation(activation, dtype="float32", name="prediction")(logits)
