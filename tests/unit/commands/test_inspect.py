from __future__ import annotations

import json

import pytest

from agc.sparsity.distributions import active_counts
from tests.support.command_line import agc
from tests.support.late_networks import Lazy, Matrix, networks_are


def inspected(*arguments: object) -> dict:
    shown = agc("inspect", *arguments, "--json")
    assert shown.code == 0, shown
    return json.loads(shown.out)


def test_layers_of_lenet_by_hand() -> None:
    shown = inspected("lenet300_100", "--image-size", 28, "--channels", 1)
    layers = {layer["name"]: layer for layer in shown["layers"]}
    assert {name: layer["shape"] for name, layer in layers.items()} == {
        "hidden.0.weight": [300, 784],
        "hidden.2.weight": [100, 300],
        "fc.weight": [10, 100],
    }
    for layer in layers.values():
        assert layer["dense_flops"] == layer["flops"] == 2 * layer["weights"]
        assert layer["sparsity"] == 0
    assert shown["totals"] == {
        "parameters": 266_610,
        "prunable": 266_200,
        "active": 266_200,
        "sparsity": 0,
        "dense_flops": 532_400,
        "flops": 532_400,
        "unpruned": [],
    }


def test_the_sparsity_is_spread_as_training_spreads_it() -> None:
    shown = inspected("resnet20", "--sparsity", 0.95, "--distribution", "erk")
    shapes = {layer["name"]: tuple(layer["shape"]) for layer in shown["layers"]}
    assert {layer["name"]: layer["active"] for layer in shown["layers"]} == active_counts(
        shapes, 0.95, "erk"
    )
    totals = shown["totals"]
    assert totals["active"] == sum(layer["active"] for layer in shown["layers"])
    assert totals["sparsity"] == pytest.approx(0.95, abs=1e-5)
    # Convolutions of the first stage: 32 × 32 places, two operations for each active weight.
    first = shown["layers"][1]
    assert first["name"] == "blocks.0.conv1.weight"
    assert first["flops"] == pytest.approx(2 * 32 * 32 * first["active"])
    rest = totals["dense_flops"] - sum(layer["dense_flops"] for layer in shown["layers"])
    assert totals["flops"] == pytest.approx(sum(x["flops"] for x in shown["layers"]) + rest)


def test_patterns_and_options_of_the_network_are_heard() -> None:
    kept = ("--keep-dense", "@first", "--keep-dense", "@last")
    shown = inspected("resnet8", "--set", "width=4", "--sparsity", 0.5, *kept)
    names = [layer["name"] for layer in shown["layers"]]
    assert "conv1.weight" not in names
    assert "fc.weight" not in names
    assert shown["layers"][0]["shape"] == [4, 4, 3, 3]
    assert shown["totals"]["active"] == round(0.5 * shown["totals"]["prunable"])


def test_the_table_says_what_the_json_says() -> None:
    shown = agc("inspect", "resnet8", "--sparsity", 0.9, "--distribution", "uniform")
    assert shown.code == 0
    totals = inspected("resnet8", "--sparsity", 0.9, "--distribution", "uniform")["totals"]
    rows = [[cell.strip() for cell in line.split("│")] for line in shown.out.splitlines()]
    (prunable,) = (row for row in rows if row[0] == "prunable")
    (everything,) = (row for row in rows if row[0] == "all")
    assert prunable[2:5] == [f"{totals['prunable']:,}", "90.00", f"{totals['active']:,}"]
    assert everything[2] == f"{totals['parameters']:,}" == "75,290"
    assert everything[6] == f"{totals['flops'] / 1e6:,.3f}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet9"], "unknown architecture 'resnet9'; did you mean 'resnet"),
        (["resnet8", "--distribution", "erg"], "unknown distribution 'erg'; did you mean 'er"),
        (["resnet8", "--sparsity", 0.9999], "resnet8: erk at sparsity 0.9999 gives layer"),
        (["resnet8", "--sparsity", 1.0], "sparsity 1.0 is not in [0, 1)"),
        (["resnet8", "--set", "width"], "--set 'width': expected KEY=VALUE"),
        (["resnet8", "--set", "widht=4"], "widht"),
        (["resnet8", "--keep-dense", "head"], "unknown prunable weight 'head'"),
        (["lenet5", "--image-size", 8], "too small for 2 convolutions"),
        (["repvgg_a0"], "the next larger size that it takes, in steps of 8, is 72x72"),
        (["vit_tiny_patch16_224", "--set", "img_size=64"], "does not take images (3, 32, 32)"),
    ],
)
def test_bad_input_is_one_line(arguments: list, message: str) -> None:
    assert message in agc("inspect", *arguments).message


