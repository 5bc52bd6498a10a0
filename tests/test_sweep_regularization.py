"""Penalties and early stopping in a sweep: each run does what a `Run` of the same settings does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrlab import Run, rules, sweep
from lrlab.batched import can_compile
from lrlab.regularization import L1, L2, EarlyStopping, ElasticNet, MaxNorm, Penalty

METHODS = ["batched", "looped"]
COMPILED = pytest.mark.skipif(not can_compile(), reason="no C++ compiler")
COMMON: dict[str, Any] = {"rule": rules.Momentum(), "batch_size": 32, "dtype": "float64"}
STRENGTHS = [0.0, 1e-3, 0.03]


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])


@pytest.mark.parametrize(
    "penalty, how",
    [
        *((penalty, how) for penalty in (L2(), L1(proximal=True), ElasticNet(beta=2.0, on="all")) for how in METHODS),
        pytest.param(ElasticNet(proximal=True), "compiled", marks=COMPILED),
    ],
)
def test_every_strength_is_the_run_of_it(penalty: Penalty, how: str) -> None:
    given = {**COMMON, "penalty": penalty, "lr": 0.05}
    result = sweep(
        "mlp", "digits", **given, lam=STRENGTHS, seeds=2, steps=30, how=how, keep_weights=True, progress=False
    )
    assert result["lam"].tolist() == np.repeat(STRENGTHS, 2).tolist()
    for row in range(len(result)):
        seed, lam = int(result["seed"][row]), float(result["lam"][row])
        alone = Run("mlp", "digits", **given, seed=seed)
        alone.lam = lam
        alone.train(steps=30, progress=False)
        torch.testing.assert_close(weights(result.model(row)), weights(alone.model), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(result.losses[row], alone.history["loss"], rtol=1e-6)


def test_max_norm_holds_in_every_run() -> None:
    result = sweep(
        *("mlp", "digits"),
        **COMMON,
        penalty=MaxNorm(),
        c=[0.1, 0.3],
        lr=0.05,
        steps=20,
        keep_weights=True,
        progress=False,
    )
    for row, bound in enumerate([0.1, 0.3]):
        lengths = result.model(row)[1].weight.detach().norm(dim=1)
        assert float(lengths.max()) == pytest.approx(bound, rel=1e-6)


def test_strengths_and_rates_make_a_grid() -> None:
    result = sweep(
        *("mlp", "digits"),
        penalty=L2(),
        lam=[[1e-4], [1e-2]],
        lr=[0.01, 0.1, 0.3],
        steps=3,
        progress=False,
        how="batched",
    )
    assert len(result) == 6 and result.varying() == ["lr", "lam"]


# Early stopping -------------------------------------------------------------------------------------------------------

STOPPING = [EarlyStopping(patience=2), EarlyStopping(patience=2, restore_best=False), EarlyStopping(1, mode="max")]


@pytest.mark.parametrize(
    "stopping, how",
    [
        *((stopping, how) for stopping in STOPPING for how in METHODS),
        pytest.param(STOPPING[0], "compiled", marks=COMPILED),
    ],
)
def test_each_run_stops_where_it_would_alone(stopping: EarlyStopping, how: str) -> None:
    given = {**COMMON, "validate_every": 7, "stopping": stopping}
    result = sweep(
        *("mlp", "digits"), **given, lr=[0.01, 0.5, 1.0], seeds=2, steps=120, how=how, keep_weights=True, progress=False
    )
    stopped = 0
    for row in range(len(result)):
        alone = Run("mlp", "digits", **given, lr=float(result["lr"][row]), seed=int(result["seed"][row]))
        alone.train(steps=120, progress=False)
        assert result["steps"][row] == alone.step
        assert result["status"][row] == alone.status == "done"
        torch.testing.assert_close(weights(result.model(row)), weights(alone.model), rtol=1e-6, atol=1e-8)
        assert result["val_loss"][row] == pytest.approx(alone.validate()[0], rel=1e-6)
        assert np.isfinite(result.losses[row]).sum() == alone.step and np.isfinite(result["loss"][row])
        seen = np.isfinite(result.val_losses[row, :-1]).sum()
        assert seen == (alone.history["val_step"] < 120).sum()
        stopped += alone.stopped
    assert stopped > 0


def test_a_diverged_run_among_stopping_ones() -> None:
    result = sweep(
        *("mlp", "digits"), rule=rules.SGD(), lr=[0.1, 1e30],
        steps=60, validate_every=10, stopping=EarlyStopping(patience=3), progress=False, how="batched",
    )  # fmt: skip
    assert result["status"][0] == "done"
    assert result["status"][1] == "diverged" and np.isnan(result["val_loss"][1])
    assert np.isfinite(result["val_loss"][0])


@pytest.mark.parametrize(
    "given, error, said",
    [
        ({"stopping": EarlyStopping()}, ValueError, "validate_every=20"),
        ({"stopping": 3, "validate_every": 5}, TypeError, "EarlyStopping"),
        ({"lam": [0.1]}, TypeError, "SGD has no hyperparameter 'lam'"),
        ({"penalty": L2(), "lamda": [0.1]}, TypeError, "did you mean 'lam'"),
        ({"penalty": L2(), "lam": [-0.1]}, ValueError, "lam = -0.1"),
        ({"penalty": "l2"}, TypeError, "penalty must be a penalty"),
    ],
)
def test_bad_arguments(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        sweep("mlp", "digits", steps=2, progress=False, **given)
