"""Each rule against torch, against its own claims, and against the relations that every formula of its kind obeys."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lrlab import _spec, rules, schedules

ALL = [rule() for rule in rules.RULES.values()]
IDS = [type(rule).__name__ for rule in ALL]


def walk(rule, x, gradients, lr):
    """Step along given gradients; the path [steps + 1, ..., P] and the last state."""
    state, path = rule.init(x), [x]
    for g in gradients:
        x, state = rule.step(x, g, state, lr)
        path.append(x)
    return torch.stack(path), state


def doubles(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one(value=1.0):
    return torch.tensor([value], dtype=torch.float64)


# --- The same numbers as torch ----------------------------------------------------------------------------------------


@pytest.fixture
def double_precision():
    """float64 by default: otherwise torch's NAdam keeps its product of momenta in float32."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


TORCH = [
    (rules.SGD(), torch.optim.SGD, {}),
    (rules.Momentum(0.9), torch.optim.SGD, {"momentum": 0.9}),
    (rules.Momentum(0.5), torch.optim.SGD, {"momentum": 0.5}),
    (rules.Nesterov(0.9), torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (rules.AdaGrad(eps=1e-10), torch.optim.Adagrad, {}),
    (rules.RMSProp(decay=0.99, eps=1e-8), torch.optim.RMSprop, {}),
    (rules.RMSProp(eps=1e-3), torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-3}),
    (rules.Adam(eps=1e-8), torch.optim.Adam, {}),
    (rules.Adam(0.8, 0.95, eps=1e-2), torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-2}),
    (rules.AdamW(eps=1e-8, weight_decay=0.1), torch.optim.AdamW, {"weight_decay": 0.1}),
    (rules.AMSGrad(eps=1e-8), torch.optim.Adam, {"amsgrad": True}),
    (rules.NAdam(eps=1e-8), torch.optim.NAdam, {}),
    (rules.NAdam(eps=1e-2, momentum_decay=0.1), torch.optim.NAdam, {"eps": 1e-2, "momentum_decay": 0.1}),
    (rules.RAdam(eps=1e-8, threshold=5), torch.optim.RAdam, {}),
    (rules.RAdam(eps=1e-1, threshold=5), torch.optim.RAdam, {"eps": 1e-1}),
]


@pytest.mark.parametrize(("rule", "optimizer", "options"), TORCH)
@pytest.mark.usefixtures("double_precision")
def test_agrees_with_torch(rule, optimizer, options):
    """250 steps over gradients of six orders of magnitude, with a rate that drops on the way."""
    x = doubles(40)
    parameter = torch.nn.Parameter(x.clone())
    theirs = optimizer([parameter], lr=0.02, **options)
    state = rule.init(x)
    for step in range(250):
        lr = 0.02 if step < 100 else 0.003
        g = torch.logspace(-3, 3, 40, dtype=torch.float64) * (doubles(40, seed=step) + 0.5)
        theirs.param_groups[0]["lr"] = lr
        parameter.grad = g.clone()
        theirs.step()
        x, state = rule.step(x, g, state, lr)
    torch.testing.assert_close(x, parameter.detach(), rtol=1e-12, atol=1e-12)


def test_the_defaults_are_the_lectures():
    assert rules.Momentum().rho == rules.Nesterov().rho == 0.9
    assert rules.AdaGrad().eps == rules.RMSProp().eps == rules.Adam().eps == 1e-7
    assert (rules.Adam().beta1, rules.Adam().beta2, rules.Adam().bias_correction) == (0.9, 0.999, True)
    assert (rules.Lookahead().k, rules.Lookahead().alpha) == (5, 0.5)


# --- Momentum ---------------------------------------------------------------------------------------------------------


def test_the_two_momentum_forms_agree_while_the_rate_is_constant():
    gradients = doubles(200, 5)
    a, _ = walk(rules.Momentum(0.9), doubles(5, seed=1), gradients, 0.1)
    b, _ = walk(rules.VelocityMomentum(0.9), doubles(5, seed=1), gradients, 0.1)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_two_momentum_forms_part_when_the_rate_drops():
    def path(rule):
        return rules.descend(
            rule, lambda x: x.square().sum(-1) / 2, [1.0], lr=lambda t: 0.1 if t < 3 else 0.001, steps=6
        )

    expected = {rules.Momentum(0.9): [0.483, 0.481, 0.478], rules.VelocityMomentum(0.9): [0.275, 0.085, -0.087]}
    for rule, values in expected.items():
        torch.testing.assert_close(path(rule)[4:7, 0], torch.tensor(values, dtype=torch.float64), rtol=0, atol=5e-4)


