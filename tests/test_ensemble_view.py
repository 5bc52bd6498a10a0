"""The ensemble view without a browser: against lrlab.ensembles; who is in it; the messages; what it refuses."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrlab import data, ensembles, figures, instruments
from lrlab.ensembles import Ensemble
from lrlab.instruments import instrument
from lrlab.instruments.ensemble_view import EnsembleView


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits", device="cpu")


@pytest.fixture(scope="module")
def five() -> Ensemble:
    return ensembles.independent("mlp", "digits", members=5, lr=0.1, steps=60, how="batched", progress=False)


@pytest.fixture
def view(five: Ensemble, digits: data.Dataset) -> EnsembleView:
    return EnsembleView(five, digits)


class Says(nn.Module):
    """A network that says what it was told to."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[: len(x)] + 0


def told(*answers: list[list[float]]) -> Ensemble:
    return Ensemble({f"n{number}": Says(answer) for number, answer in enumerate(answers)})


# What it says ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("members", [(0, 1, 2, 3, 4), (1, 3), (4,)])
def test_the_scores_are_those_of_the_ensemble_of_these_members(
    view: EnsembleView, five: Ensemble, digits: data.Dataset, members: tuple[int, ...], average: str
) -> None:
    view.average = average
    view.only(members)
    part = five.subset(*members)
    expected = part.evaluate(digits.test, average)
    np.testing.assert_allclose(view.scores.whole, expected.whole, rtol=1e-5)
    np.testing.assert_allclose(view.scores.members, expected.members, rtol=1e-6)
    np.testing.assert_allclose(view.predictions, part.predict(digits.test.x, average).numpy(), rtol=1e-4, atol=1e-7)
    assert (view.training_steps, view.forward_passes) == (part.training_steps, len(part)) == (60 * len(part), len(part))
    best = ensembles.Scores(*(pick(column) for pick, column in zip((min, max, min), zip(*expected.members))))  # noqa: B905
    np.testing.assert_allclose(view.best, best, rtol=1e-6)


def test_what_one_may_count_on(view: EnsembleView) -> None:
    for numbers in ([0, 1, 2, 3, 4], [0, 4], [2, 3]):
        view.only(numbers)
        assert view.scores.whole.loss < view.scores.mean.loss
    view.only([3])
    np.testing.assert_allclose(view.scores.whole, view.scores.mean, rtol=1e-6)
    assert view.best == view.scores.mean


def test_logits_far_apart_stay_finite() -> None:
    view = EnsembleView(told([[0.0, 2000.0]], [[0.0, 3000.0]]), (torch.zeros(1, 3), torch.tensor([0])))
    assert 700 < view.scores.whole.loss < math.inf
    json.dumps(view._state(), allow_nan=False)


def test_agreement_and_reliability(view: EnsembleView, five: Ensemble, digits: data.Dataset) -> None:
    logits = five.logits(digits.test.x)
    for i, one in enumerate(five.names):
        for j, other in enumerate(five.names):
            same = float((logits[i].argmax(1) == logits[j].argmax(1)).double().mean())
            assert view.agreement.loc[one, other] == pytest.approx(same)
    view.only([0, 2])
    expected = ensembles.reliability(torch.from_numpy(view.predictions), digits.test.y)
    for found, column in zip(view.reliability, expected, strict=True):
        np.testing.assert_allclose(found, column, rtol=1e-5)
    both = torch.cat([logits[0], logits[2]]).softmax(1)
    for found, column in zip(view._pooled(), ensembles.reliability(both, digits.test.y.repeat(2)), strict=True):
        np.testing.assert_allclose(found, column, rtol=1e-5)


def test_the_examples_shown_are_hard_and_stay() -> None:
    sure, wrong, unsure = [5.0, 0.0], [0.0, 5.0], [0.1, 0.0]
    fine, split, lost = [sure] * 6, [sure, wrong], [wrong, wrong]
    answers = [[*(row[0] for row in (split, lost)), *fine], [*(row[1] for row in (split, lost)), *fine[:5], unsure]]
    view = EnsembleView(told(*answers), (torch.zeros(8, 3), torch.zeros(8, dtype=torch.long)))
    assert view.images == "disputed" and list(view.strip.index[:2]) == [0, 7] and len(view.strip) == 6
    assert list(view.strip.iloc[0]) == ["0", "0", "1", "0"]  # truth, n0, n1, whole: of two equals the first class
    view.images = "hardest"
    assert list(view.strip.index[:3]) == [1, 0, 7] and list(view.strip.iloc[0]) == ["0", "1", "1", "1"]
    view.remove(0)
    assert list(view.strip.index[:3]) == [1, 0, 7] and list(view.strip.iloc[1]) == ["0", "0", "1", "1"]


