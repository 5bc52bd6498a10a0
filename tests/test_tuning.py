"""Every rule gets the same tries; the choice is the lowest median; what is claimed is measured with other seeds."""

import math

import numpy as np
import pytest
import torch

from lrlab import evidence, figures, rules, tuning
from lrlab.models import mlp
from lrlab.run import Run
from lrlab.schedules import Cosine
from lrlab.tuning import Choice, Setting, Tuning, tune

X = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
RULES = {"SGD": rules.SGD(), "Adam": rules.Adam()}


def small():
    return mlp(4, (8,), 2)


def grid(rates=(0.01, 0.1, 1.0), **losses):
    """A tuning with these losses ``[shapes, rates, seeds]``, as if they had been measured."""
    values = {name: np.array(value, dtype=float) for name, value in losses.items()}
    return Tuning(Setting(small, (X, Y), 5, 16), {n: RULES[n] for n in values}, rates, tuning.SHAPES, values)


@pytest.fixture(scope="module")
def tuned():
    return tune(small, (X, Y), RULES, steps=20, rates=(0.01, 0.1, 1e30), batch_size=16, progress=False)


def test_the_losses_are_those_of_runs_made_by_hand(tuned):
    for name, rule in RULES.items():
        for place, lr in ((0, 0.1), (1, Cosine(0.1, total=20))):
            run = Run(small, (X, Y), rule=rule, lr=lr, seed=1001, batch_size=16, validate_every=0)
            assert tuned.losses[name][place, 1, 1] == run.train(20, progress=False).validate()[0]


def test_every_rule_gets_the_same_number_of_tries(tuned):
    assert {losses.shape for losses in tuned.losses.values()} == {(2, 3, 2)}


def test_a_run_that_diverges_has_an_infinite_loss_and_is_not_chosen(tuned):
    assert np.isinf(tuned.losses["SGD"][:, 2]).all()
    assert tuned.choices["SGD"].rate < 1e30


def test_two_tunings_are_bitwise_equal(tuned):
    again = tune(small, (X, Y), RULES, steps=20, rates=(0.01, 0.1, 1e30), batch_size=16, progress=False)
    assert all(np.array_equal(again.losses[name], tuned.losses[name]) for name in RULES)


def test_the_choice_is_the_lowest_median_over_seeds_not_the_luckiest_seed():
    constant, cosine = [[5, 5, 5], [3, 3, 0.1], [9, 9, 9]], [[4, 4, 4], [2, 2, 2], [9, 9, 9]]
    found = grid(SGD=[constant, cosine])
    assert found.choices == {"SGD": Choice("cosine", 0.1)}
    assert found.medians("SGD", "constant").tolist() == [5, 3, 9]
    assert found.medians("SGD").tolist() == [4, 2, 9]


def test_prices_are_multiples_of_the_best_loss():
    found = grid(
        SGD=[[[4], [2], [math.inf]], [[6], [5], [20]]],
        Adam=[[[8], [9], [9]], [[9], [9], [16]]],
    )
    assert found.price_of_the_rule() == 4.0
    prices = found.price_of_the_rate()
    assert prices["SGD"] == (2.0, 10.0)
    assert math.isnan(prices["Adam"][0]) and prices["Adam"][1] == 9 / 8, "there is nothing below the lowest rate"


def test_the_arms_are_the_rules_as_they_were_tuned_under_seeds_of_their_own():
    found = grid(SGD=[[[4], [2], [9]], [[6], [5], [20]]], Adam=[[[8], [9], [9]], [[7], [9], [16]]])
    arms = found.arms()
    sgd, adam = arms["SGD"](3), arms["Adam"](3)
    assert (sgd.seed, sgd.rule, sgd.lr, sgd.schedule) == (3, rules.SGD(), 0.1, None)
    assert adam.schedule == Cosine(0.01, total=5) and adam.rule == rules.Adam()
    claim = evidence.compare(arms, steps=5, metric=tuning.TEST_LOSS, seeds=2, progress=False)
    assert claim.budgets == {"SGD": 5, "Adam": 5}
    assert not {0, 1} & set(tuning.TUNING_SEEDS), "what was tuned on must not be measured on"


def test_the_test_loss_is_that_of_the_test_split():
    run = Run("mlp", "digits", lr=0.1, device="cpu", validate_every=0).train(5, progress=False)
    assert tuning.TEST_LOSS(run) == run.evaluate(run.dataset.test)[0] != run.validate()[0]


def test_the_usual_rates_reach_a_decade_beyond_each_rules_best_one():
    assert len(tuning.RATES) == 10
    assert math.isclose(tuning.RATES[2], 10**-2.5) and math.isclose(tuning.RATES[-1], 10.0)


def test_the_picture_and_its_text_name_every_rule_and_its_choice(tuned):
    fig = tuning.valleys({"one task": tuned, "the same": tuned}, "Two valleys")
    words = [text.get_text() for ax in fig.axes for text in ax.texts]
    assert sorted(words) == ["Adam", "Adam", "SGD", "SGD"]
    assert all(len(ax.get_lines()) == 4 for ax in fig.axes)  # a curve and a star for each rule
    assert figures.png(fig)[:4] == b"\x89PNG"
    text = tuning.alt({"one task": tuned})
    assert "SGD" in text and f"at {tuned.choices['Adam'].rate:.2g}" in text


def test_the_table_has_a_row_for_every_task_and_rule(tuned):
    table = tuning.describe({"a": tuned, "b": tuned})
    assert list(table.index) == [("a", "SGD"), ("a", "Adam"), ("b", "SGD"), ("b", "Adam")]
    assert table.loc[("a", "SGD"), "validation loss"] == round(tuned.medians("SGD").min(), 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rules": {}}, "rules is empty"),
        ({"rates": ()}, "rates is empty"),
        ({"seeds": ()}, "seeds is empty"),
        ({"shapes": {}}, "shapes is empty"),
        ({"rates": (0.1, 0.01)}, "rates must be above 0 and rise"),
        ({"rates": (0.0, 0.1)}, "rates must be above 0 and rise"),
        ({"rates": (0.1, math.nan)}, "rates must be above 0 and rise"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_input_is_named(wrong, message):
    given = {"model": small, "data": (X, Y), "rules": RULES, "steps": 5, "rates": (0.1,), "progress": False, **wrong}
    with pytest.raises(ValueError, match=message):
        tune(**given)
