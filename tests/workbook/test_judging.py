"""The judge: what differs, which mistake it is, and what the student reads."""

import functools
import math
import operator
import pickle
import random
import re
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lrlab.workbook import Mistake, NotAttempted, Property, Question, Raised, TooSlow, Wrong, judging, limit, verdicts
from lrlab.workbook.judging import Outcome, attempt, check, judge, recognise, verdict
from lrlab.workbook.values import difference, number, same_form, show, show_pair, unchanged

float64 = torch.float64


# Differences ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [3, 0.1, math.nan, math.inf, "text", None, True, torch.ones(2, 3), torch.tensor(True), np.arange(3.0), (1.0, "a")],
    ids=repr,
)
def test_a_value_equals_itself(value):
    assert difference(value, value) is None
    assert difference({"key": [value]}, {"key": [value]}) is None


ONE = torch.ones(3, dtype=float64)


@pytest.mark.parametrize(
    ("expected", "got", "kind", "words"),
    [
        (1.0, None, "none", "return"),
        (1.0, (x for x in [1.0]), "generator", "yield"),
        (1.0, True, "kind", "a truth value, and a number"),
        (1.0, torch.tensor(1.0), "kind", ".item()"),
        (1.0, "1.0", "kind", "a string, and a number"),
        (1.0, math.nan, "nan", "0/0"),
        (1.0, 1.1, "value", "it is 0.1 too large"),
        (1.0, 0.991, "value", "it is 0.009 too small"),
        (1.0, 3.0, "value", "3.0 times"),
        (4.0, -1.0, "value", "-0.25 times"),
        (1.0, 1.0001e3, "value", "999.0 too large"),
        (0.0, 0.5, "value", "0.5 too large"),
        (5, 7, "value", "2 too many"),
        (5, 4, "value", "1 too few"),
        (1, 100, "value", "99 too many"),
        (1, 2.5, "value", "1.5 too large"),
        (5, 10**400, "value", ""),
        (-2.0, 2.0, "value", "its sign is not"),
        (ONE, 1.0, "kind", "a plain number, and a tensor"),
        (ONE, [1.0, 1.0, 1.0], "kind", "a list, and a tensor"),
        (ONE, ONE.numpy(), "kind", "torch.as_tensor"),
        (ONE, ONE.to_sparse(), "kind", "layout"),
        (ONE, ONE[None], "shape", "[1, 3], and [3]"),
        (ONE, ONE[:2], "shape", "[2], and [3]"),
        (ONE, ONE.float(), "dtype", "float32, and float64"),
        (ONE, ONE.to("meta"), "device", "meta, and was asked for on cpu"),
        (ONE, ONE * math.nan, "nan", "[0] is NaN"),
        (ONE, ONE * math.inf, "value", "3 of 3"),
        (ONE, -ONE, "value", "every sign"),
        (ONE, ONE * 0.9, "value", "every entry is 0.9 times"),
        (ONE, ONE + torch.tensor([0.0, 0.5, 0.0]), "value", "1 of 3 entries differ; in [1] it is 0.5 too large"),
        (ONE.numpy(), ONE, "kind", ".numpy()"),
        (ONE.numpy(), np.array(["a"]), "kind", "numpy array"),
        ((1.0, 2.0), (1.0,), "length", "one value, and 2 values"),
        ((1.0, 2.0), ONE, "kind", "a tensor; 2 values are asked, with a comma"),
        ([1.0, 2.0], (1.0, 4.0), "value", "value 2: it is 2.0 times"),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0}, "keys", "'b' is missing"),
        ({"a": 1.0}, {"a": 1.0, "c": 2.0}, "keys", "'c' was not asked"),
        ({"a": 1.0}, 1.0, "kind", "dictionary"),
        ({"a": (1.0, 2.0)}, {"a": (1.0, None)}, "none", "'a', value 2"),
        ("cosine", "linear", "value", "another"),
        (True, 1, "kind", "a plain number; a truth value"),
        (None, 0.0, "kind", "None is asked"),
    ],
)
def test_what_differs_is_named(expected, got, kind, words):
    found = difference(expected, got)
    assert found is not None and found.kind == kind
    assert words in str(found)