def test_a_dispute_is_about_the_class() -> None:
    as_sure, other_class = [[9.0, 0.0], [0.2, 0.0]], [[0.1, 0.0], [0.0, 0.1]]  # the first are further apart
    ensemble = told(*([first, second] for first, second in zip(as_sure, other_class, strict=True)))
    view = EnsembleView(ensemble, (torch.zeros(2, 3), torch.tensor([0, 0])))
    apart = ensembles.jensen_shannon(view._logits)
    assert apart[0] > apart[1] and list(view.strip.index) == [1, 0]


def test_classes_are_named(view: EnsembleView, digits: data.Dataset) -> None:
    assert instruments.EnsembleView is EnsembleView and repr(view) == "EnsembleView(5 members on digits)"
    for number, (_, row) in zip(view.strip.index.tolist(), view.strip.iterrows(), strict=True):
        assert row["truth"] == digits.classes[digits.test.y[number]]
        assert row["whole"] == digits.classes[view.predictions[number].argmax()]


# Who is in it ---------------------------------------------------------------------------------------------------------


def test_members_come_and_go(view: EnsembleView) -> None:
    assert view.members == (0, 1, 2, 3, 4)
    view.remove(2)
    view.remove(2)
    assert view.members == (0, 1, 3, 4)
    view.remove(0, 4)
    view.add(2, 1)
    assert view.members == (1, 2, 3)
    view.only(np.array([4, 0, 4]))
    assert view.members == (0, 4) and all(type(number) is int for number in view.members)


