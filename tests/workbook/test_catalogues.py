"""Every question of every workbook: each wrong answer earns its own message, right ones pass, the notebook fits."""

import ast
import copy
import inspect
import math
import pickle
import re
from functools import cache
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from torch import Tensor

from lrlab.workbook import NotAttempted, Raised, Wrong, books
from lrlab.workbook.judging import check
from lrlab.workbook.values import is_number, unchanged

SOURCES = Path(__file__).parents[2] / "exercises" / "source"
BOOKS = books.names()
QUESTIONS = [(name, question) for name in BOOKS for question in books.questions(name)]
every_book = pytest.mark.parametrize("name", BOOKS)
every_question = pytest.mark.parametrize(
    ("name", "question"), QUESTIONS, ids=[f"{name}-{question.name}" for name, question in QUESTIONS]
)


def refused(question, function, seed):
    """The verdict on a function that must not pass."""
    with pytest.raises((NotAttempted, Raised, Wrong)) as caught:
        check(question, function, seed)
    return caught.value


# The catalogue --------------------------------------------------------------------------------------------------------


@every_question
def test_each_mistake_is_refused_under_its_own_name(name, question):
    assert len(question.mistakes) >= 5
    for mistake in question.mistakes:
        found = refused(question, mistake.answer, seed=name)
        assert isinstance(found, Wrong) and found.mistake == mistake.name, f"{mistake.name}: {found}"
        assert mistake.message in re.sub(r"\s+", " ", str(found))
    for texts in ([mistake.name for mistake in question.mistakes], [mistake.message for mistake in question.mistakes]):
        assert len(set(texts)) == len(texts)


@every_question
def test_right_answers_pass_however_they_are_written(name, question):
    assert len(question.rights) >= 3
    for function in (question.answer, *question.rights):
        check(question, function, seed=name)
        check(question, function, seed="another seed")
    codes = {(right.__code__.co_code, right.__code__.co_consts, right.__code__.co_names) for right in question.rights}
    assert len(codes) == len(question.rights), "two of the right answers are written alike"


@every_question
def test_a_value_within_the_tolerance_passes_the_properties_too(name, question):
    """Numbers that are computed in float32 are off in the seventh digit: no property may be stricter than the rest."""

    def off(value, share):
        if is_number(value) and not isinstance(value, int):
            return value * (1 + share)
        if is_float_tensor(value):
            return value * (1 + share)
        if type(value) in (tuple, list):
            return type(value)(off(part, share) for part in value)
        return {key: off(part, share) for key, part in value.items()} if isinstance(value, dict) else value

    if question.read is not None or question.compare is not None:
        pytest.skip("its values are compared in a way of their own")
    for share in (0.4 * question.tolerance, -0.4 * question.tolerance):
        check(question, lambda *arguments, share=share: off(question.answer(*arguments), share), seed=name)


@every_question
def test_each_property_holds_for_the_reference_and_fails_for_some_mistake(name, question):
    def broken(claim):
        found = [refused(question, mistake.answer, seed=name) for mistake in question.mistakes]
        return any(claim.claim in re.sub(r"\s+", " ", str(verdict)) for verdict in found)

    for claim in question.properties:
        assert broken(claim), f"no mistake of the catalogue breaks: {claim.claim}"


@every_question
def test_hints_come_in_three_stages(name, question):
    assert len(question.hints) == 3 and len(set(question.hints)) == 3
    assert all(len(hint) > 10 for hint in question.hints)


@every_question
def test_inputs_are_seeded_small_first_and_fit_to_travel(name, question):
    first, second, other = ([dict(case.arguments) for case in question.cases(seed)] for seed in (name, name, "other"))
    assert unchanged(first, second) and repr(first) == repr(second)
    assert unchanged(pickle.loads(pickle.dumps(first)), first)
    if question.draws:
        assert not unchanged(first, other) or repr(first) != repr(other)


@every_question
def test_the_reference_takes_the_parameters_of_the_signature(name, question):
    for function in (question.answer, *question.rights, *(mistake.answer for mistake in question.mistakes)):
        inspect.signature(function).bind(*question.parameters)


# Faults that every question knows -------------------------------------------------------------------------------------


def spoilt(question, fits, change):
    """The right answer, with the first part that fits spoilt."""

    def function(*arguments):
        return change_first(question.answer(*arguments), fits, change)[0]

    return function


def change_first(value, fits, change):
    """The value with its first part that fits changed, and whether there was one."""
    if fits(value):
        return change(value), True
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, tuple | list) else ()
    for key in keys:
        changed, found = change_first(value[key], fits, change)
        if found:
            parts = {**value, key: changed} if isinstance(value, dict) else [*value[:key], changed, *value[key + 1 :]]
            return parts, True
    return value, False


def is_tensor(value):
    return isinstance(value, Tensor)


def is_float_tensor(value):
    return is_tensor(value) and value.is_floating_point() and value.numel() > 0


FAULTS = {
    "wrong shape": (is_tensor, lambda value: value.unsqueeze(0), "shape"),
    "other dtype": (
        is_float_tensor,
        lambda value: value.to(torch.float32 if value.dtype == torch.float64 else torch.float64),
        "dtype",
    ),
    "numpy array": (is_tensor, lambda value: value.detach().numpy(), "kind"),
    "other device": (is_tensor, lambda value: value.to("meta"), "device"),
    "tensor full of NaN": (is_float_tensor, lambda value: value * math.nan, "nan"),
    "NaN": (is_number, lambda value: math.nan, "nan"),
    "truth value": (is_number, lambda value: True, "kind"),
    "tensor for a number": (is_number, lambda value: torch.tensor(float(value)), "kind"),
    "string": (lambda value: is_number(value) or is_tensor(value), str, "kind"),
    "one value too many": (lambda value: type(value) in (tuple, list), lambda value: (*value, 0), "length"),
    "None": (lambda value: True, lambda value: None, "none"),
    "generator": (lambda value: True, lambda value: (part for part in [value]), "generator"),
}


