"""The user's own model: `module:function`, beside the analysis file or installed.

    def build(inputs: ModelInputs, outputs: int, **parameters) -> KerasTensor

returns the network's last layer without activation, shape (batch, outputs); Gridloom adds the activation that goes
with the target and carries the transforms of the inputs.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from gridloom.errors import KeyPath, UserModelError
from gridloom.models.base import Tensor

_KEY: KeyPath = ("model", "function")


def load_function(reference: str, folder: Path) -> Callable[..., Tensor]:
    """The function that `module:function` names. Raises UserModelError, which quotes the user's own line."""
    module_name, _, function_name = reference.partition(":")
    module = load_module(module_name, folder)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = ", ".join(sorted(name for name in vars(module) if callable(getattr(module, name)) and name[0] != "_"))
        raise UserModelError(
            f"module `{module_name}` has no function `{function_name}`",
            where=str(getattr(module, "__file__", module_name)),
            fix=f"It has: {names or 'no functions'}.",
            key=_KEY,
        )
    return function  # type: ignore[no-any-return]


def load_module(name: str, folder: Path) -> object:
    """Import the user's module, again if its file may have changed. Raises UserModelError."""
    text = str(folder.resolve())
    if text not in sys.path:
        sys.path.insert(0, text)
    importlib.invalidate_caches()
    try:
        # A warm worker may have seen an older version of the file.
        known = sys.modules.get(name)
        return importlib.reload(known) if known is not None else importlib.import_module(name)
    except Exception as error:
        raise UserModelError(
            f"cannot import `{name}`: {type(error).__name__}: {error}",
            where=last_line(error),
            fix=f"Put {name}.py beside the analysis file ({folder}) or install it, and check that it imports.",
            key=_KEY,
        ) from error


def last_line(error: BaseException) -> str:
    """file:line of the innermost frame of an exception, for messages."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    outside = [frame for frame in frames if "gridloom" not in frame.filename and "keras" not in frame.filename]
    chosen = (outside or frames)[-1:] if frames else []
    return f"{chosen[0].filename}:{chosen[0].lineno}" if chosen else ""
