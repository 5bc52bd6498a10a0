"""Learning-rate multipliers by layer: a factor scales a group's steps, 0 freezes it, and nothing forgets them."""

import json

import pytest
import torch
from torch import nn

from lrlab import Run, models, range_test, rules, schedules, sweep
from lrlab.factors import factor_of, factor_vector, train_mode
from lrlab.regularization import L1, L2, MaxNorm

RULES = [
    *(rules.SGD(), rules.Momentum(), rules.VelocityMomentum(), rules.NesterovLookahead()),
    *(rules.AdamW(), rules.Ranger()),
]


def flat(model, path=""):
    return torch.cat([w.detach().flatten() for name, w in model.named_parameters() if name.startswith(path)])


def run_of(factors, rule=None, **options):
    rule = rules.Momentum() if rule is None else rule
    return Run("mlp", "digits", rule=rule, lr=0.02, factors=factors, device="cpu", **{"validate_every": 0, **options})


def test_the_longest_path_wins_and_paths_end_at_dots():
    factors = {"layer1": 0.1, "layer1.0": 0.5, "layer1.0.conv.weight": 2}
    assert factor_of("layer1.0.conv.weight", factors) == 2
    assert factor_of("layer1.0.conv.bias", factors) == 0.5
    assert factor_of("layer1.1.conv.bias", factors) == 0.1
    assert factor_of("layer10.conv.bias", factors) == 1


def test_the_vector_has_the_order_of_the_weights():
    model = models.mlp(2, (3,), 2)
    vector = factor_vector(list(model.named_parameters()), {"1": 0.5})
    assert vector.tolist() == [0.5] * 9 + [1.0] * 8


def test_a_step_of_sgd_is_scaled_by_the_factor():
    plain, scaled = run_of({}, rules.SGD()), run_of({"1": 0.25}, rules.SGD())
    before = flat(plain.model, "1.")
    for run in (plain, scaled):
        run.train(1, progress=False)
    torch.testing.assert_close(flat(scaled.model, "1.") - before, (flat(plain.model, "1.") - before) / 4)
    assert torch.equal(flat(scaled.model, "3."), flat(plain.model, "3."))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.1}, {"penalty": L1(0.1)}], ids=["plain", "decay", "penalty"])
def test_frozen_weights_do_not_move_at_all(rule, more):
    run = run_of({}, rule, **more).train(5, progress=False)  # with a memory that would carry them on
    before = flat(run.model, "1.")
    run.factors = {"1": 0}
    head = flat(run.model, "3.")
    run.train(8, progress=False)
    assert torch.equal(flat(run.model, "1."), before)
    assert not torch.equal(flat(run.model, "3."), head)


@pytest.mark.parametrize("in_pieces", [False, True])
def test_max_norm_which_asks_for_no_rate_leaves_frozen_weights_alone(in_pieces):
    run = run_of({"1": 0}, penalty=MaxNorm(0.05))
    run._engine.in_pieces = in_pieces
    before, head = flat(run.model, "1."), flat(run.model, "3.")
    run.train(3, progress=False)
    assert torch.equal(flat(run.model, "1."), before)
    assert flat(run.model, "3.").norm() < head.norm()


def test_frozen_layers_cost_no_gradient():
    run = run_of({"1": 0})
    assert [w.requires_grad for w in run.model.parameters()] == [False, False, True, True]
    assert run.parameters == 9610


@pytest.mark.parametrize("rule", [rules.Momentum(), rules.Adam()], ids=lambda rule: type(rule).__name__)
def test_unfreezing_starts_the_memory_anew(rule):
    run = run_of({"1": 0}, rule).train(20, progress=False)
    run.factors = {}
    engine, fresh = run._engine, rule.init(run._engine.x)
    assert all(torch.equal(engine.state[name], fresh[name]) for name in fresh)


def test_another_factor_above_0_keeps_the_memory():
    run = run_of({"1": 0.5}).train(5, progress=False)
    before = {name: tensor.clone() for name, tensor in run._engine.state.items()}
    run.factors = {"1": 0.1}
    assert all(torch.equal(run._engine.state[name], before[name]) for name in before)


def test_a_large_network_goes_the_same_way_in_pieces(monkeypatch):
    whole, pieces = run_of({"1": 0.3, "3.bias": 0}, rules.Adam()), run_of({"1": 0.3, "3.bias": 0}, rules.Adam())
    monkeypatch.setattr("lrlab.engine.PIECE", 1000)
    pieces._engine.in_pieces = True
    for run in (whole, pieces):
        run.train(10, progress=False)
    assert torch.equal(flat(whole.model), flat(pieces.model))


def test_factors_go_into_the_log_and_come_back_from_it(tmp_path):
    run = run_of({"1": 0}, rules.Adam(), seed=3).train(10, progress=False)
    run.factors = {"1": 0.1}
    run.train(10, progress=False)
    assert run.moves == [(10, "factors", {"1": 0.1})]
    again = Run.replay(*json.loads(json.dumps([run.config, run.moves])))
    assert torch.equal(flat(again.model), flat(run.model))
    run.save_moves(tmp_path / "moves.json")
    assert torch.equal(flat(Run.replay(*Run.load_moves(tmp_path / "moves.json")).model), flat(run.model))