def test_the_two_nesterov_forms_agree_under_the_change_of_variable():
    curvature = torch.logspace(0, 1, 6, dtype=torch.float64)
    rule, ahead = rules.Nesterov(0.9), rules.NesterovLookahead(0.9)
    x = tilde = doubles(6)
    state, ahead_state = rule.init(tilde), ahead.init(x)
    for _ in range(200):
        torch.testing.assert_close(ahead.gradient_point(x, ahead_state), tilde, rtol=0, atol=1e-13)
        x, ahead_state = ahead.step(x, curvature * ahead.gradient_point(x, ahead_state), ahead_state, 0.05)
        tilde, state = rule.step(tilde, curvature * tilde, state, 0.05)
    assert tilde.norm() < 0.01


def test_friction_can_rise_while_the_velocity_is_kept():
    rule, x = rules.Momentum(0.5), one()
    state, v, expected = rule.init(x), 0.0, 1.0
    for step in range(20):
        rule = dataclasses.replace(rule, rho=0.5 + 0.4 * step / 19)
        v = rule.rho * v + expected
        expected -= 0.05 * v
        x, state = rule.step(x, x, state, 0.05)
    assert rule.rho == 0.9
    assert x.item() == pytest.approx(expected, abs=1e-14)


# --- Adaptive rules ---------------------------------------------------------------------------------------------------


def test_adagrad_steps_tend_to_zero_and_rmsprop_steps_do_not():
    gradients = torch.ones(1000, 1, dtype=torch.float64)
    adagrad = walk(rules.AdaGrad(), one(), gradients, 0.1)[0].diff(dim=0).abs()
    torch.testing.assert_close(
        adagrad[:, 0], 0.1 / torch.arange(1, 1001, dtype=torch.float64).sqrt(), rtol=1e-6, atol=0
    )
    rmsprop = walk(rules.RMSProp(), one(), gradients, 0.1)[0].diff(dim=0).abs()
    torch.testing.assert_close(rmsprop[-100:], torch.full_like(rmsprop[-100:], 0.1), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("corrected", "length"), [(True, 0.01), (False, 0.01 * 0.1 / math.sqrt(0.001))])
def test_the_first_step_of_adam_is_as_long_as_the_rate_only_with_the_correction(corrected, length):
    g = torch.tensor([-1e4, -3.0, 0.02, 5e3], dtype=torch.float64)
    rule = rules.Adam(eps=0, bias_correction=corrected)
    x, _ = rule.step(torch.zeros_like(g), g, rule.init(g), 0.01)
    torch.testing.assert_close(x, -length * g.sign(), rtol=1e-12, atol=0)


def test_adamw_shrinks_all_weights_alike_and_l2_through_adam_does_not():
    x = torch.ones(2, dtype=torch.float64)
    gradients = torch.tensor([100.0, 1.0], dtype=torch.float64) * doubles(300, 1, seed=3).sign()
    rule = rules.AdamW(weight_decay=0.5)
    plain, decoupled = (walk(each, x, gradients, 0.01)[0] for each in (rules.Adam(), rule))
    assert (decoupled[-1] - decoupled[-1][0]).abs().max() < 1e-6
    assert (decoupled[-1] < plain[-1] - 0.3).all()
    adam, coupled = rules.Adam(), x
    state = adam.init(x)
    for g in gradients:
        coupled, state = adam.step(coupled, g + 0.5 * coupled, state, 0.01)
    assert coupled[0] - coupled[1] > 0.1  # the weight with the large gradients is hardly decayed


def test_adamw_with_a_zero_gradient_is_pure_decay():
    path, _ = walk(rules.AdamW(weight_decay=0.5), one(), torch.zeros(10, 1, dtype=torch.float64), 0.1)
    torch.testing.assert_close(path[:, 0], 0.95 ** torch.arange(11, dtype=torch.float64), rtol=1e-13, atol=0)


