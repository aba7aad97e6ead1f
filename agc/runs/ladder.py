"""Attacks on demand: one after another on the same images, each resumable, the worst counting.

Every attack leaves a file of its own for each set of weights, with the outcome of each test image,
written when it is done. So a list of attacks that was interrupted goes on with the next one, and
the worst case over attacks is taken image by image (RobustBench, arXiv 2010.09670).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures import cell_calls
from agc.attacks.base import Attack, Threat, outcomes
from agc.datasets.base import Images
from agc.datasets.shared.loader import in_order
from agc.errors import UserError
from agc.evaluation.clean import BATCH
from agc.evaluation.robust import chosen_images
from agc.files import read_json, write_json
from agc.gradients.modes import evaluating
from agc.grids.cell import SCHEMA, Cell
from agc.machine.provenance import installed
from agc.registry import ATTACKS

IMAGES = 256
"""Images that an attack takes at a time."""

HELD, FELL, LEFT_OUT = "1", "0", "-"
"""Outcome of an image: the network is right in spite of the attack, is wrong, was not asked."""


@dataclass(frozen=True)
class Plan:
    """Which attacks are made, and on what.

    Attributes:
        attacks: names and options, in order.
        images: attack only so many test images, the same ones for every cell; None: all.
        survivors: spare images that an earlier attack of the list has felled.
    """

    attacks: tuple[tuple[str, dict[str, Any]], ...]
    images: int | None = None
    survivors: bool = False

    def made(self, cell: Cell, classes: int) -> dict[str, Attack]:
        """The attacks by name.

        Raises:
            UserError: an unknown one, or one that cannot be made here.
        """
        threat, found = threat_of(cell), {}
        for name, options in self.attacks:
            found[name] = ATTACKS.create(name, options=options)
            reason = found[name].refuse(threat, classes)
            if found[name].equilibrium and cell_calls(cell.architecture) is None:
                reason = f"it attacks equilibrium networks, and {cell.architecture.name} is none"
            if reason is not None:
                raise UserError(f"attack {name!r}: {reason}")
        return found


def threat_of(cell: Cell) -> Threat:
    """The threat model that the cell is evaluated in."""
    return Threat(cell.evaluation.norm, cell.evaluation.epsilon)


def climb(
    model: nn.Module,
    test: Images,
    cell: Cell,
    plan: Plan,
    folder: Path,
    weights: str,
    digest: str,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Make each attack of ``plan`` that has not been made, and write its file into ``folder``.

    Args:
        model: takes images in [0, 1]; left as it is in all respects.
        test: test images on the model's device.
        cell: says the threat model and the seed.
        plan: attacks, and images.
        folder: of the attacks' files.
        weights: ``final`` or ``best``.
        digest: of the file of the weights.
        report: called with a line of progress.
    """
    attacks = plan.made(cell, _classes(model, test))
    asked = chosen_images(len(test), plan.images)
    standing = asked & _right(model, test).cpu()
    clean = standing.clone()
    earlier: list[str] = []
    for name, attack in attacks.items():
        options = dict(plan.attacks)[name]
        described = {
            "schema": SCHEMA,
            "slug": cell.slug,
            "attack": name,
            "options": ATTACKS.resolve(name, options),
            "norm": cell.evaluation.norm,
            "epsilon": cell.evaluation.epsilon,
            "weights": weights,
            "digest": digest,
            "images": int(asked.sum()),
            "spared": list(earlier) if plan.survivors else [],
        }
        path = folder / f"{name}.{weights}.json"
        found = _finished(path, described)
        if found is None:
            begin = time.perf_counter()
            target = standing if plan.survivors else clean
            held = _attack(model, test, attack, name, cell, target, report)
            content = {
                "library": attack.library or "agc",
                "version": installed(attack.library or "agc-bench"),
                "seconds": time.perf_counter() - begin,
                "outcomes": _text(asked, held),
            }
            write_json(path, {**described, **content})
        else:
            held = torch.tensor([mark == HELD for mark in found["outcomes"]])
        standing &= held
        earlier.append(name)


