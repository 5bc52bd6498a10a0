"""The journal of a search: optuna's journal file, in which every result stands before the next training begins.

One study in one file. A trial enters it with its first result; after each rung of a pruned search its value at that
rung is added, and then, once all values of the rung are there, the verdict. A crash can therefore cut the journal off
at any byte: what stands on whole lines is taken up again, and nothing of it is trained a second time.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lrlab._spaces import Choice, Dimension, Point, label, unlabel

if TYPE_CHECKING:
    import optuna

STUDY = "lrlab search"
_LINE_BEGINS = b'{"op_code"'  # every line that optuna writes


@dataclass(eq=False)
class Trial:
    """One point of the space and what came of it.

    Attributes:
        number: from 0, in the order of the plan.
        point: name -> value.
        round: of the search, from 1.
        values: steps -> metric after that many steps, a rung each; NaN where the runs diverged.
        status: ``"training"``, then ``"done"``, ``"pruned"`` or ``"diverged"``.
    """

    number: int
    point: Point
    round: int
    values: dict[int, float] = field(default_factory=dict)
    status: str = "training"

    @property
    def value(self) -> float:
        """The metric at the last rung."""
        return list(self.values.values())[-1] if self.values else math.nan


def import_optuna(why: str) -> Any:
    """optuna, or an ImportError that says what to do."""
    try:
        import optuna
    except ImportError:
        raise ImportError(f"{why} needs optuna, which is not installed here: pip install 'optuna>=4'") from None
    return optuna


@contextlib.contextmanager
def quiet() -> Generator[None, None, None]:
    """Without optuna's own messages about studies and trials."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


class NoJournal:
    """A search without a file: nothing is known beforehand, nothing is kept."""

    def known(self, space: Mapping[str, Dimension]) -> dict[int, Trial]:
        """No trials."""
        return {}

    def note(self, trial: Trial, space: Mapping[str, Dimension]) -> None:
        """Forget the trial's newest value, or its verdict."""


class Journal(NoJournal):
    """An optuna study in a journal file; open it with `open_journal`."""

    def __init__(self, path: Path, study: optuna.Study, storage: Any) -> None:
        self.path, self._study, self._storage = path, study, storage
        self._written: dict[int, tuple[int, int, str]] = {}  # trial -> its place in the study, values there, status

    def known(self, space: Mapping[str, Dimension]) -> dict[int, Trial]:
        """The trials on file, by number."""
        trials: dict[int, Trial] = {}
        for place, frozen in enumerate(self._study.get_trials(deepcopy=False)):
            number, round_number = frozen.user_attrs.get("trial"), frozen.user_attrs.get("round")
            if number is None or round_number is None or set(frozen.params) != set(space) or number in trials:
                raise ValueError(
                    f"{self.path} holds a trial that is not of this search (number {place} of its study). It is left "
                    "as it is: give another file as journal="
                )
            point = {name: unlabel(space[name], value) for name, value in frozen.params.items()}
            values = {int(steps): float(value) for steps, value in sorted(frozen.intermediate_values.items())}
            trial = Trial(number, point, round_number, values, _STATUS[frozen.state.name])
            trials[number] = trial
            self._written[number] = (place, len(values), trial.status)
        return trials

    def note(self, trial: Trial, space: Mapping[str, Dimension]) -> None:
        """Write the trial's newest value and its status, whatever of both is not on file yet; returns when they are."""
        import optuna

        if trial.number not in self._written:
            self._study.add_trial(self._template(trial, space))
            place = len(self._written)
        else:
            place, rungs, status = self._written[trial.number]
            storage, study_id = self._storage, self._storage.get_study_id_from_name(STUDY)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, place)
            for steps, value in list(trial.values.items())[rungs:]:
                storage.set_trial_intermediate_value(trial_id, steps, value)
            if trial.status != status:
                state = optuna.trial.TrialState[_STATE[trial.status]]
                values = [trial.value] if trial.status == "done" else None
                storage.set_trial_state_values(trial_id, state, values)
        self._written[trial.number] = (place, len(trial.values), trial.status)

    def _template(self, trial: Trial, space: Mapping[str, Dimension]) -> optuna.trial.FrozenTrial:
        import optuna

        return optuna.trial.create_trial(
            state=optuna.trial.TrialState[_STATE[trial.status]],
            value=trial.value if trial.status == "done" else None,
            params={name: label(value) for name, value in trial.point.items()},
            distributions={name: distribution(space[name], trial.point[name]) for name in trial.point},
            user_attrs={"trial": trial.number, "round": trial.round},
            intermediate_values=dict(trial.values),
        )