def reddi(rule, steps=8080, lr=0.1):
    """The mean end of a walk on [−1, 1] whose loss is 1010x at every 101st step and −10x at the others."""
    x, ends = torch.zeros(1, dtype=torch.float64), []
    state = rule.init(x)
    for step in range(steps):
        x, state = rule.step(x, one(1010.0 if step % 101 == 0 else -10.0), state, lr)
        x = x.clamp(-1, 1)
        ends.append(x.item())
    return sum(ends[-404:]) / 404


def test_reddis_counterexample_separates_adam_from_amsgrad():
    assert reddi(rules.Adam(beta2=0.99)) > 0.5
    assert reddi(rules.AMSGrad(beta2=0.99)) < -0.5


def test_nadam_without_warm_up_is_nesterov_accelerated_adam():
    """With a constant μ the formula is Adam's with m̄ = β₁ m̂(t + 1) + (1 − β₁) ĝ(t) in place of m̂."""
    gradients = doubles(100, 4)
    path, _ = walk(rules.NAdam(eps=0.0, momentum_decay=1e9), doubles(4), gradients, 0.01)
    x, m, v = doubles(4), torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_bar = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
        x = x - 0.01 * m_bar / (v / (1 - 0.999**t)).sqrt()
    torch.testing.assert_close(path[-1], x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("threshold", "first"), [(4, 5), (5, 6)])
def test_radam_adapts_from_the_step_at_which_its_memory_passes_the_threshold(threshold, first):
    """Before, a step of momentum grows with the gradient; after, it hardly does."""
    rule = rules.RAdam(threshold=threshold)
    small, large = (walk(rule, one(0.0), torch.full((8, 1), g, dtype=torch.float64), 0.1)[0] for g in (1.0, 100.0))
    ratio = (large.diff(dim=0) / small.diff(dim=0))[:, 0]
    assert [step for step, r in enumerate(ratio.tolist(), start=1) if r < 2] == list(range(first, 9))
    torch.testing.assert_close(ratio[: first - 1], torch.full_like(ratio[: first - 1], 100.0))


def test_lion_moves_every_parameter_by_the_rate():
    gradients = doubles(50, 7) * torch.logspace(-3, 3, 7, dtype=torch.float64)
    path, state = walk(rules.Lion(), doubles(7), gradients, 0.01)
    torch.testing.assert_close(path.diff(dim=0).abs(), torch.full((50, 7), 0.01, dtype=torch.float64))
    mean = torch.zeros(7, dtype=torch.float64)
    for g, step in zip(gradients, path.diff(dim=0), strict=True):
        assert torch.equal((0.9 * mean + 0.1 * g).sign(), -step.sign())
        mean = 0.99 * mean + 0.01 * g
    torch.testing.assert_close(state["mean"], mean, rtol=0, atol=1e-12)
    decayed = rules.Lion(weight_decay=0.5).step(one(), one(0.0), rules.Lion().init(one()), 0.1)[0]
    assert decayed.item() == pytest.approx(0.95)


# --- Slow and fast weights --------------------------------------------------------------------------------------------


def test_the_first_syncs_of_lookahead():
    path = rules.descend(
        rules.Lookahead(rules.SGD(), k=2, alpha=0.5), lambda x: x.square().sum(-1) / 2, [1.0], lr=0.1, steps=3
    )
    torch.testing.assert_close(path[1:, 0], torch.tensor([0.9, 0.905, 0.8145], dtype=torch.float64), rtol=0, atol=1e-15)


def test_lookahead_that_follows_all_the_way_is_the_inner_rule():
    gradients = doubles(30, 5)
    whole, _ = walk(rules.Lookahead(rules.Adam(), k=3, alpha=1.0), doubles(5), gradients, 0.01)
    torch.testing.assert_close(whole, walk(rules.Adam(), doubles(5), gradients, 0.01)[0], rtol=0, atol=1e-15)