def _attack(
    model: nn.Module,
    test: Images,
    attack: Attack,
    name: str,
    cell: Cell,
    target: Tensor,
    report: Callable[[str], None],
) -> Tensor:
    """Which of the ``target`` images stand all restarts, bool [N] on the CPU."""
    held = target.clone()
    threat = threat_of(cell)
    for restart in range(attack.restarts):
        rows = held.nonzero().flatten()
        if not len(rows):
            break
        parts, batches = rows.split(IMAGES), in_order(test[rows], IMAGES)
        for number, (part, batch) in enumerate(zip(parts, batches, strict=True)):
            done = 100 * number * IMAGES // len(rows)
            report(f"{name}, start {restart + 1}/{attack.restarts}: {done} %")
            seed = rng.derive(cell.seed, f"attack {name}", restart, number)
            held[part] = outcomes(attack, model, batch.images, batch.labels, threat, seed).cpu()
    return held


def summary(folder: Path, cell: Cell, weights: str, digest: str) -> dict[str, Any]:
    """What the files of ``folder`` say about these weights, for ``robustness.json``.

    Returns:
        ``attacks``: by name, robust accuracy (a fraction of the images asked), how many were
        asked, options, and who did it. ``worst_case``: for each number of images asked, the
        accuracy on those images over all attacks that asked them, image by image. Empty if there
        is no file.
    """
    files = [read_json(path) for path in sorted(folder.glob(f"*.{weights}.json"))]
    threat = cell.evaluation
    files = [
        found
        for found in files
        if (found["slug"], found["digest"]) == (cell.slug, digest)
        and (found["norm"], found["epsilon"]) == (threat.norm, threat.epsilon)
    ]
    if not files:
        return {}
    kept = ("images", "options", "spared", "library", "version", "seconds")
    attacks = {
        found["attack"]: {"accuracy": _share([found])} | {key: found[key] for key in kept}
        for found in files
    }
    worst = []
    # A smaller choice of images is part of every larger one.
    for images in sorted({found["images"] for found in files}, reverse=True):
        covering = [found for found in files if found["images"] >= images]
        smallest = next(found for found in covering if found["images"] == images)
        names = [found["attack"] for found in covering]
        accuracy = _share(covering, smallest)
        worst.append({"images": images, "attacks": names, "accuracy": accuracy})
    return {"attacks": attacks, "worst_case": worst}


def _share(files: Sequence[dict[str, Any]], asked: dict[str, Any] | None = None) -> float:
    """Fraction of the images asked by ``asked`` (the first file) that stand all ``files``."""
    marks = [found["outcomes"] for found in files]
    chosen = (asked or files[0])["outcomes"]
    columns = zip(chosen, *marks, strict=True)
    stands = [FELL not in row for first, *row in columns if first != LEFT_OUT]
    return sum(stands) / len(stands)


def _finished(path: Path, described: dict[str, Any]) -> dict[str, Any] | None:
    """The file's content, if it is of this very attack."""
    if not path.exists():
        return None
    found = read_json(path)
    same = isinstance(found, dict) and all(found.get(k) == v for k, v in described.items())
    return found if same and isinstance(found.get("outcomes"), str) else None


def _text(asked: Tensor, held: Tensor) -> str:
    pairs = zip(asked.tolist(), held.tolist(), strict=True)
    return "".join((HELD if stands else FELL) if known else LEFT_OUT for known, stands in pairs)


@torch.no_grad()
def _right(model: nn.Module, test: Images) -> Tensor:
    """Which images the network gets right in evaluation mode; modes are put back."""
    with evaluating(model):
        found = [model(b.images).argmax(dim=1) == b.labels for b in in_order(test, BATCH)]
    return torch.cat(found)


@torch.no_grad()
def _classes(model: nn.Module, test: Images) -> int:
    with evaluating(model):
        return model(next(in_order(test[:1], BATCH)).images).shape[1]