_STATE = {"training": "RUNNING", "done": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL"}
_STATUS = {state: status for status, state in _STATE.items()}


def distribution(dimension: Dimension, value: Any = None) -> Any:
    """optuna's name for a dimension. A search that moves on may leave its first interval: ``value`` is let in."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.labels)
    low, high = dimension.low, dimension.high
    if value is not None:
        low, high = min(low, value), max(high, value)
    if dimension.whole:
        return IntDistribution(int(low), int(high), log=dimension.log)
    return FloatDistribution(low, high, log=dimension.log)


# Opening a file -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_journal(
    path: str | os.PathLike[str] | None, arguments: Mapping[str, Any], maximise: bool, may_grow: bool
) -> Generator[NoJournal, None, None]:
    """The journal in a file, new or taken up again; no other process can open it meanwhile.

    Args:
        path: of the file; None for `NoJournal`.
        arguments: of the search, as JSON values; a journal goes on only with the same ones.
        maximise: whether a larger value is the better one.
        may_grow: whether the number of trials may differ from the journal's.

    Raises:
        ValueError: a file that is broken or none of ours, or a search with other arguments. The file stays as it is.
        RuntimeError: another process has it open.
    """
    if path is None:
        yield NoJournal()
        return
    optuna = import_optuna("a journal")
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"journal={str(path)!r}: there is no folder {path.parent}")
    if path.is_dir():
        raise IsADirectoryError(f"journal={str(path)!r} is a folder: give the name of a file in it")
    with path.open("ab") as claim, quiet():
        _claim(claim, path)
        _mend_the_end(path)
        storage = _storage(optuna, path)
        if storage.get_all_studies():
            study = optuna.load_study(storage=storage, study_name=STUDY)
        else:
            direction = "maximize" if maximise else "minimize"
            study = optuna.create_study(storage=storage, study_name=STUDY, direction=direction)
        _compare(path, study, arguments, may_grow)
        yield Journal(path, study, storage)


def _claim(file: IO[bytes], path: Path) -> None:
    """Keep other processes off the file. The system lets go when this process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise RuntimeError(f"another search is at work on {path}: wait for it, or give another journal=") from None


def _mend_the_end(path: Path) -> None:
    """Look at every line, and drop a last one that a crash has cut off before its end; it was never counted."""
    content = path.read_bytes()
    *whole, rest = content.split(b"\n")
    for number, line in enumerate(whole, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken(path, number, str(error)) from None
        if not isinstance(entry, dict) or not isinstance(entry.get("op_code"), int):
            raise _broken(path, number, "it is no entry of optuna's journal")
    if rest:
        if rest[: len(_LINE_BEGINS)] != _LINE_BEGINS[: len(rest)]:
            raise _broken(path, len(whole) + 1, "it is no entry of optuna's journal")
        os.truncate(path, len(content) - len(rest))


def _broken(path: Path, line: int, reason: str) -> ValueError:
    return ValueError(
        f"{path}, line {line}: the journal is broken here ({reason}). It is left as it is. Delete this line and those "
        "after it to go on from there, or give another file as journal="
    )


def _storage(optuna: Any, path: Path) -> Any:
    """optuna's storage on the file, if it holds no studies but ours."""
    from optuna.storages.journal import JournalFileBackend
    from optuna.storages.journal._file import BaseJournalFileLock

    class AlreadyOurs(BaseJournalFileLock):
        """The file is claimed as a whole. optuna's own lock would outlive a killed process for half a minute."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    class Lines(JournalFileBackend):
        """Counts the lines as they are read, to name the one that optuna stumbles over."""

        line = 0

        def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
            for self.line, entry in enumerate(super().read_logs(log_number_from), start=log_number_from + 1):
                yield entry

    backend = Lines(str(path), lock_obj=AlreadyOurs())
    try:
        storage = optuna.storages.JournalStorage(backend)
    except Exception as error:
        raise _broken(path, backend.line, f"{type(error).__name__}: {error}") from None
    names = [study.study_name for study in storage.get_all_studies()]
    if names not in ([], [STUDY]):
        raise ValueError(f"{path} holds other studies ({', '.join(names)}): give another file as journal=")
    return storage


def _compare(path: Path, study: optuna.Study, arguments: Mapping[str, Any], may_grow: bool) -> None:
    """Write the arguments into a new journal; refuse to go on with others."""
    arguments = json.loads(json.dumps(arguments))
    before = study.user_attrs.get("arguments")
    if before is None:
        study.set_user_attr("arguments", arguments)
        return
    for name in sorted({*before, *arguments}):
        then, now = before.get(name), arguments.get(name)
        if then != now and not (name == "trials" and may_grow):
            raise ValueError(
                f"{path} is the journal of a search with {name} = {then!r}, and this one has {name} = {now!r}: "
                "call it as before to go on with it, or give another file as journal="
            )