def test_ranger_is_radam_inside_lookahead():
    gradients = doubles(40, 5)
    path, state = walk(rules.Ranger(), doubles(5), gradients, 0.01)
    same, same_state = walk(rules.Lookahead(rules.RAdam(), k=6, alpha=0.5), doubles(5), gradients, 0.01)
    assert torch.equal(path, same)
    assert state.keys() == same_state.keys() and {"slow", "inner.m", "inner.v", "inner.t"} <= state.keys()
    fall = rules.descend(rules.Ranger(), lambda x: x.square().sum(-1) / 2, [1.0], lr=0.1, steps=5)
    assert (fall.diff(dim=0) < 0).all(), "it descends from its first step on"


def test_lookahead_takes_the_gradient_where_its_inner_rule_does():
    rule, x = rules.Lookahead(rules.NesterovLookahead(0.9), k=3), doubles(4)
    state = rule.init(x)
    x, state = rule.step(x, x, state, 0.1)
    torch.testing.assert_close(rule.gradient_point(x, state), x + 0.9 * state["inner.velocity"])


def test_schedule_free_x_is_the_mean_of_z_and_the_gradient_is_taken_between_them():
    rule, x = rules.ScheduleFreeSGD(beta=0.9), doubles(4)
    state, z = rule.init(x), [x]
    mean = x
    for step in range(1, 101):
        y = rule.gradient_point(x, state)
        torch.testing.assert_close(y, 0.1 * z[-1] + 0.9 * mean, rtol=0, atol=1e-13)
        g = 3 * y + doubles(4, seed=step)
        x, state = rule.step(x, g, state, 0.1)
        z.append(z[-1] - 0.1 * g)
        mean = torch.stack(z[1:]).mean(0)
        torch.testing.assert_close(x, mean, rtol=0, atol=1e-13)


def test_schedule_free_averages_the_noise_away_at_a_constant_rate():
    """After 1000 noisy steps at one rate, the spread of 200 runs is a fraction of plain SGD's."""
    noise = doubles(1000, 200, 1)
    spread = {}
    for rule in (rules.SGD(), rules.ScheduleFreeSGD()):
        x = torch.ones(200, 1, dtype=torch.float64)
        state = rule.init(x)
        for n in noise:
            x, state = rule.step(x, rule.gradient_point(x, state) + n, state, 0.3)
        spread[type(rule)] = x.std().item()
    assert spread[rules.ScheduleFreeSGD] < spread[rules.SGD] / 3


# --- Relations that hold for every rule -------------------------------------------------------------------------------

SOME = settings(max_examples=25, deadline=None)
shapes = st.tuples(st.integers(1, 9), st.integers(0, 17))
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("rule", ALL, ids=IDS)
@SOME
@given(shape=shapes, dtype=dtypes, seed=seeds)
def test_a_run_in_a_batch_is_bitwise_the_run_alone(rule, shape, dtype, seed):
    runs, parameters = shape
    x = doubles(runs, parameters, seed=seed).to(dtype)
    gradients = doubles(13, runs, parameters, seed=seed + 1, scale=10).to(dtype)
    lr = doubles(runs, 1, seed=seed + 2).abs().to(dtype)
    batch, batch_state = walk(rule, x, gradients, lr)
    for run in range(runs):
        alone, state = walk(rule, x[run], gradients[:, run], lr[run])
        assert torch.equal(alone, batch[:, run])
        assert all(torch.equal(state[name], batch_state[name][run]) for name in batch_state)


@pytest.mark.parametrize("rule", ALL, ids=IDS)
def test_two_leading_axes_are_two_leading_axes(rule):
    gradients = doubles(7, 2, 3, 4)
    lr = doubles(2, 1, 1, seed=1).abs()
    path, _ = walk(rule, doubles(2, 3, 4, seed=2), gradients, lr)
    flat, _ = walk(rule, doubles(2, 3, 4, seed=2).view(6, 4), gradients.view(7, 6, 4), lr.expand(2, 3, 1).reshape(6, 1))
    assert torch.equal(path.view(8, 6, 4), flat)