def test_the_list_of_architectures_says_sizes_and_how_to_find_others() -> None:
    shown = agc("list", "architectures")
    assert shown.code == 0
    rows = dict(line.split("│", 1) for line in shown.out.splitlines() if "│" in line)
    sizes = {name.strip(): text for name, text in rows.items()}
    assert "5,849,050 parameters" in sizes["wrn_28_4"]
    assert "--filter" in shown.out
    assert "vit_tiny_patch16_224" not in shown.out


@pytest.mark.parametrize(
    ("pattern", "there", "absent"),
    [
        ("wrn_28_*", "wrn_28_10", "wrn_16_8"),
        ("wide_res", "wide_resnet50_2", "wrn_28_10"),
        ("vit_tiny*224", "vit_tiny_patch16_224", "resnet8"),
    ],
)
def test_the_list_of_architectures_is_filtered_by_name(pattern, there, absent) -> None:
    shown = agc("list", "architectures", "--filter", pattern)
    assert shown.code == 0
    assert there in shown.out
    assert absent not in shown.out


def test_a_filter_without_a_match_names_the_nearest() -> None:
    assert "did you mean 'resnet18'" in agc("list", "architectures", "--filter", "rsnet18").message


def test_a_network_without_a_prunable_layer_is_shown_and_not_pruned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks_are(Matrix, monkeypatch)
    shown = inspected("resnet18")
    assert shown["layers"] == []
    assert shown["totals"]["prunable"] == shown["totals"]["sparsity"] == 0
    assert shown["totals"]["parameters"] == 3 * 10
    assert shown["totals"]["dense_flops"] == 2 * 3 * 10
    assert (
        "it has Matrix: also_prune takes matrix"
        in agc(*("inspect", "resnet18", "--sparsity", 0.5)).message
    )
    pruned = inspected("resnet18", "--sparsity", 0.5, "--also-prune", "matrix")
    assert pruned["totals"]["active"] == 3 * 10 / 2


def test_lazy_layers_are_shown_with_the_shapes_that_an_image_gives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks_are(Lazy, monkeypatch)
    layers = {layer["name"]: layer["shape"] for layer in inspected("resnet18")["layers"]}
    assert layers == {"0.weight": [4, 3, 3, 3], "4.weight": [10, 4 * 32 * 32]}


def test_matrices_that_stay_dense_by_the_rule_are_named() -> None:
    # Its last blocks mix the kernels of experts, in layers that the rule does not know.
    name, first = "tf_efficientnet_cc_b0_4e", "blocks.4.0.conv_pw.weight"
    assert inspected(name)["totals"]["unpruned"][0] == first
    shown = " ".join(agc("inspect", name).out.split())
    assert f"also multiplies with {first}," in shown
    taken = inspected(name, "--also-prune", "blocks.*.weight")
    assert taken["totals"]["unpruned"] == []
    assert next(x for x in taken["layers"] if x["name"] == first)["dense_flops"] > 0


def test_layers_that_transform_their_weights_are_named_before_anything_trains() -> None:
    shown = agc("inspect", "test_nfnet", "--sparsity", 0.5)
    assert shown.code == 2
    assert "cannot prune 'stem.conv1.weight'" in shown.err
    assert "ScaledStdConv2d multiplies with something else" in shown.err
    kept = inspected("test_nfnet", "--sparsity", 0.5, "--keep-dense", "*conv*")
    names = [layer["name"] for layer in kept["layers"]]
    assert names[-1] == "head.fc.weight"
    assert not any("conv" in name for name in names)
