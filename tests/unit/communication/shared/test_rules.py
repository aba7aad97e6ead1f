"""Which cells several workers refuse, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from agc.errors import UserError
from agc.grids.cell import make_cell

PLAIN = {
    "dataset": "digits",
    "architecture": "resnet8",
    "communication": {"name": "ef", "options": {"compressor": "top-k"}},
    "training": {"optimizer": {"nesterov": False}},
}
LOCKED = {"training": {"augmentation": {"locked": True}, **PLAIN["training"]}}
SPARSE = {"method": "rigl", "sparsity": 0.9}


def cell(**fields: Any) -> Any:
    return make_cell({**PLAIN, **fields})


def entry(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "options": options}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"communication": entry("ef", workers=5)}, "batch_size 64 cannot be shared evenly by 5"),
        (
            {"training": {"devices": 8, "optimizer": {"nesterov": False}}},
            "4 workers cannot be spread evenly over training.devices: 8",
        ),
        ({"training": {"optimizer": {"name": "adamw"}}}, "optimizer 'adamw' is not sgd"),
        ({"training": {"optimizer": {"nesterov": True}}}, "without training.optimizer.nesterov"),
        ({"communication": entry("ef", compressor="sgin")}, "unknown compressor 'sgin'; did you"),
        ({"communication": entry("ef", ratio=0.1)}, "compressor 'sign' takes no ratio, got 0.1"),
        ({"objective": "free-at"}, "objective 'free-at' changes with each gradient"),
        ({"method": "n:m", "sparsity": 0.5}, "method 'n:m' trains weights that the forward"),
        ({"method": "top-kast", "sparsity": 0.5}, "method 'top-kast' trains weights that the"),
        ({"method": "vr-pge", "sparsity": 0.5}, "method 'vr-pge' "),
        ({"method": "bsr", "sparsity": 0.5}, "method 'bsr' adds noise"),
        ({"method": "deepr", "sparsity": 0.5}, "method 'deepr' adds noise"),
        ({"correction": "sam"}, "correction 'sam' cannot correct"),
        ({"correction": "s2-sam"}, "correction 's2-sam' cannot correct"),
        ({"correction": "extragradient"}, "correction 'extragradient' cannot correct"),
        ({"correction": "storm"}, "correction 'storm' cannot correct"),
        ({"correction": "mars"}, "correction 'mars' cannot correct"),
        ({"correction": "agc-running"}, "correction 'agc-running' cannot correct"),
        ({"correction": entry("agc", estimator="layer")}, "estimator 'layer' of agc regresses"),
        ({"correction": entry("agc", variant="a-bsr")}, "variant 'a-bsr' of agc is a published"),
        ({"correction": entry("svrg", store=1.0), **LOCKED}, "store: workers have shares of a"),
        ({"quantization": "metagrad"}, "quantization 'metagrad' cannot be that of several"),
        ({"quantization": "dfq"}, "quantization 'dfq' cannot be that of several workers"),
        ({"quantization": "fractrain"}, "quantization 'fractrain' cannot be that of several"),
        (
            {"quantization": entry("static", weight_gradients=8)},
            "quantization 'static' rounds the gradient of the whole batch",
        ),
        (
            {"quantization": "static", "training": {"devices": 2, **PLAIN["training"]}},
            "quantization 'static' takes extremes over all processes",
        ),
    ],
)
def test_it_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        cell(**fields)


def test_cgq_is_refused_by_all_workers() -> None:
    constant = {"optimizer": {"name": "cgq"}, "schedule": {"name": "constant"}}
    with pytest.raises(UserError, match="optimizer 'cgq' probes the loss of the whole batch"):
        cell(communication="all-reduce", training=constant)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        SPARSE,
        {**SPARSE, "correction": "agc"},
        {**SPARSE, "correction": "svrg"},
        {"objective": "pgd-at"},
        {"quantization": "static"},
        {"quantization": "pfq"},
        {"communication": "all-reduce", "training": {"optimizer": {"name": "adamw"}}},
        {"training": {"devices": 2, "optimizer": {"nesterov": False}}},
        {"training": {"precision": "bfloat16", "optimizer": {"nesterov": False}}},
        {"training": {"optimizer": {"momentum": 0.0}}},
    ],
)
def test_it_is_allowed(fields: dict[str, Any]) -> None:
    assert cell(**fields).slug


def test_one_worker_alone_may_do_all_of_it() -> None:
    for fields in ({"correction": "sam"}, {"method": "n:m", "sparsity": 0.5}):
        assert make_cell({**PLAIN, "communication": "none", **fields}).slug