def test_a_list_will_do_for_a_tuple_and_a_numpy_number_for_a_number():
    assert difference((1.0, 2), [np.float64(1.0), np.int64(2)]) is None
    assert difference(1.0, np.float32(1.0)) is None and difference(2, 2.0) is None


def test_the_parts_of_a_tuple_have_names():
    assert str(difference((1.0, 2.0), (1.0, -2.0), names=("x", "v"))).startswith("v: ")


def test_an_object_that_says_it_is_equal_to_everything_is_not_believed():
    class Yes:
        def __eq__(self, other):
            return True

        __hash__ = None

    for expected in (1.0, ONE, "text", (1.0, 2.0), None, True):
        assert difference(expected, Yes()).kind == "kind"


@given(st.floats(-1e6, 1e6), st.floats(0, 0.9), st.sampled_from([1e-9, 1e-6, 1e-2]))
def test_the_tolerance_is_a_share_of_the_largest_entry(value, share, tolerance):
    expected = torch.tensor([value, 1.0], dtype=float64)
    scale = max(abs(value), 1.0)
    inside, outside = expected.clone(), expected.clone()
    inside[0] += share * tolerance * scale
    outside[0] += 1.5 * tolerance * scale
    assert difference(expected, inside, tolerance) is None
    assert difference(expected, outside, tolerance).kind == "value"


def test_rounding_to_zero_is_no_difference_but_a_small_rate_is():
    assert difference(0.0, 1e-17) is None
    assert difference(1e-7, 2e-7).kind == "value"


def test_same_form_leaves_the_numbers_to_others():
    assert same_form(ONE, 2 * ONE) is None and same_form((1.0, 2), (3.0, 4)) is None
    assert "float32" in same_form(ONE, ONE.float()) and "NaN" in same_form(ONE, ONE * math.nan)


# Showing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (2.0, "2.0"),
        (7, "7"),
        (10**400, "a whole number of 1329 bits"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (True, "True"),
        ("a", "'a'"),
        ((1.0,), "(1.0,)"),
        (torch.tensor([[1.0, 2.0]]), "tensor([[1.0, 2.0]])"),
        (torch.tensor(3), "tensor(3)"),
        (torch.zeros(0), "tensor([])"),
        (torch.zeros(2, 2, 5), "tensor of shape [2, 2, 5]: 0.0, 0.0, 0.0, 0.0, …, 0.0, 0.0"),
        (torch.zeros(2, device="meta"), "tensor of shape [2] (meta, torch.strided)"),
        (np.array([1.5]), "array([1.5])"),
        ({"lr": 0.1}, "{'lr': 0.1}"),
        (nn.Linear(2, 3), "Linear with 9 parameters"),
        (show_pair, "show_pair (Both, with as many digits as it takes to see that they differ.)"),
        (len, "len (Return the number of items in a container.)"),
    ],
)
def test_values_are_shown_with_few_digits(value, shown):
    assert show(value) == shown


def test_showing_never_fails_and_never_floods():
    class Broken:
        def __repr__(self):
            raise RuntimeError

    endless = []
    endless.append(endless)
    for value in (Broken(), endless, "x" * 10_000, list(range(10_000)), dict.fromkeys(range(10_000)), object()):
        assert 0 < len(show(value)) < 400


def test_as_many_digits_as_it_takes_to_see_a_difference():
    assert show_pair(1.0, 1.00001) == ("1.0", "1.00001")
    assert show_pair(1.0, 2.0) == ("1.0", "2.0")
    assert number(1.0) == "1.0" and number(1e-12) == "1e-12"


# Changed in place -----------------------------------------------------------------------------------------------------


def test_unchanged_sees_a_change_in_any_bit():
    model = nn.Linear(2, 2)
    before = {"x": [torch.ones(2), np.zeros(2)], "n": math.nan}
    assert unchanged(before, {"x": [torch.ones(2), np.zeros(2)], "n": math.nan})
    assert not unchanged(before, {"x": [torch.ones(2), np.ones(2)], "n": math.nan})
    assert not unchanged(torch.ones(2), torch.ones(3)) and not unchanged([1], [1, 2]) and not unchanged([1], (1,))
    assert unchanged(torch.tensor([math.nan]), torch.tensor([math.nan]))
    other = nn.Linear(2, 2)
    other.load_state_dict(model.state_dict())
    assert unchanged(model, other)
    with torch.no_grad():
        other.bias += 1
    assert not unchanged(model, other)


