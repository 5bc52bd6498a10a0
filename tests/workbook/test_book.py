"""The workbook as its notebook holds it, at a desk and in a real kernel."""

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from lrlab.workbook import (
    Book,
    Mistake,
    NotAttempted,
    NotYet,
    Question,
    UnknownQuestion,
    UnknownWorkbook,
    WorkbookError,
    Wrong,
    book,
    books,
    judging,
    load,
)

DOUBLE = Question(
    name="double",
    signature="double(x)",
    draw=lambda random: {"x": random.tensor()},
    answer=lambda x: 2 * x,
    examples=({"x": torch.tensor([1.0])},),
    mistakes=(Mistake("square", lambda x: x**2, "You squared x."),),
    rights=(lambda x: x + x,),
    hints=("What is twice?", "Two of them.", "x and x, added up."),
)
HALF = Question(
    name="half",
    signature="half(x)",
    draw=DOUBLE.draw,
    answer=lambda x: x / 2,
    mistakes=(),
    rights=(),
    hints=("a", "b", "c"),
)


@pytest.fixture
def small(tmp_path):
    return Book("00_small", (DOUBLE, HALF), tmp_path)


def again(opened):
    """The same workbook after a restart of the kernel."""
    return Book(opened.name, tuple(opened.questions.values()), opened.kept.path.parent)


def stub(x):
    raise NotImplementedError()


# check ----------------------------------------------------------------------------------------------------------------


def test_a_right_answer_prints_one_line_that_is_always_the_same(small, capsys):
    for _ in range(2):
        assert small.check("double", lambda x: 2 * x) is None
    printed = capsys.readouterr()
    assert printed.out == 2 * "double: right, on 1 example and 20 random inputs.\n" and printed.err == ""


def test_a_wrong_answer_raises_and_is_an_attempt(small):
    with pytest.raises(Wrong, match="You squared x"):
        small.check("double", lambda x: x**2)
    assert small.kept.attempts("double") == 1 and not small.kept.right("double")


def test_an_answer_that_calls_another_is_told_where_to_begin(small):
    names = {}
    exec("def double(x): return 3 * x\ndef half(x): return double(x) / 4", names)
    with pytest.raises(Wrong, match=r"first +It calls your double, not checked and right yet: begin there"):
        small.check("half", names["half"])
    with pytest.raises(Wrong):
        small.check("double", names["double"])
    with pytest.raises(Wrong, match="It calls your double"):
        small.check("half", names["half"])

    exec("def double(x): return 2 * x\ndef half(x): return double(x) / 3", names)
    small.check("double", names["double"])
    with pytest.raises(Wrong) as found:
        small.check("half", names["half"])
    assert "double" not in str(found.value), "it is right, so the fault is here"
    with pytest.raises(Wrong) as found:
        again(small).check("half", names["half"])
    assert "double" not in str(found.value), "and was right before the restart"


def test_a_stub_is_no_attempt(small):
    with pytest.raises(NotAttempted):
        small.check("double", stub)
    assert small.kept.attempts("double") == 0


def test_right_is_said_of_this_kernel_only(small):
    assert not small.right("double")
    small.check("double", lambda x: 2 * x)
    assert small.right("double") and not small.right("double", "half") and not again(small).right("double")
    with pytest.raises(Wrong):
        small.check("double", lambda x: x**2)
    assert not small.right("double")


def test_what_waits_for_an_answer_says_so(small, capsys):
    assert not small.right("double", "half")
    assert capsys.readouterr().out == "Nothing to see yet: this cell needs your double and half, checked and right.\n"
    small.check("double", lambda x: 2 * x)
    small.check("half", lambda x: x / 2)
    capsys.readouterr()
    assert small.right("double", "half") and capsys.readouterr().out == "", "no word where there is something to see"
    restarted = again(small)
    assert not restarted.right("double", "half")
    said = capsys.readouterr().out
    assert "Python was started anew. Run double and half and the check of each again, then this cell." in said
    with pytest.raises(Wrong):
        restarted.check("half", lambda x: x)
    assert not restarted.right("half") and "Run half and the check" in capsys.readouterr().out


def test_a_fault_of_ours_is_no_fault_of_the_students(small, monkeypatch):
    def broken(*_):
        raise IndexError("deep inside")

    monkeypatch.setattr(judging, "verdict", broken)
    with pytest.raises(WorkbookError, match="no fault of your function.*IndexError: deep inside") as caught:
        small.check("double", lambda x: 2 * x)
    assert caught.value._render_traceback_() == [str(caught.value)]
    assert small.kept.attempts("double") == 0


def test_given_is_the_input_that_failed_last_or_the_first_example(small):
    assert torch.equal(small.given("double")[0], torch.tensor([1.0]))
    with pytest.raises(Wrong):
        small.check("double", lambda x: 2 * x if len(x) < 2 else x)
    assert len(small.given("double")[0]) == 2
    small.given("double")[0].zero_()
    assert small.given("double")[0].any()


# Names that are not there ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask", [lambda b: b.check("dubble", stub), lambda b: b.hint("dubble"), lambda b: b.solution("dubble")]
)
def test_an_unknown_question_suggests_the_nearest(small, ask):
    with pytest.raises(UnknownQuestion, match="no question 'dubble'. Did you mean 'double'"):
        ask(small)


def test_a_question_of_another_workbook_says_of_which(small):
    with pytest.raises(UnknownQuestion, match="'momentum' is a question of the workbook 03_momentum"):
        small.check("momentum", stub)


@pytest.mark.parametrize("name", [None, 3, stub, ""])
def test_a_name_that_is_no_word_is_unknown(small, name):
    with pytest.raises(UnknownQuestion, match="It has double, half"):
        small.check(name, stub)


