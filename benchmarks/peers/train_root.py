"""ROOT's RDataLoader -> its `tf.data` dataset -> Keras' `fit`."""

from __future__ import annotations

# isort: off
import ROOT  # before TensorFlow, as ROOT's own tutorial says

# isort: on
import keras_fit
from reporting import about, read_job

_BEST = {
    "steps_per_execution": 64,
    "jit_compile": False,
    "load_eager": True,
    "batches_in_memory": 10,
    "prefetch": 0,
}
_DEFAULTS = {
    "steps_per_execution": 1,
    "jit_compile": "auto",
    "load_eager": False,
    "batches_in_memory": 10,
    "prefetch": 0,
}


def main() -> None:
    job = read_job(best=_BEST, defaults=_DEFAULTS)
    about(job, ["root", "keras", "tensorflow-cpu", "numpy"])
    keras_fit.one_thread()
    frame = ROOT.RDataFrame("Events", str(job.train))
    loader = ROOT.Experimental.ML.RDataLoader(
        frame,
        batch_size=job.batch,
        batches_in_memory=job.settings["batches_in_memory"],
        columns=[*job.features, "label"],
        target="label",
        load_eager=job.settings["load_eager"],
        set_seed=1,
    )
    data = loader.as_tensorflow().repeat()
    keras_fit.fit_batches(job, data, loader.num_batches)


if __name__ == "__main__":
    main()
