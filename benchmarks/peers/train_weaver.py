"""weaver-core's data set and training loop with a multilayer perceptron in PyTorch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from weaver.utils.dataset import SimpleIterDataset
from weaver.utils.nn.tools import train_classification

from reporting import Job, Reporter, about, read_job

_BEST = {"num_workers": 0, "in_memory": True, "fetch_step": 1.0, "fused": True}
# Of weaver's `train.py`.
_DEFAULTS = {"num_workers": 1, "in_memory": False, "fetch_step": 0.01, "fused": None}


class Perceptron(torch.nn.Module):  # type: ignore[misc]
    """One logit z, given as (0, z): the cross entropy of weaver's loop is then the binary one of z.

    The start of the weights is that of Gridloom's `mlp`, so that equal work gives an equal network.
    """

    def __init__(self, features: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        widths = [features, *hidden]
        layers: list[Any] = []
        for before, after in zip(widths, hidden, strict=False):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        for layer in layers[::2]:
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.zeros_(layer.bias)
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))

    def forward(self, x: Any) -> Any:
        logit = self.layers(x.squeeze(-1) if x.ndim == 3 else x)
        return torch.cat((torch.zeros_like(logit), logit), dim=1)


def data_configuration(job: Job) -> Path:
    """weaver's description of the inputs; JSON is YAML."""
    path = job.scratch / "weaver.yaml"
    content = {
        "treename": "Events",
        "preprocess": {"method": "manual"},
        "new_variables": {"background": "1 - label"},
        "inputs": {"features": {"length": None, "vars": [[name, None] for name in job.features]}},
        "labels": {"type": "simple", "value": ["background", "label"]},
    }
    path.write_text(json.dumps(content))
    return path


def loader_of(job: Job) -> Any:
    """As weaver's `train.py` makes it."""
    settings = job.settings
    data = SimpleIterDataset(
        {"_": [str(job.train)]},
        str(data_configuration(job)),
        for_training=True,
        fetch_step=settings["fetch_step"],
        infinity_mode=settings["in_memory"],
        in_memory=settings["in_memory"],
        name="train",
    )
    return torch.utils.data.DataLoader(
        data,
        batch_size=job.batch,
        drop_last=True,
        pin_memory=False,
        num_workers=settings["num_workers"],
        persistent_workers=settings["num_workers"] > 0,
    )


def main() -> None:
    job = read_job(best=_BEST, defaults=_DEFAULTS)
    about(job, ["weaver-core", "torch", "uproot", "awkward", "numpy"])
    torch.set_num_threads(1)
    import uproot

    with uproot.open(job.train) as file:
        steps = file["Events"].num_entries // job.batch
    model = Perceptron(len(job.features), job.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=job.learning_rate, fused=job.settings["fused"])
    loader = loader_of(job)
    flags = {"args": argparse.Namespace(use_amp=False, amp_dtype="none")}

    def scores(x: Any) -> Any:
        with torch.no_grad():
            return model(torch.from_numpy(x)).numpy()[:, 1].astype(np.float64)

    reporter = Reporter(job=job, scores=scores)
    more, epoch = True, 0
    while more:
        train_classification(
            model,
            torch.nn.CrossEntropyLoss(),
            optimizer,
            None,
            loader,
            torch.device("cpu"),
            epoch,
            # In memory the loader never ends; else an epoch is once through the file.
            steps_per_epoch=steps if job.settings["in_memory"] else None,
            extra_args=flags,
        )
        epoch += 1
        more = reporter.epoch(steps * job.batch)


if __name__ == "__main__":
    main()