@pytest.mark.parametrize("rule", [rule for rule in ALL if rule.hyperparameters()], ids=lambda rule: type(rule).__name__)
def test_every_hyperparameter_may_differ_from_run_to_run(rule):
    gradients = doubles(9, 2, 4)
    for name, value in rule.hyperparameters().items():
        other = value + 1 if name in ("k", "threshold", "momentum_decay") else value / 2 + 0.01
        values = torch.tensor([[value], [other]], dtype=torch.float64)
        both, _ = walk(dataclasses.replace(rule, **{name: values}), doubles(2, 4), gradients, 0.1)
        for run, each in enumerate((value, other)):
            alone, _ = walk(dataclasses.replace(rule, **{name: each}), doubles(2, 4)[run], gradients[:, run], 0.1)
            torch.testing.assert_close(both[:, run], alone, rtol=1e-13, atol=1e-13)
        ways = [
            rules.descend(
                dataclasses.replace(rule, **{name: each}), lambda x: x.square().sum(-1), [1.0], lr=0.1, steps=40
            )
            for each in (value, other)
        ]
        assert not torch.equal(*ways), f"{name} has no effect"


LINEAR = [
    rules.SGD(),
    rules.Momentum(),
    rules.VelocityMomentum(),
    rules.Nesterov(),
    rules.NesterovLookahead(),
    rules.ScheduleFreeSGD(),
    rules.Lookahead(rules.Momentum()),
]
SCALE_FREE = [
    rules.AdaGrad(0),
    rules.RMSProp(eps=0),
    rules.Adam(eps=0),
    rules.AdamW(eps=0),
    rules.AMSGrad(eps=0),
    rules.NAdam(eps=0),
    rules.Lion(),
    rules.Lookahead(rules.Adam(eps=0)),
]


def names(rule):
    return type(rule).__name__


@pytest.mark.parametrize("rule", LINEAR, ids=names)
@SOME
@given(seed=seeds, power=st.integers(-8, 8))
def test_of_a_linear_rule_the_way_grows_with_the_gradient(rule, seed, power):
    gradients = doubles(20, 3, seed=seed)
    start = torch.zeros(3, dtype=torch.float64)
    way, scaled = (walk(rule, start, factor * gradients, 0.1)[0] for factor in (1.0, 2.0**power))
    assert torch.equal(scaled, 2.0**power * way)


@pytest.mark.parametrize("rule", SCALE_FREE, ids=names)
@SOME
@given(seed=seeds, power=st.integers(-8, 8))
def test_of_an_adaptive_rule_the_way_does_not_know_the_scale_of_the_gradient(rule, seed, power):
    gradients = doubles(20, 3, seed=seed)
    way, scaled = (walk(rule, doubles(3, seed=seed), factor * gradients, 0.1)[0] for factor in (1.0, 2.0**power))
    assert torch.equal(scaled, way)


@pytest.mark.parametrize("rule", [rule for rule in ALL if not isinstance(rule, rules.AdamW)], ids=names)
@SOME
@given(seed=seeds, shift=st.floats(-10, 10))
def test_the_way_does_not_depend_on_the_origin(rule, seed, shift):
    gradients, x = doubles(20, 3, seed=seed), doubles(3, seed=seed + 1)
    path, shifted = (walk(rule, x + by, gradients, 0.1)[0] for by in (0.0, shift))
    torch.testing.assert_close(shifted - shift, path, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ALL, ids=IDS)
@SOME
@given(seed=seeds)
def test_the_mirror_image_of_the_gradients_gives_the_mirror_image_of_the_path(rule, seed):
    gradients, x = doubles(20, 3, seed=seed), doubles(3, seed=seed + 1)
    assert torch.equal(walk(rule, -x, -gradients, 0.1)[0], -walk(rule, x, gradients, 0.1)[0])


@pytest.mark.parametrize("rule", [rule for rule in ALL if not isinstance(rule, rules.AdamW)], ids=names)
def test_a_zero_gradient_from_the_start_moves_nothing(rule):
    x = doubles(5)
    path, state = walk(rule, x, torch.zeros(12, 5, dtype=torch.float64), 0.1)
    assert torch.equal(path, x.expand(13, 5))
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("rule", ALL, ids=IDS)
@pytest.mark.parametrize("shape", [(1,), (0,), (3, 0), (0, 3), (2, 1)])
def test_one_parameter_and_none(rule, shape):
    path, state = walk(rule, torch.ones(shape), torch.ones(7, *shape), 0.1)
    assert path.shape == (8, *shape) and path.isfinite().all()
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in rule.init(torch.ones(shape)).items()
    }


