"""Sweeps: each run of a sweep is the `Run` of the same settings, however it is carried out; and every bad input."""

import math
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrlab import Run, _execution, batched, data, models, rules, schedules, sweep
from lrlab._ledger import Ledger
from lrlab._points import plan
from lrlab.sweeps import Progress, SweepError

LRS = [0.01, 0.3]
RULES = [
    rules.SGD(),
    rules.Momentum(),
    rules.NesterovLookahead(),
    rules.Adam(),
    rules.AdamW(),
    rules.RAdam(),
    rules.Lookahead(rules.NesterovLookahead(), k=3),
    rules.ScheduleFreeSGD(),
]


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))


def one_layer() -> nn.Module:
    return nn.Linear(2, 2)


class OwnNetwork(nn.Module):
    """Code of a stranger: nothing that the batched form of an MLP would recognise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.scale, self.last = nn.Linear(2, 8), nn.Parameter(torch.ones(8)), nn.Linear(8, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.sin(self.first(x)) * self.scale)


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def frozen_random_features() -> nn.Module:
    model = two_layers()
    model[0].requires_grad_(False)
    return model


def points() -> tuple[torch.Tensor, torch.Tensor]:
    """250 points in the plane, 200 of them to train on, two classes."""
    x = torch.randn(250, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] * x[:, 1] > 0).long()


def small(**options):
    """A sweep that takes milliseconds."""
    given = {"rule": rules.Momentum(), "lr": LRS, "batch_size": 20, "steps": 25, "dtype": "float64", "device": "cpu"}
    given |= {"progress": False, "model": two_layers, "data": points(), **options}
    return sweep(given.pop("model"), given.pop("data"), **given)


def check_against_runs(result, steps: int, every: int = 0) -> None:
    """Each row is what `Run` does with the same settings and seed, to 1e-6."""
    for row in range(len(result)):
        run = result.run(row)
        assert run.step == 0
        run.train(steps, progress=False)
        made = int(result["steps"][row])
        assert (run.step, run.status) == (made, result["status"][row])
        np.testing.assert_allclose(result.losses[row, :made], run.history["loss"], rtol=1e-6)
        assert np.isnan(result.losses[row, made:]).all()
        if run.status == "done":
            loss, accuracy = run.validate()
            assert result["val_loss"][row] == pytest.approx(loss, rel=1e-6)
            assert result["val_accuracy"][row] == pytest.approx(accuracy)
        if every:
            checks = run.history.validation_since(0)
            columns = np.searchsorted(result.val_steps, checks["val_step"])
            np.testing.assert_allclose(result.val_losses[row, columns], checks["val_loss"], rtol=1e-6)


# A sweep is many runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("model", [two_layers, OwnNetwork])
def test_batched_is_run(rule, model) -> None:
    result = small(model=model, rule=rule, seeds=2, how="batched", weight_decay=[[0.0], [0.01]])
    assert result.how == "batched" and len(result) == 8
    check_against_runs(result, 25)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_the_networks_of_the_course_are_run(model) -> None:
    options = {"lr": [0.01, 0.1], "batch_size": 16, "steps": 6, "dtype": "float64", "progress": False}
    result = sweep(model, "digits", rule=rules.Momentum(), how="batched", validate_every=3, device="cpu", **options)
    check_against_runs(result, 6, every=3)
    assert result.val_steps.tolist() == [0, 3, 6]


@pytest.mark.parametrize("model", [with_dropout, with_batch_norm, two_layers])
def test_looped_is_run(model) -> None:
    result = small(model=model, seeds=[3, 1], how="looped", validate_every=10)
    check_against_runs(result, 25, every=10)
    assert result.val_steps.tolist() == [0, 10, 20, 25]
    assert result["seed"].tolist() == [3, 1, 3, 1]


def test_float32_is_run_to_its_precision() -> None:
    batched_, looped = (small(dtype="float32", how=how, steps=10) for how in ("batched", "looped"))
    np.testing.assert_allclose(batched_.losses, looped.losses, rtol=1e-4)


def test_a_given_module_is_copied_for_each_run() -> None:
    model = two_layers()
    before = [weight.clone() for weight in model.parameters()]
    for how in ("batched", "looped"):
        result = small(model=model, how=how, seeds=2)
        check_against_runs(result, 25)
        assert result.losses[0, 0] != result.losses[1, 0]  # the same weights, other mini-batches
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("how", ["batched", "looped"])
def test_a_repeated_sweep_is_bitwise_the_same(how) -> None:
    first, second = (small(how=how, seeds=3, dtype="float32") for _ in range(2))
    np.testing.assert_array_equal(first.losses, second.losses)
    pd.testing.assert_frame_equal(pd.DataFrame(first), pd.DataFrame(second))


def test_losses_of_ones_own() -> None:
    def squared(outputs, targets):
        return ((outputs - nn.functional.one_hot(targets, 2)) ** 2).mean()

    result = small(loss=squared, how="batched", seeds=2)
    check_against_runs(result, 25)
    x, y = points()
    regression = small(data=(x, x[:, :1].double()), model=lambda: nn.Linear(2, 1), loss="mse", how="batched", lr=[0.01])
    assert math.isnan(regression["val_loss"][0]) and regression["status"][0] == "done"
    run = regression.run(0).train(25, progress=False)
    np.testing.assert_allclose(regression.losses[0], run.history["loss"], rtol=1e-6)


def test_a_loader_of_ones_own_goes_one_by_one() -> None:
    loader = DataLoader(TensorDataset(*points()), batch_size=50, shuffle=True)
    result = small(data=loader, batch_size=50, steps=8, validation=points())
    assert result.how == "looped" and "DataLoader" in result.why
    check_against_runs(result, 8)


@pytest.mark.parametrize(
    "model, seeds, reason",
    [(with_dropout, 1, "random numbers"), (with_batch_norm, 1, "buffers"), (frozen_random_features, 2, "seed to seed")],
)
def test_what_cannot_be_stacked_goes_one_by_one_and_says_why(model, seeds, reason) -> None:
    result = small(model=model, seeds=seeds, steps=4)
    assert result.how == "looped" and reason in result.why
    with pytest.raises(ValueError, match=f"how='batched' is not possible for this network.*{reason}.*how='looped'"):
        small(model=model, seeds=seeds, how="batched")


def test_frozen_weights_that_are_the_same_are_stacked() -> None:
    model = frozen_random_features()
    result = small(model=model, how="batched", seeds=2)
    check_against_runs(result, 25)


class LooksAtItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)
        return y if y.sum() > 0 else -y


def test_code_that_cannot_be_vectorised_goes_one_by_one() -> None:
    result = small(model=LooksAtItsInput, steps=4)
    assert result.how == "looped" and "vmap" in result.why
    check_against_runs(result, 4)


def test_the_batched_form_of_an_mlp_is_vmap_of_it() -> None:
    x = torch.randn(7, 1, 8, 8, dtype=torch.float64)
    for model in (models.mlp(64, (12, 5)), nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 3), nn.GELU()))):
        model = model.double()
        form = batched.mlp_forward(model, x)
        assert form is not None
        vector = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        stack = torch.stack([vector, 2 * vector, -vector])
        torch.testing.assert_close(form(stack, x, False), batched.vmap_forward(model)(stack, x, False))
        own = torch.stack([x, x + 1, x - 1])
        torch.testing.assert_close(form(stack, own, True), batched.vmap_forward(model)(stack, own, True))
        torch.testing.assert_close(form(stack, x, False)[0], model(x))


def test_networks_that_only_look_like_an_mlp_are_not_taken_for_one() -> None:
    images, twice = torch.zeros(2, 1, 8, 8), nn.Linear(8, 8)
    assert batched.mlp_forward(nn.Sequential(nn.Linear(8, 2)), images) is None  # on the last axis of an image
    assert batched.mlp_forward(nn.Sequential(twice, nn.ReLU(), twice), torch.zeros(2, 8)) is None
    assert batched.mlp_forward(nn.Sequential(nn.Linear(8, 8), nn.Softmax(1)), torch.zeros(2, 8)) is None
    assert batched.mlp_forward(OwnNetwork(), torch.zeros(2, 2)) is None


# Divergence -------------------------------------------------------------------------------------------------------


def test_a_run_that_diverges_stops_before_the_bad_step_and_disturbs_nobody() -> None:
    rates = [0.05, 1e200, 0.3]
    result = small(lr=rates, rule=rules.SGD(), model=one_layer, how="batched", keep_weights=True, loss="mse",
                   data=regression_points(), validation=regression_points())  # fmt: skip
    assert result["status"].tolist() == ["done", "diverged", "done"]
    assert result["steps"][1] < 25 and np.isnan(result.losses[1, result["steps"][1] :]).all()
    assert not math.isfinite(result.losses[1, result["steps"][1] - 1])
    assert np.isnan([result[name][1] for name in ("loss", "val_loss", "val_accuracy")]).all()
    check_against_runs(result.iloc[:0], 0)
    run = result.run(1)
    run.train(25, progress=False)
    assert (run.status, run.step) == ("diverged", result["steps"][1])
    torch.testing.assert_close(flat(result.model(1)), flat(run.model))
    calm = small(lr=[0.05, 0.1, 0.3], rule=rules.SGD(), model=one_layer, how="batched", loss="mse",
                 data=regression_points(), validation=regression_points())  # fmt: skip
    np.testing.assert_array_equal(result.losses[[0, 2]], calm.losses[[0, 2]])
    assert result["val_loss"][[0, 2]].tolist() == calm["val_loss"][[0, 2]].tolist()


def regression_points() -> tuple[torch.Tensor, torch.Tensor]:
    x = points()[0].double()
    return x, torch.stack([x[:, 0] - x[:, 1], x[:, 0]], dim=1)


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_a_sweep_whose_runs_all_diverge_ends_early_with_a_table() -> None:
    for how in ("batched", "looped"):
        result = small(lr=[1e200, 1e250], how=how, rule=rules.SGD(), loss="mse", model=one_layer, steps=30,
                       data=regression_points())  # fmt: skip
        assert result["status"].tolist() == ["diverged", "diverged"]
        with pytest.raises(ValueError, match="no setting has a loss: all diverged"):
            result.best("loss")
        assert result.by()["loss"].tolist() == [math.inf, math.inf]


# Settings -----------------------------------------------------------------------------------------------------------


def test_hyperparameters_broadcast_as_tensors_do() -> None:
    grid = small(lr=torch.tensor([[0.1], [0.2], [0.3]], dtype=torch.float64), rho=[0.5, 0.9], seeds=2, steps=2)
    assert grid[["lr", "rho", "seed"]].to_numpy().tolist() == [
        [lr, rho, seed] for lr in (0.1, 0.2, 0.3) for rho in (0.5, 0.9) for seed in (0, 1)
    ]
    pairs = small(lr=np.array([0.3, 0.1]), rho=(0.5, 0.9), steps=2)
    assert pairs[["lr", "rho"]].to_numpy().tolist() == [[0.3, 0.5], [0.1, 0.9]]
    assert small(lr=0.1, steps=2)[["lr", "seed"]].to_numpy().tolist() == [[0.1, 0]]


@settings(max_examples=30)
@given(st.lists(st.integers(1, 3), max_size=3), st.lists(st.integers(1, 3), max_size=3), st.integers(1, 3))
def test_the_plan_is_the_broadcast(first, second, seeds) -> None:
    material = _execution.Setup(**setup_arguments()).data_in_place()
    lr, rho = torch.rand(first) + 0.1, torch.rand(second) * 0.9
    try:
        expected = torch.broadcast_tensors(lr, rho)
    except RuntimeError:
        with pytest.raises(ValueError, match="do not broadcast"):
            plan(material, rules.Momentum(), {"lr": lr, "rho": rho, "weight_decay": 0.0}, seeds)
        return
    found = plan(material, rules.Momentum(), {"lr": lr, "rho": rho, "weight_decay": 0.0}, seeds)
    assert len(found.rows) == expected[0].numel() * seeds
    assert [row.knobs.lr for row in found.rows[::seeds]] == pytest.approx(expected[0].flatten().tolist())
    assert [row.knobs.rule.rho for row in found.rows[::seeds]] == pytest.approx(expected[1].flatten().tolist())
    assert [row.seed for row in found.rows[:seeds]] == list(range(seeds))


def setup_arguments() -> dict:
    names = ("rule", "lr", "batch_size", "optimizer", "validate_every", "validation")
    return dict.fromkeys(names) | {
        **{"model": two_layers, "data": points(), "device": "cpu", "dtype": "float64", "loss": "cross_entropy"},
        **{"per": "step", "seed": 0, "weight_decay": 0.0, "compile": False, "checkpoint_mb": 0},
    }


def test_batch_sizes_and_weight_decay_vary_too() -> None:
    result = small(batch_size=[[10], [25]], weight_decay=[0.0, 0.1], rule=rules.Momentum(), lr=0.1, how="batched")
    assert result[["lr", "batch_size", "weight_decay"]].to_numpy().tolist() == [
        [0.1, 10, 0.0], [0.1, 10, 0.1], [0.1, 25, 0.0], [0.1, 25, 0.1]
    ]  # fmt: skip
    check_against_runs(result, 25)


def test_a_rule_that_owns_its_weight_decay_gets_it() -> None:
    result = small(rule=rules.AdamW(), weight_decay=[0.0, 0.5], lr=0.01, how="batched")
    assert result["weight_decay"].tolist() == [0.0, 0.5]
    assert [result.run(row).rule.weight_decay for row in (0, 1)] == [0.0, 0.5]
    check_against_runs(result, 25)
    untouched = small(rule=rules.AdamW(weight_decay=0.3), lr=0.01, how="batched", steps=2)
    assert untouched.run(0).rule.weight_decay == 0.3


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_schedules_planned_is_applied(per) -> None:
    rates = [schedules.Cosine(0.3, total=20), schedules.Step(0.3, 2, 0.5), 0.1]
    result = small(lr=rates, per=per, how="batched")
    check_against_runs(result, 25)
    assert result["lr"].tolist() == [repr(rates[0]), repr(rates[1]), 0.1]
    for row in range(3):
        assert result.run(row).train(25, progress=False).history["lr"][-1] <= 0.3
    alone = small(lr=rates[0], per=per, how="batched")
    np.testing.assert_allclose(alone.losses[0], result.losses[0], rtol=1e-9)


# Memory and method --------------------------------------------------------------------------------------------------


def test_a_small_memory_gives_small_chunks_and_the_same_result(monkeypatch) -> None:
    sizes = []
    train = _execution.train_together

    def note_the_size(job, chunk, *rest):
        sizes.append(len(chunk.runs.x))
        train(job, chunk, *rest)

    monkeypatch.setattr(_execution, "train_together", note_the_size)
    whole = small(lr=torch.linspace(0.01, 0.5, 12), how="batched", seeds=2)
    assert sizes == [24]
    cut = small(lr=torch.linspace(0.01, 0.5, 12), how="batched", seeds=2, max_memory=100_000)
    assert len(sizes) > 4 and max(sizes[1:]) < 12
    np.testing.assert_allclose(cut.losses, whole.losses, rtol=1e-9)
    single = small(lr=torch.linspace(0.01, 0.5, 12), how="batched", max_memory=1)  # one run at a time is the least
    np.testing.assert_allclose(single.losses, whole.losses[::2], rtol=1e-9)


def test_counted_memory_bounds_what_a_run_holds() -> None:
    job = small(steps=2)._job
    row = small(steps=2)._plan.rows[0]
    counted = _execution.bytes_per_run(job, row)
    weights, activations = 82 * 8, 20 * (16 + 16 + 2) * 8
    assert 4 * weights + activations < counted < 40 * (weights + activations)
    wide = small(steps=2, model=lambda: nn.Sequential(nn.Linear(2, 160), nn.Tanh(), nn.Linear(160, 2)))._job
    assert _execution.bytes_per_run(wide, row) > 5 * counted


def test_auto_tries_and_says_what_it_measured(monkeypatch) -> None:
    result = small(lr=torch.linspace(0.01, 0.3, 16), steps=60)
    assert result.how == "batched" and "one by one" in result.why and "steps/s" in result.why
    monkeypatch.setattr(_execution, "_speed", lambda step, runs, most: 100 / runs)
    slow = small(lr=torch.linspace(0.01, 0.3, 16), steps=60)
    assert slow.how == "looped"
    np.testing.assert_allclose(slow.losses, result.losses, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not batched.can_compile(), reason="needs a C++ compiler")
def test_compiled_is_run() -> None:
    options = {"lr": torch.linspace(0.01, 0.3, 5), "how": "compiled", "rho": [[0.5], [0.9]], "max_memory": 300_000}
    result = small(**options)
    assert result.how == "compiled"
    check_against_runs(result, 25)


def test_compiling_that_fails_is_done_without(monkeypatch) -> None:
    def broken(*_):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(_execution, "_compiling_pays", lambda seconds: True)
    monkeypatch.setattr(batched.CompiledRuns, "step", broken)
    monkeypatch.setattr(_execution, "_speed", lambda step, runs, most: 100 * runs)
    result = small(steps=20)
    assert result.how == "batched" and "compiling failed (no such instruction)" in result.why


def test_without_a_compiler_compiled_says_so(monkeypatch) -> None:
    monkeypatch.setattr(batched.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="C\\+\\+ compiler.*how='batched'"):
        small(how="compiled")
    assert small(steps=40).how in ("batched", "looped")


# The result ---------------------------------------------------------------------------------------------------------


def test_the_table() -> None:
    result = small(seeds=3, rho=[[0.5], [0.9]], validate_every=20, how="batched")
    assert list(result.columns) == ["lr", "rho", "seed", "steps", "status", "loss", "val_loss", "val_accuracy"]
    assert result.index.tolist() == list(range(12))
    assert result["loss"][0] == pytest.approx(result.losses[0, -3:].mean())
    assert result["val_loss"].tolist() == result.val_losses[:, -1].tolist()
    assert result.losses.shape == (12, 25) and result.val_steps.tolist() == [0, 20, 25]
    assert type(result.sort_values("val_loss")) is pd.DataFrame
    medians = result.by("lr")
    assert medians.index.tolist() == LRS and medians["runs"].tolist() == [6, 6]
    expected = pd.DataFrame(result).groupby("lr")["val_loss"].median()
    assert medians["val_loss"].tolist() == expected.tolist()


def test_best_is_the_median_over_seeds() -> None:
    result = small(seeds=3, lr=[1e-5, 0.3, 1e200], how="batched", steps=60)
    best = result.best()
    assert best["lr"] == 0.3
    assert best["val_loss"] == pytest.approx(np.median(result["val_loss"][3:6]))
    assert result.best("val_accuracy")["lr"] == 0.3 and result.best("loss")["lr"] == 0.3
    with pytest.raises(ValueError, match="metric must be one of"):
        result.best("speed")


@pytest.mark.parametrize("how, model", [("batched", two_layers), ("looped", with_batch_norm)])
def test_kept_weights_are_those_of_the_run(how, model) -> None:
    result = small(how=how, model=model, keep_weights=True)
    run = result.run(1).train(25, progress=False)
    for ours, theirs in zip(result.model(1).state_dict().values(), run.model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not result.model(1).training
    with pytest.raises(ValueError, match="keep_weights=True"):
        small(how=how, model=model, steps=2).model(0)
    for row in (-1, 2, "0", True):
        with pytest.raises(ValueError, match="row must be a number from 0 to 1"):
            result.run(row)


def test_pictures() -> None:
    one = small(lr=[0.01, 0.1, 1.0, 1e200], seeds=2, rule=rules.SGD(), loss="mse", model=one_layer,
                data=regression_points(), validation=regression_points(), how="batched")  # fmt: skip
    axes = one.plot().axes[0]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "learning rate α"
    curve = axes.get_lines()[0].get_ydata()
    assert curve[:2] == pytest.approx([one["val_loss"][[0, 1]].mean(), one["val_loss"][[2, 3]].mean()])
    assert np.isnan(curve[-1]) and any("diverged" in text.get_text() for text in axes.texts)
    two = small(rho=[[0.5], [0.9]], steps=3)
    assert two.plot(title="A title").axes[0].get_ylabel() == "rho"
    assert two.plot("rho", metric="loss").axes[0].get_ylabel().startswith("training loss")
    assert len(small(lr=LRS, rho=[0.5, 0.9], steps=3).plot().axes[0].collections) == 1
    words = small(lr=[0.1, schedules.Cosine(0.1, total=5)], steps=5).plot().axes[0]
    assert [text.get_text() for text in words.get_xticklabels()] == ["0.1", repr(schedules.Cosine(0.1, total=5))]
    three = small(rho=[[0.5], [0.9]], weight_decay=[[[0.0]], [[0.1]]], steps=2)
    with pytest.raises(ValueError, match="3 hyperparameters vary; say which"):
        three.plot()
    with pytest.raises(ValueError, match="plot: 'beta1' does not vary"):
        two.plot("beta1")


# Progress -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["batched", "looped"])
def test_progress_is_told_and_can_stop(how, monkeypatch) -> None:
    monkeypatch.setattr(_execution, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(sys.modules["lrlab.sweeps"], "REPORT_EVERY", 0.0)
    states = []

    def watch(state: Progress) -> None:
        states.append((state.finished, state.steps.sum(), np.isfinite(state.losses).sum()))

    result = small(how=how, on_progress=watch)
    assert states[-1] == (2, 50, 50)
    assert [made for _, made, _ in states] == sorted(made for _, made, _ in states) and len(states) > 10
    stopped = small(how=how, on_progress=lambda state: state.steps.sum() < 10)
    assert "stopped" in stopped["status"].tolist() and 10 <= stopped["steps"].sum() < 50
    made = stopped["steps"][0]
    np.testing.assert_array_equal(stopped.losses[0, :made], result.losses[0, :made])


def test_the_bar_is_shown_or_not(capsys) -> None:
    small(progress=True, steps=3, how="batched")
    assert "2 x two_layers" in capsys.readouterr().err
    small(progress=False, steps=3)
    assert capsys.readouterr().err == ""


def test_what_was_finished_is_saved_when_a_sweep_breaks_off(monkeypatch) -> None:
    train = _execution.train_alone

    def fails_late(job, row, number, ledger):
        if number == 1:
            raise RuntimeError("the disk is full")
        train(job, row, number, ledger)

    monkeypatch.setattr(_execution, "train_alone", fails_late)
    with pytest.raises(SweepError, match="the disk is full. 1 of 2 runs were finished") as raised:
        small(how="looped")
    assert raised.value.finished["status"].tolist() == ["done", "failed"]
    assert np.isfinite(raised.value.finished.losses[0]).all()


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from([1.0, 2.0, math.nan, math.inf]), min_size=6, max_size=6), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_the_ledger_books_a_run_until_its_first_bad_loss_however_the_losses_come(rows, cut) -> None:
    losses = np.array(rows)
    numbers = list(range(len(rows)))
    ledger = Ledger(len(rows), 6, [6])
    ledger.log(numbers, 0, losses[:, :cut])
    ledger.log(numbers, cut, losses[:, cut:])
    ledger.finish(numbers, None)
    for number, row in enumerate(rows):
        bad = next((step for step, loss in enumerate(row) if not math.isfinite(loss)), None)
        made = 6 if bad is None else bad + 1
        assert ledger.made[number] == made
        np.testing.assert_array_equal(ledger.losses[number], row[:made] + [math.nan] * (6 - made))
        assert ledger.status()[number] == ("done" if bad is None else "diverged")


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"lr": []}, ValueError, "lr is empty"),
        ({"lr": [0.1, float("nan")]}, ValueError, "lr must be greater than 0 and finite; got nan"),
        ({"lr": [0.1, 0.0]}, ValueError, "lr must be greater than 0 and finite; got 0.0"),
        ({"lr": [-0.1]}, ValueError, "lr must be greater than 0 and finite; got -0.1"),
        ({"lr": "0.1"}, TypeError, "lr must be a number or a tensor"),
        ({"lr": ["0.1"]}, TypeError, "lr must be a number or a tensor"),
        ({"lr": None}, TypeError, "lr must be a number or a tensor"),
        ({"lr": [[0.1], [0.1, 0.2]]}, ValueError, "lr: the rows of a nested list must be equally long"),
        ({"lr": schedules.Plateau(0.1)}, ValueError, "a Plateau follows the validations of one run"),
        ({"lr": [0.1] * 3, "rho": [0.5, 0.9]}, ValueError, r"do not broadcast: lr \[3\], rho \[2\].*lr\[:, None\]"),
        ({"rho": [0.5, 1.5]}, ValueError, "rho"),
        ({"roh": 0.5}, TypeError, "Momentum has no hyperparameter 'roh'; did you mean 'rho'"),
        ({"rule": rules.Momentum(rho=torch.tensor([[0.5], [0.9]]))}, ValueError, "give the values of rho to the sweep"),
        ({"rule": "Momentun"}, ValueError, "Momentun"),
        ({"weight_decay": [-1.0]}, ValueError, "weight_decay"),
        ({"batch_size": [10, 0]}, ValueError, "batch_size must be a whole number from 1 to 200"),
        ({"batch_size": [10.5]}, ValueError, "batch_size must be a whole number"),
        ({"steps": 0}, ValueError, "steps must be a whole number of at least 1; got 0"),
        ({"steps": 2.5}, ValueError, "steps must be a whole number"),
        ({"seeds": 0}, ValueError, "seeds must be at least 1"),
        ({"seeds": []}, ValueError, "seeds is empty"),
        ({"seeds": [1, 2, 1]}, ValueError, r"seeds must differ.*\[1\]"),
        ({"seeds": [-1]}, ValueError, "seed must be a whole number"),
        ({"seeds": "3"}, TypeError, "seeds must be a count, or a list"),
        ({"seeds": 1.5}, TypeError, "seeds must be a count, or a list"),
        ({"how": "fast"}, ValueError, "how must be one of 'auto', 'batched', 'compiled', 'looped'"),
        ({"max_memory": 0}, ValueError, "max_memory must be a number of bytes"),
        ({"executor": 4}, TypeError, r"executor must be a concurrent.futures.Executor, got int.*get_executor\(\)"),
        ({"on_progress": 1}, TypeError, "on_progress must be a function"),
        ({"validate_every": -1}, ValueError, "validate_every"),
        ({"model": lambda: nn.Linear(3, 2)}, ValueError, "the model does not take images of shape"),
        ({"model": "mpl", "data": "digits"}, ValueError, "unknown model 'mpl'"),
        ({"device": "gpu"}, ValueError, "unknown device 'gpu'"),
    ],
)
def test_bad_input_is_named(options, error, message) -> None:
    with pytest.raises(error, match=message):
        small(**options)


# On a GPU -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_on_a_gpu(model) -> None:
    digits = data.load("digits", device="cuda")
    options = {"rule": rules.Adam(), "steps": 10, "batch_size": 32, "dtype": "float64", "progress": False}
    rates = [1e-3, 1e-2, 1e9]
    stacked = sweep(model, digits, lr=rates, seeds=2, device="cuda", how="batched", keep_weights=True, **options)
    alone = sweep(model, digits, lr=rates, seeds=2, device="cuda", how="looped", **options)
    np.testing.assert_allclose(stacked.losses, alone.losses, rtol=1e-6)
    assert stacked["status"].tolist() == alone["status"].tolist()
    assert next(stacked.model(0).parameters()).device.type == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_divergence_on_a_gpu_is_found_at_its_step() -> None:
    result = small(lr=[0.05, 1e200], rule=rules.SGD(), model=one_layer, how="batched", loss="mse", device="cuda",
                   data=regression_points())  # fmt: skip
    on_cpu = small(lr=[0.05, 1e200], rule=rules.SGD(), model=one_layer, how="looped", loss="mse",
                   data=regression_points())  # fmt: skip
    assert result["status"].tolist() == ["done", "diverged"] and result["steps"].tolist() == on_cpu["steps"].tolist()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_on_a_gpu_is_batched() -> None:
    result = sweep("mlp", "digits", lr=torch.logspace(-3, 0, 200), steps=100, device="cuda", progress=False)
    assert result.how == "batched" and "one by one" in result.why


def test_run_and_sweep_are_public() -> None:
    import lrlab

    assert lrlab.sweep is sweep and lrlab.Run is Run and "sweep" in dir(lrlab)
