"""Memory that a back end can compute on without copying it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Where tensors of TensorFlow and JAX begin, for the widest instructions of today's processors.
_ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A float32 array that begins where a tensor may begin."""
    size = 4 * int(np.prod(shape, dtype=np.int64))
    memory = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    return memory[begin : begin + size].view(np.float32).reshape(shape)


def is_aligned(array: npt.NDArray[Any]) -> bool:
    """Whether an array is as `aligned_empty` makes them."""
    usable = array.flags.c_contiguous and array.flags.writeable and array.size > 0
    return bool(usable and array.ctypes.data % _ALIGNMENT == 0)
