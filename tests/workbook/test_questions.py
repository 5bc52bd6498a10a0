"""A question's inputs, and what an author is told who gets one wrong."""

import pickle

import pytest
import torch

from lrlab.workbook import Mistake, Question, Random


def question(**changes):
    """A question of two parameters; a test changes what it is about."""
    parts = {
        "name": "scale",
        "signature": "scale(x, factor)",
        "draw": lambda random: {"x": random.tensor(), "factor": random.uniform(1, 2)},
        "answer": lambda x, factor: x * factor,
        "examples": ({"x": torch.tensor([1.0]), "factor": 2.0},),
        "mistakes": (Mistake("sum", lambda x, factor: x + factor, "You added."),),
        "rights": (lambda x, factor: factor * x,),
        "hints": ("one", "two", "three"),
    }
    return Question(**{**parts, **changes})


def test_one_seed_draws_the_same_and_another_one_something_else():
    draws = [Random(seed).tensor(20) for seed in ("a", "a", "b")]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_draws_are_the_same_on_every_machine():
    """Written down once: other numbers would be another workbook, and a record of another one."""
    random = Random("03_momentum", size=2)
    assert (random.integer(1, 1000), random.uniform(0, 1), random.choice("abc")) == (206, 0.383, "a")


def test_numbers_have_three_digits_and_lie_in_their_range():
    random = Random("range")
    for _ in range(500):
        for value in (random.uniform(-0.5, 2), random.log_uniform(1e-5, 10)):
            assert value == float(f"{value:.3g}")
        assert 0.1234 <= random.uniform(0.1234, 0.1235) <= 0.1235
        assert 1 <= random.integer(1, 3) <= 3


def test_log_uniform_visits_every_decade_alike():
    random = Random("decades")
    values = torch.tensor([random.log_uniform(1e-4, 1) for _ in range(2000)]).log10().floor()
    counts = [(values == decade).sum().item() for decade in (-4, -3, -2, -1)]
    assert all(400 < count < 600 for count in counts)


def test_a_tensor_has_the_size_of_the_draw_unless_a_shape_is_given():
    random = Random("shape", size=4)
    assert random.tensor().shape == (4,) and random.tensor(2, 3).shape == (2, 3)
    assert random.tensor().dtype == torch.float64 and random.tensor(dtype=torch.float32).dtype == torch.float32


def test_examples_come_first_and_draws_grow():
    cases = question().cases("book")
    assert [case.example for case in cases] == [True] + 20 * [False]
    sizes = [len(case.arguments["x"]) for case in cases[1:]]
    assert sizes == sorted(sizes) and sizes[0] == 1 and sizes[-1] == 5


def test_cases_depend_on_the_seed_and_on_the_question():
    def first(made, seed):
        return made.cases(seed)[1].arguments["x"]

    assert torch.equal(first(question(), "secret 1"), first(question(), "secret 1"))
    assert not torch.equal(first(question(), "secret 1"), first(question(), "secret 2"))
    assert not torch.equal(first(question(), ""), first(question(name="other"), ""))


def test_cases_travel_to_another_process():
    cases = question().cases()
    assert torch.equal(pickle.loads(pickle.dumps(cases))[3].arguments["x"], cases[3].arguments["x"])


def test_the_signature_tells_function_parameters_and_values():
    asked = question(signature="scale(x, factor) -> y, rest")
    assert (asked.function, asked.parameters, asked.returns) == ("scale", ("x", "factor"), ("y", "rest"))
    assert question().returns == ()


@pytest.mark.parametrize("signature", ["scale", "scale(x, ", "lambda x: x", ""])
def test_a_signature_that_is_none_is_refused(signature):
    with pytest.raises(ValueError, match="must read like"):
        question(signature=signature)


def test_examples_and_draws_have_the_arguments_of_the_signature_in_its_order():
    with pytest.raises(ValueError, match="an example has"):
        question(examples=({"factor": 2.0, "x": torch.tensor([1.0])},))
    with pytest.raises(ValueError, match="a drawn input has"):
        question(draw=lambda random: {"x": random.tensor()}).cases()


def test_a_question_needs_inputs_and_its_exceptions_must_be_parameters():
    with pytest.raises(ValueError, match="neither examples nor draws"):
        question(examples=(), draws=0)
    with pytest.raises(ValueError, match="may_change names 'model'"):
        question(may_change=("model",))
