"""Run an export on the events of ROOT files and compare with their friend trees: `run_alone.py FORMAT EXPORTS FILES`.

Nothing of Gridloom and nothing of Keras is imported. The inputs are made by hand from the branches.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

Arrays = dict[str, Any]
Model = Callable[[Arrays], Any]

for forbidden in ("gridloom", "keras"):
    sys.modules[forbidden] = None  # type: ignore[assignment]


def columns(path: Path) -> Arrays:
    """What the description of the export asks for, by hand."""
    with uproot.open(path) as file:
        events = file["Events"].arrays()
    jets = events[["Jet_pt", "Jet_eta"]]
    first = ak.fill_none(ak.firsts(events["Jet_pt"]), np.nan)
    features = [events["MET_pt"], events["Lepton_pt"], events["mass"], first, ak.num(events["Jet_pt"])]
    order = ak.argsort(-events["Jet_pt"], axis=1, stable=True)
    padded = [
        ak.to_numpy(ak.fill_none(ak.pad_none(jets[name][order], 3, clip=True), 0.0)) for name in ("Jet_pt", "Jet_eta")
    ]
    counts = np.minimum(ak.to_numpy(ak.num(events["Jet_pt"])), 3)
    ids = [ak.to_numpy(events[name]).astype(np.uint64) for name in ("run", "luminosityBlock", "event")]
    return {
        "features": np.stack([ak.to_numpy(column).astype(np.float32) for column in features], axis=1),
        "jets": np.stack(padded, axis=2).astype(np.float32),
        "jets_mask": (np.arange(3) < counts[:, None]).astype(np.float32),
        "event_id": np.stack(ids, axis=1),
    }


def fold_of(ids: Any, k: int) -> Any:
    """The published hash, as its documentation says."""

    def mix(x: Any) -> Any:
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    state = np.zeros(len(ids), np.uint64)
    for word in range(3):
        state = mix((state ^ ids[:, word]) + np.uint64(0x9E3779B97F4A7C15))
    return (state % np.uint64(k)).astype(np.int32)


def onnx(path: Path) -> Model:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(["scores"], inputs)[0]


def litert(path: Path) -> Model:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return lambda inputs: runner(**inputs)["scores"]


def savedmodel(path: Path, signature: str = "serving_default") -> Model:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures[signature]
    return lambda inputs: function(**{key: tf.constant(values) for key, values in inputs.items()})["scores"].numpy()


def models(form: str, exports: Path) -> tuple[Model, list[Model]]:
    """The artefact with all folds, and those of one fold each."""
    if form == "savedmodel":
        folder = exports / "scored"
        return savedmodel(folder), [savedmodel(folder, f"fold_{number}") for number in range(3)]
    suffix, make = {"onnx": (".onnx", onnx), "litert": (".tflite", litert)}[form]
    return make(exports / f"scored{suffix}"), [make(exports / f"scored-fold-{n}{suffix}") for n in range(3)]


def main(form: str, exports: Path, files: Path) -> None:
    every, alone = models(form, exports)
    largest, events, missing = 0.0, 0, 0
    for name in ("signal", "background", "data"):
        inputs = columns(files / f"{name}.root")
        with uproot.open(files / f"friends/{name}.scores.root") as file:
            friend = file["gridloom"].arrays(library="np")
        rows = np.flatnonzero(friend["score_tt_b"] >= 0)
        expected = np.stack([friend["score_tt_b"], friend["score_tt"]], axis=1)[rows]
        fold = fold_of(inputs.pop("event_id"), 3) if form == "litert" else friend["fold"]
        if form == "litert":
            inputs["fold"] = fold
        some = {key: values[rows] for key, values in inputs.items()}
        largest = max(largest, float(np.abs(every(some) - expected).max()))
        raw = {key: values for key, values in some.items() if key not in ("fold", "event_id")}
        for number, model in enumerate(alone):
            own = fold[rows] == number
            found = model({key: values[own] for key, values in raw.items()})
            largest = max(largest, float(np.abs(found - expected[own]).max()))
        events += len(rows)
        missing += int(np.isnan(raw["features"]).any(axis=1).sum())
    known = sorted(key for key, module in sys.modules.items() if module is not None)
    print(json.dumps({"largest": largest, "events": events, "missing": missing, "modules": known}))


main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
