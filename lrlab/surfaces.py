"""Surfaces to descend: functions of two numbers (the ravine: of n) that show what a rule is up against.

A surface is a function of points, `surface(x)`: `[..., n] -> [...]`, that knows its gradient `surface.grad(x)`
`[..., n]` and Hessian `surface.hessian(x)` `[..., n, n]` in closed form, the `minima` (deepest first), a good `window`
to look through and a `start`. Surfaces without a setting are there ready made::

    surfaces.rosenbrock(torch.tensor([1.0, 1.0]))
    rules.descend(rules.Adam(), surfaces.beale, surfaces.beale.start, lr=0.1)
    surfaces.ravine(condition=100)
    surfaces.noisy(surfaces.saddle, sigma=0.5)         what a mini-batch sees
    surfaces.plane(model, x, y)                        a real one: a network's loss on a plane through its weights

All are frozen dataclasses and pure: the noise, too, is a function of its seed and the number of the step.
"""

from __future__ import annotations

import copy
import difflib
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Point: TypeAlias = tuple[float, ...]
Window: TypeAlias = tuple[tuple[float, float], tuple[float, float]]


# What every surface can do --------------------------------------------------------------------------------------------


class Surface(ABC):
    """A function of points `[..., n]`. To write your own in two dimensions, see `Function2D`.

    Attributes
    ----------
    name
        A word for titles.
    dimension
        n, the length of a point.
    minima
        The points of its minima, the deepest first.
    window
        ((left, right), (bottom, top)) of a good view; for n > 2, of the first two coordinates.
    start
        A point from which the descent is worth watching.
    """

    name: str
    dimension: int
    minima: tuple[Point, ...]
    window: Window
    start: Point

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The height `[...]` at the points x `[..., n]`."""

    @abstractmethod
    def grad(self, x: Tensor) -> Tensor:
        """The gradient `[..., n]` at the points x `[..., n]`."""

    @abstractmethod
    def hessian(self, x: Tensor) -> Tensor:
        """The second derivatives `[..., n, n]` at the points x `[..., n]`."""

    def minibatch_grad(self, x: Tensor, step: int) -> Tensor:
        """The gradient that step number `step` gets to see: the true one, unless the surface is `noisy`."""
        return self.grad(x)

    def check_point(self, x: Tensor) -> None:
        """Raise TypeError or ValueError unless x is a floating-point tensor `[..., n]`."""
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = f"a {x.dtype} tensor" if isinstance(x, Tensor) else repr(x)
            raise TypeError(f"x must be a floating-point tensor [..., {self.dimension}], not {kind}")
        if x.shape[-1:] != (self.dimension,):
            raise ValueError(
                f"x has shape {list(x.shape)}, but {self.name} has points [..., {self.dimension}]: "
                f"its last axis must have length {self.dimension}"
            )


class Function2D(Surface):
    """A surface over the plane, by its formula and derivatives in the coordinates x and y, tensors of one shape.

    Examples
    --------
    >>> class Bowl(Function2D):
    ...     name, minima, window, start = "bowl", ((0.0, 0.0),), ((-2, 2), (-2, 2)), (1.0, 1.0)
    ...     def height(self, x, y):
    ...         return x**2 + y**2
    ...     def slopes(self, x, y):
    ...         return 2 * x, 2 * y
    ...     def curvatures(self, x, y):
    ...         return 2.0, 0.0, 2.0
    >>> Bowl().grad(torch.tensor([1.0, 3.0]))
    tensor([2., 6.])
    """

    dimension = 2

    @abstractmethod
    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """f(x, y)."""

    @abstractmethod
    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """∂f/∂x, ∂f/∂y."""

    @abstractmethod
    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        """∂²f/∂x², ∂²f/∂x∂y, ∂²f/∂y²; a number where it is the same everywhere."""

    def __call__(self, x: Tensor) -> Tensor:
        self.check_point(x)
        return self.height(*x.unbind(-1))

    def grad(self, x: Tensor) -> Tensor:
        self.check_point(x)
        return torch.stack(self.slopes(*x.unbind(-1)), -1)

    def hessian(self, x: Tensor) -> Tensor:
        self.check_point(x)
        xx, xy, yy = (
            item if isinstance(item, Tensor) else torch.full_like(x[..., 0], item)
            for item in self.curvatures(*x.unbind(-1))
        )
        return torch.stack([torch.stack([xx, xy], -1), torch.stack([xy, yy], -1)], -2)


# What makes descent hard ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ravine(Surface):
    """A quadratic bowl that is steeper one way than the other: why plain gradient descent zigzags.

    ::

        f(x) = ½ Σ λᵢ xᵢ²,      λ from 1 (the first coordinate) to κ (the last), evenly spaced in log λ

    Parameters
    ----------
    condition
        κ ≥ 1, no unit: the ratio of the Hessian's largest eigenvalue to its smallest. Gradient descent diverges above
        the rate 2 / κ and needs about κ steps below it; with the best momentum about √κ.
    dimension
        n ≥ 2.

    Examples
    --------
    >>> Ravine(condition=10)(torch.tensor([2.0, 1.0]))
    tensor(7.)
    >>> Ravine(condition=100, dimension=3).eigenvalues
    tensor([  1.,  10., 100.], dtype=torch.float64)
    """

    condition: float = 10.0
    dimension: int = 2

    name = "ravine"
    window = ((-10.0, 10.0), (-4.0, 4.0))

    def __post_init__(self) -> None:
        if not isinstance(self.condition, Real) or isinstance(self.condition, bool):
            raise TypeError(f"condition must be a number of at least 1, not {self.condition!r}")
        if not 1 <= self.condition < math.inf:
            raise ValueError(f"condition = {self.condition} is outside its range [1, inf)")
        if not isinstance(self.dimension, int) or isinstance(self.dimension, bool):
            raise TypeError(f"dimension must be a whole number of at least 2, not {self.dimension!r}")
        if self.dimension < 2:
            raise ValueError(f"dimension = {self.dimension} is outside its range 2, 3, 4, ...")

    @property
    def eigenvalues(self) -> Tensor:
        """λ `[n]`, float64, rising: the curvature along each coordinate."""
        return self.condition ** torch.linspace(0, 1, self.dimension, dtype=torch.float64)

    @property
    def minima(self) -> tuple[Point, ...]:  # type: ignore[override]
        return ((0.0,) * self.dimension,)

    @property
    def start(self) -> Point:  # type: ignore[override]
        return (-9.0, *(1.0,) * (self.dimension - 1))

    def __call__(self, x: Tensor) -> Tensor:
        self.check_point(x)
        return 0.5 * (self.eigenvalues.to(x) * x * x).sum(-1)

    def grad(self, x: Tensor) -> Tensor:
        self.check_point(x)
        return self.eigenvalues.to(x) * x

    def hessian(self, x: Tensor) -> Tensor:
        self.check_point(x)
        return torch.diag(self.eigenvalues.to(x)).expand(*x.shape, self.dimension)


@dataclass(frozen=True)
class Saddle(Function2D):
    """A valley between two hills that falls away to both sides: a saddle at (0, 0) and a minimum on either side.

    ::

        f(x, y) = ½x² − ½y² + ¼y⁴

    On the line y = 0 the gradient leads straight to the saddle, and there it is zero.
    """

    name = "saddle"
    minima = ((0.0, 1.0), (0.0, -1.0))
    window = ((-2.0, 2.0), (-1.6, 1.6))
    start = (-1.8, 0.01)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return x**2 / 2 - y**2 / 2 + y**4 / 4

    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x, y**3 - y

    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        return 1.0, 0.0, 3 * y**2 - 1


@dataclass(frozen=True)
class Plateau(Function2D):
    """A round well in a wide plain: far from it the gradient is all but zero.

    ::

        f(x, y) = 1 − exp(−(x² + y²) / 2)
    """

    name = "plateau"
    minima = ((0.0, 0.0),)
    window = ((-4.0, 4.0), (-4.0, 4.0))
    start = (-3.0, 1.5)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return -torch.expm1(-(x**2 + y**2) / 2)

    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        bell = torch.exp(-(x**2 + y**2) / 2)
        return bell * x, bell * y

    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        bell = torch.exp(-(x**2 + y**2) / 2)
        return bell * (1 - x**2), -bell * x * y, bell * (1 - y**2)


@dataclass(frozen=True)
class DoubleWell(Function2D):
    """Two wells: the global minimum at x = −1, a local one at x = 1, and between them a ridge at x = ¼.

    ::

        f(x, y) = x⁴ − ⅓x³ − 2x² + x + y²,      ∂f/∂x = 4 (x + 1)(x − ¼)(x − 1)

    From the start on the right, gradient descent stays in the local minimum; momentum can roll over the ridge.
    """

    name = "double well"
    minima = ((-1.0, 0.0), (1.0, 0.0))
    window = ((-2.2, 2.2), (-1.6, 1.6))
    start = (2.0, 1.0)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return x**4 - x**3 / 3 - 2 * x**2 + x + y**2

    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return 4 * (x + 1) * (x - 0.25) * (x - 1), 2 * y

    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        return 12 * x**2 - 2 * x - 4, 0.0, 2.0


# The classics ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rosenbrock(Function2D):
    """Rosenbrock's banana: a curved valley that is found at once and followed slowly (condition 2508 at the minimum).

    ::

        f(x, y) = (1 − x)² + 100 (y − x²)²

    Source: Rosenbrock 1960, An automatic method for finding the greatest or least value of a function.
    """

    name = "rosenbrock"
    minima = ((1.0, 1.0),)
    window = ((-2.0, 2.0), (-1.0, 3.0))
    start = (-1.2, 1.0)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return -2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)

    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        return 2 - 400 * y + 1200 * x**2, -400 * x, 200.0


@dataclass(frozen=True)
class Beale(Function2D):
    """Beale's function: flat in the middle, walls like cliffs at the corners.

    ::

        f(x, y) = (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²

    Source: Beale 1958, On an iterative method for finding a local minimum of a function of more than one variable.
    """

    name = "beale"
    minima = ((3.0, 0.5),)
    window = ((-4.5, 4.5), (-4.5, 4.5))
    start = (1.0, 1.5)

    def _residuals(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        a, b, c = self._residuals(x, y)
        return a**2 + b**2 + c**2

    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c = self._residuals(x, y)
        along_x = 2 * a * (y - 1) + 2 * b * (y**2 - 1) + 2 * c * (y**3 - 1)
        along_y = 2 * a * x + 4 * b * x * y + 6 * c * x * y**2
        return along_x, along_y

    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        a, b, c = self._residuals(x, y)
        xx = 2 * (y - 1) ** 2 + 2 * (y**2 - 1) ** 2 + 2 * (y**3 - 1) ** 2
        xy = 2 * (a + x * (y - 1)) + 4 * y * (b + x * (y**2 - 1)) + 6 * y**2 * (c + x * (y**3 - 1))
        yy = 2 * x**2 + 4 * x * (b + 2 * x * y**2) + 6 * x * y * (2 * c + 3 * x * y**3)
        return xx, xy, yy


@dataclass(frozen=True)
class Himmelblau(Function2D):
    """Himmelblau's function: four minima, all of height 0. Which one is reached depends on the start and on the rule.

    ::

        f(x, y) = (x² + y − 11)² + (x + y² − 7)²

    Source: Himmelblau 1972, Applied nonlinear programming.
    """

    name = "himmelblau"
    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    window = ((-6.0, 6.0), (-6.0, 6.0))
    start = (0.0, 0.0)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        p, q = x**2 + y - 11, x + y**2 - 7
        return 4 * x * p + 2 * q, 2 * p + 4 * y * q

    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        return 12 * x**2 + 4 * y - 42, 4 * (x + y), 4 * x + 12 * y**2 - 26


@dataclass(frozen=True)
class Rastrigin(Function2D):
    """Rastrigin's egg box: a bowl with a local minimum near every pair of whole numbers.

    ::

        f(x, y) = 20 + x² − 10 cos 2πx + y² − 10 cos 2πy

    `minima` lists the global one only.

    Source: Rastrigin 1974, Systems of extremal control.
    """

    name = "rastrigin"
    minima = ((0.0, 0.0),)
    window = ((-5.12, 5.12), (-5.12, 5.12))
    start = (-3.7, 2.6)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        return 20 + x**2 - 10 * torch.cos(2 * math.pi * x) + y**2 - 10 * torch.cos(2 * math.pi * y)

    def slopes(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        steep = 20 * math.pi
        return 2 * x + steep * torch.sin(2 * math.pi * x), 2 * y + steep * torch.sin(2 * math.pi * y)

    def curvatures(self, x: Tensor, y: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
        bent = 40 * math.pi**2
        return 2 + bent * torch.cos(2 * math.pi * x), 0.0, 2 + bent * torch.cos(2 * math.pi * y)


# What a mini-batch sees -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noisy(Surface):
    """A surface seen through mini-batches: each step gets the gradient plus noise of its own.

    ::

        g = ∇f(x) + σ ξ(seed, step),      ξ normal, independent for every step, start and coordinate

    The estimate is unbiased. Only `minibatch_grad` is noisy; height, `grad` and `hessian` are those of the surface. The
    noise depends on the seed, the step and the shape of x alone: the same descent twice is the same path twice, and two
    rules from the same starts meet the same noise.

    Parameters
    ----------
    surface
        The surface underneath.
    sigma
        σ ≥ 0: the standard deviation of each coordinate, in units of the gradient.
    seed
        A whole number, 0 or more.

    Examples
    --------
    >>> g = Noisy(saddle, sigma=1.0).minibatch_grad(torch.zeros(10_000, 2), step=0)
    >>> bool(g.mean().abs() < 0.03), bool((g.std() - 1).abs() < 0.03)
    (True, True)
    """

    surface: Surface
    sigma: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.surface, Surface):
            raise TypeError(f"surface must be a surface, such as surfaces.saddle, not {self.surface!r}")
        if not isinstance(self.sigma, Real) or isinstance(self.sigma, bool):
            raise TypeError(f"sigma must be a number of at least 0, not {self.sigma!r}")
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma = {self.sigma} is outside its range [0, inf)")
        _check_seed(self.seed)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"noisy {self.surface.name}"

    @property
    def dimension(self) -> int:  # type: ignore[override]
        return self.surface.dimension

    @property
    def minima(self) -> tuple[Point, ...]:  # type: ignore[override]
        return self.surface.minima

    @property
    def window(self) -> Window:  # type: ignore[override]
        return self.surface.window

    @property
    def start(self) -> Point:  # type: ignore[override]
        return self.surface.start

    def __call__(self, x: Tensor) -> Tensor:
        return self.surface(x)

    def grad(self, x: Tensor) -> Tensor:
        return self.surface.grad(x)

    def hessian(self, x: Tensor) -> Tensor:
        return self.surface.hessian(x)

    def minibatch_grad(self, x: Tensor, step: int) -> Tensor:
        # Drawn on the CPU in float64, so that a GPU and another dtype meet the same noise.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        return self.surface.minibatch_grad(x, step) + self.sigma * noise.to(x)


# A real one -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plane(Surface):
    """The loss of a network on a plane through its weights; made by `plane`.

    ::

        f(a, b) = loss(θ + a d₁ + b d₂)

    The gradient is the network's own, by backpropagation, projected on the plane: (d₁·∇L, d₂·∇L).
    """

    loss: Callable[[Tensor], Tensor]
    name: str = "plane"
    window: Window = ((-1.0, 1.0), (-1.0, 1.0))
    start: Point = (-0.8, 0.6)
    dimension = 2

    def __call__(self, x: Tensor) -> Tensor:
        self.check_point(x)
        with torch.no_grad():
            return self._over_points(self.loss, x).to(x.dtype)

    def grad(self, x: Tensor) -> Tensor:
        self.check_point(x)
        return self._over_points(torch.func.grad(self.loss), x).to(x.dtype)

    def hessian(self, x: Tensor) -> Tensor:
        self.check_point(x)
        return self._over_points(torch.func.jacrev(torch.func.grad(self.loss)), x).to(x.dtype)

    @functools.cached_property
    def minima(self) -> tuple[Point, ...]:  # type: ignore[override]
        """The minimum next to the weights, by Newton's method from (0, 0); empty where that does not find one."""
        x = torch.zeros(2, dtype=torch.float64)
        for _ in range(20):
            curvatures, axes = torch.linalg.eigh(self.hessian(x))
            # Along an axis that is bent downwards, Newton's own step would climb.
            move = axes @ ((axes.T @ self.grad(x)) / curvatures.abs().clamp(min=1e-6))
            shorter = [x - move / 2**halvings for halvings in range(6)]
            x = min([x, *shorter], key=self)
        is_bowl = bool((torch.linalg.eigvalsh(self.hessian(x)) > 0).all())
        return (tuple(x.tolist()),) if is_bowl and self.grad(x).norm() < 1e-2 * (1 + self(x)) else ()

    @staticmethod
    def _over_points(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        # 8 points at a time: each has its own weights and activations, and more of them fall out of the cache.
        values = torch.func.vmap(function, chunk_size=8)(x.reshape(-1, 2))
        return values.reshape(x.shape[:-1] + values.shape[1:])


def plane(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> Plane:
    """The loss of a network on the plane through its weights and two random, filter-normalised directions.

    ::

        d = random normal;  each filter of d scaled to the norm of the same filter of the weights

    A filter is the set of weights of one output: a row of a linear layer, a kernel of a convolution. Without this,
    a network with larger weights would look flatter without being so. Biases and the parameters of normalisation
    layers are not moved. The model is copied and put into evaluation mode; yours is not touched.

    Parameters
    ----------
    model
        The network, trained or not: its weights are the point (0, 0).
    x, y
        Inputs `[N, ...]` and targets `[N]`, on the model's device.
    seed
        Of the directions: a whole number, 0 or more.
    loss
        `loss(outputs, targets)`, a scalar; the cross entropy unless told.

    Raises
    ------
    TypeError, ValueError
        `model` is no module or has no weight matrix; x and y differ in length; the seed is no whole number.

    Examples
    --------
    >>> images, labels = torch.eye(4), torch.arange(4)
    >>> surface = plane(nn.Linear(4, 4), images, labels)
    >>> surface(torch.zeros(5, 2)).shape, surface.grad(torch.zeros(5, 2)).shape
    (torch.Size([5]), torch.Size([5, 2]))

    Source: Li, Xu, Taylor, Studer and Goldstein 2018, Visualizing the loss landscape of neural nets, arXiv:1712.09913.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {model!r}")
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x and y must have the same length, at least 1; they have {len(x)} and {len(y)}")
    _check_seed(seed)
    model = copy.deepcopy(model).eval().requires_grad_(False)
    weights = dict(model.named_parameters())
    generator = torch.Generator().manual_seed(seed)
    directions = [filter_normalised(weights, generator) for _ in range(2)]
    if not directions[0]:
        raise ValueError("model has no weight of two or more axes, so there is no direction to move it in")

    def loss_at(point: Tensor) -> Tensor:
        a, b = point.to(x.dtype)
        moved = {name: weights[name] + a * d + b * directions[1][name] for name, d in directions[0].items()}
        return loss(torch.func.functional_call(model, moved, (x,)), y)

    return Plane(loss_at, name=f"plane through {type(model).__name__}")


def filter_normalised(weights: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """A random direction for each weight of two or more axes, every filter as long as that of the weight."""
    direction = {}
    for name, weight in weights.items():
        if weight.dim() >= 2:
            d = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight).flatten(1)
            scale = weight.flatten(1).norm(dim=1, keepdim=True) / d.norm(dim=1, keepdim=True)
            direction[name] = (scale * d).view_as(weight)
    return direction


def _check_seed(seed: Any) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed must be a whole number of at least 0, not {seed!r}")
    if seed < 0:
        raise ValueError(f"seed = {seed} is outside its range 0, 1, 2, ...")


# Ready made, and by name ----------------------------------------------------------------------------------------------

ravine = Ravine
noisy = Noisy
saddle = Saddle()
plateau = Plateau()
double_well = DoubleWell()
rosenbrock = Rosenbrock()
beale = Beale()
himmelblau = Himmelblau()
rastrigin = Rastrigin()

SURFACES: dict[str, Surface] = {
    "ravine": Ravine(),
    "saddle": saddle,
    "plateau": plateau,
    "double_well": double_well,
    "rosenbrock": rosenbrock,
    "beale": beale,
    "himmelblau": himmelblau,
    "rastrigin": rastrigin,
}


def by_name(name: str) -> Surface:
    """The ready-made surface of that name.

    Raises
    ------
    ValueError
        There is none; the message has the nearest.

    Examples
    --------
    >>> by_name("beale").minima
    ((3.0, 0.5),)
    """
    if name in SURFACES:
        return SURFACES[name]
    nearest = difflib.get_close_matches(str(name), SURFACES, n=1, cutoff=0)[0]
    raise ValueError(f"name = {name!r} is no surface; did you mean {nearest!r}? There are: {', '.join(SURFACES)}")
