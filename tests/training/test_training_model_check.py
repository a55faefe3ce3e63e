"""The model is checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tasks import Prepared

from gridloom.errors import InvalidValue, OutputShape, UnknownKey, UserModelError
from gridloom.models.check import check_model

GOOD = "import keras\n\ndef build(inputs, outputs):\n    return keras.layers.Dense(outputs)(inputs.features)\n"
WRONG = "import keras\n\ndef build(inputs, outputs):\n    return keras.layers.Dense(7)(inputs.features)\n"


@pytest.mark.parametrize("variant", ["flat", "objects", "flavours", "regression"])
def test_defaults_are_fine(prepared: Mapping[str, Prepared], variant: str, tmp_path: Path) -> None:
    assert check_model(prepared[variant].analysis, tmp_path) == ()


def test_every_wrong_parameter_is_named(prepared: Mapping[str, Prepared], tmp_path: Path) -> None:
    model: dict[str, Any] = {"name": "mlp", "parameters": {"widht": 3, "dropout": 2, "hidden": [64, 0]}}
    errors = check_model(prepared["flat"].changed(model=model), tmp_path)
    assert {(type(error), error.key[-1]) for error in errors} == {
        (UnknownKey, "widht"),
        (InvalidValue, "dropout"),
        (InvalidValue, 1),
    }


def test_an_unknown_model_is_named(prepared: Mapping[str, Prepared], tmp_path: Path) -> None:
    (error,) = check_model(prepared["flat"].changed(model={"name": "mlpx"}), tmp_path)
    assert isinstance(error, InvalidValue)
    assert "deepsets" in error.fix


@pytest.mark.parametrize(
    ("content", "kind"), [(GOOD, None), (WRONG, OutputShape), ("def other(): ...\n", UserModelError)]
)
def test_the_users_function_is_called(
    prepared: Mapping[str, Prepared], tmp_path: Path, content: str, kind: type[Exception] | None
) -> None:
    name = "checked_model" if kind is None else f"checked_model_{kind.__name__}"
    (tmp_path / f"{name}.py").write_text(content)
    errors = check_model(prepared["flat"].changed(model={"function": f"{name}:build"}), tmp_path)
    assert [type(error) for error in errors] == ([] if kind is None else [kind])
