"""The examples in the workbooks' texts, with the numbers that stand there: the reference answers say the same."""

import math

import pytest
import torch

from lrlab.schedules import Linear, Step
from lrlab.workbook import books
from lrlab.workbook.given import matrix, vector

ANSWERS = {(name[:2], question.name): question.answer for name in books.names() for question in books.questions(name)}

FOUR, VALLEY = matrix((0,), (6,), (0,), (6,)), matrix((1, 10), (1, -10), (-1, 10), (-1, -10))
HALVED, DOWN = Step(0.1, every=2, gamma=0.5), Linear(0.1, total=10)
PAGE = matrix([[1, 2, 3], [4, 5, 6]])[None]
ROW = matrix((1, 3))[None, None]
ONES, ZEROS = torch.ones(1, 1, 4, 4).double(), torch.zeros(1, 1, 4, 4).double()
VOICES = matrix([[1, 0], [1, 0]], [[2, 0], [0, 1]], [[0, 1], [0, 2]])
SURE, FIRST = matrix((0.9, 0.1), (0.2, 0.8)), torch.tensor([0, 0])

EXAMPLES = [
    ("01", "descend", (vector(1), lambda x: 4 * x, 0.1, 1), [[1], [0.6]]),
    ("01", "rate_for_sum", (0.1, 64, 10), 0.01),
    ("01", "fate", (0.1, 4.0), "creeps"),
    ("01", "fate", (1.0, 4.0), "leaves"),
    ("01", "steps_to", (0.25, 2.0, 0.5), 1),
    ("01", "steps_to", (0.25, 2.0, 0.1), 4),
    ("01", "largest_stable_rate", (matrix((1, 0), (0, 8)),), 0.25),
    ("01", "rate_for_floor", (0.5, 6.0, 2.0), 0.2),
    ("01", "find_cliff", (lambda lr: lr > 0.5, 0.01, 1.0, 1), (0.1, 1)),
    ("02", "best_rate", (matrix((2, 0), (0, 6)),), (0.25, 0.5)),
    ("02", "condition_numbers", (VALLEY,), (100, 1)),
    ("02", "kind", (matrix((1, 2), (2, 1)),), "saddle"),
    ("02", "escape", (0.1, 1.0, 1.0), 4),
    ("02", "escape", (0.0001, 1.0, 1.0), 14),
    ("02", "batch_error", (FOUR, 4, True), 1.5),
    ("02", "batch_error", (FOUR, 4, False), 0),
    ("02", "overweight", (5, 2), 2),
    ("02", "clip", ([vector(3, 4)], 1.0), [[0.6, 0.8]]),
    ("02", "clip", ([vector(3, 4)], 10.0), [[3, 4]]),
    ("03", "momentum", (vector(1), vector(10), vector(4), 0.1, 0.5), ([-0.2], [12])),
    ("03", "velocity_momentum", (vector(1), vector(10), vector(4), 0.1, 0.5), ([2], [1])),
    ("03", "equal_rate", (0.1, 0.0, 0.9), 0.01),
    ("03", "after_the_drop", (1.0, 0.5, 0.1, 0.01), (0.1, 1)),
    ("03", "lookahead", (vector(1), vector(-2), lambda y: 10 * y, 0.1, 0.5), ([0], [-1])),
    ("03", "nesterov", (vector(1), vector(10), vector(4), 0.1, 0.5), ([-0.6], [12])),
    ("03", "polyak", (1.0, 9.0), (0.25, 0.25)),
    ("03", "steps_needed", (vector(1, 2), 0.5, 0.0, 0.5, 100), 1),
    ("04", "adagrad", (vector(1), vector(3), vector(16), 0.1, 1.0), ([0.95], [25])),
    ("04", "effective_rates", (matrix((4,), (3,)), 0.6, 1.0), [[0.12], [0.1]]),
    ("04", "rmsprop", (vector(1), vector(4), vector(0), 0.1, 0.75, 2.0), ([0.9], [4])),
    ("04", "too_long", (1, 0.5, 0.99), 5),
    ("04", "adam", (vector(1), vector(4), vector(0), vector(0), 1, 0.1, 0.5, 0.75, 1.0), ([0.92], [2], [4])),
    ("04", "half_step", (0.03, 0.99, "after"), 0.03),
    ("04", "half_step", (0.03, 0.99, "before"), 0.3),
    ("04", "half_step", (0.03, 0.99, "inside"), 0.1),
    ("04", "adamw", (vector(2), vector(1), vector(0), vector(0), 1, 0.1, 0.5), ([1.8], [0.1], [0.001])),
    ("06", "log_uniform", (0.5, 0.0001, 1.0), 0.01),
    ("06", "log_uniform", (0.25, 0.0001, 1.0), 0.001),
    ("06", "tries_needed", (0.75, 0.5), 2),
    ("06", "tries_needed", (0.7, 0.5), 2),
    ("06", "tries_needed", (0.95, 0.05), 59),
    ("06", "zoom", (0.0001, 1.0, 0.01, 2), (0.001, 0.1)),
    ("06", "zoom", (0.0001, 1.0, 0.5, 2), (0.01, 1)),
    ("06", "rates", (0.001, 1.0, 4), [0.001, 0.01, 0.1, 1]),
    ("06", "smooth", ([4.0, 1.0], 0.5), [4, 2]),
    ("06", "steepest", (vector(0.001, 0.01, 0.1, 1), vector(2.3, 2, 1, 1.5)), math.sqrt(0.01 * 0.1)),
    ("06", "minimum_over_10", (vector(0.01, 0.1, 1), vector(2, 1, 3)), 0.01),
    ("06", "minimum_over_10", (vector(0.01, 0.1, 1), vector(2, 1, 0.5)), None),
    ("07", "stairs", ([0, 9, 10], 1.0, [10], 0.5), [1, 1, 0.5]),
    ("07", "cosine", (50, 0.2, 100, 0.0), 0.1),
    ("07", "cosine", (150, 0.2, 100, 0.0), 0),
    ("07", "cosine", (50, 0.2, 100, 0.1), 0.15),
    ("07", "decay_factors", (1.0, 0.0625, 2, 2), (0.5, 0.25)),
    *[("07", "rate_of_step", (step, 50, 10, HALVED), rate) for step, rate in ((9, 0.1), (10, 0.05))],
    *[("07", "warmup_then", (t, 4, DOWN), rate) for t, rate in ((2, 0.05), (4, 0.1), (9, 0.05))],
    *[("07", "triangular2", (t, 0.1, 0.9, 4), rate) for t, rate in ((4, 0.9), (8, 0.1), (12, 0.5))],
    *[("07", "warm_restarts", (t, 0.2, 10, 2), rate) for t, rate in ((10, 0.2), (30, 0.2), (20, 0.1), (50, 0.1))],
    ("07", "plateau", ([1.0, 0.8, 0.8, 0.9], 0.1, 0.5, 2), [0.1, 0.1, 0.1, 0.05]),
    ("09", "dropout", (vector(1, 2, 3), vector(0.1, 0.9, 0.5), 0.8, True), [1, 0, 3]),
    ("09", "dropout", (vector(1, 2, 3), vector(0.1, 0.9, 0.5), 0.8, False), [0.8, 1.6, 2.4]),
    ("09", "to_torch", (matrix((2, 3)), vector(1), 0.8), (0.2, [[1.6, 2.4]], [1])),
    ("09", "spatial_dropout", (matrix([[[1, 2]], [[4, 8]]]), matrix((0.1, 0.7)), 0.2), [[[[0, 0]], [[5, 10]]]]),
    ("09", "dropconnect", (matrix((1, 2)), matrix((4, 8)), vector(1), matrix((0.1, 0.7)), 0.2), [[21]]),
    ("09", "mean_over_masks", (lambda x: float(x.sum()) ** 2, vector(1, 2), 0.5), 3.5),
    ("09", "scaling_gap", (vector(1), -1.0, vector(2), 0.5), 0.5),
    ("09", "spread", (vector(3), vector(1), 0.5), (3, 3)),
    ("10", "flip", (PAGE, torch.tensor([0]), torch.tensor([True])), ([[[[3, 2, 1], [6, 5, 4]]]], [2])),
    ("10", "shift", (PAGE, torch.tensor([0]), torch.tensor([1])), [[[[0, 1, 2], [0, 4, 5]]]]),
    ("10", "standardise", (ROW, ROW + 1), ([[[[-1, 1]]]], [[[[0, 2]]]])),
    ("10", "cutmix", (ONES, ZEROS, 0.75, 2, 2), (None, 0.75)),
    ("10", "cutmix", (ONES, ZEROS, 0.75, 0, 2), (None, 0.875)),
    ("11", "together", (matrix([[0, 0]], [[0, 0]]),), [[0.5, 0.5]]),
    ("11", "disagreement", (VOICES[:2],), 0.5),
    ("11", "disagreement", (VOICES,), 2 / 3),
    ("11", "variance_of_mean", (1.0, 0.5, 2), 0.75),
    ("11", "snapshot_steps", (vector(1, 0.5, 0.1, 1, 0.5, 0.1),), [3, 6]),
    ("11", "snapshot_steps", (vector(1, 0.5, 0.1, 1),), [3]),
    ("11", "swa_update", (vector(1), 1, vector(3)), [2]),
    ("11", "swa_update", (vector(1), 3, vector(5)), [2]),
    ("11", "ema", (matrix((3,), (6,)), 0.5), [5]),
    ("11", "ece", (SURE, FIRST, 10), 0.45),
    ("11", "ece", (SURE, FIRST, 1), 0.35),
    ("12", "factor_of", ("layer1.0.weight", {"layer1.0": 0.5, "layer1": 0.1}), 0.5),
    ("12", "epochs_until_cheaper", (30.0, 3.0, 1.0, 10), 2),
    ("13", "standardise", (ROW, ROW, ROW - 1), (None, None, [[[[-2, 0]]]])),
    ("13", "carried_out", ([(200, 6), (200, 4), (100, 3)], 1500), ([0, 2], 0)),
    ("13", "won", (vector(71, 63, 82), vector(70, 60, 80)), (2, 1 / math.sqrt(3))),
    ("13", "choose", (matrix((70, 72), (78, 80)), matrix((74, 76), (72, 74))), (1, 73)),
    ("13", "interval", (1, 1, 1.0), (0.5, 1)),
]


