"""Stages begin with epochs, by points of the loss."""

from __future__ import annotations

import io

import torch

from agc.quantization.shared.stages import Stages

EPOCH = 8


def run(stages: Stages, epochs: int, first: int = 0) -> list[int]:
    """The stage of each epoch of a training whose loss does not change."""
    found = []
    for _ in range(first, epochs):
        if stages.due():
            stages.advance()
        found.append(stages.stage)
        for _ in range(EPOCH):
            stages.observe(torch.tensor(2.0))
    return found


def made(points: int, epochs: int) -> Stages:
    return Stages("published", 0.05, 0.3, points, epochs * EPOCH)


def test_one_stage_begins_with_an_epoch_at_most() -> None:
    assert run(made(points=80, epochs=10), 10) == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]


def test_points_are_means_of_their_steps_and_a_share_of_the_training() -> None:
    # 20 points in 80 steps: five take 20 steps, which end within the third epoch.
    stages = made(points=20, epochs=10)
    assert run(stages, 10) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    fresh, seen = made(points=20, epochs=10), []
    fresh.detector.fires = lambda loss, share: bool(seen.append((loss, share)))
    for loss in range(EPOCH):
        fresh.observe(torch.tensor(float(loss)))
    assert not fresh.due()
    assert seen == [(1.5, 4 / 80), (5.5, 8 / 80)]


def test_a_stage_goes_on_from_a_file() -> None:
    whole = run(made(points=20, epochs=10), 10)
    for stop in range(1, 10):
        first, second = (made(points=20, epochs=10) for _ in range(2))
        run(first, stop)
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second.load_state_dict(torch.load(file, weights_only=True))
        assert run(second, 10, stop) == whole[stop:]
