"""Workbook 08: the numbers of its texts, worked out by hand, and what its references say of lrlab and torch."""

import math

import pytest
import torch
from sklearn.linear_model import Lasso

from lrlab import models
from lrlab.regularization import place
from lrlab.workbook import books

QUESTIONS = {question.name: question for question in books.questions("08_regularization")}


def answer(name, *arguments):
    return QUESTIONS[name].answer(*arguments)


def vector(*entries):
    return torch.tensor(entries, dtype=torch.float64)


def test_the_pull_of_l2_is_what_torch_adds_for_a_weight_decay_of_twice_lambda():
    assert answer("l2_gradient", vector(3), vector(1), 0.1).item() == pytest.approx(1.6)
    weight = torch.nn.Parameter(vector(3))
    weight.grad = vector(1)
    torch.optim.SGD([weight], lr=1.0, weight_decay=0.2).step()
    assert weight.item() == pytest.approx(3 - 1.6)


def test_decayed_is_what_a_penalty_of_lrlab_acts_on():
    assert answer("weight_decays", {"0.weight": (3, 2), "0.bias": (3,)}, 0.1) == {"0.weight": 0.2, "0.bias": 0}
    net = models.resnet18(channels=1, classes=10)
    decays = answer("weight_decays", {name: tuple(w.shape) for name, w in net.named_parameters()}, 0.5)
    mask = torch.cat([torch.full((w.numel(),), decays[name]) for name, w in net.named_parameters()])
    assert torch.equal(mask, place(net).mask)


def test_a_proximal_step_stops_at_zero():
    assert answer("l1_step", vector(1, 0.2), vector(2, 0), 0.1, 3.0).tolist() == pytest.approx([0.5, 0.0])


def test_from_this_lambda_on_scikit_learn_too_has_nothing_left():
    assert answer("nothing_left", vector(1, 2)[:, None], vector(3, 4)) == 5.5
    generator = torch.Generator().manual_seed(0)
    X, y = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((30, 6), (30,)))
    end = answer("nothing_left", X, y)
    weights = [Lasso(alpha=share * end, fit_intercept=False, tol=1e-12).fit(X, y).coef_ for share in (0.99, 1.01)]
    assert weights[0].any() and not weights[1].any()


def test_the_exact_step_of_the_elastic_net_costs_least():
    assert answer("elastic_step", vector(1), vector(0), 0.1, 2.5, 1.0).item() == pytest.approx(0.5)
    grid = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    cost = (grid - 1) ** 2 / (2 * 0.1) + 2.5 * (grid**2 + grid.abs())
    assert grid[cost.argmin()].item() == pytest.approx(0.5, abs=1e-3)


def test_the_wall_shortens_the_long_and_leaves_the_short_alone():
    assert answer("max_norm", vector(3, 4)[None], 1.0).flatten().tolist() == pytest.approx([0.6, 0.8])
    assert answer("max_norm", vector(0.3, 0.4)[None], 1.0).flatten().tolist() == [0.3, 0.4]


def test_when_the_run_of_the_text_stops():
    losses = [1.0, 0.8, 0.9, 0.7, 0.7, 0.8, 0.1]
    assert answer("when_to_stop", losses, 2) == (6, 4)
    assert answer("when_to_stop", losses, 3) == (7, 7)
    assert answer("when_to_stop", [1.0, 0.8, math.nan, math.nan], 2) == (4, 2)
