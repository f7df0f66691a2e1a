"""Ridge regression by cross-validation, from sums: what a linear readout of features explains of targets that turn.

A sample has features x_k(g) at every element g of a group, and a target ``rho(g) y``. With the moments
``M_kmn = int x_k(g) rho_mn(g) dg`` a linear readout W (one row for each component m of rho) has

    int |W x(g) - rho(g) y|^2 dg = tr W <x x^T> W^T - 2 sum_kmn W_mk M_kmn y_n + |y|^2      at random orientations,
    Pi_n = sum_km W_mk M_kmn                                                          its symmetrised prediction.

So the same readouts are judged twice, by what they give at a random orientation, and by their average over all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

PENALTIES = tuple(10.0**k for k in range(-8, 2))
"""Of ridge, in units of the mean eigenvalue of the normal matrix: from what float32 leaves undecided to what leaves
nothing."""

FOLDS = 5
"""Parts of the data, each predicted from the others."""


@dataclass(frozen=True)
class Samples:
    """N samples with K features, and T targets of P components each."""

    moments: torch.Tensor
    """``(N, K, P, P)``: M_kmn."""
    targets: torch.Tensor
    """``(N, T, P)``."""
    fold: torch.Tensor
    """``(N,)``: the part that a sample belongs to."""
    centred: bool
    """Whether rho is trivial: then all is told from the means of the samples that are fitted."""


def at_random_orientations(samples: Samples, squares: torch.Tensor) -> torch.Tensor:
    """``(T,)``: share of each target that is explained, 1 for all, 0 or less for none; `squares` ``(FOLDS, K, K)`` are
    sums of ``int x x^T dg`` over the samples of each fold."""
    count = torch.stack([(samples.fold == f).sum() for f in range(FOLDS)]).double()
    scale = (squares.sum(0).diagonal() / count.sum()).clamp_min(0.0).sqrt()
    scale = torch.where(scale > 0, scale.reciprocal(), 0.0)
    squares = squares * scale[:, None] * scale
    moments = samples.moments * scale[:, None, None]
    products = _by_fold(samples, torch.einsum("ikmn,itn->ikmt", moments, samples.targets))
    # under a trivial rho M_kmn is the mean of x_k where m = n, and 0 elsewhere
    firsts = _by_fold(samples, moments[:, :, 0, 0])
    sums = _by_fold(samples, samples.targets)
    losses, totals = [], []
    for held in range(FOLDS):
        fitted = torch.arange(FOLDS) != held
        n, x0, y0 = count[fitted].sum(), firsts[fitted].sum(0), sums[fitted].sum(0).T
        x0, y0 = (x0 / n, y0 / n) if samples.centred else (torch.zeros_like(x0), torch.zeros_like(y0))

        def around(
            part: torch.Tensor, x0: torch.Tensor = x0, y0: torch.Tensor = y0
        ) -> tuple[torch.Tensor, torch.Tensor]:
            m, s, y = count[part].sum(), firsts[part].sum(0), sums[part].sum(0).T
            cross = torch.outer(s, x0)
            square = squares[part].sum(0) - cross - cross.T + m * torch.outer(x0, x0)
            mixed = s[:, None, None] * y0 + x0[:, None, None] * y - m * x0[:, None, None] * y0
            return square, products[part].sum(0) - mixed

        square, product = around(fitted)
        test, wanted = around(~fitted)
        loss = []
        for weights in _fits(square, product.flatten(1)):
            quadratic = (weights * (test @ weights)).sum(0).reshape(product.shape[1:]).sum(0)
            loss.append(quadratic - 2 * (weights.reshape(product.shape) * wanted).sum((0, 1)))
        own = samples.targets[samples.fold == held] - y0.T
        totals.append(own.square().sum((0, 2)))
        losses.append(torch.stack(loss) + totals[-1])
    return _explained(losses, totals)


def symmetrised(samples: Samples) -> torch.Tensor:
    """``(T,)``: the same of symmetrised predictions: all that is in the moments, and no more."""
    n, k, p, _ = samples.moments.shape
    design = samples.moments.permute(0, 3, 1, 2).reshape(n, p, k * p)
    losses, totals = [], []
    for held in range(FOLDS):
        test = samples.fold == held
        x, y = design[~test], samples.targets[~test].mT
        x0, y0 = x.mean(0), y.mean(0)
        if not samples.centred:
            x0, y0 = torch.zeros_like(x0), torch.zeros_like(y0)
        x, y = (x - x0).flatten(0, 1), (y - y0).flatten(0, 1)
        own, wanted = (design[test] - x0).flatten(0, 1), (samples.targets[test].mT - y0).flatten(0, 1)
        if len(x) < k * p:  # as many unknowns as samples do
            fits = ((own @ x.T) @ weights for weights in _fits(x @ x.T, y))
        else:
            fits = (own @ weights for weights in _fits(x.T @ x, x.T @ y))
        losses.append(torch.stack([(fit - wanted).square().sum(0) for fit in fits]))
        totals.append(wanted.square().sum(0))
    return _explained(losses, totals)


def _fits(square: torch.Tensor, product: torch.Tensor) -> Iterator[torch.Tensor]:
    """Solutions of ``(square + penalty) w = product``, for each penalty."""
    values, vectors = torch.linalg.eigh(square)
    values = values.clamp_min(0.0)
    along, unit = vectors.T @ product, values.mean().clamp_min(1e-300)
    for penalty in PENALTIES:
        yield vectors @ (along / (values + penalty * unit)[:, None])


def _by_fold(samples: Samples, terms: torch.Tensor) -> torch.Tensor:
    return torch.stack([terms[samples.fold == f].sum(0) for f in range(FOLDS)])


def _explained(losses: list[torch.Tensor], totals: list[torch.Tensor]) -> torch.Tensor:
    """By the penalty that is best for each target; those that are read from nothing have the same choice."""
    loss, total = torch.stack(losses).sum(0), torch.stack(totals).sum(0)
    return torch.where(total > 0, 1 - loss.min(0).values / total.clamp_min(1e-300), 0.0)
