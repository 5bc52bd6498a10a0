"""What a descent and a gradient are like, in numbers: exponents, convergence rates, curvature, noise of a batch.

The measuring instruments of the lectures on gradient descent and momentum. They look at paths (`rules.descend`), at
surfaces and at networks, and change none of them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

from lrlab.surfaces import Surface

_FLAT_TO_HIGH = LinearSegmentedColormap.from_list("heights", ["#FFFFFF", "#C9D3DC"])


# Paths ----------------------------------------------------------------------------------------------------------------


def settled_after(values: Tensor, level: float) -> Tensor:
    """Steps until a value has come down to a level for good: one that swings back above it has not arrived.

    Args:
        values: ``[steps + 1, ...]``, a distance or a loss along a path, the start first.
        level: in units of the values.

    Returns:
        ``[...]``, float64; infinite where the last value is still above the level (or not a number).

    >>> settled_after(torch.tensor([4.0, 1.0, 2.0, 0.5, 0.2]), level=1.0)
    tensor(3., dtype=torch.float64)
    """
    if not isinstance(values, Tensor) or values.dim() == 0 or len(values) == 0:
        raise TypeError(f"values must be a tensor [steps + 1, ...] with at least the start in it, got {values!r}")
    above = ~(values <= level)  # written so that nan is above
    steps = torch.arange(1, len(values) + 1, dtype=torch.float64, device=values.device)
    last_above = (above * steps.view(-1, *[1] * (values.dim() - 1))).amax(0)
    return torch.where(above[-1], math.inf, last_above)


def power_law(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """The exponent p and factor c of ``y = c xᵖ`` that fit best: least squares on log y over log x.

    Args:
        x: ``[n]``, n ≥ 2 different numbers, above 0.
        y: ``[n, ...]``, above 0; each further axis, seeds say, gets fits of its own.

    Returns:
        p ``[...]`` (no unit) and c ``[...]`` (unit of y at x = 1), float64.

    >>> p, c = power_law([1, 10, 100], [3, 300, 30_000])
    >>> round(float(p), 6), round(float(c), 6)
    (2.0, 3.0)
    """
    x, y = torch.as_tensor(x, dtype=torch.float64), torch.as_tensor(y, dtype=torch.float64)
    if x.dim() != 1 or len(x) < 2 or y.shape[:1] != x.shape:
        raise ValueError(f"x must be [n] with n of at least 2, and y [n, ...]; got {list(x.shape)} and {list(y.shape)}")
    for name, values in (("x", x), ("y", y)):
        if not (torch.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{name} must be finite and above 0 for a power law; it ranges to {values.min():g}")
    across = (x.log() - x.log().mean()).view(-1, *[1] * (y.dim() - 1))
    p = (across * y.log()).sum(0) / (across**2).sum(0)
    return p, (y.log().mean(0) - p * x.log().mean()).exp()


def measured_rate(path: Tensor) -> Tensor:
    """By what factor a step shortens the way to 0, in the long run: read off the second half of a path.

    Momentum moves the pair (x_t, x_t₋₁), so it is the length of the pair that shrinks evenly, not that of x, which
    swings through 0. The rate is the slope of its logarithm over the steps, by least squares.

    Args:
        path: ``[steps + 1, ..., n]`` towards the minimum 0, at least 8 steps.

    Returns:
        The factor ``[...]`` per step, no unit: below 1 the path converges, above 1 it diverges. 0 where it arrived.

    >>> halved = 0.5 ** torch.arange(21.0)
    >>> round(float(measured_rate(halved[:, None])), 6)
    0.5
    """
    if path.dim() < 2 or len(path) < 9:
        raise ValueError(f"path must be [steps + 1, ..., n] with at least 8 steps, got {list(path.shape)}")
    pair = torch.cat([path[1:], path[:-1]], -1).double()
    length = torch.linalg.vector_norm(pair, dim=-1)[len(path) // 2 :]
    steps = torch.arange(len(length), dtype=torch.float64, device=path.device)
    steps = (steps - steps.mean()).view(-1, *[1] * (length.dim() - 1))
    rate = ((steps * length.log()).sum(0) / (steps**2).sum(0)).exp()
    arrived, gone = (length == 0).any(0), ~torch.isfinite(length).all(0)
    return torch.where(gone, math.inf, torch.where(arrived, 0.0, rate))


def momentum_matrix(curvature: Any, lr: Any, rho: Any) -> Tensor:
    """What one step of momentum does to (v, x) on ½ λ x²: a matrix, the same at every step.

    ::

        v ← ρ v + λ x                        ⎡  ρ       λ     ⎤
        x ← x − α v            (v, x)  ←     ⎣ −α ρ   1 − α λ ⎦  (v, x)

    Its spectral radius (the largest absolute value of its eigenvalues) is the factor by which a step shortens the way
    to the minimum, in the long run. While the eigenvalues are complex that factor is √ρ: the determinant is ρ.

    Args:
        curvature: λ, the second derivative.
        lr: α, in units of 1 / λ.
        rho: ρ, no unit. All three are numbers or tensors that broadcast together.

    Returns:
        ``[..., 2, 2]``, float64.

    >>> torch.linalg.eigvals(momentum_matrix(1.0, lr=0.5, rho=0.64)).abs()
    tensor([0.8000, 0.8000], dtype=torch.float64)

    Source: Goh 2017, Why momentum really works, Distill.
    """
    numbers = (torch.as_tensor(value, dtype=torch.float64) for value in (curvature, lr, rho))
    curvature, lr, rho = torch.broadcast_tensors(*numbers)
    rows = [torch.stack([rho, curvature], -1), torch.stack([-lr * rho, 1 - lr * curvature], -1)]
    return torch.stack(rows, -2)


# Networks -------------------------------------------------------------------------------------------------------------


def flat_weights(model: nn.Module) -> Tensor:
    """All trainable weights as one vector ``[P]``, in the order of ``model.named_parameters()``; a copy."""
    return torch.cat([weight.detach().flatten() for weight in model.parameters() if weight.requires_grad])


def _with_weights(model: nn.Module, flat: Tensor) -> dict[str, Tensor]:
    """The vector ``[P]`` cut into the weights it came from."""
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    parts = flat.split([weight.numel() for weight in weights.values()])
    return {name: part.view_as(weight) for part, (name, weight) in zip(parts, weights.items(), strict=True)}


def hessian(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The second derivatives of the mean cross entropy with respect to all weights of a network.

    Args:
        model: the network; P² numbers must fit into memory, so keep it to a few thousand weights.
        x, y: inputs ``[N, ...]`` and classes ``[N]``.

    Returns:
        ``[P, P]``, symmetric.

    >>> hessian(nn.Linear(3, 2), torch.eye(3), torch.tensor([0, 1, 0])).shape
    torch.Size([8, 8])
    """

    def loss(flat: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, _with_weights(model, flat), (x,)), y)

    rows = jacrev(grad(loss), chunk_size=128)(flat_weights(model))
    return (rows + rows.T) / 2