@pytest.mark.parametrize("rule", ALL, ids=IDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_stays(rule, dtype):
    path, state = walk(rule, torch.ones(4, dtype=dtype), torch.ones(300, 4, dtype=dtype), 0.02)
    assert path.dtype == dtype and path.isfinite().all() and path[-1, 0] < 1
    fresh = rule.init(torch.ones(4, dtype=dtype))
    assert {name: value.dtype for name, value in state.items()} == {name: value.dtype for name, value in fresh.items()}
    assert "t" not in state or state["t"].item() == 300


@pytest.mark.parametrize("rule", ALL, ids=IDS)
def test_a_step_is_pure(rule):
    x, g = doubles(5), doubles(5, seed=1)
    state = rule.init(x)
    for _ in range(8):
        before = (x.clone(), g.clone(), {name: value.clone() for name, value in state.items()})
        first, second = rule.step(x, g, state, 0.1), rule.step(x, g, state, 0.1)
        assert torch.equal(x, before[0]) and torch.equal(g, before[1])
        assert all(torch.equal(state[name], before[2][name]) for name in state)
        assert torch.equal(first[0], second[0])
        x, state = first


@pytest.mark.parametrize("rule", ALL, ids=IDS)
def test_the_state_does_not_share_memory_with_the_parameters(rule):
    x = doubles(3)
    state = rule.init(x)
    x.add_(1)
    assert all(value.data_ptr() != x.data_ptr() for value in state.values())


@pytest.mark.parametrize("rule", ALL, ids=IDS)
def test_every_rule_finds_the_bottom_of_a_bowl(rule):
    path = rules.descend(rule, lambda x: x.square().sum(-1) / 2, [1.0, -1.0], lr=0.05, steps=1000)
    assert path[-1].abs().max() < 0.06  # the rules that take the sign keep on stepping by the rate


# --- Names and records ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL, ids=IDS)
def test_a_rule_survives_its_spec(rule):
    assert _spec.from_spec(_spec.to_spec(rule), rules.RULES) == rule


def test_by_name_knows_every_rule_and_suggests_the_nearest():
    assert all(rules.by_name(name) is rule for name, rule in rules.RULES.items())
    assert rules.by_name("schedule-free sgd") is rules.ScheduleFreeSGD and rules.by_name("rms_prop") is rules.RMSProp
    with pytest.raises(ValueError, match="'adan'.*did you mean 'Adam'"):
        rules.by_name("adan")


def test_hyperparameters_are_the_numbers_and_nothing_else():
    assert rules.Adam().hyperparameters() == {"beta1": 0.9, "beta2": 0.999, "eps": 1e-7}
    assert rules.Ranger().hyperparameters() == {"k": 6, "alpha": 0.5}
    assert rules.SGD().hyperparameters() == {}


# --- Paths ------------------------------------------------------------------------------------------------------------


def bowl(x: Tensor) -> Tensor:
    return (torch.tensor([1.0, 10.0], dtype=x.dtype) * x.square()).sum(-1) / 2


def test_a_path_starts_at_the_start_and_steps_as_the_rule_does():
    path = rules.descend(rules.SGD(), bowl, [1.0, 1.0], lr=0.05, steps=3)
    factors = torch.tensor([0.95, 0.5], dtype=torch.float64)
    torch.testing.assert_close(path, factors ** torch.arange(4, dtype=torch.float64)[:, None], rtol=0, atol=1e-15)
    assert rules.descend(rules.SGD(), bowl, [1.0, 1.0], lr=0.05, steps=0).shape == (1, 2)


def test_starts_rates_and_hyperparameters_go_at_once():
    starts, lrs = doubles(3, 1, 2), torch.tensor([[0.01], [0.05]], dtype=torch.float64)
    paths = rules.descend(rules.Momentum(), bowl, starts, lr=lrs, steps=20)
    assert paths.shape == (21, 3, 2, 2)
    for i in range(3):
        for j in range(2):
            alone = rules.descend(rules.Momentum(), bowl, starts[i, 0], lr=lrs[j].item(), steps=20)
            assert torch.equal(paths[:, i, j], alone)
    rho = torch.tensor([[0.0], [0.9]], dtype=torch.float64)
    assert rules.descend(rules.Momentum(rho), bowl, [1.0, 1.0], lr=0.05, steps=5).shape == (6, 2, 2)


def test_the_rate_may_be_a_schedule():
    cosine = schedules.Cosine(0.1, total=10)
    path = rules.descend(rules.SGD(), lambda x: x.sum(-1), [0.0], lr=cosine, steps=12)
    expected = torch.tensor([-cosine(t) for t in range(12)], dtype=torch.float64).cumsum(0)
    torch.testing.assert_close(path[1:, 0], expected, rtol=0, atol=1e-15)


def test_a_path_that_diverges_reads_inf_or_nan_and_leaves_the_others_alone():
    lrs = torch.tensor([[0.05], [10.0]], dtype=torch.float64)
    paths = rules.descend(rules.SGD(), bowl, [1.0, 1.0], lr=lrs, steps=500)
    assert not paths[-1, 1].isfinite().all() and paths[-1, 0].abs().max() < 1e-9
    assert paths.shape == (501, 2, 2)


# --- Bad input --------------------------------------------------------------------------------------------------------

X = torch.ones(3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rules.Momentum(1.0), ValueError, r"rho = 1.0 .*\[0, 1\)"),
        (lambda: rules.Momentum(-0.1), ValueError, r"rho = -0.1 .*\[0, 1\)"),
        (lambda: rules.Momentum(math.nan), ValueError, r"rho = nan .*\[0, 1\)"),
        (lambda: rules.Nesterov(torch.tensor([0.5, 1.5])), ValueError, r"rho = .*\[0, 1\)"),
        (lambda: rules.Adam(beta1=1), ValueError, r"beta1 = 1 .*\[0, 1\)"),
        (lambda: rules.AdamW(beta2=1.0), ValueError, r"beta2 = 1.0 .*\[0, 1\)"),
        (lambda: rules.RMSProp(decay=1.0), ValueError, r"decay = 1.0 .*\[0, 1\)"),
        (lambda: rules.Adam(eps=-1e-8), ValueError, r"eps = -1e-08 .*\[0, inf\)"),
        (lambda: rules.AdaGrad(eps=math.inf), ValueError, r"eps = inf .*\[0, inf\)"),
        (lambda: rules.AdamW(weight_decay=-1), ValueError, r"weight_decay = -1 .*\[0, inf\)"),
        (lambda: rules.RAdam(threshold=3), ValueError, r"threshold = 3 .*\[4, inf\)"),
        (lambda: rules.Lookahead(rules.SGD(), k=0), ValueError, r"k = 0 .*1, 2, 3"),
        (lambda: rules.Lookahead(rules.SGD(), k=2.5), ValueError, r"k = 2.5 .*1, 2, 3"),
        (lambda: rules.Lookahead(rules.SGD(), alpha=0), ValueError, r"alpha = 0 .*\(0, 1\]"),
        (lambda: rules.Lookahead(rules.SGD), TypeError, "inner must be a rule"),
        (lambda: rules.ScheduleFreeSGD(beta=1.0), ValueError, r"beta = 1.0 .*\[0, 1\)"),
        (lambda: rules.Momentum(schedules.Constant(0.9)), TypeError, "rho must be a number.*Constant"),
        (lambda: rules.Momentum("0.9"), TypeError, "rho must be a number.*'0.9'"),
        (lambda: rules.Momentum(True), TypeError, "rho must be a number.*True"),
        (lambda: rules.Momentum(None), TypeError, "rho must be a number.*None"),
        (lambda: rules.Adam(bias_correction=1), TypeError, "bias_correction must be True or False"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (lambda r, s: r.step(X, X, s, -0.1), ValueError, r"lr = -0.1 .*\[0, inf\)"),
        (lambda r, s: r.step(X, X, s, math.nan), ValueError, "lr = nan"),
        (lambda r, s: r.step(X, X, s, math.inf), ValueError, "lr = inf"),
        (lambda r, s: r.step(X, X, s, schedules.Constant(0.1)), TypeError, "lr must be a number.*Constant"),
        (lambda r, s: r.step(X, X, s, torch.ones(2, 1)), ValueError, r"lr has shape \[2, 1\]"),
        (lambda r, s: r.step(X, X, s, torch.ones(1, dtype=torch.float64)), TypeError, "lr is torch.float64"),
        (lambda r, s: r.step(X, X.double(), s, 0.1), TypeError, "g is torch.float64.*x is torch.float32"),
        (lambda r, s: r.step(X.double(), X.double(), s, 0.1), TypeError, "is torch.float32"),
        (lambda r, s: r.step(X, X.to("meta"), s, 0.1), ValueError, "g is on meta.*x on cpu"),
        (lambda r, s: r.step(X, X[:1], s, 0.1), ValueError, r"shape \[1\].*shape of x, \[3\]"),
        (lambda r, s: r.step(X[:2], X[:2], s, 0.1), ValueError, r"shape \[3\]"),
        (lambda r, s: r.step([1.0], X, s, 0.1), TypeError, "x must be a floating-point tensor"),
        (lambda r, s: r.step(X.long(), X.long(), s, 0.1), TypeError, "x must be a floating-point tensor"),
        (lambda r, s: r.step(X, X, None, 0.1), ValueError, "state holds None"),
        (lambda r, s: r.step(X, X, {}, 0.1), ValueError, "state holds .*another rule"),
        (lambda r, s: r.step(X, X, {**s, "extra": X}, 0.1), ValueError, "state holds .*another rule"),
    ],
)
@pytest.mark.parametrize("rule", [rules.Momentum(), rules.Adam(), rules.Ranger()], ids=names)
def test_a_step_with_what_does_not_belong_together_is_refused(rule, step, error, message):
    with pytest.raises(error, match=message):
        step(rule, rule.init(X))


