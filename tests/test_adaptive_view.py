"""The adaptive view without a browser: the steps, against the formulas; the messages; what it refuses."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
import torch

from lrlab import figures, instruments, rules, surfaces
from lrlab.instruments import instrument
from lrlab.instruments.adaptive_view import AdaptiveView

RULES = ["AdaGrad", "RMSProp", "Adam uncorrected", "Adam"]


def test_a_constant_gradient_has_the_steps_of_the_formulas() -> None:
    lr, decay, beta1, beta2 = 0.1, 0.9, 0.8, 0.99
    view = AdaptiveView(lr=lr, decay=decay, beta1=beta1, beta2=beta2, steps=50)
    t = np.arange(1, 51)[:, None]
    expected = {
        "AdaGrad": lr / np.sqrt(t),
        "RMSProp": lr / np.sqrt(1 - decay**t),
        "Adam uncorrected": lr * (1 - beta1**t) / np.sqrt(1 - beta2**t),
        "Adam": lr + 0 * t,
    }
    assert list(view.lengths()) == RULES and view.names == ["steep", "flat"]
    for name, lengths in view.lengths().items():
        np.testing.assert_allclose(lengths, np.repeat(expected[name], 2, 1), rtol=1e-5)  # ε = 1e-7 beside 0.1
    plain = {**expected, "Adam uncorrected": lr / np.sqrt(1 - beta2**t)}
    for name, rates in view.rates().items():
        np.testing.assert_allclose(rates, plain[name] / np.array([10.0, 0.1]), rtol=1e-5)


def test_on_a_surface_each_rule_goes_its_own_path() -> None:
    surface = surfaces.noisy(surfaces.ravine(20), sigma=0.5, seed=3)
    view = AdaptiveView(surface, start=(3.0, 1.0), lr=0.05, steps=60)
    paths = {
        "AdaGrad": rules.AdaGrad(),
        "RMSProp": rules.RMSProp(),
        "Adam uncorrected": rules.Adam(bias_correction=False),
        "Adam": rules.Adam(),
    }
    for name, rule in paths.items():
        path = rules.descend(rule, surface, [3.0, 1.0], lr=0.05, steps=60)
        assert np.array_equal(view.lengths()[name], path.diff(dim=0).abs().numpy())
        assert view.lengths()[name].shape == (60, 2)


def test_the_effective_rate_is_what_the_gradient_is_multiplied_with() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    view = AdaptiveView(gradients, lr=0.1, decay=0.9, beta2=0.95)
    g = gradients.numpy()
    mean, square = np.zeros(3), np.zeros(3)
    for t in range(40):
        square = 0.95 * square + 0.05 * g[t] ** 2
        mean = 0.9 * mean + 0.1 * g[t]
        rate = 0.1 / (np.sqrt(square / (1 - 0.95 ** (t + 1))) + 1e-7)
        np.testing.assert_allclose(view.rates()["Adam"][t], rate, rtol=1e-12)
        length = np.abs(rate * mean / (1 - 0.9 ** (t + 1)))
        np.testing.assert_allclose(view.lengths()["Adam"][t], length, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(view.rates()["AdaGrad"], 0.1 / (np.sqrt(np.cumsum(g**2, 0)) + 1e-7), rtol=1e-12)


def test_adagrad_dies_out_and_the_others_do_not() -> None:
    last = {name: lengths[-1] for name, lengths in AdaptiveView(lr=0.1, steps=1000).lengths().items()}
    assert last["AdaGrad"].max() < 0.1 / 30 and last["RMSProp"].min() > 0.099 and last["Adam"].min() > 0.099


def test_no_gradient_no_rate() -> None:
    view = AdaptiveView([[1.0, 0.0], [1.0, 0.0]])
    assert np.isnan(view.rates()["Adam"][:, 1]).all() and (view.lengths()["Adam"][:, 1] == 0).all()
    view.show("rate")
    assert len(figures.png(view.figure())) < figures.LIMIT_BYTES


def test_turning_is_the_same_as_making_it_so() -> None:
    turned, made = AdaptiveView(lr=0.1), AdaptiveView(lr=0.2, decay=0.5, beta1=0.7, beta2=0.9, steps=30)
    for knob, value in made.settings.items():
        turned.turn(knob, value)
    assert all(np.array_equal(turned.lengths()[name], made.lengths()[name]) for name in RULES)
    turned.reset()
    assert turned.settings == {"lr": 0.1, "decay": 0.9, "beta1": 0.9, "beta2": 0.999, "steps": 200}
    assert np.array_equal(turned.lengths()["Adam"], AdaptiveView(lr=0.1).lengths()["Adam"])


def test_what_is_handed_out_is_a_copy() -> None:
    view = AdaptiveView()
    view.lengths()["Adam"][:] = 0
    view.rates()["Adam"][:] = 0
    assert view.lengths()["Adam"].min() > 0 and view.rates()["Adam"].min() > 0


def test_name_picture_and_words() -> None:
    view = AdaptiveView(surfaces.beale, lr=0.01, steps=20)
    assert repr(view) == "AdaptiveView(beale)" and repr(AdaptiveView()) == "AdaptiveView(a steep and a flat direction)"
    values = view.lengths()["Adam"]
    assert f"Adam: x from {values[0, 0]:.2g} to {values[-1, 0]:.2g}, y from" in view.alt
    fig = view.figure()
    assert [ax.get_title() for ax in fig.axes] == RULES
    assert [line.get_label() for line in fig.axes[3].get_lines()] == ["x", "y", "_rate"]
    assert AdaptiveView([[1.0, 2.0, 3.0]]).names == ["x1", "x2", "x3"]
    assert AdaptiveView([[1.0, 2.0]], names=["weight", "bias"]).names == ["weight", "bias"]
    assert instruments.AdaptiveView is AdaptiveView


def test_who_looks_while_a_knob_turns_sees_all_rules() -> None:
    view = AdaptiveView(steps=100)
    turning = threading.Thread(target=lambda: [view.turn("lr", lr) for lr in np.linspace(0.01, 0.1, 20)])
    turning.start()
    while turning.is_alive():
        assert list(view.lengths()) == list(view.rates()) == RULES
    assert view.lengths()["Adam"][0, 0] == pytest.approx(0.1, rel=1e-5)


class FakePage:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.values = np.zeros(0)

    def tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self.messages.append(message)
        if buffers:
            self.values = np.frombuffer(buffers[0], "<f4").reshape(message["shape"])

    def close(self) -> None:
        pass


def test_a_page_is_answered_at_once() -> None:
    view, fake = AdaptiveView(steps=10), FakePage()
    view._belongings.page = fake  # type: ignore[assignment]
    view._publish_picture = lambda: setattr(view, "_pictured", view._picture_key())  # type: ignore[method-assign]
    for number, message in enumerate(
        [
            {"do": "hello"},
            {"do": "turn", "knob": "lr", "value": 0.5, "seq": 1},
            {"do": "show", "quantity": "rate", "seq": 2},
            {"do": "turn", "knob": "beta1", "value": 1, "seq": 3},
            {"do": "reset", "seq": 4},
        ]
    ):
        view._hear({**message, "view": "v"})
        state = fake.messages[-1]["state"]
        assert state["heard"] == ({"v": number} if number else {})
        assert state["problem"] == ("beta1 = 1 is outside its range [0, 1)" if number == 3 else "")
        np.testing.assert_allclose(fake.values, np.stack(list(view._values().values())), rtol=1e-6)
        assert len(state["knobs"]) + 1 <= 6  # and what is shown
    view._views.clear()
    instrument._on_screen.discard(view)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr": 0}, ValueError, "lr must be greater than 0 and finite; got 0"),
        ({"lr": math.nan}, ValueError, "lr must be greater than 0 and finite; got nan"),
        ({"lr": "0.1"}, TypeError, "lr must be a number"),
        ({"beta2": 1}, ValueError, r"beta2 = 1 is outside its range \[0, 1\)"),
        ({"beta1": torch.tensor(0.5)}, TypeError, "beta1 must be one number, not a tensor"),
        ({"decay": -0.1}, ValueError, r"decay = -0.1 is outside its range \[0, 1\)"),
        ({"steps": 0}, ValueError, "steps = 0 is outside its range 1, 2, 3"),
        ({"steps": 3000}, ValueError, "steps = 3000 is outside its range 1 to 2000: more cannot be seen"),
        ({"source": [[1.0], [2.0]], "steps": 3}, ValueError, "steps = 3 .* 1 to 2: there are no more gradients"),
        ({"source": "beale"}, TypeError, r"source must be a surface, or gradients \[steps, parameters\], not 'beale'"),
        ({"source": [1.0, 2.0]}, ValueError, r"source has shape \[2\], but gradients are \[steps, parameters\]"),
        ({"source": torch.zeros(5, 8)}, ValueError, "source has 8 parameters, but no more than 7"),
        ({"source": [[math.nan]]}, ValueError, "source holds gradients that are not finite"),
        ({"start": (1.0, 1.0)}, ValueError, "start is for a surface"),
        ({"source": surfaces.beale, "start": (1.0,)}, ValueError, r"start has shape \[1\], but the points of beale"),
        ({"source": surfaces.beale, "start": ("a", "b")}, TypeError, r"start must be numbers \[2\], not \('a', 'b'\)"),
        ({"source": surfaces.beale, "start": (1.0, math.inf)}, ValueError, "start must be finite numbers"),
        ({"names": ["one"]}, ValueError, "names must be 2 words"),
    ],
)
def test_what_a_view_refuses(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AdaptiveView(settings.pop("source", None), **settings)


def test_what_its_methods_refuse() -> None:
    view = AdaptiveView()
    with pytest.raises(ValueError, match="this view has no knob 'beta_1', did you mean 'beta1'"):
        view.turn("beta_1", 0.5)
    with pytest.raises(ValueError, match="quantity = 'loss' cannot be shown; there are: step, rate"):
        view.show("loss")
    assert view.settings["beta1"] == 0.9
