"""The dropout view without a browser: against the layers of lrlab.dropout; the messages; what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrlab import data, dropout, figures, instruments
from lrlab.instruments import instrument
from lrlab.instruments.dropout_view import MOST_MASKS, DropoutView


@pytest.fixture(scope="module")
def shared() -> DropoutView:
    return DropoutView()


@pytest.fixture
def view(shared: DropoutView) -> DropoutView:
    """The one trained view, as it was made: training takes a second."""
    shared.reset()
    shared._set(_p=0.5, _mode="training", _convention="inverted", _digit=0)
    return shared


def as_module(view: DropoutView, layer: type[nn.Module], number: float, scale: float = 1.0) -> nn.Sequential:
    """The view's network with layers of `lrlab.dropout`; the weights behind them times ``scale``."""
    parts: list[nn.Module] = []
    for i, linear in enumerate(view._layers):
        copy = nn.Linear(linear.in_features, linear.out_features)
        copy.load_state_dict(linear.state_dict())
        with torch.no_grad():
            copy.weight *= scale if i else 1.0
        parts += [copy, nn.ReLU(), layer(number)]
    return nn.Sequential(*parts[:-2])


def test_it_has_learned_digits(view: DropoutView) -> None:
    answers = view._answer(view._x, torch.ones(32))[1].argmax(-1)
    assert float((answers == view._y).float().mean()) > 0.85
    again = DropoutView()
    assert np.array_equal(again.predictions(), view.predictions()) and np.array_equal(again.mask, view.mask)
    assert instruments.DropoutView is DropoutView


def test_the_average_is_monte_carlos_and_scaling_is_eval(view: DropoutView) -> None:
    model = as_module(view, dropout.InvertedDropout, 0.5)
    x = data.load("digits", device="cpu").validation.x[:1].flatten(1)
    view.step(MOST_MASKS)
    assert view.masks == MOST_MASKS and view.predictions().shape == (MOST_MASKS, 10)
    with torch.no_grad():
        np.testing.assert_allclose(view.scaled(), model.eval()(x).softmax(-1)[0].numpy(), rtol=1e-5, atol=1e-7)
    many = dropout.monte_carlo(model, x, draws=3000, seed=1)
    error = 5 * many.deviation[0].numpy() / math.sqrt(MOST_MASKS) + 1e-4
    assert (np.abs(view.average() - many.mean[0].numpy()) < error).all()
    assert np.abs(view.average() - view.scaled()).max() > 0.05  # the two are not the same thing


def test_both_conventions_are_one_network_on_two_scales(view: DropoutView) -> None:
    view.turn("p", 0.4)
    predictions = view.predictions()
    inverted = {mode: view.handed_on(mode) for mode in ("training", "inference")}
    view.choose("lecture")
    assert np.array_equal(view.predictions(), predictions)
    for mode, values in inverted.items():
        np.testing.assert_allclose(view.handed_on(mode), 0.6 * values, rtol=1e-6)
    lecture = as_module(view, dropout.Dropout, 0.6, scale=1 / 0.6).eval()
    with torch.no_grad():
        np.testing.assert_allclose(lecture(view._x[:1]).softmax(-1)[0].numpy(), view.scaled(), rtol=1e-4, atol=1e-6)
        first = lecture[2](lecture[1](lecture[0](view._x))).numpy()
    np.testing.assert_allclose(view.handed_on("inference")[:, :16], first, rtol=1e-5, atol=1e-6)


def test_dropped_units_hand_on_nothing_and_a_greater_p_drops_more(view: DropoutView) -> None:
    view.step(7)
    assert (view.handed_on()[:, view.mask == 0] == 0).all() and view.handed_on().shape == (300, 32)
    masks = []
    for p in (0, 0.3, 0.6, 0.9):
        view.turn("p", p)
        masks.append(view.mask)
    assert masks[0].all() and all((more <= less).all() for less, more in zip(masks, masks[1:], strict=False))
    assert masks[3].sum() < masks[1].sum()
    view.turn("p", 0.3)
    view.step(400)
    assert abs(float(view._members.masks(0.3).mean()) - 0.7) < 0.02
    assert view.masks == 408


def test_at_inference_no_unit_is_dropped(view: DropoutView) -> None:
    assert 0 < view.dropped < 32
    view.switch("inference")
    assert view.dropped == 0 and view.mask.all()
    assert view._state()["now"] == view._state()["scaled"]
    view.switch("training")
    np.testing.assert_allclose(view._state()["now"], view.predictions()[-1], atol=1e-4)


