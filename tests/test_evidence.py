"""A claim holds or fails by what was measured, at a budget that is equal, and says so in the same words everywhere."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from lrlab import evidence, figures
from lrlab.evidence import Comparison, Metric, bootstrap, compare, steps_to, verdict
from lrlab.models import mlp
from lrlab.run import Run

X = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def arm(lr=0.5, **settings):
    """An arm that trains a small network on a task of two classes."""
    settings = {"device": "cpu", "batch_size": 16, "validate_every": 0, **settings}
    return lambda seed: Run(lambda: mlp(4, (8,), 2), (X, Y), lr=lr, seed=seed, **settings)


def comparison(metric="val_loss", **values):
    """A comparison with these values, as if they had been measured."""
    rows = {name: np.array(value, dtype=float) for name, value in values.items()}
    return Comparison(evidence.METRICS[metric], rows, dict.fromkeys(rows, 10), dict.fromkeys(rows, ()))


@pytest.fixture(scope="module")
def claim():
    return compare({"slow": arm(0.001), "fast": arm(0.5)}, steps=30, metric="val_loss", seeds=4, progress=False)


# What compare measures ------------------------------------------------------------------------------------------------


def test_the_values_are_those_of_runs_made_by_hand(claim):
    for seed in range(4):
        for name, lr in (("slow", 0.001), ("fast", 0.5)):
            run = arm(lr)(seed).train(30, progress=False)
            assert claim.values[name][seed] == run.validate()[0]
            assert np.array_equal(claim.histories[name][seed]["loss"], run.history["loss"])
    assert claim.arms == ["slow", "fast"] and claim.seeds == 4 and claim.budgets == {"slow": 30, "fast": 30}


def test_two_comparisons_are_bitwise_equal(claim):
    again = compare({"slow": arm(0.001), "fast": arm(0.5)}, steps=30, metric="val_loss", seeds=4, progress=False)
    for name in claim.arms:
        assert np.array_equal(again.values[name], claim.values[name])
    assert again.difference("fast", "slow") == claim.difference("fast", "slow")


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy", "train_loss"])
def test_each_metric_with_a_name_is_measured_on_a_whole_split_at_the_end(metric):
    found = compare({"a": arm(0.1), "b": arm(0.5)}, steps=12, metric=metric, seeds=2, progress=False)
    run = arm(0.1)(1).train(12, progress=False)
    wanted = {"val_loss": run.validate()[0], "val_accuracy": run.validate()[1]}
    wanted["train_loss"] = run.evaluate(run.dataset.train)[0]
    assert found.values["a"][1] == wanted[metric]


def test_steps_to_a_level_are_read_off_the_validations():
    metric = steps_to("val_loss", 0.3)
    run = arm(0.5, validate_every=5)(0).train(100, progress=False)
    steps, losses = run.history["val_step"], run.history["val_loss"]
    assert 0 < metric(run) < 100
    assert metric(run) == min(steps[losses <= 0.3])
    assert steps_to("val_accuracy", 0.8)(run) == min(steps[run.history["val_accuracy"] >= 0.8])
    assert steps_to("val_loss", 1e-9)(run) == math.inf


def test_a_run_that_diverges_gets_the_worst_value():
    explode = {"good": arm(0.5), "exploded": arm(1e30)}
    by_loss = compare(explode, steps=20, metric="val_loss", seeds=2, progress=False)
    assert (by_loss.values["exploded"] == math.inf).all()
    by_accuracy = compare(explode, steps=20, metric="val_accuracy", seeds=2, progress=False)
    assert (by_accuracy.values["exploded"] == -math.inf).all()
    by_loss.better("good", than="exploded", in_at_least=2)
    by_accuracy.better("good", than="exploded", in_at_least=2)


def test_a_metric_of_ones_own():
    weight = Metric(
        "norm of the first weights", lambda run: float(next(run.model.parameters()).data.norm()), "is smaller"
    )
    found = compare({"a": arm(0.001), "b": arm(2.0)}, steps=30, metric=weight, seeds=2, progress=False)
    assert found.values["a"][0] == float(next(arm(0.001)(0).train(30, progress=False).model.parameters()).data.norm())


def test_nan_is_the_worst_value():
    assert Metric("m", lambda run: math.nan, "is smaller")(arm()(0)) == math.inf


def test_of_several_tries_the_best_counts_and_all_are_paid_for():
    tries = [0.001, 0.5]
    arms = {"search": lambda seed: [arm(lr)(seed) for lr in tries], "one": arm(0.001)}
    found = compare(arms, steps={"search": 20, "one": 40}, metric="val_loss", seeds=2, progress=False)
    assert found.budgets == {"search": 40, "one": 40}
    assert found.values["search"][1] == min(arm(lr)(1).train(20, progress=False).validate()[0] for lr in tries)
    assert len(found.histories["search"]) == 4


# The claim ------------------------------------------------------------------------------------------------------------


def test_a_true_claim_prints_its_verdict(claim, capsys):
    assert claim.better("fast", than="slow", in_at_least=4) is None
    words = "fast has a lower validation loss than slow at equal budget (30 steps) in at least 4 of 4 seeds: holds\n"
    assert capsys.readouterr().out == words


def test_a_false_claim_fails(claim, capsys):
    with pytest.raises(AssertionError, match=r"does not hold\. It is so in 0; the median difference is 0\.\d+"):
        claim.better("slow", than="fast", in_at_least=1)
    assert capsys.readouterr().out.endswith("in at least 1 of 4 seeds: does NOT hold\n")


def test_wins_are_counted_seed_by_seed_and_a_tie_is_none():
    found = comparison(a=[1, 2, 3, 4], b=[2, 2, 2, 5])
    assert found.wins("a", "b") == 2 and found.wins("b", "a") == 1
    found.better("a", than="b", in_at_least=2)
    with pytest.raises(AssertionError, match="It is so in 2"):
        found.better("a", than="b", in_at_least=3)
    more_is_better = comparison("val_accuracy", a=[1, 2, 3, 4], b=[2, 2, 2, 5])
    assert more_is_better.wins("a", "b") == 1


def test_a_verdict_tells_an_unequal_budget(capsys):
    arms = {"short": arm(), "long": arm()}
    found = compare(
        arms, steps={"short": 4, "long": 1200}, metric="train_loss", seeds=2, equal_budget=False, progress=False
    )
    found.better("long", than="short", in_at_least=2)
    assert "at unequal budget (1,200 steps against 4)" in capsys.readouterr().out


def test_a_verdict_can_be_given_on_anything(capsys):
    verdict("the sky is up", torch.tensor(True))
    assert capsys.readouterr().out == "the sky is up: holds\n"
    with pytest.raises(AssertionError, match=r"^the sky is down: does not hold\. It is up$"):
        verdict("the sky is down", np.bool_(False), "It is up")
    assert capsys.readouterr().out == "the sky is down: does NOT hold\n"
    with pytest.raises(TypeError, match="say all or any"):
        verdict("all of it", [True, False])


# The numbers ----------------------------------------------------------------------------------------------------------


def test_the_bootstrap_agrees_with_scipy_and_repeats():
    values = np.random.default_rng(1).lognormal(size=40)
    found = bootstrap(values)
    reference = scipy.stats.bootstrap((values,), np.median, method="percentile", n_resamples=20_000, batch=1000)
    low, high = reference.confidence_interval
    assert found.median == np.median(values)
    assert found.low == pytest.approx(low, rel=0.06) and found.high == pytest.approx(high, rel=0.06)
    assert bootstrap(values) == found and bootstrap(values, seed=1)[0] == found[0]


def test_a_difference_is_taken_seed_by_seed():
    found = comparison(a=[11, 22, 33], b=[10, 20, 30])
    assert found.difference("a", "b").median == 2
    assert found.difference("b", "a").median == -2


def test_infinite_values_make_no_nan():
    found = comparison(a=[math.inf, math.inf, 1.0, 2.0], b=[math.inf, 1.0, 2.0, 1.0])
    assert not any(map(math.isnan, found.difference("a", "b")))
    assert not found.table().isna().any().any()
    assert "nan" not in found.alt


def test_the_table_has_a_row_for_each_arm(claim):
    table = claim.table()
    assert list(table.index) == ["slow", "fast"]
    assert table.loc["fast", "median"] == np.median(claim.values["fast"])
    assert table.loc["fast", "95 % from"] <= table.loc["fast", "median"] <= table.loc["fast", "95 % to"]
    assert table.loc["fast", "lower quartile"] in claim.values["fast"]
    assert table.loc["fast", "steps x models"] == 30


# The picture ----------------------------------------------------------------------------------------------------------


def test_the_figure_shows_every_value(claim):
    fig = claim.figure("A higher rate gets further")
    ax = fig.axes[0]
    shown = [line.get_xdata() for line in ax.get_lines()]
    for name in claim.arms:
        assert any(len(x) == 4 and np.array_equal(x, claim.values[name]) for x in shown), name
        assert any(text.get_text() == name for text in ax.texts)
    assert "30 steps" in ax.get_xlabel()
    assert "fast minus slow" in ax.get_title(loc="left")


@pytest.mark.parametrize(
    "found",
    [
        comparison(a=[1.0, 1.0], b=[1.0, 1.0]),
        comparison(a=[math.inf, 1.0], b=[1.0, 2.0]),
        comparison(a=[math.inf, math.inf], b=[math.inf, math.inf]),
        comparison("val_accuracy", a=[0.5, -math.inf], b=[0.9, 0.8]),
        comparison(a=[0.001, 0.01], b=[1.0, 100.0], c=[1.0, 2.0]),
    ],
    ids=["all alike", "one diverged", "all diverged", "accuracy", "decades"],
)
def test_a_figure_can_always_be_drawn(found):
    picture = figures.png(found.figure("Whatever was measured"))
    assert picture.startswith(b"\x89PNG") and len(picture) < figures.LIMIT_BYTES
    words = [text.get_text() for text in found.figure("Whatever was measured").axes[0].texts]
    assert ("diverged" in words) == any(np.isinf(values).any() for values in found.values.values())


def test_the_alt_text_says_what_the_figure_shows(claim):
    assert claim.alt.startswith("Validation loss for 4 seeds. slow: median 0.")
    assert "fast is better than slow in 4 seeds." in claim.alt


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arms": {}}, "at least two"),
        ({"arms": {"only": arm()}}, "at least two"),
        ({"arms": [arm(), arm()]}, "arms must be a dict"),
        ({"metric": "val_los"}, "did you mean 'val_loss'"),
        ({"metric": "speed"}, "'val_loss', 'val_accuracy', 'train_loss'"),
        ({"metric": None}, "metric must be"),
        ({"metric": ["val_loss"]}, "metric must be"),
        ({"seeds": 0}, "seeds must be a whole number of at least 2, got 0"),
        ({"seeds": 1}, "one seed has no spread"),
        ({"seeds": 2.0}, "seeds must be"),
        ({"seeds": True}, "seeds must be"),
        ({"steps": 0}, "steps must be whole numbers of at least 1, got 0"),
        ({"steps": 1.5}, "steps must be whole numbers"),
        ({"steps": {"a": 10}}, "steps must name the arms"),
        ({"steps": {"a": 10, "b": 20}}, r"steps x models: a 10, b 20.*equal_budget=False"),
        ({"arms": {"a": arm(), "b": lambda seed: [arm()(seed), arm()(seed)]}}, "a 5, b 10"),
        ({"arms": {"a": arm(), "b": lambda seed: arm()(seed).train(3, progress=False)}}, "a 5, b 8"),
        ({"arms": {"a": arm(), "b": lambda seed: [arm()(seed)] * (1 + seed)}}, "does not cost the same under seed 1"),
        ({"arms": {"a": arm(), "b": lambda seed: arm()(0)}}, "asked for seed 1, it made a run with seed 0"),
    ],
)
def test_bad_arguments_of_compare_are_refused(arguments, message):
    good = {"arms": {"a": arm(), "b": arm()}, "steps": 5, "seeds": 2, "progress": False}
    with pytest.raises(ValueError, match=message):
        compare(**{**good, **arguments})


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"a": arm(), "b": arm()(0)}, "'b' must be a function of a seed, got Run"),
        ({"a": arm(), "b": lambda seed: None}, "'b' must make a Run, or a list of runs; for seed 0 it made None"),
        ({"a": arm(), "b": lambda seed: []}, "must make a Run"),
        ({"a": arm(), 2: arm()}, "the name of an arm must be a text, got 2"),
    ],
)
def test_arms_that_make_no_runs_are_refused(arms, message):
    with pytest.raises(TypeError, match=message):
        compare(arms, steps=5, seeds=2, progress=False)


def test_an_unfair_comparison_is_refused_before_anything_is_trained():
    trained = []

    def watched(seed):
        trained.append(arm()(seed))
        return trained[-1]

    with pytest.raises(ValueError, match="do not cost the same"):
        compare({"a": watched, "b": arm()}, steps={"a": 5, "b": 6}, seeds=2, progress=False)
    assert [run.step for run in trained] == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_at_least": 5}, "a whole number from 1 to 4 .seeds., got 5"),
        ({"in_at_least": 0}, "from 1 to 4"),
        ({"in_at_least": 2.0}, "from 1 to 4"),
        ({"than": "slw"}, "did you mean 'slow'"),
        ({"than": "fast"}, "with itself"),
    ],
)
def test_bad_claims_are_refused(claim, arguments, message):
    with pytest.raises(ValueError, match=message):
        claim.better("fast", **{"than": "slow", "in_at_least": 4, **arguments})


@pytest.mark.parametrize(
    ("column", "level", "message"),
    [
        ("loss", 0.1, "'val_loss' or 'val_accuracy', got 'loss'"),
        ("val_loss", math.nan, "finite"),
        ("val_loss", "0.1", "finite"),
    ],
)
def test_bad_levels_are_refused(column, level, message):
    with pytest.raises(ValueError, match=message):
        steps_to(column, level)


def test_steps_to_needs_validations():
    arms = {"a": arm(validate_every=0), "b": arm(validate_every=0)}
    with pytest.raises(ValueError, match="validate_every=10"):
        compare(arms, steps=5, metric=steps_to("val_loss", 0.1), seeds=2, progress=False)


def test_the_training_loss_needs_a_training_split():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=16)
    own = lambda seed: Run(lambda: mlp(4, (8,), 2), loader, validation=(X, Y), seed=seed, device="cpu")  # noqa: E731
    with pytest.raises(ValueError, match="use val_loss"):
        compare({"a": own, "b": own}, steps=2, metric="train_loss", seeds=2, progress=False)
