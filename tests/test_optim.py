"""The adapter against torch's own optimizers, and each thing that torch expects of an optimizer."""

from __future__ import annotations

import copy
import dataclasses
import functools
import io
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from lrlab import optim, rules

ALL = [rule() for rule in rules.RULES.values()]
WITH_KERNEL = [rules.SGD(), rules.Momentum(), rules.Nesterov(), rules.Adam(), rules.AdamW(), rules.AMSGrad()]

TORCH = [
    (rules.SGD(), torch.optim.SGD, {}),
    (rules.Momentum(0.9), torch.optim.SGD, {"momentum": 0.9}),
    (rules.Nesterov(0.9), torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (rules.AdaGrad(eps=1e-10), torch.optim.Adagrad, {}),
    (rules.RMSProp(decay=0.99, eps=1e-8), torch.optim.RMSprop, {}),
    (rules.Adam(eps=1e-8), torch.optim.Adam, {}),
    (rules.AdamW(eps=1e-8, weight_decay=0.1), torch.optim.AdamW, {"weight_decay": 0.1}),
    (rules.AMSGrad(eps=1e-8), torch.optim.Adam, {"amsgrad": True}),
    (rules.NAdam(eps=1e-8), torch.optim.NAdam, {}),
    (rules.RAdam(eps=1e-8, threshold=5), torch.optim.RAdam, {}),
]


def name(rule):
    return type(rule).__name__


def readable(rule):
    """The same rule as a class that has no kernel."""
    cls = type("Readable" + name(rule), (type(rule),), {})
    return cls(**{field.name: getattr(rule, field.name) for field in dataclasses.fields(rule)})


@pytest.fixture
def double_precision():
    """float64 by default: otherwise torch's NAdam keeps its product of momenta in float32."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def network(dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


def groups_of(model):
    """Three groups: with a rate of its own, with a decay of its own, with neither."""
    first, _, last = model
    return [
        {"params": [first.weight], "lr": 0.005},
        {"params": [first.bias, last.bias], "weight_decay": 0.0},
        {"params": [last.weight]},
    ]


DATA = [torch.randn(16, 5, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(8)]


def loss_of(model, step):
    x = DATA[step % 8].to(next(model.parameters()))
    return (model(x) - x[:, :3].sin()).square().mean()


def train(model, optimizer, steps, first=0):
    for step in range(first, first + steps):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


# --- The same numbers as torch ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("path", ["as it comes", "readable"])
@pytest.mark.parametrize(("rule", "theirs", "options"), TORCH)
def test_a_network_with_three_groups_ends_where_torch_ends(rule, theirs, options, path):
    ours, twin = network(), network()
    decay = {} if "weight_decay" in options else {"weight_decay": 0.01}
    optimizer = optim.Optimizer(groups_of(ours), rule if path == "as it comes" else readable(rule), lr=0.01, **decay)
    reference = theirs(groups_of(twin), lr=0.01, **options, **decay)
    torch.testing.assert_close(train(ours, optimizer, 220), train(twin, reference, 220), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", WITH_KERNEL, ids=name)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True}], ids=str)
def test_the_kernel_is_equal_to_the_readable_rule(rule, options):
    if "weight_decay" in options and isinstance(rule, rules.AdamW):
        options = {}
    fast, slow = network(), network()
    assert optim.has_kernel(rule) and not optim.has_kernel(readable(rule))
    one = train(fast, optim.Optimizer(fast.parameters(), rule, lr=0.005, **options), 200)
    two = train(slow, optim.Optimizer(slow.parameters(), readable(rule), lr=0.005, **options), 200)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("path", ["as it comes", "readable"])
@pytest.mark.parametrize(
    "rule", [*ALL, rules.Adam(bias_correction=False), rules.AMSGrad(bias_correction=False)], ids=name
)
def test_the_adapter_does_what_the_rule_does_on_one_flat_vector(rule, path):
    """Through the parameters of a module or by hand, at the gradient point or at x: the same path."""
    shapes = [(3, 4), (5,), (), (0, 2), (2, 1, 3)]
    params = [nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in shapes]
    optimizer = optim.Optimizer(params, rule if path == "as it comes" else readable(rule), lr=0.05)
    x = torch.cat([p.detach().reshape(-1) for p in params])
    scale = torch.logspace(-1, 1, len(x), dtype=torch.float64)
    state = rule.init(x)
    for _ in range(30):
        optimizer.zero_grad()
        (scale * torch.cat([p.reshape(-1) for p in params]).square()).sum().div(2).backward()
        optimizer.step()
        x, state = rule.step(x, scale * rule.gradient_point(x, state), state, 0.05)
    optimizer.eval()
    torch.testing.assert_close(torch.cat([p.detach().reshape(-1) for p in params]), x, rtol=0, atol=1e-12)
    assert [tuple(p.shape) for p in params] == shapes


@pytest.mark.parametrize("rule", ALL, ids=name)
def test_pieces_change_nothing(rule, monkeypatch):
    def end():
        model = network(seed=1)
        return train(model, optim.Optimizer(model.parameters(), readable(rule), lr=0.01), 20)

    whole = end()
    monkeypatch.setattr(optim, "PIECE", 4)
    assert torch.equal(end(), whole)


@pytest.mark.parametrize("rule", [rules.Adam(), rules.RMSProp()], ids=name)
@pytest.mark.parametrize("layout", ["channels_last", "transposed", "strided"])
def test_how_a_parameter_lies_in_memory_changes_nothing(rule, layout):
    start = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    laid_out = {
        "channels_last": start.to(memory_format=torch.channels_last),
        "transposed": start.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        "strided": torch.stack([start, start], -1)[..., 0],
    }[layout]
    ends = []
    for values in (start.clone(), laid_out):
        p = nn.Parameter(values)
        optimizer = optim.Optimizer([p], rule, lr=0.01)
        for step in range(10):
            p.grad = (p.detach() - step).contiguous()  # not laid out as the parameter
            optimizer.step()
        ends.append(p.detach().clone())
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-13)


# --- Some parameters at some steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [rules.Adam(), readable(rules.Adam()), rules.NAdam()], ids=name)
@pytest.mark.usefixtures("double_precision")
def test_a_parameter_without_gradient_waits_and_keeps_its_own_count(rule):
    theirs = (
        functools.partial(torch.optim.NAdam, eps=1e-7)
        if isinstance(rule, rules.NAdam)
        else functools.partial(torch.optim.Adam, eps=1e-7)
    )
    ours, twin = network(), network()
    optimizer, reference = optim.Optimizer(ours.parameters(), rule, lr=0.01), theirs(twin.parameters(), lr=0.01)
    for step in range(60):
        for model, each in ((ours, optimizer), (twin, reference)):
            each.zero_grad()
            loss_of(model, step).backward()
            if step % 3:
                model[2].weight.grad = None
            if step < 20:
                model[0].bias.grad = None
            each.step()
    ends = [torch.cat([p.detach().reshape(-1) for p in model.parameters()]) for model in (ours, twin)]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
    assert [optimizer.state[p]["t"].item() for p in ours.parameters()] == [60, 40, 20, 60]


def test_without_any_gradient_nothing_happens():
    model = network()
    optimizer = optim.Optimizer(model.parameters(), rules.Adam(), lr=0.1)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), network().parameters(), strict=True))
    assert not optimizer.state


@pytest.mark.parametrize("rule", [rules.Momentum(), readable(rules.Momentum())], ids=name)
def test_a_group_added_on_the_way_starts_afresh(rule):
    ours, twin = network(), network()
    optimizer = optim.Optimizer(ours[0].parameters(), rule, lr=0.01)
    reference = torch.optim.SGD(twin[0].parameters(), lr=0.01, momentum=0.9)
    train(ours, optimizer, 30), train(twin, reference, 30)
    for model, each in ((ours, optimizer), (twin, reference)):
        model.zero_grad()
        each.add_param_group({"params": model[2].parameters(), "lr": 0.003, "momentum": 0.5})
    ends = train(ours, optimizer, 30, first=30), train(twin, reference, 30, first=30)
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


def test_one_group_may_have_hyperparameters_of_its_own_and_they_may_be_turned():
    ours, twin = network(), network()
    optimizer = optim.Optimizer(
        [{"params": ours[0].parameters(), "momentum": 0.5}, {"params": ours[2].parameters()}],
        rules.Momentum(0.9),
        lr=0.01,
    )
    reference = torch.optim.SGD(
        [{"params": twin[0].parameters(), "momentum": 0.5}, {"params": twin[2].parameters()}], lr=0.01, momentum=0.9
    )
    train(ours, optimizer, 20), train(twin, reference, 20)
    for each in (optimizer, reference):
        each.param_groups[1]["momentum"] = 0.7
    ends = train(ours, optimizer, 20, first=20), train(twin, reference, 20, first=20)
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


# --- What torch expects of an optimizer -------------------------------------------------------------------------------


def test_it_is_a_torch_optimizer_with_named_parameters_and_hooks():
    model = network()
    optimizer = optim.Optimizer(model.named_parameters(), rules.Adam(), lr=0.01)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append("step"))
    train(model, optimizer, 3)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups[0]["param_names"][0] == "0.weight"
    assert calls == ["step"] * 3 and "lr: 0.01" in repr(optimizer)


def test_a_closure_is_called_with_gradients_on_and_its_loss_comes_back():
    model, twin = network(), network()
    optimizer = optim.Optimizer(model.parameters(), rules.Momentum(), lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, 0)
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert loss.item() == loss_of(twin, 0).item()
    expected = train(twin, optim.Optimizer(twin.parameters(), rules.Momentum(), lr=0.01), 1)
    assert torch.equal(torch.cat([p.detach().reshape(-1) for p in model.parameters()]), expected)


SCHEDULERS = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: min(1, t / 5)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.95),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 10),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [7, 20]),
    "ConstantLR": lr_scheduler.ConstantLR,
    "LinearLR": lr_scheduler.LinearLR,
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 20),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 20),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 8),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.02, step_size_up=5),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.05, total_steps=41),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=2, factor=0.5),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.ExponentialLR(o, 0.9)], [5]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (rules.Momentum(0.9), functools.partial(torch.optim.SGD, momentum=0.9)),
        (rules.Adam(eps=1e-8), torch.optim.Adam),
        (readable(rules.Adam(eps=1e-8)), torch.optim.Adam),
    ],
    ids=["Momentum", "Adam", "ReadableAdam"],
)
def test_every_scheduler_of_torch_works_as_with_torchs_own(scheduler, rule, theirs):
    """Also where it turns the momentum or β₁ (CyclicLR, OneCycleLR)."""
    ends = []
    for make in (lambda params: optim.Optimizer(params, rule, lr=0.01), lambda params: theirs(params, lr=0.01)):
        model = network()
        optimizer = make(model.parameters())
        schedule = SCHEDULERS[scheduler](optimizer)
        applied = []
        for step in range(40):
            applied.append([optimizer.param_groups[0].get(key) for key in ("lr", "momentum", "betas")])
            end = train(model, optimizer, 1, first=step)
            schedule.step(*([1.0] if scheduler == "ReduceLROnPlateau" else []))
        ends.append((end, applied))
    (ours, our_settings), (torchs, torch_settings) = ends
    torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-12)
    assert our_settings == torch_settings
    assert len({lr for lr, *_ in our_settings}) > 1


def test_a_grad_scaler_skips_the_step_whose_gradients_overflowed():
    model = network(torch.float32)
    optimizer = optim.Optimizer(model.parameters(), rules.Adam(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = [p.detach().clone() for p in model.parameters()]
    for factor in (math.inf, 1.0):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, 0) * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        moved = not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        assert moved == (factor == 1.0)
    twin = network(torch.float32)
    expected = train(twin, optim.Optimizer(twin.parameters(), rules.Adam(), lr=0.01), 1)
    torch.testing.assert_close(torch.cat([p.detach().reshape(-1) for p in model.parameters()]), expected)


def test_clipped_gradients_are_the_ones_that_step():
    model = network()
    optimizer = optim.Optimizer(model.parameters(), rules.SGD(), lr=1.0)
    before = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    (1e6 * loss_of(model, 0)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.25)
    optimizer.step()
    way = torch.cat([p.detach().reshape(-1) for p in model.parameters()]) - before
    assert way.norm().item() == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize("rule", ALL, ids=name)
def test_maximize_climbs_what_the_other_descends(rule):
    up, down = network(), network()
    a = optim.Optimizer(up.parameters(), rule, lr=0.01, maximize=True)
    b = optim.Optimizer(down.parameters(), rule, lr=0.01)
    for step in range(10):
        for model, optimizer, sign in ((up, a, -1), (down, b, 1)):
            optimizer.zero_grad()
            (sign * loss_of(model, step)).backward()
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(up.parameters(), down.parameters(), strict=True))


# --- Saved and continued ----------------------------------------------------------------------------------------------


def saved(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rule", [*ALL, readable(rules.Adam())], ids=name)
def test_a_saved_optimizer_goes_on_bitwise(rule, dtype):
    model = network(dtype)
    optimizer = optim.Optimizer(groups_of(model), rule, lr=0.01)
    train(model, optimizer, 301 if dtype == torch.bfloat16 and "t" in rule.init(torch.zeros(1)) else 12)
    other = network(dtype, seed=5)
    other.load_state_dict(saved(model.state_dict()))
    resumed = optim.Optimizer(groups_of(other), type(rule)(), lr=0.5)
    resumed.load_state_dict(saved(optimizer.state_dict()))
    assert torch.equal(train(other, resumed, 12), train(model, optimizer, 12))
    if "t" in optimizer.state[next(model.parameters())]:
        assert resumed.state[next(other.parameters())]["t"] == optimizer.state[next(model.parameters())]["t"]


FRESH = """
import sys, torch
from lrlab import optim, rules
sys.path.insert(0, sys.argv[2])
from test_optim import network, groups_of, train
saved = torch.load(sys.argv[1], weights_only=True)
model = network(seed=9)
model.load_state_dict(saved["model"])
optimizer = optim.Optimizer(groups_of(model), rules.by_name(saved["rule"])(), lr=1.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
optimizer.load_state_dict(saved["optimizer"])
scheduler.load_state_dict(saved["scheduler"])
for step in range(12, 24):
    end = train(model, optimizer, 1, first=step)
    scheduler.step()
torch.save({"end": end, "lr": [group["lr"] for group in optimizer.param_groups]}, sys.argv[1])
"""


def test_a_fresh_process_goes_on_bitwise(tmp_path):
    model, rule = network(), rules.Ranger()
    optimizer = optim.Optimizer(groups_of(model), rule, lr=0.01)
    scheduler = lr_scheduler.StepLR(optimizer, 5)
    for step in range(24):
        if step == 12:
            states = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
            }
            torch.save({"rule": name(rule), **states}, tmp_path / "saved.pt")
        end = train(model, optimizer, 1, first=step)
        scheduler.step()
    command = [
        sys.executable,
        "-c",
        FRESH,
        str(tmp_path / "saved.pt"),
        str(Path(__file__).parent),
    ]
    subprocess.run(command, check=True)
    fresh = torch.load(tmp_path / "saved.pt", weights_only=True)
    assert torch.equal(fresh["end"], end)
    assert fresh["lr"] == [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("rule", [rules.Adam(), rules.NAdam(), rules.NesterovLookahead()], ids=name)
def test_a_copy_goes_its_own_way(rule, copied):
    model = network()
    optimizer = optim.Optimizer(model.parameters(), rule, lr=0.01)
    train(model, optimizer, 5)
    twin, twin_optimizer = copied((model, optimizer))
    end = train(twin, twin_optimizer, 5)
    assert not torch.equal(end, torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
    assert torch.equal(end, train(model, optimizer, 5))


def test_the_state_of_another_rule_or_optimizer_is_refused():
    model = network()
    adam = optim.Optimizer(model.parameters(), rules.Adam(), lr=0.01)
    train(model, adam, 1)
    with pytest.raises(ValueError, match="another rule"):
        optim.Optimizer(model.parameters(), rules.Momentum(), lr=0.01).load_state_dict(adam.state_dict())
    with pytest.raises(ValueError, match="NAdam needs.*another rule"):
        optim.Optimizer(model.parameters(), rules.NAdam(), lr=0.01).load_state_dict(
            {
                **adam.state_dict(),
                "param_groups": optim.Optimizer(model.parameters(), rules.NAdam(), lr=1).state_dict()["param_groups"],
            }
        )
    theirs = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    train(model, theirs, 1)
    with pytest.raises(ValueError, match="another rule"):
        adam.load_state_dict(theirs.state_dict())


# --- Rules that take the gradient elsewhere ---------------------------------------------------------------------------


def test_nesterovs_two_forms_are_one_through_the_adapter():
    ahead, tilde = network(), network()
    one = train(ahead, optim.Optimizer(ahead.parameters(), rules.NesterovLookahead(0.9), lr=0.01), 100)
    two = train(tilde, optim.Optimizer(tilde.parameters(), rules.Nesterov(0.9), lr=0.01), 100)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [rules.NesterovLookahead(), rules.ScheduleFreeSGD()], ids=name)
def test_eval_shows_x_train_goes_on_and_a_detour_changes_nothing(rule):
    straight, detour = network(), network()
    train(straight, a := optim.Optimizer(straight.parameters(), rule, lr=0.05), 20)
    train(detour, b := optim.Optimizer(detour.parameters(), rule, lr=0.05), 10)
    point = [p.detach().clone() for p in detour.parameters()]
    b.eval(), b.eval()
    assert not any(torch.equal(p, q) for p, q in zip(point, detour.parameters(), strict=True))
    with pytest.raises(RuntimeError, match="optimizer.train"):
        b.step()
    state = saved(b.state_dict())
    b = optim.Optimizer(detour.parameters(), rule, lr=0.05)
    b.load_state_dict(state)
    b.train(), b.train()
    assert all(torch.equal(p, q) for p, q in zip(point, detour.parameters(), strict=True))
    train(detour, b, 10, first=10)
    assert all(torch.equal(p, q) for p, q in zip(straight.parameters(), detour.parameters(), strict=True))
    a.eval()
    assert loss_of(straight, 0) < loss_of(network(), 0)


def test_for_other_rules_eval_and_train_do_nothing():
    model = network()
    optimizer = optim.Optimizer(model.parameters(), rules.Lookahead(rules.Adam()), lr=0.01)
    end = train(model, optimizer, 3)
    optimizer.eval()
    assert torch.equal(end, torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
    train(model, optimizer, 1)


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": 0}, ValueError, r"lr = 0 .*\(0, inf\)"),
        ({"lr": -0.1}, ValueError, "lr = -0.1"),
        ({"lr": math.nan}, ValueError, "lr = nan"),
        ({"lr": lambda t: 0.1}, TypeError, "lr must be a number"),
        ({"weight_decay": -1e-4}, ValueError, r"weight_decay = -0.0001 .*\[0, inf\)"),
        ({"rule": rules.Adam}, TypeError, "rule must be a rule"),
        ({"rule": "adam"}, TypeError, "rule must be a rule.*'adam'"),
        ({"rule": rules.AdamW(), "weight_decay": 0.1}, ValueError, "weight_decay = 0.1 .*AdamW"),
        ({"rule": rules.Lookahead(rules.AdamW()), "weight_decay": 0.1}, ValueError, "weight_decay = 0.1 .*Lookahead"),
        ({"rule": rules.Momentum(torch.tensor([[0.5], [0.9]]))}, ValueError, r"rho has shape \[2, 1\]"),
        (
            {
                "rule": rules.Ranger(rules.AdamW()),
                "params": [{"params": [nn.Parameter(torch.ones(2))], "weight_decay": 0.1}],
            },
            ValueError,
            "weight_decay = 0.1 .*Ranger",
        ),
        ({"params": []}, ValueError, "empty parameter list"),
        ({"params": [{"params": [nn.Parameter(torch.ones(2))], "lr": -1}]}, ValueError, "lr = -1"),
        ({"params": [{"params": [nn.Parameter(torch.ones(2))], "momentum": 1.0}]}, ValueError, "rho = 1.0"),
        ({"params": [nn.Parameter(torch.ones(2, dtype=torch.complex64))]}, TypeError, "complex64"),
    ],
)
def test_bad_settings_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        optim.Optimizer(**{"params": network().parameters(), "rule": rules.Momentum(), "lr": 0.1, **arguments})


def test_a_refused_group_leaves_the_optimizer_as_it_was():
    model = network()
    optimizer = optim.Optimizer(model[0].parameters(), rules.Momentum(), lr=0.1)
    with pytest.raises(ValueError, match="lr = 0"):
        optimizer.add_param_group({"params": model[2].parameters(), "lr": 0})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("rule", [rules.Momentum(), rules.RMSProp()], ids=name)
def test_sparse_gradients_are_refused(rule):
    table = nn.Embedding(10, 3, sparse=True)
    optimizer = optim.Optimizer(table.parameters(), rule, lr=0.1)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(TypeError, match="sparse"):
        optimizer.step()


@pytest.mark.parametrize("rule", [rules.Momentum(), readable(rules.Momentum())], ids=name)
@pytest.mark.parametrize(
    ("key", "value", "message"), [("lr", math.nan, "lr = nan"), ("lr", -1.0, "lr = -1"), ("momentum", 1.5, "rho = 1.5")]
)
def test_a_setting_that_was_turned_out_of_range_is_refused_at_the_next_step(rule, key, value, message):
    model = network()
    optimizer = optim.Optimizer(model.parameters(), rule, lr=0.1)
    train(model, optimizer, 1)
    optimizer.param_groups[0][key] = value
    with pytest.raises(ValueError, match=message):
        train(model, optimizer, 1)


# --- On a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("path", ["as it comes", "readable"])
@pytest.mark.parametrize("rule", ALL, ids=name)
def test_a_gpu_ends_where_the_cpu_ends(rule, path):
    ends = []
    for device in ("cpu", "cuda"):
        model = network().to(device)
        optimizer = optim.Optimizer(model.parameters(), rule if path == "as it comes" else readable(rule), lr=0.01)
        train(model, optimizer, 50)
        optimizer.load_state_dict(saved(optimizer.state_dict()))
        ends.append(train(model, optimizer, 50, first=50).cpu())
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)
