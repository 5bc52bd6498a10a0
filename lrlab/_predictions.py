"""What can be said of the predictions of one network or of several: their average, scores, calibration, diversity.

Everything starts from logits, ``[N, K]`` of one network or ``[M, N, K]`` of M members: N examples, K classes. What is
averaged comes back as logits too (log-probabilities), so each function takes a member and the whole alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from torch import Tensor

AVERAGES = ("probabilities", "logits")


class Scores(NamedTuple):
    """Mean cross-entropy in nats, accuracy as a fraction of 1, and expected calibration error, a fraction of 1."""

    loss: float
    accuracy: float
    ece: float


class Reliability(NamedTuple):
    """Predictions sorted into bins by their confidence: how many ``examples``, mean ``confidence`` and ``accuracy``.

    Each is ``[bins]``, float64, on the CPU; NaN where a bin is empty.
    """

    examples: Tensor
    confidence: Tensor
    accuracy: Tensor


# The average ----------------------------------------------------------------------------------------------------------


def average(logits: Tensor, how: str = "probabilities") -> Tensor:
    """The prediction of the whole, as log-probabilities.

    ::

        "probabilities":  p̄ₖ = 1/M Σₘ softmax(zₘ)ₖ           the arithmetic mean
        "logits":         p̄ = softmax(1/M Σₘ zₘ)             the geometric mean, made to sum to 1

    Either way the loss of the whole is at most the mean of the members' losses; of the accuracy nothing is promised.

    Args:
        logits: of the members, ``[M, N, K]``.
        how: what is averaged.

    Returns:
        ``log p̄ [N, K]``.

    >>> sure, unsure = torch.tensor([[[4.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([[[0.0, 0.0]]])
    >>> average(sure).exp(), average(sure, "logits").exp(), average(unsure).exp()
    (tensor([[0.6255, 0.3745]]), tensor([[0.8176, 0.1824]]), tensor([[0.5000, 0.5000]]))
    """
    _check_members(logits)
    if how not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(map(repr, AVERAGES))}; got {how!r}")
    if how == "logits":
        return logits.mean(0).log_softmax(-1)
    return logits.log_softmax(-1).logsumexp(0) - math.log(len(logits))


def scores(logits: Tensor, y: Tensor, bins: int = 15) -> Scores:
    """Loss, accuracy and calibration error.

    Args:
        logits: ``[N, K]``; log-probabilities are logits too.
        y: the classes, whole numbers ``[N]``.
        bins: of the calibration error, see `ece`.

    >>> scores(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
    Scores(loss=0.6931471824645996, accuracy=0.75, ece=0.25)
    """
    y = _check_classes(logits, y)
    accuracy = float((logits.argmax(1) == y).cpu().double().mean())
    return Scores(float(F.cross_entropy(logits, y)), accuracy, ece(logits.softmax(1), y, bins))


# Calibration ----------------------------------------------------------------------------------------------------------


def reliability(probabilities: Tensor, y: Tensor, bins: int = 15) -> Reliability:
    """How often predictions of some confidence are right. The confidence is the largest probability of an example.

    Bin b holds the confidences in ``((b − 1)/bins, b/bins]``, b from 1.

    Args:
        probabilities: ``[N, K]``, each row sums to 1.
        y: the classes, ``[N]``.
        bins: how many, of equal width.

    >>> found = reliability(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0]), bins=5)
    >>> found.examples.tolist(), found.accuracy.tolist()
    ([0.0, 0.0, 0.0, 1.0, 1.0], [nan, nan, nan, 0.0, 1.0])
    """
    y = _check_classes(probabilities, y, "probabilities").cpu()
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins!r}")
    _check_probabilities(probabilities)
    confidence, predicted = probabilities.detach().cpu().double().max(1)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64).to(probabilities.dtype).double()
    place = (torch.bucketize(confidence, edges) - 1).clamp(0, bins - 1)
    examples, confidences, right = (
        torch.bincount(place, weights, minlength=bins).double()
        for weights in (None, confidence, (predicted == y).double())
    )
    return Reliability(examples, confidences / examples, right / examples)


def ece(probabilities: Tensor, y: Tensor, bins: int = 15) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, over bins of confidence.

    ::

        ECE = Σ_b n_b/N |accuracy_b − confidence_b|

    0 for a network that is right in 80 % of the cases where it says 80 %. It looks at the largest probability only, and
    depends on the number of bins and of examples: compare values of the same N and bins.

    Args:
        probabilities: ``[N, K]``, each row sums to 1.
        y: the classes, ``[N]``.
        bins: how many, of equal width.

    Returns:
        a fraction of 1.

    >>> round(ece(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0])), 6)   # (|1 − 0.9| + |0 − 0.8|) / 2
    0.45

    Source: Guo, Pleiss, Sun and Weinberger 2017, On calibration of modern neural networks.
    """
    examples, confidence, accuracy = reliability(probabilities, y, bins)
    return float((examples / examples.sum() * (accuracy - confidence).abs()).nansum())


def temperature(logits: Tensor, y: Tensor) -> float:
    """The temperature T that suits these examples best: ``softmax(z/T)`` has the least cross-entropy on them.

    T > 1 makes predictions less confident, T < 1 more; which class is largest stays as it is. Fit it on validation
    data and judge it on other data. In β = 1/T the loss is convex: the root of its derivative is found by bracketing.

    ::

        dL/dβ = 1/N Σᵢ (Σₖ pᵢₖ zᵢₖ − zᵢ,yᵢ) = 0,        pᵢ = softmax(β zᵢ)

    Args:
        logits: ``[N, K]``; log-probabilities are logits too.
        y: the classes, ``[N]``.

    Raises:
        ValueError: no T is best: all examples are right (ever smaller T helps), or the logits are no better than
            guessing (ever larger T helps).

    >>> z = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])    # says 98 %, right in 75 %
    >>> T = temperature(z, torch.tensor([0, 0, 0, 1]))
    >>> (z / T).softmax(1)[0]
    tensor([0.7500, 0.2500])

    Source: Guo, Pleiss, Sun and Weinberger 2017, On calibration of modern neural networks, section 4.2.
    """
    y = _check_classes(logits, y).cpu()
    z = logits.detach().cpu().double()
    if not torch.isfinite(z).all():
        raise ValueError("temperature: the logits must be finite, and some are not")
    z = z - z.max(1, keepdim=True).values
    right = z.gather(1, y[:, None]).mean()

    def slope(beta: float) -> float:
        return float(((beta * z).softmax(1) * z).sum(1).mean() - right)

    if slope(0.0) >= 0:
        raise ValueError(
            "temperature: these logits are no better than guessing, so ever larger temperatures fit ever better: "
            "is y in the order of the logits?"
        )
    if right == 0:
        raise ValueError(
            f"temperature: all {len(y)} examples are right, so ever smaller temperatures fit ever better: "
            "fit it on examples among which some are wrong"
        )
    return 1 / brentq(slope, *_bracket(slope), xtol=1e-300, rtol=1e-12)


def _bracket(increasing: Callable[[float], float]) -> tuple[float, float]:
    """Two numbers around the root of an increasing function on (0, ∞)."""
    low = high = 1.0
    while increasing(low) > 0:
        low /= 2
    while increasing(high) < 0:
        high *= 2
    return low, high


# Diversity ------------------------------------------------------------------------------------------------------------


def disagreement(logits: Tensor) -> Tensor:
    """The share of examples on which two members predict different classes, for every pair.

    Args:
        logits: ``[M, N, K]``.

    Returns:
        ``[M, M]``, a fraction of 1, float32; symmetric, with 0 on the diagonal.

    >>> disagreement(torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]))
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000]])
    """
    _check_members(logits)
    predicted = logits.argmax(-1)
    return (predicted[:, None] != predicted[None, :]).float().mean(-1)


def jensen_shannon(logits: Tensor) -> Tensor:
    """How far the members' probabilities are apart on each example: the Jensen–Shannon divergence.

    ::

        JS = H(p̄) − 1/M Σₘ H(pₘ) = 1/M Σₘ KL(pₘ ‖ p̄),        p̄ = 1/M Σₘ pₘ,        H(p) = −Σₖ pₖ log pₖ

    Args:
        logits: ``[M, N, K]``.

    Returns:
        ``[N]`` in nats: 0 where all say the same, at most log M.

    >>> jensen_shannon(torch.tensor([[[50.0, 0.0]], [[0.0, 50.0]]]))     # log 2
    tensor([0.6931])

    Source: Lin 1991, Divergence measures based on the Shannon entropy.
    """
    members, whole = logits.log_softmax(-1), average(logits)
    return (members.exp() * (members - whole)).sum(-1).mean(0).clamp(min=0)


# Checks ---------------------------------------------------------------------------------------------------------------


def _check_members(logits: Any) -> None:
    if not isinstance(logits, Tensor) or logits.dim() != 3 or 0 in logits.shape or not logits.is_floating_point():
        raise ValueError(f"logits must be a tensor [members, examples, classes], none of them 0; got {_form(logits)}")


def _check_classes(logits: Any, y: Any, name: str = "logits") -> Tensor:
    """The classes ``y [N]`` that go with ``logits [N, K]``, on their device."""
    if not isinstance(logits, Tensor) or logits.dim() != 2 or 0 in logits.shape or not logits.is_floating_point():
        raise ValueError(f"{name} must be a tensor [examples, classes], none of them 0; got {_form(logits)}")
    if not isinstance(y, Tensor) or y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(f"y must be a tensor [examples] of classes, whole numbers; got {_form(y)}")
    if len(y) != len(logits):
        raise ValueError(f"{name} and y must be of the same examples: {len(logits)} and {len(y)}")
    if y.min() < 0 or y.max() >= logits.shape[1]:
        low, high, classes = int(y.min()), int(y.max()), logits.shape[1]
        raise ValueError(f"y must be from 0 to {classes - 1}, as there are {classes} classes; it is {low} to {high}")
    return y.to(logits.device).long()


def _check_probabilities(probabilities: Tensor) -> None:
    if not bool(((probabilities.sum(1) - 1).abs() < 1e-3).all()) or bool((probabilities < 0).any()):
        raise ValueError("probabilities must be at least 0 and sum to 1 in each row: of logits, take logits.softmax(1)")


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