# A question to judge by -----------------------------------------------------------------------------------------------


def question(**changes):
    parts = {
        "name": "step",
        "signature": "step(x, g, lr)",
        "draw": lambda random: {"x": random.tensor(), "g": random.tensor(), "lr": random.uniform(0.1, 1)},
        "answer": lambda x, g, lr: x - lr * g,
        "examples": ({"x": torch.tensor([1.0]), "g": torch.tensor([2.0]), "lr": 0.5},),
        "mistakes": (
            Mistake("uphill", lambda x, g, lr: x + lr * g, "Mind the minus."),
            Mistake("no rate", lambda x, g, lr: x - g, "Where is the rate?"),
            Mistake("fails at times", lambda x, g, lr: 1 / 0, "Never seen."),
            Mistake("only g", lambda x, g, lr: [g], "Where is x?"),
        ),
        "rights": (),
        "hints": ("one", "two", "three"),
    }
    return Question(**{**parts, **changes})


def found_by(function, **changes):
    with pytest.raises((NotAttempted, Raised, Wrong)) as caught:
        check(question(**changes), function)
    return caught.value


def test_a_right_function_passes_whatever_its_parameters_are_called():
    assert check(question(), lambda position, slope, rate: position - rate * slope) is None
    assert check(question(), lambda *everything: everything[0] - everything[2] * everything[1]) is None
    assert check(question(), _with_default) is None


def _with_default(x, g, lr, spare=None):
    return x - lr * g


@pytest.mark.parametrize("name", ["uphill", "no rate", "only g"])
def test_a_mistake_of_the_catalogue_is_named(name):
    mistake = next(each for each in question().mistakes if each.name == name)
    found = found_by(lambda x, g, lr: mistake.answer(x, g, lr))
    assert found.mistake == name
    assert name.upper() in str(found) and mistake.message in str(found)


def test_a_wrong_answer_of_no_catalogue_is_not_named():
    found = found_by(lambda x, g, lr: x - lr * g / 3)
    assert found.mistake is None and "likely" not in str(found) and found.kind == "value"


def test_a_mistake_that_fits_some_inputs_only_is_not_named():
    def uphill_where_short(x, g, lr):
        return x + lr * g if len(x) == 1 else x

    assert found_by(uphill_where_short).mistake is None


def test_the_message_says_given_expected_got_difference_tolerance_and_what_next():
    assert str(found_by(lambda x, g, lr: x + lr * g)).splitlines() == [
        "step: not right yet",
        "",
        "given       x = tensor([1.0]), g = tensor([2.0]), lr = 0.5",
        "expected    tensor([0.0])",
        "got         tensor([2.0])",
        "difference  it is 2.0 too large",
        "tolerance   1e-06 of the largest number",
        "likely      UPHILL. Mind the minus.",
        "next        Work it out on paper with these numbers. Stuck? book.hint('step')",
    ]


def test_the_smallest_input_that_fails_is_shown():
    found = found_by(lambda x, g, lr: x - lr * g if len(x) < 3 else x)
    assert len(found.arguments[0]) == 3


def test_a_notebook_shows_the_text_and_nothing_else():
    found = found_by(lambda x, g, lr: x)
    assert found._render_traceback_() == str(found).splitlines()
    assert "\x1b" not in str(found) and "Traceback" not in str(found) and "judging.py" not in str(found)


# Not attempted --------------------------------------------------------------------------------------------------------


def nbgraders_stub(x, g, lr):
    """A docstring."""
    # YOUR CODE HERE
    raise NotImplementedError()


def stub_without_brackets(x, g, lr):
    raise NotImplementedError


def dots(x, g, lr): ...


def only_pass(x, g, lr):
    """A docstring."""
    pass


