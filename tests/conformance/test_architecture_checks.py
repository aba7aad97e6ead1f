"""The checks of architectures find what they are for: each broken one fails the check it should."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
import torch
from timm.layers import StdConv2d
from torch import Tensor, nn

import agc.conformance.architectures as conformance
from agc.architectures.deq_tiny import DEQTiny
from agc.conformance.architectures import CHECKS
from agc.conformance.checks import DoesNotApply
from agc.cost.flops import LayerFlops, layer_flops

EQUILIBRIUM = "an_equilibrium_stays_a_contraction"
PLAIN = [name for name in CHECKS if name != EQUILIBRIUM]


class Plain(nn.Module):
    """One convolution and a head; base of the broken ones."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, stride=2)
        self.reset_classifier(classes)

    def reset_classifier(self, classes: int) -> None:
        self.head = nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stem(images).relu().mean(dim=(2, 3)))


class Ten(Plain):
    """Has ten classes, whatever it is asked for."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, 10)


class Stubborn(Plain):
    """Keeps its head."""

    def reset_classifier(self, classes: int) -> None:
        if not hasattr(self, "head"):
            super().reset_classifier(classes)


class Constant(Plain):
    """Begins at the same weights always."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)


class Hurried(Plain):
    """Begins at weights that depend on the moment."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        with torch.no_grad():
            self.head.weight.mul_(1 + time.perf_counter_ns() % 1000)


class Idle(Plain):
    """Has a layer that it does not use."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.unused = nn.Linear(8, 8)


class Late(Plain):
    """Adds a layer in training mode, when its weights have been counted."""

    def forward(self, images: Tensor) -> Tensor:
        if self.training and not hasattr(self, "late"):
            self.late = nn.Linear(8, 8)
        return super().forward(images)


class Drifts(Plain):
    """Takes another head with each pass."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if self.training:
            self.reset_classifier(self.head.out_features)
        return logits


class Forgets(Plain):
    """Its copy is another network."""

    def __deepcopy__(self, memo: Any) -> Plain:
        return Plain(self.stem.in_channels, self.head.out_features)


class Mixes(Plain):
    """Subtracts the mean of the batch."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(dim=0))


class Divides(Plain):
    """Has no finite logit where a weight is 0."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / self.stem.weight.abs().min()


class Aside(Plain):
    """Multiplies with another weight than its layer has."""

    def forward(self, images: Tensor) -> Tensor:
        weight = self.stem.weight
        images = nn.functional.conv2d(images, weight - weight.mean(), self.stem.bias, stride=2)
        return self.head(images.relu().mean(dim=(2, 3)))


class Grows(DEQTiny):
    """Lets its cell's norm be what it becomes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(width=16, img_size=32, num_classes=classes, in_chans=channels)

    def keep_contraction(self) -> None:
        pass


BROKEN = [
    (Grows, EQUILIBRIUM),
    (Aside, "operations_see_the_zeros_and_the_flops"),
    (Ten, "it_gives_as_many_logits_as_there_are_classes"),
    (Stubborn, "it_gives_as_many_logits_as_there_are_classes"),
    (Constant, "initial_weights_follow_from_the_global_stream"),
    (Hurried, "initial_weights_follow_from_the_global_stream"),
    (Late, "no_weight_comes_later_than_the_first_image"),
    (Drifts, "no_weight_comes_later_than_the_first_image"),
    (Idle, "the_loss_reaches_every_weight"),
    (Forgets, "a_copy_computes_the_same"),
    (Mixes, "an_image_is_classified_by_itself"),
    (Divides, "it_can_be_made_sparse"),
]


def put(kind: type[nn.Module], patch: pytest.MonkeyPatch) -> None:
    """Have the checks build networks of this kind."""

    def build(name: str, options: Any, image: tuple[int, int, int], classes: int) -> nn.Module:
        return kind(image[0], classes)

    patch.setattr(conformance, "build_network", build)
    conformance.image_of.cache_clear()


class Unborn(Plain):
    """Plain, with layers that are made of the first image."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.stem = nn.LazyConv2d(8, 3, stride=2)
        self.head: nn.Module = nn.LazyLinear(classes)


@pytest.mark.parametrize("check", PLAIN)
def test_a_lazy_network_passes(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(Unborn, monkeypatch)
    CHECKS[check]("unborn")


@pytest.mark.parametrize("check", PLAIN)
def test_a_plain_network_passes(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(Plain, monkeypatch)
    CHECKS[check]("plain")


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_network_fails_its_check(
    broken: type[nn.Module], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(broken, monkeypatch)
    with pytest.raises(AssertionError):
        CHECKS[check]("broken")


def test_weights_without_their_flops_fail_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    put(Plain, monkeypatch)

    def half(*arguments: Any) -> LayerFlops:
        counted = layer_flops(*arguments)
        layers = {name: flops / 2 for name, flops in counted.layers.items()}
        return dataclasses.replace(counted, layers=layers)

    monkeypatch.setattr(conformance, "layer_flops", half)
    with pytest.raises(AssertionError, match=r"stem\.weight: .* by inputs and outputs"):
        CHECKS["operations_see_the_zeros_and_the_flops"]("plain")


def test_a_network_that_cannot_be_pruned_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Standardised(Plain):
        def __init__(self, channels: int, classes: int) -> None:
            super().__init__(channels, classes)
            self.stem = StdConv2d(channels, 8, 3, stride=2)

    put(Standardised, monkeypatch)
    with pytest.raises(DoesNotApply, match=r"cannot prune 'stem\.weight': StdConv2d"):
        CHECKS["operations_see_the_zeros_and_the_flops"]("standardised")


def test_a_network_without_a_cell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    put(Plain, monkeypatch)
    with pytest.raises(DoesNotApply, match="it is no equilibrium network"):
        CHECKS[EQUILIBRIUM]("plain")


def test_a_network_for_other_images_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(Plain):
        def forward(self, images: Tensor) -> Tensor:
            assert images.shape[-1] == 512
            return super().forward(images)

    put(Large, monkeypatch)
    with pytest.raises(DoesNotApply, match="none of the images"):
        CHECKS["the_loss_reaches_every_weight"]("large")