def test_playing_draws_the_masks_that_stepping_draws(view: DropoutView) -> None:
    view.step(20)
    stepped = view.predictions()
    view.reset()
    assert view.masks == 1
    view.play(20)
    view.wait(timeout=20)
    assert view.masks == 21 and np.array_equal(view.predictions(), stepped)
    view.play()
    view.wait(timeout=20)
    assert view.masks == MOST_MASKS and not view.playing
    view.play()  # no room: nothing happens
    assert not view.playing


def test_name_picture_and_words(view: DropoutView) -> None:
    assert repr(view) == "DropoutView(64-16-16-10 on digits)"
    view.step(9)
    label, right = int(view._y[0]), view.predictions()[:, int(view._y[0])]
    assert f"The digit is a {label}; 10 masks give it {100 * right.min():.0f} to {100 * right.max():.0f} %" in view.alt
    assert f"{view.dropped} of 32 hidden units dropped" in view.alt
    fig = view.figure()
    assert len(fig.axes) == 3 and f"{view.dropped} of 32 units" in fig.axes[0].get_title(loc="left")
    assert len(figures.png(fig)) < figures.LIMIT_BYTES
    view.switch("inference")
    assert "inference, all 32 units" in view.alt


class FakePage:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self.messages.append(message)

    def close(self) -> None:
        pass


def test_a_page_is_answered_at_once(view: DropoutView) -> None:
    fake = FakePage()
    view._belongings.page = fake  # type: ignore[assignment]
    view._publish_picture = lambda: setattr(view, "_pictured", view._picture_key())  # type: ignore[method-assign]
    expected: list[tuple[dict[str, Any], str, Any]] = [
        ({"do": "hello"}, "masks", 1),
        ({"do": "step"}, "masks", 2),
        ({"do": "turn", "knob": "p", "value": 0.25}, "p", 0.25),
        ({"do": "switch", "mode": "inference"}, "mode", "inference"),
        ({"do": "choose", "convention": "lecture"}, "convention", "lecture"),
        ({"do": "look", "by": -1}, "digit", 299),
        ({"do": "turn", "knob": "p", "value": 1}, "p", 0.25),
        ({"do": "reset"}, "masks", 1),
        ({"do": "dance"}, "masks", 1),
    ]
    for number, (message, name, value) in enumerate(expected):
        view._hear({**message, "view": "v", **({"seq": number} if number else {})})
        state = fake.messages[-1]["state"]
        assert state[name] == value and state["heard"] == ({"v": number} if number else {})
        problem = {6: "p = 1 is outside its range 0 to 0.95", 8: "the page sent"}.get(number, "")
        assert state["problem"].startswith(problem) and bool(state["problem"]) == bool(problem)
    assert len(state["mask"]) == len(state["active"]) == 32 and len(state["links"]) == 256
    assert len(state["image"]) == 64 and sum(state["average"]) == pytest.approx(1, abs=1e-3)
    view._views.clear()
    view._belongings.page = None
    instrument._on_screen.discard(view)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"p": 1.0}, ValueError, "p = 1.0 is outside its range 0 to 0.95: it is the probability to drop"),
        ({"p": -0.1}, ValueError, "p = -0.1 is outside"),
        ({"p": math.nan}, ValueError, "p = nan is outside"),
        ({"p": "half"}, TypeError, "p, the probability to drop a unit, must be a number from 0 to 0.95, got 'half'"),
        ({"digit": 300}, ValueError, "digit = 300 is outside its range 0 to 299"),
        ({"digit": 1.5}, TypeError, "digit must be a whole number, got 1.5"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DropoutView(**settings)


def test_wrong_words_are_refused(view: DropoutView) -> None:
    with pytest.raises(ValueError, match="mode = 'test' is unknown; there are: training, inference"):
        view.switch("test")
    with pytest.raises(ValueError, match="convention = 'torch' is unknown; there are: inverted, lecture"):
        view.choose("torch")
    with pytest.raises(ValueError, match="no knob 'q'; it has 'p'"):
        view.turn("q", 0.5)
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1, got 0"):
        view.step(0)
    with pytest.raises(ValueError, match="speed must be"):
        view.speed = -1
    with pytest.raises(ValueError, match="draws must be"):
        view.play(2.5)  # type: ignore[arg-type]
