"""The one rounding of a rotated copy to the dtype of the model, and the dither that shows what it does to the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Seen = Callable[[torch.Tensor], None]


class Dither:
    """Noise of the size of the rounding error, added to rotated copies in float64 before they are rounded.

    It is uniform in half a unit in the last place of each coordinate, one way and the other, so that the one rounding
    after it takes either neighbour. A nudge of a number that is rounded already would be swallowed. Coordinates that
    stay float64 carry the rounding of the rotation itself, some units in the last place of the longest component: there
    the noise is a whole unit of that.

    shares: for each copy the number of its noise, None for a copy that is left as it is, as are those beyond. Equal
        numbers mean equal noise, wherever in a batch the copy stands.
    epsilon: of the dtype that coordinates are rounded to.
    """

    def __init__(self, shares: Sequence[int | None], epsilon: float) -> None:
        self.epsilon = epsilon
        self._scale = torch.tensor([0.0 if share is None else 1.0 for share in shares], dtype=torch.float64)
        numbers = [share or 0 for share in shares]
        self._shares, self._count = torch.tensor(numbers), max(numbers) + 1
        self.drawn = 0
        """How many tensors of copies got noise so far."""

    @property
    def displaces(self) -> bool:
        """Whether it is no rounding error any more, but makes another input."""
        return self.epsilon >= LARGE

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """`values` ``(copies, ...)`` float64 with noise; further tensors of the same copies get noise of their own."""
        self.drawn += 1
        noisy = self._shaken(values[: len(self._shares)])
        return noisy if len(noisy) == len(values) else torch.cat([noisy, values[len(noisy) :]])

    def _shaken(self, values: torch.Tensor) -> torch.Tensor:
        one = values.shape[1:]
        generator = torch.Generator().manual_seed(self.drawn)
        drawn = torch.rand((self._count, *one), dtype=torch.float64, generator=generator)
        noise = (drawn.index_select(0, self._shares) - 0.5) * self._scale.reshape(-1, *[1] * len(one))
        noise = noise.to(values.device)
        if self.epsilon > LARGE:  # no rounding error any more: 0 moves too
            return values + noise * values.abs().clamp_min(1.0)
        if self.epsilon > DOUBLE:
            return values + noise * units(values, self.epsilon)
        longest = values.abs().amax(-1, keepdim=True) if values.ndim > 1 else values
        return values + 2.0 * noise * units(longest, self.epsilon)


DISPLACEMENT = 0.5
"""Machine epsilon of the noise that shows whether a value depends on what is turned: up to half of each coordinate, or
of 1."""

LARGE = 0.1
DOUBLE = torch.finfo(torch.float64).eps

_watchers: list[Seen] = []


def rounded(
    values: torch.Tensor, dtype: torch.dtype, dither: Dither | None, real: torch.Tensor | None = None
) -> torch.Tensor:
    """Rotated copies ``(copies, ...)`` float64 as the model takes them: through here every adapter rounds.

    `real`, a bool that can be broadcast to `values`, is false in rows of padding, which are not displaced: what depends
    on them alone depends on nothing of the system.
    """
    noisy = values if dither is None else dither(values)
    if dither is not None and dither.displaces and real is not None:
        noisy = torch.where(real, noisy, values)
    values = noisy.to(dtype)
    for watcher in _watchers:
        watcher(values)
    return values


class watched:
    """Context manager: `seen` is shown every tensor of rotated copies that is handed to the model."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def __enter__(self) -> None:
        _watchers.append(self._seen)

    def __exit__(self, *exc: object) -> None:
        _watchers.remove(self._seen)


def units(values: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Unit in the last place of each value, float64, in a format of that machine epsilon; of 0, which is exact, 0."""
    size = values.abs().to(torch.float64)
    exponent = torch.frexp(size).exponent
    return torch.where(size > 0, torch.ldexp(torch.full_like(size, epsilon), exponent - 1), 0.0)
