"""A run with a penalty, and one that stops early: what is added, what is turned, what is restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrlab import Run, rules
from lrlab.instruments.dials import dials_of
from lrlab.regularization import L1, L2, EarlyStopping, ElasticNet, MaxNorm, place, zeros


def made(**changes: Any) -> Run:
    given = {"rule": rules.SGD(), "lr": 0.1, "batch_size": 32, "seed": 1, "dtype": "float64"}
    return Run("mlp", "digits", **{**given, **changes})


def weights(run: Run) -> torch.Tensor:
    return torch.cat([weight.detach().reshape(-1) for weight in run.model.parameters()])


# Penalties ------------------------------------------------------------------------------------------------------------


def test_a_step_descends_the_loss_with_the_penalty() -> None:
    """Against autograd on the loss plus λ R, which the run never builds."""
    penalty = ElasticNet(lam=0.02, beta=0.5)
    plain, penalised = made(), made(penalty=penalty)
    start = weights(plain)
    x = start.clone().requires_grad_()
    (pull,) = torch.autograd.grad(penalty(x, place(plain.model)), x)
    plain.train(steps=1, progress=False)
    penalised.train(steps=1, progress=False)
    torch.testing.assert_close(weights(penalised), weights(plain) - 0.1 * pull, rtol=0, atol=1e-14)
    assert penalised.history["loss"][0] == plain.history["loss"][0]  # of the data alone


def test_l2_on_all_is_weight_decay_of_twice_lambda() -> None:
    ours = made(penalty=L2(lam=0.01, on="all")).train(steps=20, progress=False)
    torchs = made(weight_decay=0.02).train(steps=20, progress=False)
    torch.testing.assert_close(weights(ours), weights(torchs), rtol=1e-12, atol=1e-14)


def test_biases_are_left_alone() -> None:
    run = made(penalty=L2(lam=0.5), lr=1e-12)
    torch.nn.init.ones_(run.model[1].bias)
    run.lr = 0.1
    before = run.model[1].bias.detach().clone()
    plain = made()
    torch.nn.init.ones_(plain.model[1].bias)
    run.train(steps=1, progress=False)
    plain.train(steps=1, progress=False)
    torch.testing.assert_close(run.model[1].bias, plain.model[1].bias, rtol=1e-12, atol=0)
    assert not torch.equal(run.model[1].bias, before)
    assert run.model[1].weight.norm() < plain.model[1].weight.norm()


def test_proximal_l1_makes_true_zeros_and_the_gradient_form_none() -> None:
    exact = made(penalty=L1(lam=0.02, proximal=True)).train(steps=100, progress=False)
    rough = made(penalty=L1(lam=0.02)).train(steps=100, progress=False)
    where = place(exact.model)
    assert zeros(weights(exact), where) > 0.5
    assert zeros(weights(rough), where) < 0.5 * zeros(weights(exact), where)
    assert torch.isfinite(weights(exact)).all()


@pytest.mark.parametrize("rule", [rules.Adam(), rules.NesterovLookahead(), rules.Lookahead()])
def test_max_norm_holds_after_every_step(rule: rules.Rule) -> None:
    run = made(penalty=MaxNorm(c=0.5), rule=rule, lr=0.01)
    for _ in run.steps(15):
        lengths = [layer.weight.norm(dim=1).max() for layer in run.model if isinstance(layer, nn.Linear)]
        assert max(lengths) <= 0.5 + 1e-9


def test_the_strength_is_a_knob_and_moves_are_replayed_bit_by_bit() -> None:
    run = made(penalty=L2(lam=1e-3)).train(steps=10, progress=False)
    run.lam = 0.1
    run.train(steps=10, progress=False)
    run.turn("penalty", L1(lam=0.01, proximal=True))
    run.train(steps=10, progress=False)
    assert run.moves[0] == (10, "lam", 0.1)
    assert run.knobs["lam"] == 0.01
    again = Run.replay(json.loads(json.dumps(run.config)), json.loads(json.dumps(run.moves)))
    assert torch.equal(weights(again), weights(run))
    run.rewind(15)
    assert run.penalty == L2(lam=0.1)
    run.turn("penalty", None)
    assert "lam" not in run.knobs


def test_a_penalty_survives_files_and_branches(tmp_path: Path) -> None:
    run = made(penalty=ElasticNet(lam=0.01, beta=0.3, on="all")).train(steps=5, progress=False)
    loaded = Run.load(run.save(tmp_path / "run.safetensors"))
    branch = run.branch()
    for other in (run, loaded, branch):
        other.train(steps=5, progress=False)
    assert torch.equal(weights(run), weights(loaded)) and torch.equal(weights(run), weights(branch))
    assert loaded.penalty == ElasticNet(lam=0.01, beta=0.3, on="all")


@pytest.mark.parametrize("penalty", [L2(0.01), L1(0.01, proximal=True)], ids=lambda p: type(p).__name__)
def test_compiled_steps_are_the_same(penalty: Any) -> None:
    ours = made(penalty=penalty).train(steps=5, progress=False)
    try:
        compiled = made(penalty=penalty, compile=True)
    except ValueError as error:
        pytest.skip(str(error))
    compiled.train(steps=5, progress=False)
    torch.testing.assert_close(weights(compiled), weights(ours), rtol=1e-9, atol=1e-12)


def test_the_tuner_shows_the_strength_in_place_of_weight_decay() -> None:
    names = [dial["name"] for dial in dials_of(made(penalty=ElasticNet(), rule=rules.Adam()))]
    assert names == ["lr", "beta1", "beta2", "lam", "beta", "batch_size"]
    assert "weight_decay" in [dial["name"] for dial in dials_of(made())]


def test_the_hinge_loss_by_its_name() -> None:
    run = made(loss="hinge", lr=0.01).train(steps=60, progress=False)
    assert run.history["loss"][0] > 5 and run.validate()[1] > 0.7


@pytest.mark.parametrize(
    "given, error, said",
    [
        ({"penalty": "l2"}, TypeError, r"penalty must be a penalty such as regularization.L2"),
        ({"penalty": L2(lam=0.1, on=("2.weight",))}, ValueError, "2.weight"),
        ({"penalty": L2(), "rule": None, "optimizer": torch.optim.SGD, "lr": None}, ValueError, "optimizer= brings"),
        ({"stopping": 3}, TypeError, "EarlyStopping"),
        ({"stopping": EarlyStopping(), "validate_every": 0}, ValueError, "makes none"),
    ],
)
def test_bad_arguments(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        made(**given)


def test_a_bad_strength_changes_nothing() -> None:
    run = made(penalty=L2(lam=1e-3))
    with pytest.raises(ValueError, match="lam = -1"):
        run.lam = -1.0
    assert run.knobs["lam"] == 1e-3 and run.moves == []


# Early stopping -------------------------------------------------------------------------------------------------------


def overfitting(**changes: Any) -> Run:
    """A run whose validation loss falls and then shakes: a large rate on few steps between validations."""
    given = {"rule": rules.Momentum(), "lr": 0.5, "validate_every": 5, "stopping": EarlyStopping(patience=3)}
    return made(**{**given, **changes})


def test_it_stops_where_the_history_says_and_stands_on_the_best_weights_bit_by_bit() -> None:
    run = overfitting().train(steps=2000, progress=False)
    assert run.status == "done" and run.step < 2000
    steps, losses = run.history["val_step"], run.history["val_loss"]
    assert run.best_step == steps[losses.argmin()] == steps[-1 - 3]
    to_the_best = overfitting(stopping=None).train(steps=run.best_step, progress=False)
    assert torch.equal(weights(run), weights(to_the_best))
    assert run.validate()[0] == losses.min()


def test_without_restoring_the_weights_are_the_last() -> None:
    run = overfitting(stopping=EarlyStopping(patience=3, restore_best=False)).train(steps=2000, progress=False)
    through = overfitting(stopping=None).train(steps=run.step, progress=False)
    assert torch.equal(weights(run), weights(through))


def test_a_stopped_run_is_replayed_rewound_branched_and_loaded(tmp_path: Path) -> None:
    run = overfitting().train(steps=2000, progress=False)
    best, stopped = weights(run), run.step
    assert torch.equal(weights(Run.replay(run.config, run.moves)), best)
    loaded, branch = Run.load(run.save(tmp_path / "run")), run.branch()
    assert torch.equal(weights(loaded), best) and torch.equal(weights(branch), best)
    run.rewind(stopped - 7)  # after the best, before the stop
    assert not torch.equal(weights(run), best)
    run.train(steps=100, progress=False)
    assert run.step == stopped and torch.equal(weights(run), best)
    for other in (run, loaded, branch):
        other.train(steps=5, progress=False)
    assert torch.equal(weights(loaded), weights(run)) and torch.equal(weights(branch), weights(run))


def test_training_on_after_the_stop_is_replayed_too() -> None:
    run = overfitting().train(steps=2000, progress=False)
    first = run.step
    run.train(steps=2000, progress=False)
    assert first < run.step < 2000
    assert torch.equal(weights(Run.replay(run.config, run.moves)), weights(run))


def test_data_without_a_validation_split_cannot_stop() -> None:
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    with pytest.raises(ValueError, match="no validation data"):
        Run(lambda: nn.Linear(3, 1), (x, y), loss="mse", stopping=EarlyStopping())
