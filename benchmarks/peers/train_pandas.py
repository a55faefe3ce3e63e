"""uproot -> pandas -> arrays -> Keras' `fit`, all in memory."""

from __future__ import annotations

import numpy as np
import uproot

import keras_fit
from reporting import about, read_job

_BEST = {"steps_per_execution": 64, "jit_compile": False}
_DEFAULTS = {"steps_per_execution": 1, "jit_compile": "auto"}


def main() -> None:
    job = read_job(best=_BEST, defaults=_DEFAULTS)
    about(job, ["uproot", "pandas", "keras", "tensorflow-cpu", "numpy"])
    keras_fit.one_thread()
    with uproot.open(job.train) as file:
        frame = file["Events"].arrays(library="pd")
    label = frame.pop("label").to_numpy(np.float32)
    x = frame[list(job.features)].to_numpy(np.float32)
    keras_fit.fit_arrays(job, x, label)


if __name__ == "__main__":
    main()
