"""The penalty view without a browser: the solution against conditions of optimality; the network; the messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from lrlab import Run, data, figures, instruments, rules
from lrlab.instruments import instrument
from lrlab.instruments.penalty_view import BINS, CURVATURE, PENALTIES, PenaltyView, gradient, histogram
from lrlab.regularization import L1, L2, ElasticNet, place, zeros

H = CURVATURE.numpy()


@pytest.fixture(scope="module")
def trained() -> PenaltyView:
    view = PenaltyView("L1", lam=0.01, per_class=10)
    view.play(steps=60)
    view.wait()
    return view


# Two parameters -------------------------------------------------------------------------------------------------------


def slopes(view: PenaltyView, w: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """−∇(Q + λβΣw²) at w: what the absolute values must hold in balance."""
    minimum = torch.tensor(view.settings["minimum"], dtype=torch.float64)
    pull = gradient(torch.from_numpy(w), minimum).numpy()
    square = {"L2": 1.0, "elastic net": view.settings["beta"]}.get(view.settings["penalty"], 0.0)
    return -(pull + 2 * lam * square * w)


@pytest.mark.parametrize("minimum", [(1.5, 0.8), (-0.4, 1.7), (0.3, -0.05)])
@pytest.mark.parametrize("name", PENALTIES)
def test_the_whole_path_is_optimal(name: str, minimum: tuple[float, float]) -> None:
    """0 lies in the subdifferential: the slope is λ sign(w) where w is not 0, and at most λ where it is."""
    view = PenaltyView(name, beta=2.0, minimum=minimum, per_class=1)
    lams, path = view.path()
    left, lam = slopes(view, path, lams[:, None]), np.repeat(lams[:, None], 2, 1)
    if name == "L2":
        np.testing.assert_allclose(left, 0, atol=1e-12)
        np.testing.assert_allclose(path[50], np.linalg.solve(H + 2 * lams[50] * np.eye(2), H @ minimum), rtol=1e-9)
        assert (path[1:-1] != 0).all()  # shrunk, never 0
    else:
        inside = path != 0
        np.testing.assert_allclose(left[inside], (lam * np.sign(path))[inside], atol=1e-12)
        assert (np.abs(left[~inside]) <= lam[~inside] + 1e-12).all()
        corner = lams > np.abs(H @ minimum).max()
        assert (path[corner] == 0).all() and (path[lams < 0.5 * np.abs(H @ minimum).max()] != 0).any(1).all()
    np.testing.assert_allclose(path[0], minimum, atol=1e-9)


@pytest.mark.parametrize("name", PENALTIES)
def test_ball_and_contour_touch_at_the_solution(name: str) -> None:
    view = PenaltyView(name, lam=0.005, beta=1.5, per_class=1)
    border, through = view.ball(), view._lines()[-3]
    kind = {"L2": L2(1.0), "elastic net": ElasticNet(1.0, 1.5)}.get(name, L1(1.0))
    x = torch.from_numpy(border)
    np.testing.assert_allclose(kind.each(x).sum(-1).numpy(), view.budget, rtol=1e-9)
    radius = lambda points: kind.each(torch.from_numpy(points)).sum(-1).numpy()  # noqa: E731
    away = through - np.array(view.settings["minimum"])
    solution = np.array(view.solution) - np.array(view.settings["minimum"])
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", away, H, away), solution @ H @ solution, rtol=1e-9)
    assert radius(through).min() >= view.budget * (1 - 1e-9)  # the contour stays outside the ball
    assert np.hypot(*(through - view.solution).T).min() < 0.1


def test_what_the_balls_are() -> None:
    view = PenaltyView("elastic net", lam=0.015, beta=0.0, per_class=1)
    pure = PenaltyView("L1", lam=0.015, per_class=1)
    assert view.solution == pure.solution and view.solution[1] == 0.0
    np.testing.assert_allclose(view.ball(), pure.ball(), atol=1e-12)
    pure.choose("L2")
    assert pure.solution[1] > 0.1 and np.ptp(np.hypot(*pure.ball().T)) < 1e-12
    pure.turn("lam", 0.0)
    assert pure.solution == pytest.approx((1.5, 0.8))
    pure.choose("L1")
    pure.turn("lam", 0.1)
    assert pure.solution == (0.0, 0.0) and pure.budget == 0 and np.isfinite(pure.ball()).all()
    assert len(figures.png(pure.figure())) < figures.LIMIT_BYTES


def test_turning_is_the_same_as_making_it_so() -> None:
    turned, made = PenaltyView("L2", per_class=1), PenaltyView("elastic net", 0.01, 3.0, minimum=(-1, 1), per_class=1)
    turned.choose("elastic net")
    turned.turn("lam", 0.01)
    turned.turn("beta", 3)
    turned.move_minimum(-1, 1)
    assert turned.settings == made.settings and turned.solution == made.solution
    assert all(np.array_equal(a, b) for a, b in zip(turned._lines(), made._lines(), strict=True))
    assert turned.run.penalty == made.run.penalty == ElasticNet(0.01, 3.0, proximal=True)


# The network ----------------------------------------------------------------------------------------------------------


def test_the_network_is_a_run_of_the_same_penalty(trained: PenaltyView) -> None:
    given: dict[str, Any] = {"lr": 0.2, "batch_size": 20, "seed": 0, "validate_every": 10}
    digits = data.load("digits", per_class=10)
    run = Run("mlp", digits, rule=rules.SGD(), penalty=L1(0.01, proximal=True), **given).train(60, progress=False)
    flat = torch.cat([weight.detach().reshape(-1) for weight in run.model.parameters()])
    mask = place(run.model).mask > 0
    assert np.array_equal(trained.weights(), flat[mask].numpy()) and len(trained.weights()) == 9472
    assert trained.zeros == float(zeros(flat, place(run.model))) > 0.3
    assert trained.sparsity().shape == (61,) and trained.sparsity()[0] == 0
    assert trained.zeros == pytest.approx(np.mean(trained.weights() == 0))


def test_only_the_proximal_step_makes_zeros() -> None:
    for name in ("L2", "L1 by gradient"):
        view = PenaltyView(name, lam=0.01, per_class=10)
        view.play(steps=60)
        view.wait()
        assert view.zeros < 1e-3 and np.abs(view.weights()).mean() < np.abs(view._trainee.first.numpy()).mean()


def test_a_turn_takes_effect_in_the_network_and_reset_begins_anew(trained: PenaltyView) -> None:
    view = PenaltyView("L2", per_class=10)
    first = view.weights()
    view.play(steps=20)
    view.wait()
    view.choose("L1")
    view.turn("lam", 0.02)
    assert [move[:2] for move in view.run.moves] == [(20, "penalty"), (20, "penalty")]
    view.play(steps=30)
    view.wait()
    assert view.sparsity()[20] == 0 and view.sparsity()[21] > 0
    view.reset()
    assert view.step == 0 and np.array_equal(view.weights(), first) and view.run.penalty == L1(0.02, proximal=True)


def test_every_weight_is_counted_once(trained: PenaltyView) -> None:
    weights = torch.tensor([0.0, 0.0, 0.01, -0.3, 7.0])
    bins = histogram(weights)
    assert bins.shape == (BINS,) and bins.sum() == pytest.approx(3 / 5) and bins[-1] == pytest.approx(1 / 5)
    assert histogram(trained._trainee.weights).sum() + trained.zeros == pytest.approx(1)


def test_the_run_can_be_paused_and_goes_on() -> None:
    view = PenaltyView(per_class=1)
    view.play()
    with pytest.raises(RuntimeError, match="pause"):
        view.play(steps=3)
    view.play()  # it plays already
    view.turn("lam", 0.05)  # while it goes
    view.pause()
    step = view.step
    assert not view.playing and step == view.run.step
    view.play(steps=7)
    view.wait()
    assert view.step == view.run.step == step + 7
    assert view.run.penalty == L1(0.05, proximal=True)


# Pictures and pages ---------------------------------------------------------------------------------------------------


def test_name_picture_and_words(trained: PenaltyView) -> None:
    assert repr(trained) == "PenaltyView(L1)" and instruments.PenaltyView is PenaltyView
    share = f"after 60 steps {100 * trained.zeros:.1f} % of the weights are exactly 0"
    assert share in trained.alt and "Network on 100 digits" in trained.alt and "λ = 0.01" in trained.alt
    x, y = trained.solution
    assert f"least at (1.5, 0.8), with the penalty at ({x:.3g}, {y:.3g})" in trained.alt
    fig = trained.figure()
    assert len(fig.axes) == 4 and len(figures.png(fig)) < figures.LIMIT_BYTES
    assert "β = 0.5" in PenaltyView("elastic net", per_class=1).alt


class FakePage:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.points = np.zeros(0)

    def tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self.messages.append(message)
        if "lines" in message:
            self.points = np.frombuffer(buffers[0], "<f4").reshape(-1, 2)
            assert len(self.points) == sum(message["lines"])
        if "weights" in message:
            self.shares, self.curves = (np.frombuffer(buffer, "<f4") for buffer in buffers[-2:])
            assert len(self.curves) == sum(message["weights"]["curve"]) and len(self.shares) == 2 * BINS

    def close(self) -> None:
        pass


def test_a_page_is_answered_at_once() -> None:
    view, fake = PenaltyView(per_class=1), FakePage()
    view._belongings.page = fake  # type: ignore[assignment]
    view._publish_picture = lambda: setattr(view, "_pictured", view._picture_key())  # type: ignore[method-assign]
    problem = "lam = -1"
    for number, message in enumerate(
        [
            {"do": "hello"},
            {"do": "choose", "penalty": "elastic net", "seq": 1},
            {"do": "turn", "knob": "beta", "value": 4, "seq": 2},
            {"do": "turn", "knob": "lam", "value": -1, "seq": 3},
            {"do": "minimum", "x": -1.0, "y": 0.5, "seq": 4},
            {"do": "home", "seq": 5},
            {"do": "reset", "seq": 6},
        ]
    ):
        view._hear({**message, "view": "v"})
        state = fake.messages[-1]["state"]
        assert state["heard"] == ({"v": number} if number else {})
        assert (problem in state["problem"]) if number == 3 else state["problem"] == ""
        np.testing.assert_allclose(fake.points, np.concatenate(view._lines()), atol=1e-6)
        assert state["solution"] == list(view.solution) and len(state["knobs"]) == (2 if number else 1)
    assert view.settings["minimum"] == (1.5, 0.8) and view.settings["beta"] == 4
    view._hear({"do": "dance", "view": "v", "seq": 7})
    assert "does not know" in fake.messages[-1]["state"]["problem"]
    view.play(steps=20)
    view.wait()
    with view._lock:
        view._send_news()
    assert fake.curves[20] == np.float32(view.zeros)
    view._views.clear()
    instrument._on_screen.discard(view)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"penalty": "L3"}, ValueError, "this view has no penalty 'L3', did you mean 'L"),
        ({"penalty": L1()}, TypeError, "penalty must be one of 'L2', 'L1', 'L1 by gradient', 'elastic net'"),
        ({"lam": -1e-3}, ValueError, r"lam = -0.001 is outside its range"),
        ({"lam": math.nan}, ValueError, "lam = nan"),
        ({"lam": "0.1"}, TypeError, "lam must be a number"),
        ({"lam": torch.tensor(0.1)}, TypeError, "lam must be one number, not a tensor"),
        ({"penalty": "L2", "beta": -1.0}, ValueError, "beta = -1.0 is outside"),
        ({"minimum": (3.0, 0.0)}, ValueError, r"minimum = \(3.0, 0.0\) is not on the map: x in \[-2.4, 2.4\]"),
        ({"minimum": (math.nan, 0.0)}, ValueError, "is not on the map"),
        ({"minimum": (1.0,)}, TypeError, r"minimum must be two numbers \(x, y\), not \(1.0,\)"),
        ({"minimum": "ab"}, TypeError, "minimum must be two numbers"),
        ({"per_class": 0}, ValueError, "per_class"),
        ({"speed": 0}, ValueError, "speed"),
    ],
)
def test_what_a_view_refuses(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PenaltyView(**settings)


def test_what_its_methods_refuse() -> None:
    view = PenaltyView(per_class=1)
    before = view.settings
    with pytest.raises(ValueError, match="this view has no knob 'lambda', did you mean 'lam'"):
        view.turn("lambda", 0.5)
    with pytest.raises(ValueError, match="lam = -1"):
        view.turn("lam", -1)
    with pytest.raises(ValueError, match="no penalty 'l2', did you mean 'L2'"):
        view.choose("l2")
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1"):
        view.play(steps=0)
    assert view.settings == before and view.run.moves == []
