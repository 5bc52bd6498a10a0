"""Workbook 05: the numbers of its texts, worked out by hand, and what its references say of lrlab and torch."""

import numpy as np
import pytest
import torch

from lrlab import evidence
from lrlab.workbook import books

QUESTIONS = {question.name: question for question in books.questions("05_modern_and_practice")}


def answer(name, *arguments):
    return QUESTIONS[name].answer(*arguments)


def vector(*entries):
    return torch.tensor(entries, dtype=torch.float64)


def test_clip_keeps_the_direction_of_all_layers_together():
    clipped, norm = answer("clip", [vector(6), vector(8)], 5.0)
    assert [g.item() for g in clipped] == [3.0, 4.0] and norm == 10.0


def test_lion_moves_by_the_sign_of_one_mixture_and_remembers_another():
    x, m = answer("lion", vector(1), vector(8), vector(-4), 0.1, 0.5, 0.75)
    assert x.item() == 0.9 and m.item() == -1.0


def test_radam_divides_at_its_fifth_step_first_and_never_with_a_short_memory():
    assert [answer("warm_up", t, 0.999) for t in range(1, 5)] == [0, 0, 0, 0]
    assert answer("warm_up", 5, 0.999) == pytest.approx(0.0173, abs=5e-5)
    assert {answer("warm_up", t, 0.5) for t in range(1, 200)} == {0}


def test_lookahead_takes_half_of_the_second_step_back():
    shrink = QUESTIONS["lookahead"].examples[0]["advance"]
    path = answer("lookahead", vector(8), shrink, 2, 0.5, 3)
    assert path.flatten().tolist() == [8.0, 4.0, 5.0, 2.5]


def test_a_rate_at_which_a_run_diverged_is_out():
    assert answer("choose", torch.tensor([[[3, 3], [1, torch.nan], [2, 2]]])).tolist() == [2]


def test_pairs_may_say_the_opposite_of_the_medians():
    a, b = vector(1, 5, 4), vector(2, 9, 3)
    assert answer("paired", a, b) == (2, -1.0)
    assert (a.median(), b.median()) == (4, 3)


def test_luck_is_what_the_verdicts_of_lrlab_promise():
    assert answer("luck", 3, 4) == 0.3125
    assert 100 * answer("luck", 12, 16) == pytest.approx(4, abs=0.5)
    assert 1000 * answer("luck", 14, 16) == pytest.approx(2, abs=0.5)


def test_the_interval_is_that_of_the_text_and_with_2000_resamples_that_of_lrlab():
    differences = vector(-3, -1, 2)
    picks = torch.tensor([[0, 0, 0], [2, 2, 1], [1, 0, 1], [0, 2, 0]])
    assert differences[picks].median(1).values.tolist() == [-3, 2, -1, -3]
    assert answer("interval", differences, picks, 1) == (-3.0, -1.0)

    values = torch.randn(11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = evidence.bootstrap(values.numpy(), seed=0)
    same_picks = torch.from_numpy(np.random.default_rng(0).integers(11, size=(2000, 11)))
    assert answer("interval", values, same_picks, 50) == (ours.low, ours.high)
