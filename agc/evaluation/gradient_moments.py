"""Variances of two gradients and their covariance, summed over regions of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from agc.gradients.euclidean import as_real

REGIONS = ("all", "active", "grown")


class Moments:
    """Sums over batches of products of deviations of g and q, in float64 (Welford's recursion).

    Only two means are kept, no gradient of a single batch.

    Args:
        parameters: the tensors that the gradients are of.
        masks: by name, those of the present; a tensor without one is active throughout.
        masks_then: those at the reference point.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        masks_then: Mapping[str, Tensor],
    ) -> None:
        self.count = 0
        self.regions: dict[str, Tensor] = {}
        for name, parameter in parameters.items():
            everywhere = torch.ones(parameter.numel(), dtype=torch.bool, device=parameter.device)
            active = masks[name].flatten() if name in masks else everywhere
            grown = active & ~masks_then[name].flatten() if name in masks else ~everywhere
            regions = torch.stack([everywhere, active, grown])
            # A complex weight is two real ones.
            self.regions[name] = (
                regions.repeat_interleave(2, dim=1) if parameter.is_complex() else regions
            )
        options = {"dtype": torch.float64}
        sizes = {name: regions.shape[1] for name, regions in self.regions.items()}
        self.g = {n: p.new_zeros(sizes[n], **options) for n, p in parameters.items()}
        self.q = {n: p.new_zeros(sizes[n], **options) for n, p in parameters.items()}
        self.sums = {n: p.new_zeros(len(REGIONS), 3, **options) for n, p in parameters.items()}
        """By tensor [region, product]: Σ g g, Σ g q, Σ q q of deviations from the means."""

    @torch.no_grad()
    def add(self, now: Mapping[str, Tensor], then: Mapping[str, Tensor]) -> None:
        """One batch: g and q of each tensor."""
        self.count += 1
        for name, regions in self.regions.items():
            before, after = [], []
            for mean, value in ((self.g[name], now[name]), (self.q[name], then[name])):
                flat = as_real(value).flatten().double()
                deviation = flat - mean
                mean += deviation / self.count
                before.append(deviation)
                after.append(flat - mean)
            products = [before[0] * after[0], before[0] * after[1], before[1] * after[1]]
            self.sums[name] += regions.double() @ torch.stack(products, dim=1)

    def ratios(self, region: str, used: Mapping[str, float] | None) -> dict[str, float | None]:
        """Var(g - c q) / Var(g) for several c, with what makes it up; NaN where Var is 0.

        The best coefficients are fitted to the very batches that they are judged by, which flatters
        them a little, above all those by tensor.

        Args:
            region: one of :data:`REGIONS`.
            used: the correction's coefficient of each tensor, or None.
        """
        place = REGIONS.index(region)
        gg, gq, qq = torch.stack([sums[place] for sums in self.sums.values()]).cpu().unbind(dim=1)

        def ratio(c: Tensor | float) -> float:
            return ((gg - 2 * c * gq + c * c * qq).sum() / gg.sum()).item()

        best = gq.sum() / qq.sum()
        by_layer = torch.where(qq > 0, gq / qq, torch.zeros_like(qq))
        at_used = None
        if used is not None:
            at_used = ratio(torch.tensor([used[name] for name in self.sums], dtype=torch.float64))
        return {
            "ratio_used": at_used,
            "ratio_one": ratio(1.0),
            "ratio_best": ratio(best),
            "ratio_layer": ratio(by_layer),
            "best_coefficient": best.item(),
            "correlation": (gq.sum() / (gg.sum() * qq.sum()).sqrt()).item(),
            "scale": (qq.sum() / gg.sum()).sqrt().item(),
        }

    def shares(self, mean: Mapping[str, Tensor] | None) -> dict[str, float]:
        """Which part of Σ |u - q|² falls on pruned and on grown weights.

        Args:
            mean: u by tensor, without those that are not corrected; the mean of q over the
                batches if None or empty.
        """
        squares = torch.zeros(len(REGIONS), dtype=torch.float64)
        for name, sums in self.sums.items():
            if mean and name not in mean:
                continue
            squares += sums[:, 2].cpu()
            if mean:
                offset = (as_real(mean[name]).flatten().double() - self.q[name]).square()
                squares += self.count * (self.regions[name].double() @ offset).cpu()
        total, active, grown = squares
        return {
            "pruned_share": ((total - active) / total).item(),
            "grown_share": (grown / total).item(),
        }
