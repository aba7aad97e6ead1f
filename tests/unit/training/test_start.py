"""A network that begins with given weights is the network that they are of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agc.errors import UserError
from agc.training.build import build, build_model, load_dataset
from agc.training.start import begin_at, head_names
from tests.conftest import CellMaker

GIVEN = {"file": "given", "digest": 64 * "0"}
"""A start whose weights the test gives."""


def drawn(make: CellMaker, seed: int) -> dict[str, Tensor]:
    cell = make(seed=seed)
    return build_model(cell, load_dataset(cell), "cpu").state_dict()


@pytest.mark.parametrize("prefixed", [True, False])
def test_all_weights_and_buffers_are_the_given_ones(tiny_cell: CellMaker, prefixed: bool) -> None:
    given = {name: value + 1 for name, value in drawn(tiny_cell, 1).items()}
    assert any("running_mean" in name for name in given)
    own_names = ("mean", "std") if not prefixed else ()
    names = {name: value for name, value in given.items() if name not in own_names}
    if not prefixed:
        names = {name.removeprefix("net."): value for name, value in names.items()}
    run = build(tiny_cell(seed=0, training={"start": GIVEN}), start=names)
    own = drawn(tiny_cell, 0)
    for name, value in run.model.state_dict().items():
        # Images are normalised by their own data set's statistics.
        expected = own[name] if name in ("mean", "std") else given[name]
        assert torch.equal(value, expected), name


def test_a_new_head_is_drawn_by_the_seed_and_new_to_a_source_of_it(tiny_cell: CellMaker) -> None:
    given = drawn(tiny_cell, 0)
    cells = [tiny_cell(seed=s, training={"start": {**GIVEN, "head": "new"}}) for s in (0, 0, 1)]
    one, again, other = (build(cell, start=given).model.state_dict() for cell in cells)
    heads = {"net.fc.weight", "net.fc.bias"}
    for name, value in one.items():
        if name not in ("mean", "std"):
            assert torch.equal(value, given[name]) == (name not in heads), name
            assert torch.equal(value, again[name]), name
    assert not torch.equal(one["net.fc.weight"], other["net.fc.weight"])


def test_the_last_layer_is_known_by_its_names(tiny_cell: CellMaker) -> None:
    cell = tiny_cell()
    assert head_names(build_model(cell, load_dataset(cell), "cpu")) == {
        "net.fc.weight",
        "net.fc.bias",
    }


def test_masks_come_after_the_given_weights(tiny_cell: CellMaker) -> None:
    given = drawn(tiny_cell, 1)
    cell = tiny_cell(seed=0, method="static", sparsity=0.5, training={"start": GIVEN})
    method = build(cell, start=given).method
    for name, mask in method.masks.items():
        weight = method.parameters[name]
        assert torch.equal(weight, torch.where(mask, given[name], torch.zeros(()))), name


def test_weights_that_do_not_fit_are_refused_by_name(tiny_cell: CellMaker) -> None:
    cell = tiny_cell(training={"start": GIVEN})
    given = drawn(tiny_cell, 1)
    lacking = {name: value for name, value in given.items() if name != "net.fc.weight"}
    wide = {**given, "net.fc.weight": torch.zeros(12, given["net.fc.weight"].shape[1])}
    for state, words in (
        (lacking, "lack net.fc.weight"),
        (wide, r"net\.fc\.weight has shape .* and \(12, .*head: new"),
        ({**given, "net.extra": torch.zeros(1)}, "have net.extra, which it lacks"),
        (None, "nobody has given"),
    ):
        with pytest.raises(UserError, match=words):
            build(cell, start=state)
    new = tiny_cell(training={"start": {**GIVEN, "head": "new"}})
    build(new, start=wide)


def test_a_network_that_tells_no_last_layer_has_no_new_head() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(UserError, match="does not tell its last layer"):
        begin_at(model, model.state_dict(), True, "cell")


def test_the_teacher_of_an_objective_starts_where_its_cell_does(
    tiny_cell: CellMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[dict[str, Tensor]] = []

    def note(model: nn.Module, state: dict[str, Tensor], new_head: bool, slug: str) -> None:
        begun.append(state)
        begin_at(model, state, new_head, slug)

    monkeypatch.setattr("agc.training.build.begin_at", note)
    objective = {"name": "rst", "options": {"steps": 1}}
    cell = tiny_cell(objective=objective, training={"start": GIVEN, "epochs": 1})
    given = drawn(tiny_cell, 1)
    build(cell, start=given)
    assert begun == [given, given]