@every_question
def test_faults_of_kind_are_named(name, question):
    """None and a generator for every question; the others where the value has a part that they can befall."""
    smallest = question.cases(name)[0].arguments
    value = question.answer(*copy.deepcopy(dict(smallest)).values())
    for fault, (fits, change, kind) in FAULTS.items():
        readable = question.read is None or kind in ("none", "generator")
        if readable and change_first(value, fits, change)[1]:
            found = refused(question, spoilt(question, fits, change), seed=name)
            assert isinstance(found, Wrong) and found.kind == kind, f"{fault}: {found}"


@every_question
def test_values_in_another_order_are_refused(name, question):
    """And told so, or by a mistake's name: no property stumbles over them."""

    def function(*arguments):
        return question.answer(*arguments)[::-1]

    if len(question.returns) < 2:
        pytest.skip("it returns one value")
    found = refused(question, function, seed=name)
    assert isinstance(found, Wrong)
    assert found.mistake or found.kind == "property" or "not in the order that is asked" in str(found)


@every_question
def test_a_change_in_place_is_named(name, question):
    """Whatever can be changed is changed after the right value was made: tensors, arrays and lists."""

    def function(*arguments):
        value = copy.deepcopy(question.answer(*arguments))
        changed.extend(map(change_in_place, arguments))
        return value

    if question.may_change:
        pytest.skip("it may change its arguments")
    changed = []
    if any(map(change_in_place, copy.deepcopy(dict(question.cases(name)[0].arguments)).values())):
        assert refused(question, function, seed=name).kind == "changed" and any(changed)


def change_in_place(argument):
    """Change a tensor, an array or a list, and say whether it was one."""
    if isinstance(argument, Tensor) and argument.is_floating_point() and argument.numel():
        argument.data.add_(1)
    elif isinstance(argument, np.ndarray) and argument.size:
        argument += 1
    elif isinstance(argument, list):
        argument.append(0)
    else:
        return False
    return True


@every_question
def test_a_wrong_signature_a_stub_and_an_exception_are_told_apart(name, question):
    few, many = (", ".join(f"a{number}" for number in range(len(question.parameters) + more)) for more in (-1, 1))
    for parameters in (few, many):
        found = refused(question, eval(f"lambda {parameters}: None"), seed=name)
        assert found.kind == "signature" and question.function in str(found)

    def stub(*arguments):
        raise NotImplementedError()

    def broken(*arguments):
        return arguments[0] + unknown  # noqa: F821

    assert isinstance(refused(question, stub, seed=name), NotAttempted)
    raised = refused(question, broken, seed=name)
    assert isinstance(raised, Raised) and "test_catalogues.py" in str(raised) and "unknown" in str(raised)


# The notebook's source ------------------------------------------------------------------------------------------------


@cache
def source(name):
    path = SOURCES / f"{name}.py"
    if not path.exists():
        pytest.fail(f"the workbook {name} has questions, but no exercises/source/{name}.py")
    return jupytext.read(path)


@cache
def solved(name):
    """What the source defines: its imports and its solutions, without the cells that check or draw."""
    namespace: dict = {}
    first, *others = [cell for cell in source(name).cells if cell.cell_type == "code"]
    answers = [cell for cell in others if "question" in cell.metadata and "points" not in cell.metadata]
    for cell in (first, *answers):
        exec(compile(cell.source, f"{name}.py", "exec"), namespace)
    return namespace


@every_book
def test_a_workbook_has_four_to_eight_questions_each_with_its_cells(name):
    names = [question.name for question in books.questions(name)]
    assert 4 <= len(names) <= 8 and len(set(names)) == len(names)
    cells = [cell for cell in source(name).cells if "question" in cell.metadata]
    answers = [cell.metadata["question"] for cell in cells if "points" not in cell.metadata]
    checks = [cell.metadata["question"] for cell in cells if "points" in cell.metadata]
    assert answers == checks == names
    for cell in cells:
        if "points" in cell.metadata:
            asked = {question.name: question for question in books.questions(name)}[cell.metadata["question"]]
            assert cell.source.strip() == f'book.check("{asked.name}", {asked.function})'
            assert (
                cell.metadata["points"] >= 1 and cell.metadata["difficulty"] in (1, 2, 3) and cell.metadata["minutes"]
            )


@every_book
def test_the_notebook_opens_the_version_that_the_questions_have(name):
    first = next(cell.source for cell in source(name).cells if cell.cell_type == "code")
    assert f'book = load("{name}", version={books.version(name)})' in first
    assert [cell.source for cell in source(name).cells if cell.cell_type == "code"][-1] == "book.progress()"


@every_question
def test_the_stub_has_the_signature_that_is_asked(name, question):
    text = next(
        cell.source
        for cell in source(name).cells
        if cell.metadata.get("question") == question.name and "points" not in cell.metadata
    )
    defined = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    stub = next(node for node in defined if node.name == question.function)
    assert tuple(argument.arg for argument in stub.args.args) == question.parameters
    assert ast.get_docstring(stub)


@every_question
def test_the_solution_in_the_source_passes(name, question):
    check(question, solved(name)[question.function], seed=name)