def test_save_load_rewind_and_branch_keep_factors(tmp_path):
    run = run_of({"1": 0}, rules.Adam(), seed=3).train(10, progress=False)
    run.factors = {"1": 0.1}
    run.train(10, progress=False)
    wanted = flat(run.model)
    loaded = Run.load(run.save(tmp_path / "run.safetensors"))
    assert loaded.factors == {"1": 0.1} and torch.equal(flat(loaded.model), wanted)
    child = run.branch(5)
    assert child.factors == {"1": 0}
    run.rewind(4)
    assert run.factors == {"1": 0.0} and not next(run.model.parameters()).requires_grad
    run.train(6, progress=False)
    run.factors = {"1": 0.1}
    run.train(10, progress=False)
    assert torch.equal(flat(run.model), wanted)
    assert torch.equal(flat(loaded.train(3, progress=False).model), flat(run.train(3, progress=False).model))


def test_schedules_multiply():
    schedule = schedules.Cosine(0.05, total=10)
    run = run_of({"1": 0.5}, rules.SGD()).train(1, progress=False)
    run.lr = schedule
    run.train(9, progress=False)
    assert run.history["lr"][5] == schedule(5)


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8))
        self.head = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("how", ["factor", "requires_grad"])
def test_a_frozen_batch_normalisation_keeps_its_statistics(how):
    torch.manual_seed(0)
    model = Normalised()
    if how == "requires_grad":
        model.body.requires_grad_(False)
    before = model.body[2].running_mean.clone(), model.head[1].running_mean.clone()
    run = Run(model, "digits", lr=0.1, factors={"body": 0} if how == "factor" else None, device="cpu", validate_every=5)
    run.train(12, progress=False)
    assert torch.equal(model.body[2].running_mean, before[0])
    assert not torch.equal(model.head[1].running_mean, before[1])
    if how == "factor":
        run.factors = {}
        run.train(1, progress=False)
        assert not torch.equal(model.body[2].running_mean, before[0])


def test_train_mode_leaves_a_normalisation_that_still_learns_in_training():
    layer = nn.BatchNorm1d(3)
    layer.weight.requires_grad_(False)
    train_mode(nn.Sequential(layer))
    assert layer.training
    layer.bias.requires_grad_(False)
    train_mode(nn.Sequential(layer))
    assert not layer.training


def test_train_mode_leaves_a_normalisation_without_weights_in_training():
    model = nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2))
    train_mode(model)
    assert model[0].training


def test_a_range_test_keeps_the_frozen_layers():
    run = run_of({"1": 0})
    before = flat(run.model)
    result = range_test(run, steps=30)
    assert torch.equal(flat(run.model), before) and len(result.lrs) > 5


@pytest.mark.parametrize("how", ["batched", "looped"])
@pytest.mark.parametrize(
    "more", [{}, {"penalty": L2(0.01)}, {"penalty": MaxNorm(0.05)}], ids=["plain", "L2", "max norm"]
)
def test_a_sweep_takes_factors(how, more):
    options = {"rule": rules.Adam(), "lr": [0.001, 0.01], "dtype": "float64", "device": "cpu", **more}
    factors = {"1": 0, "3.bias": 0.5}
    result = sweep("mlp", "digits", steps=12, factors=factors, how=how, keep_weights=True, progress=False, **options)
    for row, lr in enumerate([0.001, 0.01]):
        run = Run("mlp", "digits", factors=factors, validate_every=0, **{**options, "lr": lr}).train(12, progress=False)
        torch.testing.assert_close(flat(result.model(row)), flat(run.model), rtol=1e-6, atol=1e-9)
        assert result.run(row).factors == factors


@pytest.mark.parametrize(
    ("factors", "kind", "message"),
    [
        ({"1.weigth": 0.1}, ValueError, "did you mean '1.weight'"),
        (
            {"head": 0.1},
            ValueError,
            r"names 'head', but no weight is there. It has: .* To name layer groups instead, .*transfer.factors",
        ),
        ({"1": -1}, ValueError, "at least 0"),
        ({"1": float("nan")}, ValueError, "at least 0"),
        ({"1": "slow"}, TypeError, "must be a number"),
        ({"1": 0, "3": 0}, ValueError, "nothing to train"),
        (0.1, TypeError, "must be a dict"),
    ],
)
def test_bad_factors_say_what_is_allowed(factors, kind, message):
    with pytest.raises(kind, match=message):
        run_of(factors)
    with pytest.raises(kind, match=message):
        sweep("mlp", "digits", steps=3, factors=factors, progress=False, device="cpu")
    run = run_of({})
    with pytest.raises(kind, match=message):
        run.factors = factors
    assert run.factors == {} and run.moves == []


@pytest.mark.parametrize("other", [{"compile": True}, {"optimizer": torch.optim.Adam, "rule": None}])
def test_a_torch_optimizer_and_the_compiler_take_no_factors(other):
    with pytest.raises(ValueError, match="not go with"):
        Run("mlp", "digits", factors={"1": 0.1}, device="cpu", **other)
    run = Run("mlp", "digits", device="cpu", **other)
    with pytest.raises((ValueError, AttributeError)):
        run.factors = {"1": 0.1}
    assert run.moves == []


@pytest.mark.gpu
def test_factors_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    run = Run("cnn", "digits", rule=rules.Adam(), lr=0.01, factors={"0": 0}, device="cuda")
    before = flat(run.model, "0.")
    run.train(30, progress=False)
    assert torch.equal(flat(run.model, "0."), before)
