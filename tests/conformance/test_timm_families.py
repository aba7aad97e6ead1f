"""Masks and FLOPs are those of the operations, in a network of each of timm's families."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import timm
import torch

from agc.conformance.architectures import operations_see_the_zeros_and_the_flops
from agc.conformance.checks import DoesNotApply

SMALLEST = """
    beit_base_patch16_224 cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 cpubone_nano
    crossvit_tiny_240 cs3darknet_focus_s csatv2 cspnext_tiny davit_tiny deepseek_vit_412m
    deit_tiny_patch16_224 densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1
    efficientformerv2_s0 efficientvim_m1 efficientvit_b0 efficientvit_m0 ese_vovnet19b_slim_dw
    fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny gemma4_vit_167m ghostnet_050
    gmlp_ti16_224 halonet_h1 hardcorenas_b hgnetv2_b0 hiera_tiny_224 hrnet_w18_small iformer_t
    inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small
    legacy_seresnet18 legacy_xception levit_128s lowformer_b0 mobilenetv3_small_050
    mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_parfac_gap nasnetalarge
    nest_tiny nextvit_small pit_ti_224 pnasnet5large poolformerv2_s12 pvt_v2_b0 qwen3_vit_88m
    rdnet_tiny regnetx_002 repghostnet_050 repvit_m1 res2next50 resnest14d resnetv2_18 rexnet_100
    sam2_hiera_tiny samvit_base_patch16_224 selecsls42 sequencer2d_s shvit_s1 skresnet18
    starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_cr_tiny_224
    swinv2_tiny_window8_256 test_byobnet test_coatnet test_convnext test_efficientnet
    test_mambaout test_nfnet test_resnet test_vit test_vit_relpos tiny_vit_5m_224
    tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11 visformer_tiny
    vit_tiny_patch16_dinov3_qkvb vit_tiny_r_s16_p8_224 vitamin_small_224 volo_d1_224 xception41p
    xcit_nano_12_p8_224
""".split()  # noqa: SIM905
"""Of each of timm's modules the network with the fewest parameters, as of timm 1.0.31. To look for
them takes longer than to check them."""

REFUSED = {"test_nfnet", "vit_tiny_r_s16_p8_224"}
"""Those whose convolutions standardise their weights."""


def families() -> Iterator[str]:
    """A network of each module; of one that the list does not know, the smallest."""
    for module in timm.list_modules():
        names = timm.list_models(module=module)
        yield next((name for name in names if name in SMALLEST), None) or min(names, key=size)


def size(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name).parameters())


@pytest.mark.slow
def test_claimed_zeros_and_flops_are_seen_in_every_family() -> None:
    refused, wrong = {}, {}
    for name in families():
        try:
            operations_see_the_zeros_and_the_flops(name)
        except DoesNotApply as reason:
            refused[name] = str(reason)
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {error}"
    assert not wrong
    assert {*refused} & {*SMALLEST} == REFUSED & {*timm.list_models()}
    assert all("StdConv2d" in refused[name] for name in REFUSED & {*refused})