def agrees(wanted, got):
    """None in a tuple stands for a value that the text does not give."""
    if isinstance(wanted, tuple) or (isinstance(wanted, list) and isinstance(got, list | tuple)):
        pairs = zip(wanted, got, strict=True)
        return all((isinstance(wanted, tuple) and part is None) or agrees(part, value) for part, value in pairs)
    if isinstance(wanted, list):
        return torch.allclose(got, torch.tensor(wanted, dtype=got.dtype), atol=1e-6)
    return got == (wanted if wanted is None or isinstance(wanted, str) else pytest.approx(wanted, abs=1e-6))


@pytest.mark.parametrize(
    ("book", "question", "arguments", "wanted"),
    EXAMPLES,
    ids=[f"{book}-{question}-{number}" for number, (book, question, *_) in enumerate(EXAMPLES)],
)
def test_the_example_of_the_text_comes_out(book, question, arguments, wanted):
    assert agrees(wanted, ANSWERS[book, question](*arguments))


def test_no_wrong_number_agrees():
    """The comparison itself can say no: to numbers, words, entries, lengths."""
    for wanted, got in (
        (0.1, 0.1001),
        ("creeps", "leaves"),
        ([1], torch.tensor([1.1])),
        ((None, 1), (0, 2)),
        (None, 0),
    ):
        assert not agrees(wanted, got)
