from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from agc.architectures import own_names, register_all, timm_names
from agc.architectures.base import Classifier, build_classifier
from agc.datasets.base import Dataset, Split
from agc.errors import UserError
from tests.support.late_networks import LATE, NAME, Lazy, networks_are, streams


def data(channels: int, size: int, classes: int = 10) -> Dataset:
    """A data set of the right shapes; its values matter to nobody."""
    images = torch.arange(4 * channels * size * size).reshape(4, channels, size, size) % 256
    split = Split(images.to(torch.uint8), torch.arange(4) % classes)
    return Dataset(split, split, classes, (0.4,) * channels, (0.2,) * channels)


DIGITS, COLOUR = data(1, 8), data(3, 32)


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def residual_parameters(blocks: int, width: int, channels: int, classes: int) -> int:
    """Counted by hand: 3×3 convolutions, two numbers a channel of batch norm, the last layer."""
    count = 9 * channels * width + 2 * width
    before = width
    for stage in range(3):
        for _ in range(blocks):
            now = width * 2**stage
            count += 9 * before * now + 2 * now + 9 * now * now + 2 * now
            before = now
    return count + before * classes + classes


@pytest.mark.parametrize(
    ("name", "options", "dataset", "count"),
    [
        ("resnet20", {}, COLOUR, 269_722),  # 0.27 million, as in table 6 of the paper
        ("resnet20", {}, COLOUR, residual_parameters(3, 16, 3, 10)),
        ("resnet20", {}, DIGITS, residual_parameters(3, 16, 1, 10)),
        ("resnet8", {}, COLOUR, residual_parameters(1, 16, 3, 10)),
        ("resnet8", {"width": 8}, DIGITS, residual_parameters(1, 8, 1, 10)),
        ("resnet18", {}, COLOUR, 11_173_962),  # 3×3 stem in place of 7×7
    ],
)
def test_networks_have_their_number_of_parameters_and_take_the_images(
    name: str, options: dict, dataset: Dataset, count: int
) -> None:
    model = build_classifier(name, options, dataset, seed=0)
    assert parameters(model) == count
    assert model.training
    logits = model(dataset.train.images.float() / 255)
    assert logits.shape == (4, 10)
    assert torch.isfinite(logits).all()


def test_an_imagenet_stem_keeps_the_resolution_of_small_images() -> None:
    net = build_classifier("resnet18", {}, COLOUR, seed=0).net
    assert (net.conv1.kernel_size, net.conv1.stride) == ((3, 3), (1, 1))
    assert isinstance(net.maxpool, torch.nn.Identity)
    assert net.layer1(net.maxpool(net.conv1(torch.zeros(1, 3, 32, 32)))).shape[2:] == (32, 32)


def test_an_imagenet_stem_is_left_to_large_images() -> None:
    net = build_classifier("resnet18", {}, data(3, 96), seed=0).net
    assert net.conv1.kernel_size == (7, 7)
    assert isinstance(net.maxpool, torch.nn.MaxPool2d)


