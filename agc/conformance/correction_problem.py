"""A small training run in a loop of one's own, for the checks of gradient corrections."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agc import rng
from agc.corrections.base import Correction
from agc.cost.meter import Meter
from agc.datasets.shared.loader import Batch
from agc.methods.rigl import RigL
from agc.registry import CORRECTIONS
from agc.training.step import Step


def noisy_network(width: int = 6) -> nn.Module:
    """With batch norm, dropout, a frozen weight, a module in evaluation mode, a tied weight."""
    with rng.isolated(2):
        model = nn.Sequential(
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.Dropout(0.3),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.Linear(width, 4),
        )
    model[3].weight = model[0].weight
    model[4].eval()
    model[5].bias.requires_grad_(False)
    return model


def classify(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of a batch."""
    return cross_entropy(model(batch.images), batch.labels)


class Problem:
    """The noisy network, a correction by name, RigL, and four batches; dropout draws from the
    global stream.

    Args:
        name: of the correction.
        loaded: states by the names of this object's attributes; ``model`` and ``optimizer`` are
            loaded before correction and method are made, each of these right after it is made.
        sparse_first: whether the method is made before the correction.
        width: of the images and the layers.
        options: of the correction.
    """

    def __init__(
        self,
        name: str,
        *,
        loaded: Mapping[str, dict[str, Any]] | None = None,
        sparse_first: bool = False,
        width: int = 6,
        **options: Any,
    ) -> None:
        self.loaded = loaded or {}
        self.model = noisy_network(width)
        self.meter = Meter()
        self.meter.watch(self.model)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9, weight_decay=1e-3)
        self._load("model", "optimizer")
        if sparse_first:
            self.sparse = self._method()
        self.correction: Correction = CORRECTIONS.create(
            name, self.model, options=options, seed=0, epochs=3
        )
        self._load("correction")
        if not sparse_first:
            self.sparse = self._method()
        self._load("sparse")
        self.step = Step(self.model, self.optimizer, classify, self.sparse, self.correction)
        generator = rng.generator(0, "data")
        self.batches = [
            Batch(
                torch.randn(8, width, generator=generator),
                torch.randint(4, (8,), generator=generator),
                index=index,
            )
            for index in range(4)
        ]

    def _method(self) -> RigL:
        return RigL(self.model, self.optimizer, sparsity=0.5, total_steps=40, update_interval=3)

    def _load(self, *attributes: str) -> None:
        for attribute in attributes:
            if attribute in self.loaded:
                getattr(self, attribute).load_state_dict(self.loaded[attribute])

    def begin(self) -> None:
        """What comes before an epoch's first step."""
        self.step.begin_epoch(self.batches)

    def epoch(self) -> None:
        """A whole epoch."""
        self.begin()
        for batch in self.batches:
            self.step(batch)

    def result(self) -> list[Tensor]:
        """Weights, buffers, masks and momentum."""
        momentum = [s["momentum_buffer"] for s in self.optimizer.state.values()]
        return [*self.model.state_dict().values(), *self.sparse.masks.values(), *momentum]


class Augmented(torch.utils.data.Dataset):
    """Samples that are turned by Python's global stream, shifted by NumPy's, scaled by torch's and
    blurred by a generator of its own.

    Args:
        count: of the samples.
    """

    def __init__(self, count: int = 24) -> None:
        self.images = torch.randn(count, 6, generator=rng.generator(0, "images"))
        self.generator = rng.generator(0, "transforms")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int, int]:
        image = self.images[place] * (random.random() < 0.5 or -1)
        image = (image + np.random.normal()) * torch.rand(())
        return image + torch.randn(6, generator=self.generator) / 10, place % 4, place


def _together(samples: list[tuple[Tensor, int, int]]) -> Batch:
    images, labels, places = zip(*samples, strict=True)
    return Batch(torch.stack(images), torch.tensor(labels), index=places[0] // 8)


def loader(workers: int = 0) -> torch.utils.data.DataLoader:
    """Batches of 8 of 24 augmented samples, with generators of its own and of its sampler; all
    global streams are set anew.
    """
    random.seed(4)
    np.random.seed(4)
    torch.manual_seed(4)
    samples = Augmented()
    order = rng.generator(0, "order")
    return torch.utils.data.DataLoader(
        samples,
        batch_size=8,
        sampler=torch.utils.data.RandomSampler(samples, generator=order),
        generator=rng.generator(0, "workers"),
        num_workers=workers,
        collate_fn=_together,
    )


def stream_states(batches: torch.utils.data.DataLoader) -> list[Tensor]:
    """Of a loader and of the global generators."""
    own = (batches.generator, batches.sampler.generator, batches.dataset.generator)
    python = torch.tensor(random.getstate()[1])
    numpy = torch.from_numpy(np.random.get_state()[1].astype("int64"))
    return [*(one.get_state() for one in own), torch.get_rng_state(), python, numpy]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint gives back: tensors and plain containers alone are read."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether all tensors have the same bits."""
    assert len(one) == len(other) > 0
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def saved(model: nn.Module) -> int:
    """Size of a whole model in a file, in bytes; it must be one that can be saved."""
    file = io.BytesIO()
    try:
        torch.save(model, file)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise AssertionError(f"the model cannot be saved: {error}") from error
    return file.tell()


def attributes(model: nn.Module) -> list[tuple[list[str], list[int]]]:
    """Of each module: names of its attributes, and how many things it holds in each of its
    dictionaries, such as hooks.
    """
    return [
        (sorted(vars(m)), [len(v) for _, v in sorted(vars(m).items()) if isinstance(v, dict)])
        for m in model.modules()
    ]
