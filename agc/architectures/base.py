"""From an architecture's name to a classifier that takes images in [0, 1]."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures import own_names, register_all, timm_names
from agc.architectures.shared.equilibrium import Equilibrium
from agc.architectures.shared.sizes import STEP, next_size
from agc.architectures.shared.stem import SMALL_IMAGE, adapt_stem, create_for_images
from agc.datasets.base import Dataset
from agc.errors import UserError, unknown
from agc.machine.memory import first_line, is_out_of_memory

REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, ArithmeticError)
"""What networks raise where images are too small for them, or options are not theirs."""

DEFAULT_SIZE = 224
"""Of images, for networks that do not say what they were made for."""

COLOURS = 3
"""Channels of the images that timm's networks were made for."""


class Classifier(nn.Module):
    """A network behind the normalisation of its data set, so that attacks work in [0, 1]."""

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] to logits [N, classes]."""
        return self.net((images - self.mean) / self.std)

    def blank(self, shape: tuple[int, ...]) -> Tensor:
        """Images of this shape that the network sees as ones, in double precision."""
        ones = torch.ones(shape, dtype=torch.float64, device=self.mean.device)
        return ones * self.std + self.mean


class EquilibriumClassifier(Classifier):
    """The same around an equilibrium network, of which one call may be asked for, too."""

    def forward(self, images: Tensor, *state: Tensor) -> Any:
        """Images to logits; with a state beside them what
        :meth:`agc.architectures.shared.equilibrium.Equilibrium.forward` gives.
        """
        return self.net((images - self.mean) / self.std, *state)


def build_classifier(name: str, options: dict[str, Any], dataset: Dataset, seed: int) -> Classifier:
    """Create timm's network ``name`` for a data set, with weights drawn from ``seed``.

    Args:
        name: any name in ``timm.list_models()``, ours included.
        options: keyword arguments of the timm network.
        dataset: gives channels, image size and classes.
        seed: the cell's seed.

    Raises:
        UserError: timm refuses these options, or the network does not fit the images.
    """
    _, channels, height, width = dataset.train.images.shape
    with rng.isolated_everywhere(rng.derive(seed, "initial weights")):
        net = build_network(name, options, (channels, height, width), dataset.classes)
        kind = EquilibriumClassifier if isinstance(net, Equilibrium) else Classifier
        classifier = kind(net, dataset.mean, dataset.std)
        images = dataset.train.images[:2].float() / 255
        first_pass(classifier, images, name, options, dataset.classes)
    return classifier.train()


def build_network(
    name: str, options: dict[str, Any], image: tuple[int, int, int], classes: int
) -> nn.Module:
    """Create timm's network ``name`` with a stem that fits images of shape ``image`` (C, H, W).

    Weights are drawn from torch's global generator.

    Raises:
        UserError: unknown name, or timm refuses the options or the image size.
    """
    register_all()
    if not timm.is_model(name):
        raise unknown("architecture", name, [*own_names(), *timm_names()])
    try:
        return _created(name, options, image, classes)
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(first_line(error).split())
        found = None if isinstance(error, TypeError) else _larger(name, options, image, classes)
        raise UserError(f"architecture {name!r} with {options}: {reason}{found or ''}") from error


def first_pass(
    model: nn.Module, images: Tensor, name: str, options: dict[str, Any], classes: int
) -> None:
    """One forward pass in evaluation mode, before any compute is spent; the mode stays so.

    Lazy layers, and all that a network builds when it first sees an image, are drawn here from the
    global generators.

    Args:
        model: the network, or a classifier around it.
        images: [N, C, H, W], as the model takes them.
        name: what the network was built by, as the others.
        options: its options.
        classes: how many logits are due.

    Raises:
        UserError: it does not take such images, or gives something else than [N, classes].
    """
    model.eval()
    try:
        with torch.no_grad():
            shape = tuple(model(images).shape)
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        image = tuple(images.shape[1:])
        found = _larger(name, options, image, classes)
        raise UserError(
            f"architecture {name!r} does not take images {image}: {first_line(error)}{found}"
        ) from error
    if shape != (len(images), classes):
        raise UserError(f"architecture {name!r} gives {shape}, not {(len(images), classes)}")


def _created(
    name: str, options: dict[str, Any], image: tuple[int, int, int], classes: int
) -> nn.Module:
    channels, *size = image
    net = create_for_images(
        name, (size[0], size[1]), options, num_classes=classes, in_chans=channels
    )
    # A network made for small images means the strides that it has.
    made_for_larger = _native_size(name, {}) > SMALL_IMAGE
    return adapt_stem(net) if max(size) <= SMALL_IMAGE and made_for_larger else net


def _larger(name: str, options: dict[str, Any], image: tuple[int, int, int], classes: int) -> str:
    """What larger images the network takes, as the end of a sentence; empty if none were found."""
    native = _native_size(name, options)
    channels, *size = image

    def takes(side: int, channels: int = channels) -> bool:
        shape = (channels, side, side)
        try:
            with torch.device("meta"), torch.no_grad():
                net = _created(name, options, shape, classes).eval()
                return tuple(net(torch.empty(2, *shape)).shape) == (2, classes)
        except Exception:  # whatever it is, the network cannot be used with such images
            return False

    found = next_size(takes, max(size), native)
    if found is not None:
        return f"; the next larger size that it takes, in steps of {STEP}, is {found}x{found}"
    if channels != COLOURS and takes(native, COLOURS) and not takes(native):
        return f"; it takes images of {COLOURS} channels, not of {channels}"
    return ""


def _native_size(name: str, options: dict[str, Any]) -> int:
    """Height and width of the images that the network is made for; the option tells if given."""
    cfg, asked = timm.get_pretrained_cfg(name), options.get("img_size")
    if isinstance(asked, int):
        return asked
    return DEFAULT_SIZE if cfg is None or not cfg.input_size else max(cfg.input_size[1:])
