from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc.errors import UserError
from agc.grids.cell import make_cell, read_cell
from agc.registry import DATASETS

LITERAL: dict[str, Any] = {
    "dataset": {"name": "digits", "options": {}},
    "architecture": {"name": "resnet8", "options": {"width": 8}},
    "objective": {
        "name": "pgd-at",
        "options": {"epsilon": 0.15, "step_size": 0.06, "steps": 5},
    },
    "method": {
        "name": "rigl",
        "options": {
            "distribution": "erk",
            "drop_fraction": 0.3,
            "drop_schedule": "cosine",
            "update_interval": 10,
            "end_fraction": 0.75,
        },
    },
    "sparsity": 0.95,
    "correction": {
        "name": "agc",
        "options": {"gamma": 0.1, "alpha": 0.3, "tau0": 0.1, "variant": "corrected"},
    },
    "seed": 2,
    "training": {
        "epochs": 10,
        "batch_size": 64,
        "validation": 157,
        "optimizer": {
            "name": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 0.0005,
        },
        "schedule": {"name": "step", "milestones": [0.5, 0.75], "factor": 0.1, "warmup": 0},
        "augmentation": {"crop": 1, "flip": False},
        "clip_norm": None,
        "precision": "float32",
        "channels_last": False,
    },
    "evaluation": {"epsilon": 0.15, "step_size": 0.0375, "steps": 20},
    "revision": 1,
}


def plain(**changes: Any) -> dict[str, Any]:
    return {"dataset": "digits", "architecture": "resnet8", **changes}


def test_the_slug_of_a_cell_written_out_never_changes() -> None:
    # Pinned: another slug here means that no finished cell is found again. If an option with a
    # default has been added on purpose, bump the revision and pin anew.
    assert make_cell(LITERAL).slug == "digits.resnet8.pgd-at.rigl-0.95.agc.s2.c5f34f2f"


def test_nothing_but_the_slug_depends_on_how_a_cell_is_written() -> None:
    short = {
        **LITERAL,
        "dataset": "digits",
        "method": {"name": "rigl", "options": {"update_interval": 10}},
        "correction": "agc",
        "training": {"epochs": 10, "validation": 157.0, "augmentation": {"crop": 1}},
    }
    assert make_cell(short) == make_cell(LITERAL)
    assert make_cell(short).slug == make_cell(LITERAL).slug
    assert make_cell(dict(reversed(LITERAL.items()))).digest == make_cell(LITERAL).digest


def test_defaults_are_part_of_the_cell() -> None:
    cell = make_cell(plain(method="rigl", sparsity=0.9, correction="agc"))
    content = cell.model_dump(mode="json")
    assert content["method"]["options"]["update_interval"] == 100
    assert content["correction"]["options"]["gamma"] == 0.1
    assert content["training"]["optimizer"]["momentum"] == 0.9
    assert set(content) == set(LITERAL)


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    data = json.loads(json.dumps(LITERAL))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("architecture", "options", "width"), 9),
        (("objective", "options", "steps"), 6),
        (("method", "options", "drop_fraction"), 0.31),
        (("sparsity",), 0.951),
        (("correction", "options", "alpha"), 0.2),
        (("seed",), 3),
        (("training", "epochs"), 11),
        (("training", "optimizer", "nesterov"), False),
        (("training", "schedule", "milestones"), [0.5]),
        (("training", "augmentation", "flip"), True),
        (("training", "clip_norm"), 1.0),
        (("evaluation", "steps"), 21),
        (("revision",), 2),
    ],
)
def test_whatever_can_change_a_number_changes_the_hash(path: tuple, value: Any) -> None:
    assert make_cell(changed(path, value)).digest != make_cell(LITERAL).digest


def test_the_slug_reads_well() -> None:
    slug = make_cell(plain()).slug
    assert slug.startswith("digits.resnet8.standard.dense.none.s0.")
    assert len(slug.rsplit(".", 1)[1]) == 8


