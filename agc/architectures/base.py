"""From an architecture's name to a classifier that takes images in [0, 1]."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures import own_names, register_all, timm_names
from agc.architectures.shared.stem import SMALL_IMAGE, adapt_stem, create_for_images
from agc.datasets.base import Dataset
from agc.errors import UserError, unknown
from agc.machine.memory import is_out_of_memory


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
        classifier = Classifier(net, dataset.mean, dataset.std)
        first_pass(classifier, name, dataset.train.images[:2].float() / 255, dataset.classes)
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
    channels, *size = image
    try:
        net = create_for_images(
            name, (size[0], size[1]), options, num_classes=classes, in_chans=channels
        )
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"architecture {name!r} with {options}: {reason}") from error
    return adapt_stem(net) if max(size) <= SMALL_IMAGE else net


def first_pass(model: nn.Module, name: str, images: Tensor, classes: int) -> None:
    """One forward pass in evaluation mode, before any compute is spent; the mode stays so.

    Lazy layers, and all that a network builds when it first sees an image, are drawn here from the
    global generators.

    Args:
        model: the network, or a classifier around it.
        name: for the message.
        images: [N, C, H, W], as the model takes them.
        classes: how many logits are due.

    Raises:
        UserError: it does not take such images, or gives something else than [N, classes].
    """
    model.eval()
    try:
        with torch.no_grad():
            shape = tuple(model(images).shape)
    except (RuntimeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        size = tuple(images.shape[1:])
        reason = str(error).splitlines()[0]
        raise UserError(f"architecture {name!r} does not take images {size}: {reason}") from error
    if shape != (len(images), classes):
        raise UserError(f"architecture {name!r} gives {shape}, not {(len(images), classes)}")
