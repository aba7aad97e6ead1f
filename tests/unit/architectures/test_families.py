"""Every family of timm on small images: it runs, or says in one line which images it takes."""

from __future__ import annotations

import re
import warnings

import pytest
import torch

from agc.cost.layers import measure
from agc.errors import UserError

IMAGES = ((1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64))
LARGEST = 60_000_000
"""Parameters of a network that is tried, so that all of it takes minutes."""

NAMED = re.compile(r"; the next larger size that it takes, in steps of 8, is (\d+)x\1$")
COLOURED = "; it takes images of 3 channels, not of 1"


def smallest_of_each_family() -> list[str]:
    """Names of the smallest networks, one for each of timm's modules."""
    import timm

    smallest = []
    for module in timm.list_modules():
        sizes = {}
        for name in timm.list_models(module=module):
            with torch.device("meta"):
                sizes[name] = sum(p.numel() for p in timm.create_model(name).parameters())
            if sizes[name] < LARGEST / 10:
                break
        name = min(sizes, key=lambda name: sizes[name], default="")
        if name and sizes[name] <= LARGEST:
            smallest.append(name)
    return smallest


@pytest.mark.slow
def test_each_family_runs_on_small_images_or_names_those_that_it_takes() -> None:
    runs, refused, wrong = 0, 0, []
    warnings.simplefilter("ignore")
    for name in smallest_of_each_family():
        for image in IMAGES:
            try:
                measure(name, {}, image, 10, 0.5)
                runs += 1
            except UserError as error:
                refused += 1
                message = str(error)
                wrong += _faults(name, image, message)
            except Exception as error:  # whatever it is, a user would see a traceback
                wrong.append(f"{name} {image}: {error!r}")
    print(f"{runs} run, {refused} are refused, {len(wrong)} are wrong")
    assert not wrong, "\n".join(wrong)
    assert min(runs, refused) > 0


def _faults(name: str, image: tuple[int, int, int], message: str) -> list[str]:
    """What is wrong with a refusal: the size that it names has to work."""
    found = NAMED.search(message)
    if "\n" in message or not message.startswith(f"architecture {name!r}"):
        return [f"{name} {image}: {message}"]
    if found:
        better = (image[0], int(found[1]), int(found[1]))
    elif message.endswith(COLOURED):
        better = (3, 224, 224)
    else:
        return [f"{name} {image}: {message}"]
    try:
        measure(name, {}, better, 10, 0.5)
    except Exception as error:
        return [f"{name} {image}: {better} do not work: {error!r}"]
    return []