def test_initial_weights_follow_from_the_seed_alone() -> None:
    models = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        models.append(build_classifier("resnet18", {}, DIGITS, seed=5).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    other = build_classifier("resnet18", {}, DIGITS, seed=6).state_dict()
    assert not torch.equal(models[0]["net.conv1.weight"], other["net.conv1.weight"])


def test_a_classifier_normalises_within_itself() -> None:
    net = torch.nn.Flatten()
    model = Classifier(net, mean=(0.5, 0.25), std=(0.5, 0.1))
    images = torch.tensor([[[[1.0]], [[0.5]]]])
    assert model(images).tolist() == [pytest.approx([1.0, 2.5])]
    assert not list(model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {"no_such": 1}, "architecture 'resnet18' with {'no_such': 1}:"),
        (
            "vit_tiny_patch16_224",
            {"img_size": 64},
            "architecture 'vit_tiny_patch16_224' does not take",
        ),
        ("resnet81", {}, "unknown architecture 'resnet81'; did you mean 'resnet8'?"),
    ],
)
def test_a_network_that_does_not_fit_is_one_clear_line(name, options, message) -> None:
    with pytest.raises(UserError) as caught:
        build_classifier(name, options, COLOUR, seed=0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", own_names())
def test_our_networks_refuse_an_option_that_they_do_not_have(name: str) -> None:
    with pytest.raises(UserError, match="widht"):
        build_classifier(name, {"widht": 8}, DIGITS, seed=0)


def test_names_read_from_the_sources_are_those_that_timm_lists() -> None:
    import timm

    register_all()
    assert set(own_names()) >= {"resnet8", "wrn_28_4", "vgg16_c", "lenet5"}
    assert not set(own_names()) & set(timm_names())
    assert set(timm.list_models()) == set(own_names()) | set(timm_names())
    assert len(timm_names()) > 500


def test_a_blank_image_is_one_of_ones_behind_the_normalisation() -> None:
    model = Classifier(nn.Identity(), mean=(0.5, 0.25), std=(0.5, 0.1))
    blank = model.blank((3, 2, 4, 5))
    assert (blank.shape, blank.dtype) == ((3, 2, 4, 5), torch.float64)
    torch.testing.assert_close(model(blank), torch.ones_like(blank))


@pytest.mark.parametrize("kind", LATE, ids=lambda kind: kind.__name__)
def test_weights_that_are_drawn_late_follow_from_the_seed_too(
    kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks_are(kind, monkeypatch)
    built = []
    for neighbour in (1, 2):
        torch.manual_seed(neighbour), random.seed(neighbour), np.random.seed(neighbour)
        before = streams()
        built.append(build_classifier(NAME, {}, DIGITS, seed=5))
        assert streams() == before
    one, other = (model.state_dict() for model in built)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    images = DIGITS.train.images.float() / 255
    assert torch.equal(built[0](images), built[1](images))
    another = build_classifier(NAME, {}, DIGITS, seed=6).state_dict()
    weights = [name for name in one if name.endswith(".weight") and one[name].ndim > 1]
    assert not any(torch.equal(one[name], another[name]) for name in weights)


def test_a_lazy_stem_is_made_fit_for_small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    networks_are(Lazy, monkeypatch)
    first = build_classifier(NAME, {}, DIGITS, seed=0).net[0]
    assert (first.in_channels, first.kernel_size, first.stride) == (1, (3, 3), (1, 1))
    assert first.weight.shape == (4, 1, 3, 3)


@pytest.mark.parametrize(
    ("name", "options", "dataset", "size"),
    [
        # Its two branches halve the image, and the stem for small ones keeps one of them.
        ("repvgg_a0", {}, DIGITS, 72),
        ("visformer_tiny", {}, COLOUR, 72),
        ("vit_tiny_patch16_224", {"img_size": 64}, COLOUR, 64),
        ("test_vit", {"patch_size": 24}, DIGITS, None),
        # It raises a ZeroDivisionError, and while it is made.
        ("gcvit_xxtiny", {}, DIGITS, 96),
        # Its assertion says nothing.
        ("halonet_h1", {}, COLOUR, 256),
    ],
)
def test_a_network_for_larger_images_says_which_it_takes(
    name: str, options: dict, dataset: Dataset, size: int | None
) -> None:
    with pytest.raises(UserError) as caught:
        build_classifier(name, options, dataset, seed=0)
    message = str(caught.value)
    assert message.startswith(f"architecture {name!r} ")
    assert "\n" not in message
    hint = f"; the next larger size that it takes, in steps of 8, is {size}x{size}"
    assert message.endswith(hint) if size else "next larger" not in message


def test_a_network_takes_the_size_that_is_named() -> None:
    build_classifier("visformer_tiny", {}, data(1, 72), seed=0)
    with pytest.raises(UserError):
        build_classifier("visformer_tiny", {}, data(1, 64), seed=0)


def test_a_network_for_colours_says_so_of_grey_images() -> None:
    with pytest.raises(UserError) as caught:
        build_classifier("csatv2", {}, data(1, 32), seed=0)
    assert str(caught.value).endswith("; it takes images of 3 channels, not of 1")