def test_an_unknown_workbook_suggests_the_nearest():
    with pytest.raises(UnknownWorkbook, match="Did you mean '03_momentum'"):
        load("3_momentun")
    with pytest.raises(UnknownWorkbook, match="There are .*03_momentum"):
        load("")


# Versions -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("notebook", "older"), [(1, "the notebook that belongs to your lrlab"), (3, "the lrlab that")])
def test_another_version_of_the_notebook_is_said_and_checked_all_the_same(
    monkeypatch, tmp_path, capsys, notebook, older
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(books, "version", lambda name: 2)
    opened = load("03_momentum", version=notebook)
    said = capsys.readouterr().out
    assert f"is version {notebook} of 03_momentum" in said and "has version 2" in said and older in said
    opened.check("equal_rate", lambda lr, rho, new: lr * (1 - new) / (1 - rho))


def test_the_right_version_says_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    opened = load("03_momentum", version=books.version("03_momentum"))
    assert capsys.readouterr().out == "" and "momentum" in repr(opened)


def test_a_damaged_progress_file_is_said_when_the_workbook_is_opened(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "03_momentum.progress.json").write_text("{")
    load("03_momentum")
    assert "progress starts anew" in capsys.readouterr().out


# Hints and the solution -----------------------------------------------------------------------------------------------


def test_hints_come_in_stages_and_the_stage_survives_a_restart(small, capsys):
    small.hint("double")
    again(small).hint("double")
    said = capsys.readouterr().out
    assert "hint 1 of 3: What is twice?" in said and "hint 2 of 3: Two of them.\nThere is one more." in said
    for _ in range(2):
        small.hint("double")
        said = capsys.readouterr().out
        assert "hint 3 of 3: x and x" in said and "book.solution('double')" in said


@pytest.fixture
def recorded(small):
    small.__dict__["_record"] = {"points": {"double": 2, "half": 3}, "solutions": {"double": "def double(x): ..."}}
    return small


def test_the_solution_comes_after_an_attempt(recorded, capsys):
    with pytest.raises(NotYet, match="try it first.*force=True"):
        recorded.solution("double")
    with pytest.raises(Wrong):
        recorded.check("double", lambda x: x**2)
    recorded.solution("double")
    assert "def double(x): ..." in capsys.readouterr().out


def test_the_solution_can_be_forced(recorded, capsys):
    recorded.solution("double", force=True)
    assert "00_small: double" in capsys.readouterr().out


def test_without_a_record_there_is_a_clear_line(small):
    with pytest.raises(WorkbookError, match="lrlab workbook build 00_small"):
        small.solution("double", force=True)


# Progress -------------------------------------------------------------------------------------------------------------


def test_progress_shows_each_question_and_the_points(recorded, capsys):
    recorded.check("double", lambda x: 2 * x)
    with pytest.raises(Wrong):
        recorded.check("half", lambda x: x)
    capsys.readouterr()
    assert recorded.progress() is None
    assert capsys.readouterr().out.splitlines() == [
        "✓ double  right    2 points",
        "· half    tried    3 points",
        "00_small: 1 of 2 questions right, 2 of 5 points.",
    ]


def test_progress_says_why_it_cannot_be_kept(tmp_path, capsys):
    lost = Book("00_small", (DOUBLE,), tmp_path / "missing")
    lost.check("double", lambda x: 2 * x)
    lost.progress()
    assert "cannot be kept" in capsys.readouterr().out


# In a real kernel -----------------------------------------------------------------------------------------------------

CELLS = [
    "import torch\nfrom lrlab.workbook import load\nbook = load('03_momentum', version=1)",
    "def momentum(x, g, v, lr, rho):\n    # YOUR CODE HERE\n    raise NotImplementedError()",
    "book.check('momentum', momentum)",
    "def momentum(x, g, v, lr, rho):\n    return x - lr * v, rho * v + g",
    "book.check('momentum', momentum)",
    "def momentum(x, g, v, lr, rho):\n    v = rho * v + g\n    return x - lr * w, v",
    "book.check('momentum', momentum)",
    "import sys, warnings\ndef momentum(x, g, v, lr, rho):\n    warnings.warn('old')\n    print('!', file=sys.stderr)\n"
    "    v = rho * v + g\n    return x - lr * v, v",
    "book.check('momentum', momentum)",
    "book.check('momentom', momentum)",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The cells after a run in a real kernel, and the folder it ran in."""
    folder = tmp_path_factory.mktemp("desk")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(
        notebook, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": folder}}
    ).execute()
    return notebook.cells, folder


def test_a_notebook_shows_verdicts_as_plain_text(run):
    cells, _ = run
    errors = {index: cells[index].outputs[0] for index in (2, 4, 6, 9)}
    assert [errors[index].ename for index in errors] == ["NotAttempted", "Wrong", "Raised", "UnknownQuestion"]
    for error in errors.values():
        shown = "\n".join(error.traceback)
        assert "Traceback" not in shown and "\x1b" not in shown and "lrlab/workbook" not in shown
    assert "OLD VELOCITY" in "\n".join(errors[4].traceback)
    assert "cell [6], line 3, in momentum:  return x - lr * w, v" in "\n".join(errors[6].traceback)


def test_a_check_that_is_passed_leaves_one_line_and_nothing_on_stderr(run):
    cells, folder = run
    assert [(output.output_type, output.name) for output in cells[8].outputs] == [("stream", "stdout")]
    assert cells[8].outputs[0].text == "momentum: right, on 3 examples and 20 random inputs.\n"
    assert [path.name for path in folder.iterdir()] == ["03_momentum.progress.json"]


def test_the_module_of_the_book_is_not_hidden_by_a_name_of_the_package():
    assert book.Book is Book
