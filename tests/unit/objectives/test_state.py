"""Objectives that hold a state, or look at the data before the training."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from agc import rng
from agc.datasets.shared.encoded import load_folders
from agc.datasets.shared.loader import Batch
from agc.datasets.shared.stream import Decoded, StreamedSplit
from agc.grids.cell import make_cell
from agc.registry import OBJECTIVES
from agc.training.build import build, load_dataset
from agc.training.loop import prepared, train
from tests.support.image_files import folders

EPSILON = 0.1


def free(replays: int = 3, norm: str = "linf") -> dict:
    return {
        "name": "free-at",
        "options": {"epsilon": EPSILON, "replays": replays, "norm": norm},
    }


def test_free_training_gives_each_batch_several_times_and_as_many_steps(
    tiny_cell: Callable,
) -> None:
    run = build(tiny_cell(objective=free(replays=3)))
    plain = build(tiny_cell())
    given = list(run.loader.epoch(1))
    assert len(given) == len(run.loader) == len(plain.loader) == 4
    assert [given[0] is batch for batch in given] == [True, True, True, False]
    first, second = list(plain.loader.epoch(1))[:2]
    assert torch.equal(given[0].images, first.images)
    assert torch.equal(given[3].images, second.images)
    # A correction's pass over the data sees all of them.
    assert len({id(batch) for batch in list(run.loader.epoch(1, "snapshot"))}) == 4


def test_the_perturbation_moves_by_the_gradient_of_each_training_step() -> None:
    with rng.isolated(1):
        model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    objective = OBJECTIVES.create("free-at", options={"epsilon": EPSILON})
    images = torch.rand(6, 1, 3, 3, generator=rng.generator(0, "images"))
    batch = Batch(images, torch.arange(6) % 3)
    expected = torch.zeros_like(images)
    for _ in range(4):
        found = objective.prepare(model, batch, rng.generator(0, "attack"))
        assert torch.equal(found.images, (images + expected).clamp(0, 1))
        leaf = found.images.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(
            nn.functional.cross_entropy(model(leaf), batch.labels), leaf
        )
        objective.loss(model, found).backward()
        expected = (expected + EPSILON * gradient.sign()).clamp(-EPSILON, EPSILON)
        torch.testing.assert_close(objective.perturbation, expected)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(0.1 * parameter.grad)
                parameter.grad = None


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_correction_s_passes_leave_the_perturbation(tiny_cell: Callable, norm: str) -> None:
    run = build(tiny_cell(objective=free(norm=norm), correction="agc"))
    for _ in train(run):
        pass
    before = run.objective.perturbation.clone()
    assert before.abs().max() > 0
    for batch in prepared(run, 9, "snapshot"):
        loss = run.loss_fn(run.model, batch)
        torch.autograd.grad(loss, list(run.correction.parameters.values()))
    assert torch.equal(run.objective.perturbation, before)
    length = before.abs().max() if norm == "linf" else before.flatten(1).norm(dim=1).max()
    assert length <= EPSILON + 1e-6


def test_plain_and_corrected_free_training_start_alike(tiny_cell: Callable) -> None:
    losses = []
    for correction in ("none", "agc"):
        run = build(tiny_cell(objective=free(), correction=correction))
        losses.append(next(train(run))[1])
    assert torch.equal(losses[0][0], losses[1][0])
    assert not torch.equal(losses[0], losses[1])


def test_self_training_never_looks_at_the_labels_it_replaces(tiny_cell: Callable) -> None:
    cell = tiny_cell(objective={"name": "rst", "options": {"steps": 1}})
    objective = OBJECTIVES.create("rst", options={"unlabelled": 0.5})
    train_split = load_dataset(cell).train[:300]
    seen = []

    def teach(images):
        seen.append(images)
        return Constant(7)

    found = objective.training_split(train_split, teach)
    (shown,) = seen
    assert len(shown) == 150
    changed = found.labels != train_split.labels
    assert torch.equal(found.images, train_split.images)
    assert set(found.labels[changed].tolist()) == {7}
    assert 100 < changed.sum() <= 150
    again = objective.training_split(train_split, teach)
    assert torch.equal(again.labels, found.labels)


def test_self_training_labels_streamed_images_without_holding_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", "0")
    monkeypatch.setattr(Decoded, "__getitem__", None)  # decodes all that it is asked for at once
    streamed = load_folders(folders(tmp_path / "images", 6), 16).train
    objective = OBJECTIVES.create("rst", options={"unlabelled": 0.5})
    found = objective.training_split(streamed, lambda images: Constant(1))
    assert isinstance(found, StreamedSplit)
    assert torch.equal(found.numbers, streamed.numbers)
    changed = found.labels != streamed.labels
    assert 0 < changed.sum() <= 6
    assert set(found.labels[changed].tolist()) == {1}


class Constant(nn.Module):
    """Sees the same class everywhere."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.eye(10)[label])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scores.expand(len(images), -1)


def test_pseudo_labels_are_those_of_the_cell_s_network_trained_plainly(
    tiny_cell: Callable,
) -> None:
    def made(**fields):
        return build(
            tiny_cell(
                objective={"name": "rst", "options": {"steps": 1}},
                training={"epochs": 8, "validation": 157},
                **fields,
            )
        )

    run = made()
    true = build(make_cell({**run.cell.model_dump(), "objective": "standard"}))
    same = (run.loader.split.labels == true.loader.split.labels).double().mean()
    assert 0.75 < same < 1  # half of the labels are given, most of the others are right
    other = made(method="rigl", sparsity=0.9, correction="agc")
    assert torch.equal(other.loader.split.labels, run.loader.split.labels)
    assert run.meter.forward == other.meter.forward == 0


def test_new_options_leave_the_hash_of_cells_that_do_not_use_them(tiny_cell: Callable) -> None:
    slugs = [
        tiny_cell(objective={"name": "pgd-at", "options": options}).slug
        for options in (
            {},
            {"norm": "linf", "start": "uniform", "batch_norm": "eval", "label_smoothing": 0},
            {"norm": "l2"},
            {"start": "none"},
            {"batch_norm": "train"},
            {"label_smoothing": 0.1},
        )
    ]
    assert slugs[0] == slugs[1]
    assert all(one != other for one, other in pairwise(sorted(slugs[1:])))