@pytest.mark.parametrize("stub", [nbgraders_stub, stub_without_brackets, dots, only_pass])
def test_a_stub_is_not_attempted(stub):
    found = found_by(stub)
    assert isinstance(found, NotAttempted)
    assert str(found).startswith("step: not attempted yet\n") and "step(x, g, lr)" in str(found)


def test_a_stub_whose_last_line_was_left_is_not_finished():
    def step(x, g, lr):
        x = x - lr * g
        raise NotImplementedError()

    found = found_by(step)
    assert isinstance(found, Raised) and "not finished" in str(found) and "raise NotImplementedError()" in str(found)


def test_the_stub_of_another_question_is_an_exception_in_this_one():
    found = found_by(lambda x, g, lr: nbgraders_stub(x, g, lr))
    assert isinstance(found, Raised) and "in nbgraders_stub" in str(found)


# Raised ---------------------------------------------------------------------------------------------------------------


def test_an_exception_is_shown_with_the_students_line():
    def step(x, g, lr):
        y = x - lr
        return y @ torch.zeros(7)

    text = str(found_by(step))
    assert "RuntimeError" in text and "test_judging.py, line" in text and "return y @ torch.zeros(7)" in text
    assert "site-packages" not in text and "given       x = tensor([1.0])" in text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(), "SystemExit"),
        (KeyboardInterrupt(), "interrupted: it was still running"),
        (RecursionError("deep"), "RecursionError: deep"),
        (NotImplementedError("no CUDA"), "NotImplementedError: no CUDA"),
        (AssertionError(), "AssertionError"),
        (ValueError("x" * 5000), "…"),
    ],
)
def test_every_exception_becomes_a_verdict(error, said):
    def step(x, g, lr):
        raise error

    found = found_by(step)
    assert isinstance(found, Raised) and said in str(found) and len(str(found)) < 2000


def test_endless_recursion_is_a_verdict():
    def step(x, g, lr):
        return step(x, g, lr)

    assert "RecursionError" in str(found_by(step))


def test_an_exception_of_a_library_is_blamed_on_the_students_line():
    text = str(found_by(lambda x, g, lr: nn.Linear(5, 5)(x)))
    assert "test_judging.py" in text and "nn.Linear(5, 5)" in text and "linear.py" not in text


# What a function may be and return ------------------------------------------------------------------------------------


def step_that_yields(x, g, lr):
    yield x - lr * g


async def step_that_waits(x, g, lr):
    return x - lr * g


@pytest.mark.filterwarnings("error:coroutine")
@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (lambda x, g, lr: None, "none", "return"),
        (step_that_yields, "generator", "yield"),
        (step_that_waits, "generator", "async"),
        (lambda x, g, lr: (x - lr * g).double(), "dtype", "float64, and float32"),
        (lambda x, g, lr: (x - lr * g)[None], "shape", "[1, 1]"),
        (lambda x, g, lr: (x - lr * g) * math.nan, "nan", "NaN"),
        (lambda x, g, lr: (x - lr * g).numpy(), "kind", "numpy"),
        (lambda x, g, lr: float((x - lr * g)[0]), "kind", "a plain number"),
        (lambda x, g, lr: (x - lr * g).to("meta"), "device", "meta"),
        (lambda x, lr: x, "signature", "step(x, g, lr): 3 of them"),
        (lambda: 1, "signature", "3 of them"),
        (lambda g, x, lr: x - lr * g, "signature", "in this order"),
        (torch.tensor([1.0]), "not a function", "without brackets"),
        (None, "not a function", "without brackets"),
    ],
)
def test_generic_faults_have_messages_of_their_own(function, kind, words):
    found = found_by(function)
    assert found.kind == kind and words in str(found)


def in_place(x, g, lr):
    x -= lr * g
    return x


def test_a_change_in_place_is_named_though_the_value_is_right():
    found = found_by(in_place)
    assert found.kind == "changed" and "changes its argument x in place" in str(found)
    check(question(may_change=("x",)), in_place)