@given(st.text(alphabet="./\\ ~ab\n:é", min_size=1, max_size=8))
def test_no_name_leads_a_slug_out_of_its_folder(name: str) -> None:
    known = dict(DATASETS._entries)
    DATASETS._entries[name] = DATASETS["digits"]
    try:
        slug = make_cell(plain(dataset=name)).slug
    finally:
        DATASETS._entries.clear()
        DATASETS._entries.update(known)
    assert Path("/results/cells", slug).resolve().parent == Path("/results/cells")
    assert not set(slug) & set("/\\ ~\n:")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "digit"}, "unknown dataset 'digit'; did you mean 'digits'"),
        ({"architecture": "resnet_8"}, "unknown architecture 'resnet_8'; did you mean 'resnet"),
        ({"objective": "pgdat"}, "unknown objective 'pgdat'; did you mean 'pgd-at'"),
        ({"method": "rigll"}, "unknown method 'rigll'; did you mean 'rigl'"),
        ({"correction": "agcc"}, "unknown correction 'agcc'; did you mean 'agc'"),
        ({"method": "rigl", "sparsity": 1.2}, "sparsity = 1.2: Input should be less than 1"),
        ({"method": "rigl", "sparsity": 1}, "sparsity = 1: Input should be less than 1"),
        ({"method": "rigl", "sparsity": -0.1}, "sparsity = -0.1"),
        ({"method": "rigl", "sparsity": float("nan")}, "sparsity = nan"),
        ({"method": "rigl"}, "method 'rigl' needs a sparsity above 0"),
        ({"sparsity": 0.9}, "method 'dense' has no sparsity, got 0.9"),
        ({"sparsty": 0.9}, "unknown key 'sparsty'"),
        ({"training": {"epoch": 3}}, "unknown key 'training.epoch'"),
        ({"training": {"optimizer": {"rate": 1}}}, "unknown key 'training.optimizer.rate'"),
        ({"evaluation": {"eps": 1}}, "unknown key 'evaluation.eps'"),
        ({"dataset": {"name": "digits", "option": {}}}, "unknown key 'dataset.option'"),
        (
            {"correction": {"name": "agc", "options": {"gama": 1}}},
            "unknown option of correction 'agc' 'gama'; did you mean 'gamma'",
        ),
        (
            {"correction": {"name": "agc", "options": {"gamma": "much"}}},
            "correction 'agc': option gamma = 'much'",
        ),
        (
            {"objective": {"name": "pgd-at", "options": {"epsilon": 8}}},
            "objective 'pgd-at': option epsilon = 8: pixels are in [0, 1], so it is at most 1",
        ),
        (
            {"architecture": "lenet5"},
            "architecture 'lenet5': it takes images of 16 pixels and more, these have 8",
        ),
        (
            {"training": {"augmentation": {"crop": 9, "padding": "reflect"}}},
            "dataset 'digits': its images of 8 pixels have no 9 to reflect at an edge",
        ),
        ({"training": {"optimizer": "sgd"}}, "training.optimizer = 'sgd'"),
        ({"training": {"optimizer": {"name": "sdg"}}}, "unknown optimizer 'sdg'; did you mean"),
        ({"training": {"epochs": 0}}, "training.epochs = 0"),
        ({"training": {"epochs": 2.5}}, "training.epochs = 2.5"),
        ({"training": {"epochs": "many"}}, "training.epochs = 'many'"),
        ({"training": {"optimizer": {"lr": float("inf")}}}, "training.optimizer.lr = inf"),
        ({"training": {"schedule": {"milestones": [1.5]}}}, "training.schedule.milestones.0 = 1.5"),
        ({"training": 5}, "training = 5"),
        ({"dataset": 5}, "dataset = 5"),
        ({"dataset": {"nam": "digits"}}, "dataset.name is missing"),
        ({"dataset": {"name": ["digits"]}}, "dataset.name = ['digits']"),
        ({"dataset": {"name": "digits", "options": None}}, "dataset.options = None"),
        ({"architecture": ["resnet8"]}, "architecture = ['resnet8']"),
        ({"architecture": {}}, "architecture.name is missing"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_bad_input_is_one_clear_line_that_names_its_source(changes: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        make_cell(plain(**changes), "grids/mine.yaml")
    assert str(caught.value).startswith("grids/mine.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, 5, "digits", [1], {}, {"dataset": "digits"}])
def test_what_is_no_cell_at_all_is_refused(data: Any) -> None:
    with pytest.raises(UserError, match=r"^here: "):
        make_cell(data, "here")


def test_a_cell_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_cell(plain()).seed = 1


@given(
    st.fixed_dictionaries(
        {
            "seed": st.integers(0, 10**9),
            "sparsity": st.floats(1e-3, 0.999),
            "method": st.sampled_from(["static", "set", "rigl"]),
        }
    )
)
def test_a_cell_survives_its_json(fields: dict) -> None:
    cell = make_cell(plain(**fields))
    again = make_cell(json.loads(json.dumps(cell.model_dump(mode="json"))))
    assert again == cell
    assert again.slug == cell.slug


def test_a_cell_survives_its_file(tmp_path: Path) -> None:
    cell = make_cell(LITERAL)
    cell.write(tmp_path)
    assert read_cell(tmp_path / "cell.json") == cell


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {**c, "schema": 99}, "schema 99, this version of agc reads 1"),
        (lambda c: [c], "schema 'list', this version of agc reads 1"),
        (lambda c: {**c, "cell": {**c["cell"], "seed": 7}}, "its content is cell"),
        (lambda c: {**c, "cell": {**c["cell"], "sead": 7}}, "unknown key 'sead'"),
        (lambda c: {**c, "cell": None}, "Input should be a valid dictionary"),
    ],
)
def test_a_cell_file_that_was_tampered_with_is_named(tmp_path: Path, change, message) -> None:
    cell = make_cell(LITERAL)
    cell.write(tmp_path)
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError) as caught:
        read_cell(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


LATER_SETTINGS = [
    ("training", "images", None, 64),
    ("training", "split", "fixed", "seed"),
    ("evaluation", "test", "every-epoch", "last"),
]


@pytest.mark.parametrize(("section", "key", "usual", "other"), LATER_SETTINGS)
def test_settings_that_came_later_make_another_cell_but_for_their_defaults(
    section: str, key: str, usual: Any, other: Any
) -> None:
    before = make_cell(LITERAL)
    assert make_cell(changed((section, key), usual)).digest == before.digest
    assert key not in before.model_dump(mode="json")[section]
    assert make_cell(changed((section, key), other)).digest != before.digest


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        ({"images": 0}, "training.images"),
        ({"images": 63, "batch_size": 64}, "images 63 are fewer than batch_size 64"),
        ({"split": "random"}, "training.split"),
        (
            {"images": 1281, "validation": 157},
            "of 1437 training images 157 are held out by training.validation: at most 1280 are",
        ),
        ({"images": 1300, "validation": 0.1}, "at most 1293 are left"),
    ],
)
def test_images_that_there_are_not_are_refused_before_anything_is_read(
    training: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        make_cell(plain(training=training))
    make_cell(plain(training={"images": 1280, "validation": 157}))


def test_more_images_than_a_data_set_declares_may_come_with_an_option() -> None:
    svhn = {"name": "svhn", "options": {"extra": True}}
    make_cell(plain(dataset=svhn, training={"images": 500_000}))
    with pytest.raises(UserError, match=r"'svhn': training\.images = 500000, but of 73257"):
        make_cell(plain(dataset="svhn", training={"images": 500_000}))
