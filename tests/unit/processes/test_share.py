"""Shares of a batch: together they are the batch, whatever is drawn for its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from agc.attacks.shared.threat import BALLS
from agc.datasets.base import Split
from agc.datasets.shared.loader import Batch, make_loader
from agc.datasets.shared.settings import Augmentation
from agc.datasets.shared.stream import StreamedSplit
from agc.errors import UserError
from agc.grids.cell import Cell, make_cell
from agc.processes.batch_norm import share_batch_norm
from agc.processes.share import Share
from agc.processes.team import Draws
from tests.support.dataset_files import jpeg, pictures

SETTINGS = Augmentation(crop=2, flip=True, cutout=3)


@given(count=st.integers(1, 5), rows=st.integers(1, 6))
def test_shares_make_up_the_whole(count: int, rows: int) -> None:
    whole = torch.arange(1, 2 * count * rows + 1).view(count * rows, 2)
    shares = [Share(rank, count) for rank in range(count)]
    parts = [share.spread(share.of(whole)) for share in shares]
    assert torch.equal(sum(parts, torch.zeros_like(whole)), whole)
    assert torch.equal(shares[-1].of(shares[-1].spread(shares[-1].of(whole))), shares[-1].of(whole))


def together(shares: list[Batch]) -> Batch:
    """The batch that shares are of."""

    def mixed(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors, dim=1).flatten(0, 1)

    images, labels = mixed([b.images for b in shares]), mixed([b.labels for b in shares])
    return shares[0]._replace(images=images, labels=labels)


@dataclass(frozen=True)
class Files:
    """Encoded images in memory."""

    data: tuple[bytes, ...]

    def read(self, number: int) -> bytes:
        return self.data[number]

    def name(self, number: int) -> str:
        return str(number)


def in_memory() -> Split:
    images, labels = pictures(26, (3, 8, 8), 4, 0)
    return Split(torch.from_numpy(images), torch.from_numpy(labels).long())


def streamed() -> StreamedSplit:
    images, labels = pictures(26, (3, 24, 24), 4, 0)
    encoded = tuple(jpeg(image)[0] for image in images)
    return StreamedSplit(Files(encoded), torch.arange(26), torch.from_numpy(labels).long(), 16)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_processes_see_the_batches_of_one(
    kind: type, fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_LOADER_WORKERS", "0")
    split = kind()
    alone = list(make_loader(split, 12, SETTINGS, 7, fixed).epoch(3))
    loaders = [make_loader(split, 12, SETTINGS, 7, fixed, Share(rank, 3)) for rank in range(3)]
    for whole, *shares in zip(alone, *(loader.epoch(3) for loader in loaders), strict=True):
        assert [len(share.images) for share in shares] == [4, 4, 4]
        found = together(shares)
        assert torch.equal(found.images, whole.images)
        assert torch.equal(found.labels, whole.labels)
        assert [share.index for share in shares] == [whole.index] * 3
        assert len({share.noise for share in shares}) == 3
        assert shares[0].noise == whole.noise


@pytest.mark.parametrize("start", ["uniform", "normal"])
@pytest.mark.parametrize("norm", BALLS)
def test_attacks_start_where_those_of_one_process_do(norm: str, start: str) -> None:
    images = torch.rand(8, 3, 4, 4)

    def starts(share: Share) -> Tensor:
        draws = Draws("cpu")
        draws.manual_seed(5)
        draws.share = share
        return BALLS[norm](share.of(images), 0.1).start(start, draws)

    whole = starts(Share())
    for rank in range(2):
        assert torch.equal(starts(Share(rank, 2)), Share(rank, 2).of(whole))


def test_a_shared_batch_norm_is_torchs_if_one_process_has_it(tmp_path: Path) -> None:
    store = torch.distributed.FileStore(str(tmp_path / "meeting"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        for kind, shape in ((nn.BatchNorm1d, (6, 3)), (nn.BatchNorm2d, (6, 3, 4, 5))):
            for momentum in (0.1, None):
                own, torchs = kind(3, momentum=momentum), kind(3, momentum=momentum)
                share_batch_norm(own)
                assert isinstance(own, kind)
                for step in range(3):
                    images = torch.randn(shape, generator=torch.Generator().manual_seed(step))
                    ours, theirs = (images.clone().requires_grad_() for _ in range(2))
                    for norm, given in ((own, ours), (torchs, theirs)):
                        norm(given).square().sum(0).pow(1.5).sum().backward()
                    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
                for name, expected in torchs.state_dict().items():
                    torch.testing.assert_close(own.state_dict()[name], expected)
                assert torch.equal(
                    own.eval()(images), own.__class__.__mro__[2].forward(own, images)
                )
    finally:
        torch.distributed.destroy_process_group()


def cell(**training: object) -> Cell:
    fields = {"dataset": "digits", "architecture": "resnet8", "training": training}
    return make_cell(fields)


def test_one_device_is_what_a_cell_without_the_field_has() -> None:
    assert cell(devices=1).slug == cell().slug
    assert cell(devices=2).slug != cell().slug


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size 64 cannot be shared evenly by 3 devices"):
        cell(devices=3)