def test_a_change_in_place_is_told_before_a_wrong_value_and_after_a_wrong_form():
    def wrong_as_well(x, g, lr):
        x += lr * g
        return x

    def wrong_shape_as_well(x, g, lr):
        x -= lr * g
        return x[None]

    assert found_by(wrong_as_well).kind == "changed"
    assert found_by(wrong_shape_as_well).kind == "shape"


def test_advice_for_a_list_is_to_copy_it():
    def append(x, g, lr):
        g.append(0)
        return x

    numbers = {"examples": ({"x": torch.ones(1), "g": [1.0], "lr": 1.0},), "draws": 0, "answer": lambda x, g, lr: x}
    assert "Work on a copy of it: g = list(g)" in str(found_by(append, mistakes=(), **numbers))
    assert "Write x = x + … instead of x += …" in str(found_by(in_place))


def test_each_call_gets_copies_of_its_own():
    case = question().cases()[0]
    attempt(question(), in_place, case)
    assert torch.equal(case.arguments["x"], torch.tensor([1.0]))


# Output and random numbers --------------------------------------------------------------------------------------------


def test_what_a_right_function_prints_is_not_shown(capfd):
    def noisy(x, g, lr):
        print("working" * 1000)
        print("careful", file=sys.stderr)
        return x - lr * g

    check(question(), noisy)
    assert capfd.readouterr() == ("", "")


def test_what_a_wrong_function_printed_for_the_shown_input_is_shown_in_part():
    def debugging(x, g, lr):
        for line in range(1000):
            print("line", line, "x is", x)
        return x

    text = str(found_by(debugging, draws=0))
    assert "printed     line 0 x is tensor([1.])" in text and "line 5" in text and "line 6" not in text


def test_of_a_flood_the_beginning_is_kept():
    flood = attempt(question(), lambda x, g, lr: print("x" * 10**6), question().cases()[0])
    assert flood.printed == "x" * judging.PRINTED


