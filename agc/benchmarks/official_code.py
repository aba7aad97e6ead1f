"""A step of the official code, where somebody has put its folder: A-ITOP of StevenBoys/AGENT.

It has no licence, so nothing of it is here; what is called is what lies in the folder. Its
networks are replaced by ours with a log-softmax behind it, as its loss expects one, and its data by
batches that are on the device already, so that its loop and its optimizer are what is measured.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from agc.errors import UserError

NEEDED = ("main.py", "sparselearning/core.py", "sparselearning/train_helper.py")
UPDATE_INTERVAL = 100


class OfficialCode:
    """An epoch of the official training, and what came before it.

    Args:
        folder: ``A-ITOP`` of the official repository.
        net: takes images in [0, 1] and gives logits; a copy of it is trained.
        batches: (images, labels) of an epoch, on the device.
        density: share of the weights that is active.

    Raises:
        UserError: the folder is not the official code's.
    """

    def __init__(
        self,
        folder: Path,
        net: nn.Module,
        batches: list[tuple[Tensor, Tensor]],
        density: float = 0.1,
    ) -> None:
        for name in NEEDED:
            if not (folder / name).is_file():
                raise UserError(f"{folder} is not A-ITOP of the official code: it has no {name}")
        self.batches = batches
        self.device = batches[0][0].device
        with _imported(folder.resolve()) as (main, core, helper), self._here():
            self.main = main
            parser = argparse.ArgumentParser()
            core.add_sparse_args(parser)
            wanted = ["--growth", "gradient", "--update_frequency", str(UPDATE_INTERVAL)]
            self.args = parser.parse_args([*wanted, "--density", str(density)])
            self.args.fp16, self.args.log_interval, self.args.batch_size = False, 100, len(batches)
            self.model = nn.Sequential(copy.deepcopy(net), nn.LogSoftmax(dim=1))
            self.older = copy.deepcopy(self.model)
            self.optimizer = helper.SGD(
                self.model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
            )
            self.older_optimizer = helper.SGD_snap(self.older.parameters())
            decay = core.CosineDecay(self.args.death_rate, 100 * len(batches))
            self.masking = core.Masking(
                self.optimizer,
                death_rate=self.args.death_rate,
                death_mode=self.args.death,
                death_rate_decay=decay,
                growth_mode=self.args.growth,
                redistribution_mode=self.args.redistribution,
                args=self.args,
            )
            self.masking.add_module(self.model, sparse_init="ERK", density=density)

    def epoch(self) -> None:
        """The pass for the mean gradient, and a corrected step for each batch."""
        with self._here():
            self.main.train(
                *(self.args, self.model, self.older, self.device, self.batches),
                *(self.optimizer, self.older_optimizer, 1, self.masking),
            )

    @contextmanager
    def _here(self) -> Iterator[None]:
        """Say nothing, and stay on the device: the code moves masks to CUDA by name."""
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            if self.device.type == "cuda":
                yield
                return
            with patch.object(torch.Tensor, "cuda", lambda tensor, *args, **options: tensor):
                yield


@contextmanager
def _imported(folder: Path) -> Iterator[tuple[ModuleType, Any, Any]]:
    """The modules of the folder, which are known by their names within the block alone; importing
    them makes folders, silences warnings and sets cuDNN, all of which is undone.
    """
    names = ("main", "sparselearning.core", "sparselearning.train_helper")
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    shadowed = {name: sys.modules.pop(name) for name in _theirs()}
    sys.path.insert(0, str(folder))
    try:
        with tempfile.TemporaryDirectory() as place, chdir(place), warnings.catch_warnings():
            main, core, helper = (importlib.import_module(name) for name in names)
            main.logger = logging.getLogger("agc.official")
            yield main, core, helper
    except ImportError as error:
        raise UserError(f"{folder}: the official code needs {error.name}") from error
    finally:
        sys.path.remove(str(folder))
        cudnn.benchmark, cudnn.deterministic = before
        for name in _theirs():
            del sys.modules[name]
        sys.modules.update(shadowed)


def _theirs() -> list[str]:
    """Modules that are known by the names of the official ones."""
    return [name for name in sys.modules if name.split(".")[0] in ("main", "sparselearning")]