def test_the_last_member_stays(view: EnsembleView) -> None:
    view.only([3])
    before = view.scores
    for empty in (lambda: view.remove(3), lambda: view.only([]), lambda: view.remove(*range(5))):
        with pytest.raises(ValueError, match="at least one member must stay in the ensemble: add another before"):
            empty()
    assert view.members == (3,) and view.scores is before


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda view: view.add(5), ValueError, "there is no member 5: they are counted from 0 to 4"),
        (lambda view: view.remove(-1), ValueError, "there is no member -1"),
        (lambda view: view.add("seed 0"), TypeError, "a member is a whole number from 0 to 4, got 'seed 0'"),
        (lambda view: view.only([True]), TypeError, "a member is a whole number from 0 to 4, got True"),
        (lambda view: view.only(3), TypeError, r"only takes the numbers of members, such as only\(\[0, 2\]\); got 3"),
        (lambda view: setattr(view, "average", "votes"), ValueError, "average = 'votes' is unknown; there are: prob"),
        (lambda view: setattr(view, "images", "easy"), ValueError, "images = 'easy' is unknown; there are: disputed"),
    ],
)
def test_wrong_wishes_are_refused(view: EnsembleView, call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(view)
    assert (view.members, view.average, view.images) == ((0, 1, 2, 3, 4), "probabilities", "disputed")


# What is given --------------------------------------------------------------------------------------------------------

X, Y = torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (X, TypeError, r"data must have labels, .* give a data set, its name, or a pair \(x, y\); got Tensor"),
        ((X, None), TypeError, "data must have labels"),
        ((X,), TypeError, "data must have labels"),
        ((X, Y.float()), TypeError, r"y must be a tensor \[examples\] of classes, whole numbers; got torch.float32"),
        ((X, Y[:3]), ValueError, "x and y must be of the same examples: 4 and 3"),
        ((X.numpy(), Y), TypeError, r"x must be a tensor \[examples, ...\], got ndarray"),
        ((X, Y + 7), ValueError, "y must be from 0 to 9, as there are 10 classes; it is 7 to 10"),
        ((torch.zeros(4, 7), Y), ValueError, r"seed 0 does not take examples of shape \[7\]"),
        ("photos", ValueError, r"photos has no test examples: give a pair \(x, y\)"),
    ],
)
def test_data_that_cannot_be_scored_are_refused(five: Ensemble, given: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        EnsembleView(five, given)


def test_members_of_other_classes_are_refused(five: Ensemble, digits: data.Dataset) -> None:
    letters = data.from_tensors(digits.test.x, digits.test.y, classes=list("abcdefghij"), name="letters")
    with pytest.raises(ValueError, match=r"have learned classes 0, 1, 2, ... \(10\), but letters has a, b, c, ... \("):
        EnsembleView(five, letters)
    few = Ensemble([nn.Sequential(nn.Flatten(), nn.Linear(64, 3))])
    with pytest.raises(ValueError, match="the members know 3 classes, the data have 10: they do not belong together"):
        EnsembleView(few, digits)
    with pytest.raises(ValueError, match="n0 gives logits that are not finite: leave it out"):
        EnsembleView(Ensemble({"n0": nn.Softplus(beta=math.nan)}), (torch.ones(2, 3), torch.tensor([0, 1])))


def test_the_ensemble_is_checked(digits: data.Dataset) -> None:
    with pytest.raises(TypeError, match=r"ensemble must be an ensembles.Ensemble, such as .*; got Linear"):
        EnsembleView(nn.Linear(64, 10), digits)  # type: ignore[arg-type]
    crowd = told(*[[[0.0, 1.0]]] * 17)
    with pytest.raises(
        ValueError, match="17 members, and the view has room for 16: take some of them, ensemble.subset"
    ):
        EnsembleView(crowd, (torch.zeros(1, 3), torch.tensor([0])))
    with pytest.raises(ValueError, match="average = 'max' is unknown"):
        EnsembleView(told([[0.0, 1.0]]), (torch.zeros(1, 3), torch.tensor([0])), average="max")


def test_data_of_any_shape(five: Ensemble, digits: data.Dataset) -> None:
    own = EnsembleView(five, (digits.test.x, digits.test.y))
    assert own._title == "your data" and own.classes == digits.classes and own._pictures is not None
    np.testing.assert_allclose(own.scores.whole, EnsembleView(five, "digits").scores.whole, rtol=1e-6)
    flat = EnsembleView(five, (digits.test.x.flatten(1), digits.test.y))
    assert flat._pictures is None and flat._news(fresh=True) == ({}, [])
    assert len(figures.png(flat.figure())) < figures.LIMIT_BYTES
    alone = EnsembleView(told([[3.0, 0.0]]), (torch.zeros(1, 3), torch.tensor([0])))
    assert alone.classes == ("0", "1") and "agree on all of the examples" in alone.alt and alone.training_steps is None
    assert len(alone.figure().axes) == 4


# Pictures and pages ---------------------------------------------------------------------------------------------------


def test_picture_and_words(view: EnsembleView) -> None:
    view.only([0, 3])
    whole, mean = view.scores.whole, view.scores.mean
    assert view.alt.startswith(
        "Ensemble view, 2 of 5 members (seed 0, seed 3), average of probabilities, on 300 examples"
    )
    assert f"accuracy {whole.accuracy:.1%} (single members {mean.accuracy:.1%} on average" in view.alt
    assert f"the whole has {(view.strip['whole'] == view.strip['truth']).sum()} right" in view.alt
    fig = view.figure()
    assert (
        fig.get_suptitle() == f"2 of 5 members on digits: {whole.accuracy:.1%} together, {mean.accuracy:.1%} one by one"
    )
    marks = [text.get_text() for text in fig.axes[0].texts]
    right = sum((view.strip[name] == view.strip["truth"]).sum() for name in [*view.names, "whole"])
    assert sum(mark.startswith("✓") for mark in marks) == right
    assert sum(mark.startswith("✗") for mark in marks) == 6 * 6 - right
    assert len(figures.png(fig)) < figures.LIMIT_BYTES


class FakePage:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.pictures: list[list[bytes]] = []

    def tell(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        json.dumps(message, allow_nan=False)
        self.messages.append(message)
        self.pictures.append(buffers)

    def close(self) -> None:
        pass


def test_a_page_is_answered_at_once(view: EnsembleView) -> None:
    fake = FakePage()
    view._belongings.page = fake  # type: ignore[assignment]
    view._publish_picture = lambda: setattr(view, "_pictured", view._picture_key())  # type: ignore[method-assign]
    expected: list[tuple[dict[str, Any], str, Any]] = [
        ({"do": "hello"}, "members", [0, 1, 2, 3, 4]),
        ({"do": "only", "members": [4, 1]}, "members", [1, 4]),
        ({"do": "average", "value": "logits"}, "average", "logits"),
        ({"do": "show", "images": "hardest"}, "images", "hardest"),
        ({"do": "only", "members": []}, "members", [1, 4]),
        ({"do": "only", "members": [1, 9]}, "members", [1, 4]),
        ({"do": "dance"}, "members", [1, 4]),
    ]
    problems = {4: "at least one member must stay", 5: "there is no member 9", 6: "the page sent"}
    for number, (message, name, value) in enumerate(expected):
        view._hear({**message, "view": "v", **({"seq": number} if number else {})})
        state = fake.messages[-1]["state"]
        assert state[name] == value and state["heard"] == ({"v": number} if number else {})
        assert state["problem"].startswith(problems.get(number, "")) and bool(state["problem"]) == (number in problems)
    assert state["whole"] == pytest.approx(view.scores.whole._asdict(), abs=1e-6)
    assert state["before"] is not None and state["steps"] == 120
    assert [row["number"] for row in state["strip"]] == list(view.strip.index)
    said = [[state["classes"][k] for k, _ in row["said"]] for row in state["strip"]]
    assert said == view.strip.drop(columns="truth").to_numpy().tolist()
    sent = [pictures for pictures in fake.pictures if pictures]
    assert [len(pictures[0]) for pictures in sent] == [6 * 64, 6 * 64]  # only with what they are the pictures of
    assert view._pictures is not None
    first = view._pictures["hardest"][0, 0]
    assert np.frombuffer(sent[1][0], np.uint8)[:64].tolist() == (255 * first).round().flatten().tolist()
    view._hear({"do": "goodbye", "view": "v"})
    view._hear({"do": "hello", "view": "w"})
    assert fake.messages[-1]["fresh"] and fake.messages[-1]["shape"] == [6, 8, 8, 1] and len(fake.pictures[-1]) == 1
    view._views.clear()
    view._belongings.page = None
    instrument._on_screen.discard(view)