def test_the_state_of_another_rule_is_refused():
    families = [
        {"Momentum", "Nesterov"},
        {"VelocityMomentum", "NesterovLookahead"},
        {"Adam", "AdamW", "RAdam"},
        {"Lookahead", "Ranger"},
    ]
    related = lambda a, b: any({type(a).__name__, type(b).__name__} <= family for family in families)  # noqa: E731
    for rule in ALL:
        for other in ALL:
            if rule is not other and not related(rule, other):
                with pytest.raises(ValueError, match=f"{type(rule).__name__} needs"):
                    rule.step(X, X, other.init(X), 0.1)


def test_a_rate_of_zero_moves_nothing_because_schedules_end_there():
    for rule in ALL:
        assert torch.equal(rule.step(X, X, rule.init(X), 0.0)[0], X)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"lr": 0.0}, ValueError, r"lr = 0.0 .*\(0, inf\)"),
        ({"lr": -1}, ValueError, "lr = -1"),
        ({"lr": math.nan}, ValueError, "lr = nan"),
        ({"lr": torch.tensor([[0.1], [math.nan]])}, ValueError, "lr = "),
        ({"lr": "0.1"}, TypeError, "lr must be a number"),
        ({"steps": -1}, ValueError, "steps = -1"),
        ({"steps": 2.5}, ValueError, "steps = 2.5"),
        ({"rule": rules.SGD}, TypeError, "rule must be a rule"),
        ({"start": 1.0}, ValueError, "start is"),
        ({"start": torch.ones(3, 2), "lr": torch.ones(4, 1)}, ValueError, "leading axes"),
        ({"start": torch.ones(2), "lr": torch.ones(1, dtype=torch.float64)}, TypeError, "lr is torch.float64"),
        ({"lr": lambda step: 0.1 - step}, ValueError, "lr = -0.9"),
    ],
)
def test_a_descent_with_bad_settings_is_refused(change, error, message):
    arguments = {"rule": rules.SGD(), "surface": bowl, "start": [1.0, 1.0], "lr": 0.1, "steps": 3, **change}
    with pytest.raises(error, match=message):
        rules.descend(**arguments)


def test_a_rule_of_ones_own_is_checked_like_the_others_and_keeps_its_text():
    @dataclasses.dataclass(frozen=True)
    class SignSGD(rules.Rule):
        def step(self, x, g, state, lr):
            return x - lr * g.sign(), state

    assert SignSGD().step(X, X, {}, 0.5)[0].tolist() == [0.5, 0.5, 0.5]
    assert SignSGD.step.__name__ == "step"
    with pytest.raises(ValueError, match="lr = -1"):
        SignSGD().step(X, X, {}, -1)
    with pytest.raises(NotImplementedError, match="Rule does not define step"):
        rules.Rule().step(X, X, {}, 0.1)