def example_gradients(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of every example's own loss, one row each: ∇Lᵢ of ``L = 1/N Σ Lᵢ``, with the cross entropy as Lᵢ.

    Args:
        model: the network; one whose layers look at a whole batch, such as batch normalisation, has no such gradients.
        x, y: inputs ``[N, ...]`` and classes ``[N]``.

    Returns:
        ``[N, P]``. Its mean over the rows is the gradient of the whole loss.

    >>> example_gradients(nn.Linear(3, 2), torch.eye(3), torch.tensor([0, 1, 0])).shape
    torch.Size([3, 8])
    """

    def loss(flat: Tensor, image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, _with_weights(model, flat), (image[None],))
        return nn.functional.cross_entropy(logits, label[None])

    return vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=512)(flat_weights(model), x, y)


def scatter_matrix(gradients: Tensor) -> Tensor:
    """How the gradients of single examples lie around their mean: Kᵢⱼ = (∇Lᵢ − g)·(∇Lⱼ − g).

    Args:
        gradients: ∇Lᵢ, ``[N, P]``, as `example_gradients` gives.

    Returns:
        ``[N, N]``, float64, in units of the gradient squared. Its trace over N is σ², the scatter of one example.

    >>> scatter_matrix(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    off = gradients - gradients.mean(0)
    return (off @ off.T).double()


def batch_errors(
    scatter: Tensor, batch_size: int, *, draws: int = 400, replacement: bool = False, seed: int = 0
) -> Tensor:
    """How far mini-batch gradients lie from the gradient of the whole loss: ‖ĝ − g‖² of some random batches.

    ::

        ĝ = 1/B Σ ∇Lᵢ over a batch,      E ‖ĝ − g‖² = σ² / B · (N − B) / (N − 1)      without replacement
                                         E ‖ĝ − g‖² = σ² / B                          with it

    where σ² = 1/N Σ ‖∇Lᵢ − g‖².

    Args:
        scatter: ``[N, N]``, from `scatter_matrix`.
        batch_size: B, 1 to N (with replacement: no upper end).
        draws: how many batches.
        replacement: whether an example may be drawn twice.
        seed: of the draws.

    Returns:
        ``[draws]``, float64, in units of the gradient squared.

    >>> scatter = scatter_matrix(torch.randn(50, 3, dtype=torch.float64))
    >>> bool(batch_errors(scatter, 50).max() < 1e-9)      # the whole data set has no error
    True
    """
    examples = len(scatter)
    if not 1 <= batch_size <= (math.inf if replacement else examples):
        raise ValueError(f"batch_size = {batch_size} is outside its range 1 to {examples} (N, without replacement)")
    generator = torch.Generator().manual_seed(seed)
    if replacement:
        picks = torch.randint(examples, (draws, batch_size), generator=generator)
    else:
        picks = torch.rand(draws, examples, generator=generator).argsort(1)[:, :batch_size]
    weights = torch.zeros(draws, examples, dtype=torch.float64)
    weights.scatter_add_(1, picks, torch.full(picks.shape, 1 / batch_size, dtype=torch.float64))
    # ĝ − g = Σ wᵢ (∇Lᵢ − g), so its square is w K wᵀ; K is N × N, and far smaller than draws × P.
    return ((weights @ scatter) * weights).sum(1).clamp(min=0)


# Drawing --------------------------------------------------------------------------------------------------------------


def contours(ax: Axes, surface: Surface, levels: int = 14) -> None:
    """Draw a surface from above, with its minima as stars: the map on which paths are plotted.

    Args:
        ax: where to draw.
        surface: of two dimensions.
        levels: how many heights, evenly spaced in the square root of the height above the lowest.
    """
    (left, right), (bottom, top) = surface.window
    x, y = torch.linspace(left, right, 161), torch.linspace(bottom, top, 121)
    heights = surface(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).double())
    low, high = float(heights.min()), float(heights.max())
    rings = low + (high - low) * torch.linspace(0, 1, levels) ** 2
    ax.contourf(x, y, heights, levels=rings, cmap=_FLAT_TO_HIGH, zorder=0)
    ax.contour(x, y, heights, levels=rings[1:-1], colors="#9AA7B2", linewidths=0.6, linestyles="-", zorder=1)
    ax.plot(*zip(*surface.minima, strict=True), "*", color="black", markersize=11, linestyle="none", zorder=4)
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y")
    ax.grid(False)
