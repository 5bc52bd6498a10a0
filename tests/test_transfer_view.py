"""The transfer view without a browser: against runs with the same factors; the messages; what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrlab import Run, data, figures, instruments, models, rules, schedules, transfer
from lrlab.history import History
from lrlab.instruments import curves, instrument
from lrlab.instruments.layers import Layers
from lrlab.instruments.tracks import in_words
from lrlab.instruments.transfer_picture import percent, several
from lrlab.instruments.transfer_view import TransferView

GROUPS = ("block1", "block2", "block3", "head")


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits", device="cpu", per_class=4)


@pytest.fixture
def view(digits: data.Dataset) -> TransferView:
    return TransferView(run_of(digits))


def run_of(digits: data.Dataset, model: Any = None, **options: Any) -> Run:
    model = (lambda: models.cnn(width=4)) if model is None else model
    given = {"rule": rules.Momentum(), "lr": 0.05, "batch_size": 10, "validate_every": 10, "device": "cpu"}
    return Run(model, digits, **{**given, **options})


def train(view: TransferView, steps: int) -> None:
    view.play(steps)
    view.wait(timeout=60)


def weights(run: Run) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in run.model.parameters()])


# Factors --------------------------------------------------------------------------------------------------------------


def test_it_is_a_run_with_these_factors(view: TransferView, digits: data.Dataset) -> None:
    assert instruments.TransferView is TransferView and view.groups == GROUPS
    view.freeze("block1")
    view.factor["block2"] = 0.1
    view.set_factor("head", 2)
    assert dict(view.factor) == {"block1": 0, "block2": 0.1, "block3": 1, "head": 2} and view.frozen == ("block1",)
    assert view.rates == pytest.approx({"block1": 0, "block2": 0.005, "block3": 0.05, "head": 0.1})
    train(view, 15)
    same = run_of(digits, factors=transfer.factors(view.run.model, dict(view.factor))).train(15, progress=False)
    assert torch.equal(weights(view.run), weights(same))
    assert [knob for _, knob, _ in view.run.moves] == ["factors"] * 3
    config = {**view.run.config, "data": digits}
    assert torch.equal(weights(Run.replay(config, view.run.moves)), weights(same))
    assert repr(view.factor) == "{'block1': 0.0, 'block2': 0.1, 'block3': 1.0, 'head': 2.0}"
    assert "stem" not in view.factor


def test_frozen_weights_do_not_move_and_the_others_do(view: TransferView) -> None:
    start = [weight.detach().clone() for weight in view.run.model.parameters()]
    view.preset("head only")
    assert view.frozen == GROUPS[:-1]
    train(view, 12)
    assert view.moved["block1"] == view.moved["block2"] == view.moved["block3"] == 0 < view.moved["head"]
    view.unfreeze("block3")
    train(view, 12)
    moved = view.moved
    assert moved["block1"] == 0 < moved["block3"] and view.unfrozen_at == [(12, "block3")]
    now = list(view.run.model.parameters())
    inside = range(6, 9)  # the third convolution, and weight and bias of the normalisation after it
    change = sum(float((now[i].detach() - start[i]).double().square().sum()) for i in inside)
    length = sum(float(start[i].double().square().sum()) for i in inside)
    assert moved["block3"] == pytest.approx(math.sqrt(change / length), rel=1e-5)


def test_presets_are_those_of_the_transfer_module(view: TransferView) -> None:
    model = view.run.model
    view.preset("discriminative")
    assert view.run.factors == transfer.discriminative(model)
    assert view.factor["block1"] == pytest.approx(2.6**-3)
    stages = [value for _, _, value in transfer.gradual(model, every=10)]
    view.preset("all equal")
    view.preset("head only")
    for stage, group in zip(stages, ("block3", "block2", "block1", ""), strict=True):
        assert view.run.factors == stage
        assert view._state()["next"] == group
        if group:
            view.preset("next")
    with pytest.raises(ValueError, match="no next step of unfreezing: every group of this run learns already"):
        view.preset("next")
    with pytest.raises(ValueError, match="no preset 'head', did you mean 'head only'"):
        view.preset("head")


def test_unfreezing_goes_back_to_the_last_factor(view: TransferView) -> None:
    view.set_factor("block2", 0.3)
    view.freeze()
    assert view.frozen == GROUPS[:-1]
    view.unfreeze("block2", "head")
    assert view.factor["block2"] == 0.3 and view.frozen == ("block1", "block3")
    view.unfreeze()
    assert dict(view.factor) == {"block1": 1, "block2": 0.3, "block3": 1, "head": 1}
    moves = view.run.moves
    view.unfreeze()
    view.set_factor("block2", 0.3)
    assert view.run.moves == moves  # nothing has changed, so nothing is logged


def test_factors_that_the_run_came_with(digits: data.Dataset) -> None:
    view = TransferView(run_of(digits, factors={"0": 0.5, "4": 0, "5": 0, "8.weight": 0.2}))
    assert dict(view.factor) == {"block1": 1, "block2": 0, "block3": 1, "head": 1}
    assert view._layers.span("block1") == (0.5, 1.0) and view._layers.span("block3") == (0.2, 1.0)
    view.set_factor("block3", 1)
    assert view.run.factors == {"0": 0.5, "4": 0, "5": 0, "8": 1, "9": 1}  # the finer one is gone, the others are kept
    view.unfreeze("block2")
    assert view.factor["block2"] == 1
    view.run.turn("factors", {"13": 0.1})  # in a cell
    assert view.factor["head"] == 0.1 and view.factor["block2"] == 1


def test_groups_that_the_run_cannot_train(digits: data.Dataset) -> None:
    view = TransferView(run_of(digits, transfer.freeze(models.cnn(width=4), "block1")))
    bars = view._state()["groups"]
    assert [bar["outside"] for bar in bars] == [True, False, False, False]
    assert view.frozen == ("block1",) and view._state()["next"] == ""
    with pytest.raises(ValueError, match="cannot train 'block1': its requires_grad was off when the run was made"):
        view.unfreeze("block1")
    view.preset("head only")
    view.unfreeze()
    train(view, 3)
    assert view.frozen == ("block1",) and view.moved["block1"] == 0 < view.moved["block2"]


def test_other_networks(digits: data.Dataset) -> None:
    resnet = Layers(run_of(digits, "resnet18"))
    assert list(resnet.groups) == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    pictures = resnet.pictures()
    assert pictures is not None and pictures[0].shape == (64, 3, 3, 1) and resnet.convolution == "conv1"

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(1, 300, 8)
            self.top = nn.Linear(300, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.top(self.body(x).flatten(1))

    own = TransferView(run_of(digits, Own))
    assert own.groups == ("body", "top") and own._layers.pictures()[0].shape == (64, 8, 8, 1)  # type: ignore[index]
    colour = Layers(Run(models.cnn(channels=3), (torch.rand(20, 3, 8, 8), torch.arange(20) % 10), batch_size=4))
    assert colour.pictures()[0].shape == (16, 3, 3, 3)  # type: ignore[index]
    mlp = TransferView(run_of(digits, "mlp"))
    assert mlp.filters() is None and mlp._news(True)[0].get("filters") is None
    train(mlp, 3)
    assert len(mlp.figure().axes) == 4 and "filters" not in mlp.alt


def test_a_group_of_zeros_has_moved_no_part_of_its_norm(digits: data.Dataset) -> None:
    model = models.mlp(hidden=(8,))
    nn.init.zeros_(model[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(model[-1].bias)  # type: ignore[arg-type]
    view = TransferView(run_of(digits, model))
    train(view, 3)
    assert math.isnan(view.moved["head"]) and view._state()["groups"][-1]["moved"] is None
    assert "head at rate 0.05, moved –" in view.alt and len(view.figure().axes) == 4


# Training -------------------------------------------------------------------------------------------------------------


def test_rewinding_brings_back_the_factors_of_then_and_keeps_the_future_in_grey(view: TransferView) -> None:
    view.preset("head only")
    train(view, 10)
    view.preset("next")
    train(view, 10)
    after, moved = weights(view.run), view.moved
    view.rewind(10)
    assert view.run.step == 10 and view.moved["block3"] == 0 and view.frozen == GROUPS[:-1]
    assert view.unfrozen_at == [] and "Futures cut off by rewinding, in grey: 1." in view.alt
    view.preset("next")
    train(view, 10)
    assert torch.equal(weights(view.run), after) and view.moved == moved
    view.rewind()
    assert view.run.step == 0 and set(view.moved.values()) == {0.0}
    with pytest.raises(ValueError, match="step must be a whole number from 0 to 0"):
        view.rewind(3)


def test_a_run_that_has_learned_already_is_measured_from_its_start(digits: data.Dataset) -> None:
    run = run_of(digits).train(12, progress=False)
    late = TransferView(run)
    early = TransferView(run_of(digits))
    train(early, 12)
    assert late.moved == early.moved and late.moved["head"] > 0
    before, now = late.filters()  # type: ignore[misc]
    assert before.shape == (4, 1, 3, 3) and np.array_equal(before, early.filters()[0])  # type: ignore[index]
    assert np.array_equal(now, run.model[0].weight.detach().numpy()) and not np.array_equal(before, now)  # type: ignore[index]


def test_playing_pausing_and_who_trains(view: TransferView) -> None:
    view.play()
    with pytest.raises(RuntimeError, match="is playing already"):
        view.play(5)
    other = TransferView(view.run)
    other.play(5)  # takes over
    assert not view.playing
    other.wait(timeout=30)
    step = view.run.step
    view.play()
    view.freeze("block1")  # while it trains
    view.pause()
    assert view.run.step >= step and not view.playing and view.frozen == ("block1",)
    with pytest.raises(TimeoutError, match=r"still playing after 0\.01 s"):
        view.play()
        view.wait(timeout=0.01)
    view.pause()


def test_a_diverged_run_is_rewound(view: TransferView) -> None:
    view.turn("lr", 1e30)
    view.play()
    view.wait(timeout=30)
    assert view.run.status == "diverged"
    with pytest.raises(RuntimeError, match="diverged at step"):
        view.play()
    assert "head at rate 1e+30, moved" in view.alt and len(view.figure().axes) == 6
    view.rewind()
    view.turn("lr", 0.01)
    train(view, 3)
    assert view.run.step == 3


def test_a_schedule_that_ends_at_nothing(digits: data.Dataset) -> None:
    view = TransferView(run_of(digits, lr=schedules.Cosine(0.1, total=10)))
    low, high = view._domain()
    train(view, 12)
    assert view.rates["head"] == 0 and (low, high) == (1e-5, 1.0) == view._domain()
    state = view._state()
    assert state["schedule"] == "Cosine" and state["base"]["value"] == 0 and state["base"]["scale"] == "zero"
    assert len(view.figure().axes) == 6
    view.turn("lr", 0.2)
    assert view._state()["schedule"] == "" and view.rates["head"] == 0.2 and view._domain() == (1e-5, 10.0)


# The smoothed loss ----------------------------------------------------------------------------------------------------


def history_of(losses: np.ndarray) -> History:
    history = History()
    for loss in losses:
        history.append(lr=0.1, loss=float(loss), epoch=0.0)
    return history


def test_the_smoothed_loss_does_not_lag() -> None:
    steps = np.arange(200)
    falling = 2.3 * np.exp(-steps / 60) + 0.1
    noisy = falling * np.random.default_rng(0).uniform(0.7, 1.3, 200)
    fitted, averaged = curves.local_fit(noisy), curves.Smoother()(noisy)
    error, lag = (np.abs(np.log(smooth / falling)).max() for smooth in (fitted, averaged))
    assert error < 0.15 < 0.3 < lag
    assert np.abs(np.log(curves.local_fit(falling) / falling)).max() < 0.03


def test_the_smoothed_loss_stays_among_the_losses_and_leaves_out_what_is_not_finite() -> None:
    cliff = np.array([2.0] * 20 + [0.01] * 8)
    assert (curves.local_fit(cliff) >= 0.01).all()
    cliff[3] = np.nan
    assert np.isnan(curves.local_fit(cliff)).tolist() == np.isnan(cliff).tolist()
    assert curves.local_fit(np.array([0.5])).tolist() == [0.5]
    assert np.isnan(curves.local_fit(np.full(3, np.inf))).all()


def test_a_turn_is_seen_at_its_own_step_and_in_pieces_the_curve_is_the_same() -> None:
    losses = np.where(np.arange(150) < 100, 1.0, 0.2)
    whole, pieces = curves.LagFreeCurve(), curves.LagFreeCurve()
    whole.turn_at([100])
    whole.grow(history_of(losses))
    assert whole.rows[:, curves.SMOOTH].tolist() == pytest.approx(losses.tolist(), abs=1e-6)
    for n in (1, 7, 40, 99, 104, 110, 150):  # that of step 100 becomes known when it has been passed
        pieces.turn_at([100] if n > 105 else [])
        pieces.grow(history_of(losses[:n]))
    assert np.abs(pieces.rows - whole.rows)[:, curves.SMOOTH].max() < 1e-6 and len(pieces.rows) == 150


def test_an_explosion_does_not_reach_back() -> None:
    curve = curves.LagFreeCurve()
    curve.grow(history_of(np.array([2.0] * 60 + [1e3, 1e6, 1e9])))
    assert curve.rows[:40, curves.SMOOTH].max() < 2.05 and curve.rows[-1, curves.SMOOTH] > 2.5


# Pictures -------------------------------------------------------------------------------------------------------------


def test_name_picture_and_words(view: TransferView) -> None:
    assert repr(view).startswith("TransferView(") and repr(view).endswith(" on digits)")
    empty = view.figure()
    assert len(empty.axes) == 6 and "0 steps, nothing is frozen" in view.alt
    view.freeze("block1", "block2")
    train(view, 20)
    view.unfreeze("block2")
    train(view, 10)
    accuracy = view.run.history["val_accuracy"][-1]
    for words in (
        "30 steps, block2, block3 and head learn",
        "block1 frozen, moved 0 %; block2 at rate 0.05, moved",
        f"Validation accuracy {accuracy:.1%}",
        "At step 20 block2 unfrozen.",
        "filters of the first convolution before and now",
    ):
        assert words in view.alt
    fig = view.figure()
    loss = next(ax for ax in fig.axes if ax.get_ylabel() == "loss")
    assert "block2 unfrozen" in [text.get_text() for text in loss.texts]
    assert "frozen" in [text.get_text() for text in fig.axes[0].texts]
    assert len(figures.png(fig)) < figures.LIMIT_BYTES
    assert percent(0) == "0 %" and percent(0.0421) == "4.2 %" and percent(2.58) == "258 %"
    assert percent(4e9) == "4.0e+11 %" and percent(math.nan) == "–"
    assert several(["a"]) == "a" and several(["a", "b", "c"]) == "a, b and c"


# The page -------------------------------------------------------------------------------------------------------------


class FakePage:
    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, Any], list[bytes]]] = []

    def tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self.messages.append((message, buffers))

    def close(self) -> None:
        pass


def test_a_page_is_answered_at_once(view: TransferView) -> None:
    fake = FakePage()
    view._belongings.page = fake  # type: ignore[assignment]
    view._publish_picture = lambda: setattr(view, "_pictured", view._picture_key())  # type: ignore[method-assign]
    expected: list[tuple[dict[str, Any], list[float]]] = [
        ({"do": "hello"}, [1, 1, 1, 1]),
        ({"do": "factor", "group": "block1", "value": 0.1}, [0.1, 1, 1, 1]),
        ({"do": "freeze", "group": "block2"}, [0.1, 0, 1, 1]),
        ({"do": "factor", "group": "head", "value": -1}, [0.1, 0, 1, 1]),
        ({"do": "unfreeze", "group": "block2"}, [0.1, 1, 1, 1]),
        ({"do": "preset", "name": "head only"}, [0, 0, 0, 1]),
        ({"do": "freeze", "group": "head"}, [0, 0, 0, 1]),
        ({"do": "preset", "name": "next"}, [0, 0, 1, 1]),
        ({"do": "turn", "knob": "lr", "value": 0.2}, [0, 0, 1, 1]),
        ({"do": "dance"}, [0, 0, 1, 1]),
    ]
    problems = {3: "the factor of 'head' must be at least 0", 6: "nothing would be left to train", 9: "the page sent"}
    for number, (message, factors) in enumerate(expected):
        view._hear({**message, "view": "v", **({"seq": number} if number else {})})
        state = fake.messages[-1][0]["state"]
        assert [group["factor"] for group in state["groups"]] == factors
        assert state["heard"] == ({"v": number} if number else {})
        assert state["problem"].startswith(problems.get(number, "")) and bool(state["problem"]) == (number in problems)
    assert state["base"]["value"] == 0.2 and [group["rate"] for group in state["groups"]] == [0, 0, 0.2, 0.2]

    view._hear({"do": "play", "view": "v", "seq": 20})
    while view.run.step < 5:
        pass
    view._hear({"do": "pause", "view": "v", "seq": 21})
    steps = view.run.step
    view._hear({"do": "hello", "view": "w"})  # a page that opens late is sent everything
    message, buffers = fake.messages[-1]
    (track,) = message["tracks"]
    assert message["fresh"] and track["end"] == steps and track["at"] == 0 and len(buffers) == 3
    assert len(buffers[0]) == 4 * 7 * steps and message["filters"] == (4, 3, 3, 1)
    before, now = (np.frombuffer(filters, "<f4") for filters in buffers[1:])
    assert np.array_equal(before, now)  # block1 is frozen
    assert [list(turn) for turn in message["turns"]] == [] and message["timeline"][0][1] == [0, 0, 1, 1]
    view._hear({"do": "rewind", "step": 2, "view": "v", "seq": 22})
    message, _ = fake.messages[-1]
    assert message["state"]["step"] == 2 and {track["kind"] for track in message["tracks"]} == {"run", "ghost"}
    view._views.clear()
    view._belongings.page = None
    instrument._on_screen.discard(view)


def test_the_live_tuner_shows_a_run_whose_factors_are_turned(digits: data.Dataset) -> None:
    tuner = instruments.LiveTuner(run_of(digits))
    tuner.turn("factors", {"0": 0, "4": 0.25})
    tuner.turn("factors", {})
    assert [move[2] for move in tuner._news(True)[0]["tracks"][0]["moves"]] == ["0: 0, 4: 0.25", "1"]
    assert in_words({"name": "Adam", "beta1": 0.9}) == "Adam" and in_words({"name": 0.5}) == "name: 0.5"


# What it refuses ------------------------------------------------------------------------------------------------------


def test_what_is_refused(view: TransferView, digits: data.Dataset) -> None:
    with pytest.raises(TypeError, match="run must be a Run, got str"):
        TransferView("cnn")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="run has a torch optimizer, which has groups of its own"):
        TransferView(Run("mlp", digits, optimizer=lambda weights: torch.optim.SGD(weights, lr=0.1)))
    with pytest.raises(ValueError, match="no layer group 'blok1'; did you mean 'block1'"):
        view.freeze("blok1")
    with pytest.raises(ValueError, match="no layer group 'stem'"):
        view.unfreeze("stem")
    with pytest.raises(KeyError, match="no layer group 'block'"):
        view.factor["block"]
    with pytest.raises(ValueError, match="the factor of 'head' must be at least 0 and finite; got nan"):
        view.set_factor("head", math.nan)
    with pytest.raises(TypeError, match="the factor of 'head' must be a number of at least 0; got 'half'"):
        view.factor["head"] = "half"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="nothing would be left to train"):
        view.freeze(*GROUPS)
    with pytest.raises(ValueError, match="no knob 'rate'"):
        view.turn("rate", 1)
    with pytest.raises(ValueError, match="lr must be greater than 0"):
        view.turn("lr", 0)
    with pytest.raises(ValueError, match="speed must be"):
        view.speed = 0
    for steps in (0, 2.5, True):
        with pytest.raises(ValueError, match="steps must be a whole number of at least 1"):
            view.play(steps)  # type: ignore[arg-type]
    assert view.run.moves == [] and dict(view.factor) == dict.fromkeys(GROUPS, 1.0)