def test_the_students_random_numbers_are_left_alone_and_a_call_has_its_own_seed():
    seen = []

    def noisy(x, g, lr):
        seen.append((torch.rand(1).item(), np.random.rand(), random.random()))  # noqa: NPY002
        return x - lr * g

    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    check(question(), noisy)
    assert torch.equal(states[0], torch.get_rng_state()) and states[1] == random.getstate()
    assert (states[2] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert len(set(seen)) == 1


# Properties, read, compare --------------------------------------------------------------------------------------------


def test_a_property_speaks_before_the_values_do():
    shrinks = Property(
        "x does not go up where g is positive", lambda y, given: bool((y <= given["x"])[given["g"] > 0].all())
    )
    found = found_by(lambda x, g, lr: x + 2 * lr * g, properties=(shrinks,))
    assert found.kind == "property" and "x does not go up where g is positive" in str(found)


def test_many_values_are_right_where_the_question_says_so():
    freely = {
        "compare": same_form,
        "properties": (Property("x shrinks", lambda y, given: bool((y <= given["x"]).all())),),
    }
    check(question(**freely), lambda x, g, lr: x - 17)
    assert found_by(lambda x, g, lr: x + 17, **freely).kind == "property"
    assert found_by(lambda x, g, lr: x.double(), **freely).kind == "dtype"


def test_a_question_may_compare_in_its_own_words():
    close = {"compare": lambda expected, got: None if (expected - got).abs().max() < 1 else "it is far away"}
    check(question(**close), lambda x, g, lr: x - lr * g + 0.5)
    assert "it is far away" in str(found_by(lambda x, g, lr: x - lr * g + 5, **close))


class Box:
    def __init__(self, content):
        self.content = content


def test_of_a_rich_value_that_counts_which_the_question_reads():
    boxed = {
        "answer": lambda x, g, lr: Box(x - lr * g),
        "mistakes": (Mistake("uphill", lambda x, g, lr: Box(x + lr * g), "Mind the minus."),),
        "read": operator.attrgetter("content"),
    }
    check(question(**boxed), lambda x, g, lr: Box(x - lr * g))
    assert found_by(lambda x, g, lr: Box(x + lr * g), **boxed).mistake == "uphill"
    assert found_by(lambda x, g, lr: None, **boxed).kind == "none"
    unreadable = found_by(lambda x, g, lr: x, **boxed)
    assert unreadable.kind == "kind" and "not what is asked" in str(unreadable)


def test_an_exception_in_a_function_that_the_student_returned_is_the_students():
    called = {"answer": lambda x, g, lr: lambda: x - lr * g, "mistakes": (), "read": lambda function: function()}

    def step(x, g, lr):
        return lambda: x @ torch.zeros(9)

    found = found_by(step, **called)
    assert isinstance(found, Raised) and "x @ torch.zeros(9)" in str(found)


# The judge without the student ----------------------------------------------------------------------------------------


def test_the_judge_needs_the_values_only():
    """Outcomes go through pickle, as from a sandbox: the verdict is the one that the student sees."""
    asked, cases = question(), question().cases("a secret")
    outcomes = [attempt(asked, lambda x, g, lr: x + lr * g, case) for case in cases]
    travelled = pickle.loads(pickle.dumps(outcomes))
    found = verdict(asked, cases, travelled)
    assert found.mistake == "uphill" == recognise(asked, cases, travelled).name
    right = [Outcome(asked.answer(**case.arguments)) for case in cases]
    assert verdict(asked, cases, right) is None
    assert judge(asked, cases[0], right[0].value) is None
    assert judge(asked, cases[0], torch.tensor([9.0])).kind == "value"


@pytest.mark.parametrize("count", [0, 1, 5, 22])
def test_what_was_not_run_is_not_right(count):
    asked, cases = question(), question().cases()
    right = Outcome(torch.tensor([0.0]))
    with pytest.raises(ValueError, match=f"21 cases, but {count} outcomes"):
        verdict(asked, cases, [right] * count)


def test_a_fresh_seed_judges_on_fresh_inputs():
    """A function that knows the answers to the inputs of one seed fails on those of another."""
    asked = question(examples=())
    known = {str(case.arguments): asked.answer(**case.arguments) for case in asked.cases("public")}

    def cheat(x, g, lr):
        return known.get(str({"x": x, "g": g, "lr": lr}), x)

    check(asked, cheat, seed="public")
    with pytest.raises(Wrong):
        check(asked, cheat, seed="secret")


def test_our_own_frames_are_library_frames_and_cells_are_not():
    assert judging._is_library(judging.__file__) and judging._is_library(torch.__file__)
    assert judging._is_library(functools.__file__) and judging._is_library("<frozen importlib>")
    assert not judging._is_library(__file__) and not judging._is_library("<ipython-input-3-0a1b>")


def test_right_values_in_another_order_are_said_to_be_right():
    x, v = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    assert "not in the order that is asked: x, v" in str(difference((x, v), (v, x), names=("x", "v")))
    assert "order" not in str(difference((x, v), (v, v), names=("x", "v")))
    assert difference((x, x), (x, x)) is None


def test_a_list_of_tensors_is_to_be_stacked():
    row = torch.tensor([1.0])
    assert "torch.stack" in str(difference(torch.stack([row, row]), [row, row]))
    assert "torch.tensor" in str(difference(row, [1.0]))


# A function that does not end -----------------------------------------------------------------------------------------

ENOUGH = 20.0  # seconds: after so many a loop of these tests ends by itself, and the test fails


def endless(x, g, lr):
    end = time.monotonic() + ENOUGH
    while time.monotonic() < end:
        try:
            lr += 1
        except Exception:
            continue


def endless_that_catches_everything(x, g, lr):
    end = time.monotonic() + ENOUGH
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except:  # noqa: E722
            if time.monotonic() > end - ENOUGH + 0.9:
                raise


def endless_in_torch(x, g, lr):
    end = time.monotonic() + ENOUGH
    while time.monotonic() < end:
        x = x + lr * g


def slow_at_times(x, g, lr):
    time.sleep(0.1 if len(x) < 3 else ENOUGH)
    return x - lr * g


def slow_all_in_all(x, g, lr):
    time.sleep(0.05)
    return x - lr * g


@pytest.fixture
def soon_over(monkeypatch):
    """A short limit for all calls together."""
    monkeypatch.setattr(judging, "SECONDS", 0.5)


needs_an_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarm")
own_timeout = pytest.mark.timeout(60, method="thread")  # pytest's usual one takes the alarm for itself


@needs_an_alarm
@own_timeout
@pytest.mark.parametrize(
    ("function", "line"),
    [
        (endless, "in endless:"),
        (endless_that_catches_everything, "in endless_that_catches_everything:"),
        (endless_in_torch, "x = x + lr * g|while time.monotonic"),
        (slow_at_times, "time.sleep"),
        (slow_all_in_all, "time.sleep"),
    ],
)
def test_a_function_that_does_not_end_is_stopped_at_its_line(soon_over, function, line):
    before = signal.getsignal(signal.SIGALRM), sys.stdout
    found = found_by(function)
    assert isinstance(found, TooSlow) and isinstance(found, Raised)
    assert str(found).startswith("step: your function was still running after 0.5 s\n") and re.search(line, str(found))
    assert (signal.getsignal(signal.SIGALRM), sys.stdout) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    check(question(), lambda x, g, lr: x - lr * g)


@needs_an_alarm
@own_timeout
def test_there_is_no_limit_where_the_alarm_is_not_ours_to_set(soon_over, monkeypatch):
    monkeypatch.setattr(limit, "AGAIN", 0.01)
    assert limit.within(10, lambda: signal.getitimer(signal.ITIMER_REAL)[0]) > 0, "it is set"
    found = []
    thread = threading.Thread(target=lambda: found.append(limit.within(0.05, lambda: time.sleep(0.2))))
    thread.start()
    thread.join()
    assert found == [None], "no alarm reaches another thread"
    inner = limit.within(10, lambda: limit.within(0.05, lambda: time.sleep(0.2)))
    assert inner is None, "the outer one is running"
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        assert limit.within(0.05, lambda: time.sleep(0.2)) is None, "the student has a use for it"
    finally:
        signal.signal(signal.SIGALRM, before)
    monkeypatch.setattr(sys, "gettrace", lambda: len)
    assert limit.within(0.05, lambda: time.sleep(0.2)) is None, "a debugger is at work"


# What a function sets for all of torch --------------------------------------------------------------------------------


def test_what_a_function_or_a_cell_sets_for_torch_decides_nothing():
    def settings():
        return torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device(), len(warnings.filters)

    seen = []

    def meddling(x, g, lr):
        seen.append(settings()[:3])
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        warnings.simplefilter("error")
        return x.to("cpu") - lr * g

    before, asked = settings(), question(answer=lambda x, g, lr: x - torch.ones(1) * lr * g)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    own = settings()
    try:
        check(asked, meddling)
        assert settings() == own != before
    finally:
        torch.set_default_dtype(before[0])
        torch.set_grad_enabled(before[1])
        torch.set_default_device(None)
    assert set(seen) == {(torch.float32, True, torch.device("cpu"))} and settings() == before


# More of what may go wrong --------------------------------------------------------------------------------------------


def test_a_parameter_by_name_only_is_not_reached():
    def step(x, g, *, lr):
        return x - lr * g

    text = str(found_by(step))
    assert "yours       step(x, g, *, lr)" in text and "3 of them, by position" in text


def test_any_callable_will_do():
    class Stepper:
        def step(self, x, g, lr):
            return x - lr * g

        __call__ = step

    for callable_ in (Stepper(), Stepper().step, functools.partial(lambda rate, x, g, lr: x - lr * g, 3)):
        check(question(), callable_)


def test_a_claim_or_a_comparison_that_breaks_on_a_value_does_not_hold_of_it():
    whole = Property("the sum is a number one can count to", lambda y, given: int(y.sum()) < 10**9)
    found = found_by(lambda x, g, lr: x.abs() / 0, properties=(whole,))
    assert found.kind == "property" and "one can count to" in str(found)
    found = found_by(lambda x, g, lr: x / 0, compare=lambda expected, got: None if int(got.sum()) else "zero")
    assert found.kind == "value" and "cannot be compared with what is asked (OverflowError" in str(found)


def test_a_call_of_a_function_that_is_still_a_stub_names_it():
    text = str(found_by(lambda x, g, lr: nbgraders_stub(x, g, lr)))
    assert "a function that yours calls is not written yet" in text
    assert "Answer the question of nbgraders_stub first" in " ".join(text.split())


def test_verdicts_travel_to_another_process():
    for function in (lambda x, g, lr: x + lr * g, lambda x, g, lr: 1 / 0, nbgraders_stub):
        found = found_by(function)
        travelled = pickle.loads(pickle.dumps(found))
        assert type(travelled) is type(found) and str(travelled) == str(found)
        assert travelled.question == "step" and getattr(travelled, "mistake", 0) == getattr(found, "mistake", 0)


# The message, row by row ----------------------------------------------------------------------------------------------


def rows(found):
    """The rows of a message, by their labels."""
    labels = re.findall(r"^(\w+) {2,}(.*(?:\n {12}.*)*)", str(found), re.MULTILINE)
    return {label: " ".join(text.split()) for label, text in labels}


def test_long_arguments_have_a_line_each():
    long = {"x": torch.arange(8.0), "g": torch.arange(8.0), "lr": 0.5}
    assert "given       x = tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])\n            g = tensor(" in str(
        found_by(lambda x, g, lr: x, examples=(long,))
    )


def test_paper_is_for_values_a_tolerance_for_numbers_and_what_cannot_be_read_is_not_shown():
    assert "on paper" in rows(found_by(lambda x, g, lr: x))["next"]
    assert rows(found_by(lambda x, g, lr: x[None]))["next"] == "Stuck? book.hint('step')"
    words = {"answer": lambda x, g, lr: "down", "mistakes": ()}
    assert "tolerance" not in rows(found_by(lambda x, g, lr: "up", **words))
    freely = found_by(lambda x, g, lr: x, compare=lambda expected, got: "it is far away")
    assert "tolerance" not in rows(freely)
    boxed = {"answer": lambda x, g, lr: Box(x), "mistakes": (), "read": operator.attrgetter("content")}
    assert "got" not in rows(found_by(lambda x, g, lr: x, **boxed))


def test_greek_letters_stay_small():
    greek = Mistake("ε inside", lambda x, g, lr: x + 1, "Mind the ε.")
    assert rows(found_by(lambda x, g, lr: x + 1, mistakes=(greek,)))["likely"] == "ε INSIDE. Mind the ε."


def test_a_mistake_is_named_although_a_later_input_raises():
    def uphill_and_afraid(x, g, lr):
        return x + lr * g if len(x) < 3 else 1 / 0

    assert found_by(uphill_and_afraid).mistake == "uphill"


def test_numbers_in_words():
    assert difference(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0])) is None
    assert difference(0.0, 1e-10).kind == "value", "ten decades below 1, and not nothing"
    for expected, got in (([0.0, 1.0], [1.0, 2.0]), ([1.0, 1.0], [2.0, 2.1])):
        assert "every entry" not in str(difference(torch.tensor(expected), torch.tensor(got)))
    assert show([[[[[[1.0]]]]]]) == "[[[[[…]]]]]"
    assert "1.0 times" not in str(difference(torch.tensor([1.0, 2.0]), torch.tensor([1.001, 2.002])))
    assert "order" not in str(difference([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0])), "of so many it may be luck"
    assert show(torch.zeros(2, 2, 2)).startswith("tensor of shape [2, 2, 2]: 0.0")
    assert show_pair(1.0, 1 + 1e-10) == ("1.0", "1.0000000001")


def test_a_new_key_and_another_dtype_are_changes():
    assert not unchanged({"a": 1}, {"a": 1, "b": 2}) and not unchanged({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not unchanged(torch.ones(2), torch.ones(2, dtype=float64))


def test_a_row_has_its_label_once_and_words_stay_whole():
    text = verdicts.report("headline", ("next", "warm-up " * 30), ("empty", ""), ("last", "a\nb"))
    assert text.count("next") == 1 and "empty" not in text and text.endswith("last        a\n            b")
    assert "warm-\n" not in text and max(map(len, text.splitlines())) <= verdicts.WIDTH
