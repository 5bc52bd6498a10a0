"""Searches: the spaces, the four kinds, pruning, the journal and its crashes, the pictures, and what is refused."""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from lrlab import rules, schedules, search
from lrlab.sweeps import sweep

RATES = {"lr": search.log_uniform(1e-4, 10)}
PLANE = {"lr": search.log_uniform(1e-4, 10), "rho": search.uniform(0, 0.99)}
MOMENTUM = {"rule": rules.Momentum(), "progress": False}


class Bowl:
    """In the place of `sweep`: a loss with its bottom at lr = 0.1, rho = 0.5; rates above 5 diverge."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, model: Any, data: Any, **given: Any) -> pd.DataFrame:
        self.calls.append(given)
        varying = {name: value for name, value in given.items() if name in ("lr", "rho", "beta1", "batch_size")}
        n = max([len(value) for value in varying.values() if isinstance(value, list)], default=1)
        rows = []
        for i in range(n):
            point = {name: value[i] if isinstance(value, list) else value for name, value in varying.items()}
            for seed in given["seeds"]:
                lr, rho = point.get("lr", 0.1), point.get("rho", 0.5)
                lr = lr if isinstance(lr, float) else 0.1
                loss = (math.log10(lr) + 1) ** 2 + (rho - 0.5) ** 2 + 1 / given["steps"] + 0.01 * seed
                loss -= 1e-5 * point.get("batch_size", 0)
                loss = math.nan if lr > 5 else loss
                rows.append({"val_loss": loss, "val_accuracy": 1 - loss / 50, "loss": loss})
        return pd.DataFrame(rows)

    @property
    def points(self) -> list[tuple[float, int]]:
        """Every training: its rate and its steps."""
        return [(lr, call["steps"]) for call in self.calls for lr in call["lr"]]


@pytest.fixture
def bowl(monkeypatch: pytest.MonkeyPatch) -> Bowl:
    made = Bowl()
    monkeypatch.setattr(search, "sweep", functools.wraps(sweep)(lambda *args, **given: made(*args, **given)))
    return made


def same(a: search.Search, b: search.Search) -> bool:
    return bool(a.table.equals(b.table)) and a.warnings == b.warnings and a.budget == b.budget


# Spaces ---------------------------------------------------------------------------------------------------------------

DIMENSIONS = st.one_of(
    st.builds(lambda low, size: search.uniform(low, low + size), st.floats(-5, 5), st.floats(0.01, 10)),
    st.builds(lambda low, times: search.log_uniform(low, low * times), st.floats(1e-6, 1), st.floats(1.1, 1e4)),
    st.builds(
        lambda low, size, log: search.integers(low, low + size, log=log),
        st.integers(1, 50),
        st.integers(1, 500),
        st.booleans(),
    ),
)


@given(DIMENSIONS, st.floats(0, 1), st.integers(2, 12))
def test_positions_and_values_of_an_interval(dimension: Any, position: float, n: int) -> None:
    value = dimension.value(position)
    assert dimension.low <= value <= dimension.high
    if dimension.whole:
        assert isinstance(value, int) and dimension.value(dimension.position(value)) == value
    else:
        assert dimension.position(value) == pytest.approx(position, abs=1e-6)
    spaced = dimension.spaced(n)
    assert spaced == sorted(set(spaced)) and len(spaced) <= n
    assert spaced[0] == pytest.approx(dimension.low) and spaced[-1] == pytest.approx(dimension.high)
    assert eval(repr(dimension), vars(search)) == dimension


def test_draws_are_even_on_their_scale() -> None:
    n = 20_000
    assert (search.uniform(0, 1).draw(n) > 0.1).mean() == pytest.approx(0.9, abs=0.01)
    rates = search.log_uniform(1e-4, 1).draw(n, seed=1)
    assert [(rates < 10.0**p).mean() for p in (-3, -2, -1)] == pytest.approx([0.25, 0.5, 0.75], abs=0.015)
    counts = np.bincount(search.integers(3, 7).draw(n, seed=2))
    assert counts[:3].sum() == 0 and np.allclose(counts[3:] / n, 0.2, atol=0.01)
    assert set(search.choice(16, 32, 64).draw(100)) == {16, 32, 64}
    assert np.array_equal(search.uniform(0, 1).draw(9, seed=3), search.uniform(0, 1).draw(9, seed=3))
    octaves = np.log2(search.integers(1, 256, log=True).draw(n, seed=4))
    assert ((octaves > 3) & (octaves <= 4)).mean() == pytest.approx(1 / 9, abs=0.02)  # 9 doublings from 1/2 to 256


def test_the_chance_of_a_hit() -> None:
    assert search.trials_for(0.95, 0.05) == 59
    assert search.chance_of_a_hit(58) < 0.95 <= search.chance_of_a_hit(59)
    draws = np.random.default_rng(0).random((4000, 59))
    assert (draws < 0.05).any(1).mean() == pytest.approx(search.chance_of_a_hit(59), abs=0.015)


# The four kinds -------------------------------------------------------------------------------------------------------


def test_a_grid_has_every_combination(bowl: Bowl) -> None:
    found = search.grid("mlp", "digits", {"lr": [0.1, 1.0], "rho": [0.0, 0.5, 0.9]}, **MOMENTUM)
    assert found.table[["lr", "rho"]].to_numpy().tolist() == [[a, b] for a in (0.1, 1.0) for b in (0.0, 0.5, 0.9)]
    assert found.best == {"lr": 0.1, "rho": 0.5} and found.budget == 6 * 300
    found = search.grid("mlp", "digits", PLANE, trials=30, **MOMENTUM)
    assert len(found.table) == 25  # five values each: 6 x 6 would be more than 30
    assert np.allclose(sorted(set(found.table.lr)), np.geomspace(1e-4, 10, 5))
    found = search.grid("mlp", "digits", {**PLANE, "rho": [0.1, 0.2]}, trials=9, **MOMENTUM)
    assert found.table.lr.nunique() == 4 and found.table.rho.nunique() == 2
    assert len(search.grid("mlp", "digits", {"lr": torch.tensor([0.1, 0.2])}, progress=False).table) == 2


def test_random_draws_depend_on_seed_and_number_alone(bowl: Bowl) -> None:
    few = search.random("mlp", "digits", PLANE, trials=10, at_once=3, **MOMENTUM)
    many = search.random("mlp", "digits", PLANE, trials=25, **MOMENTUM)
    other = search.random("mlp", "digits", PLANE, trials=10, seed=1, **MOMENTUM)
    assert many.table[:10].equals(few.table) and not other.table.equals(few.table)
    assert many.table.lr.nunique() == 25
    assert [len(call["lr"]) for call in bowl.calls] == [3, 3, 3, 1, 25, 10]
    assert many.best_value == many.table.val_loss.min()
    assert (many.table.status == np.where(many.table.lr > 5, "diverged", "done")).all()


def test_each_rule_is_swept_by_itself(bowl: Bowl) -> None:
    space = {**RATES, "rule": [rules.SGD(), "adam"], "batch_size": search.integers(8, 64)}
    found = search.random("mlp", "digits", space, trials=20, progress=False)
    assert {type(call["rule"]).__name__ for call in bowl.calls} == {"SGD", "Adam"} and len(bowl.calls) == 2
    assert set(found.table["rule"]) == {repr(rules.SGD()), repr(rules.Adam())}
    assert isinstance(found.best["rule"], rules.Rule)
    run = found.run()
    assert run.rule == found.best["rule"] and run.batch_size == found.best["batch_size"] and run.lr == found.best["lr"]


def test_coarse_to_fine_zooms_into_the_best_region(bowl: Bowl) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = search.coarse_to_fine("mlp", "digits", RATES, trials=27, rounds=3, progress=False)
    spans = [np.log10(found.table.lr[found.table["round"] == r]) for r in (1, 2, 3)]
    widths = [span.max() - span.min() for span in spans]
    assert widths[0] > 4 and widths[1] < widths[0] / 2.2 and widths[2] < widths[1] / 2.2
    assert abs(math.log10(found.best["lr"]) + 1) < 0.1 and found.warnings == []
    # A Latin hypercube: each of the nine strips of the first round has one trial.
    strips = np.floor((spans[0] + 4) / 5 * 9).astype(int)
    assert sorted(strips) == list(range(9))


@pytest.mark.filterwarnings("ignore:round")
def test_a_best_trial_on_the_border_moves_the_region_beyond_it(bowl: Bowl) -> None:
    with pytest.warns(UserWarning, match=r"round 1: the best lr, .*, sits on the border of \[0.0001, 0.001\]") as heard:
        found = search.coarse_to_fine(
            "mlp", "digits", {"lr": search.log_uniform(1e-4, 1e-3)}, trials=40, rounds=5, progress=False
        )
    assert [str(each.message) for each in heard] == found.warnings
    assert heard[0].filename == __file__
    assert math.log10(found.best["lr"]) == pytest.approx(-1, abs=0.2)  # found, two decades beyond the border


def test_the_region_stops_where_a_hyperparameter_ends(bowl: Bowl) -> None:
    space = {"batch_size": search.integers(1000, 1180)}  # the larger the better, and 1,197 images to train on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = search.coarse_to_fine("mlp", "digits", space, trials=40, rounds=4, progress=False)
    assert 1180 < found.table.batch_size.max() <= 1197 and found.best["batch_size"] > 1180
    assert all(type(size) is int for size in found.table.batch_size)


def test_bayesian_search_learns_from_what_it_found(bowl: Bowl) -> None:
    for sampler in ("tpe", "gp"):
        found = search.bayesian("mlp", "digits", PLANE, trials=32, sampler=sampler, **MOMENTUM)
        assert found.table["round"].tolist() == [1 + i // 8 for i in range(32)]
        assert found.table.duplicated(["lr", "rho"]).sum() == 0  # the lie keeps a batch apart
        losses = found.table.val_loss.fillna(np.inf)
        assert losses[16:].median() < 0.5 * losses[:8].median()
        assert same(found, search.bayesian("mlp", "digits", PLANE, trials=32, sampler=sampler, **MOMENTUM))


def test_bayesian_search_chooses_among_rules_and_sizes(bowl: Bowl) -> None:
    space = {**RATES, "rule": search.choice(rules.SGD(), rules.Adam()), "batch_size": search.integers(8, 64)}
    found = search.bayesian("mlp", "digits", space, trials=12, at_once=4, progress=False)
    assert all(type(size) is int for size in found.table.batch_size) and isinstance(found.best["rule"], rules.Rule)


def test_settings_and_executor_reach_the_sweep(bowl: Bowl) -> None:
    with ThreadPoolExecutor(1) as pool:
        search.random("mlp", "digits", RATES, trials=2, executor=pool, weight_decay=0.1, how="looped", progress=False)
    call = bowl.calls[0]
    assert (call["executor"], call["weight_decay"], call["how"], call["progress"]) == (pool, 0.1, "looped", False)


def test_the_larger_accuracy_is_the_better_one(bowl: Bowl) -> None:
    for kind in (search.random, search.bayesian):
        found = kind("mlp", "digits", RATES, trials=15, metric="val_accuracy", progress=False)  # type: ignore[operator]
        assert found.best_value == found.table.val_accuracy.max()


# Seeds and pruning ----------------------------------------------------------------------------------------------------


def test_a_trial_is_the_median_of_its_seeds(bowl: Bowl) -> None:
    found = search.grid("mlp", "digits", {"lr": [0.1]}, seeds=3, steps=10, progress=False)
    assert found.table.val_loss[0] == pytest.approx(0.1 + 0.01) and found.budget == 30
    assert bowl.calls[0]["seeds"] == [0, 1, 2]
    found = search.grid("mlp", "digits", {"lr": [0.1]}, seeds=[5, 7], steps=10, progress=False)
    assert found.table.val_loss[0] == pytest.approx(0.1 + 0.06)


def test_successive_halving_keeps_the_best_and_counts_every_step(bowl: Bowl) -> None:
    halving = search.Halving(factor=3, least_steps=10)
    found = search.random("mlp", "digits", RATES, trials=27, steps=90, seeds=2, prune=halving, progress=False)
    assert [sorted({call["steps"]}) for call in bowl.calls] == [[10], [30], [90]]
    assert [len(call["lr"]) for call in bowl.calls] == [27, 9, 3]
    assert found.budget == found.table.steps.sum() == 2 * (27 * 10 + 9 * 30 + 3 * 90)
    assert found.table.rung.value_counts().to_dict() == {1: 18, 2: 6, 3: 3}
    done = found.table[found.table.status == "done"]
    whole = search.random("mlp", "digits", RATES, trials=27, steps=90, seeds=2, progress=False)
    assert done.val_loss.equals(
        whole.table.val_loss[done.index]
    )  # retrained from 0: exactly the values without pruning
    assert found.best == whole.best and found.budget < whole.budget
    early = search.random("mlp", "digits", RATES, trials=27, steps=10, seeds=2, progress=False).table
    kept = early.val_loss.nsmallest(9).index
    assert set(found.table.index[found.table.rung > 1]) == set(kept)
    assert (found.table.status[early.status == "diverged"] == "diverged").all()


def test_a_pruned_search_really_trains_as_a_sweep_does() -> None:
    halving = search.Halving(factor=2, least_steps=5)
    space = {"lr": search.log_uniform(1e-3, 1), "rho": search.uniform(0, 0.9)}
    found = search.random(
        "mlp", "digits", space, trials=6, steps=20, prune=halving, how="batched", batch_size=32, dtype="float64",
        **MOMENTUM,
    )  # fmt: skip
    best = found.table.loc[found.table.val_loss.where(found.table.status == "done").idxmin()]
    run = found.run().train(20, progress=False)
    assert run.validate()[0] == pytest.approx(best.val_loss, rel=1e-6)
    assert run.batch_size == 32 and run.rho == best.rho


# The journal ----------------------------------------------------------------------------------------------------------


KINDS: dict[str, Any] = {
    "grid": functools.partial(search.grid, trials=9),
    "random": functools.partial(search.random, trials=9),
    "coarse_to_fine": functools.partial(search.coarse_to_fine, trials=12, rounds=2),
    "bayesian": functools.partial(search.bayesian, trials=13, at_once=4),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:round")
def test_a_finished_journal_is_read_and_nothing_trained(kind: str, bowl: Bowl, tmp_path: Path) -> None:
    settings = {"seeds": 2, **MOMENTUM}
    plain = KINDS[kind]("mlp", "digits", PLANE, **settings)
    first = KINDS[kind]("mlp", "digits", PLANE, journal=tmp_path / "it.log", **settings)
    trained = len(bowl.calls)
    again = KINDS[kind]("mlp", "digits", PLANE, journal=tmp_path / "it.log", **settings)
    assert len(bowl.calls) == trained and same(plain, first) and same(first, again) and first.best == again.best


def test_it_is_a_journal_that_optuna_can_read(bowl: Bowl, tmp_path: Path) -> None:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    halving = search.Halving(3, 10)
    found = search.random("mlp", "digits", PLANE, trials=20, prune=halving, journal=tmp_path / "it.log", **MOMENTUM)
    study = optuna.load_study(
        study_name="lrlab search", storage=optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "it.log")))
    )
    assert study.best_params == found.best and study.best_value == found.best_value
    states = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "diverged"}
    by_number = {trial.user_attrs["trial"]: states[trial.state.name] for trial in study.trials}
    assert by_number == found.table.status.to_dict()


@functools.cache
def whole_journal(kind: str, folder: Path) -> tuple[bytes, search.Search]:
    """The journal of a search with pruning that came to its end (with the bowl in the place of the sweep)."""
    found = KINDS[kind]("mlp", "digits", RATES, prune=HALVING, journal=folder / f"{kind}.log", progress=False)
    return (folder / f"{kind}.log").read_bytes(), found


HALVING = search.Halving(factor=2, least_steps=40)


@pytest.mark.filterwarnings("ignore:round")
def test_a_crash_at_any_byte_loses_no_trial_and_repeats_none(bowl: Bowl, tmp_path: Path) -> None:
    pytest.importorskip("optuna")

    @hypothesis.settings(max_examples=24)
    @given(st.sampled_from(["random", "bayesian"]), st.floats(0, 1))
    def crash(kind: str, share: float) -> None:
        content, whole = whole_journal(kind, tmp_path)
        left = content[: int(share * len(content))]
        path = tmp_path / "cut.log"
        path.write_bytes(left)
        lines = [json.loads(line) for line in left.split(b"\n")[:-1]]
        known = sum(len(entry.get("intermediate_values", {})) for entry in lines)  # a trial with its first value
        known += sum("intermediate_value" in entry for entry in lines)  # one more rung of a trial
        bowl.calls.clear()
        resumed = KINDS[kind]("mlp", "digits", RATES, prune=HALVING, journal=path, progress=False)
        assert same(resumed, whole)
        values = sum(len(trial.values) for trial in whole.trials)
        assert len(bowl.points) == len(set(bowl.points)) == values - known
        bowl.calls.clear()
        assert same(KINDS[kind]("mlp", "digits", RATES, prune=HALVING, journal=path, progress=False), whole)
        assert bowl.calls == []

    crash()


KILLED = """
import functools, sys, time
from lrlab import search
from lrlab.sweeps import sweep
from tests.test_search import Bowl, PLANE, MOMENTUM
bowl = Bowl()
@functools.wraps(sweep)
def slow(*args, **given):
    time.sleep(0.05)
    result = bowl(*args, **given)
    print(*given["lr"], flush=True)
    return result
search.sweep = slow
search.bayesian("mlp", "digits", PLANE, trials=16, at_once=2, journal=sys.argv[1], **MOMENTUM)
"""


def test_a_killed_search_goes_on(bowl: Bowl, tmp_path: Path) -> None:
    path = tmp_path / "it.log"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    before = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGKILL)
    before += process.stdout.readlines()
    assert process.wait() == -signal.SIGKILL
    kept = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    kept_rates = [entry["params"]["lr"] for entry in kept if "params" in entry]
    trained = [float(rate) for line in before for rate in line.split()]
    assert set(kept_rates) <= set(trained) and len(trained) - len(kept_rates) <= 4  # all but the batch of the kill
    search_again = functools.partial(search.bayesian, "mlp", "digits", PLANE, trials=16, at_once=2, **MOMENTUM)
    resumed = search_again(journal=path)
    after = [rate for rate, _ in bowl.points]
    assert set(kept_rates).isdisjoint(after) and len(after) == 16 - len(kept_rates)
    assert same(resumed, search_again())


def test_a_real_sweep_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"trials": 6, "at_once": 2, "steps": 8, "how": "batched", "progress": False}
    space = {"lr": search.log_uniform(1e-3, 1)}
    whole = search.random("mlp", "digits", space, journal=tmp_path / "it.log", **settings)
    lines = (tmp_path / "it.log").read_bytes().splitlines(keepends=True)
    (tmp_path / "it.log").write_bytes(b"".join(lines[:-2]))  # the last batch was never written
    assert same(search.random("mlp", "digits", space, journal=tmp_path / "it.log", **settings), whole)


def test_a_journal_may_grow_by_more_trials(bowl: Bowl, tmp_path: Path) -> None:
    for kind in (search.random, search.bayesian):
        path = tmp_path / kind.__name__
        kind("mlp", "digits", PLANE, trials=11, journal=path, **MOMENTUM)
        bowl.calls.clear()
        more = kind("mlp", "digits", PLANE, trials=20, journal=path, **MOMENTUM)
        assert len(bowl.points) == 9 and len(more.table) == 20
        assert same(more, kind("mlp", "digits", PLANE, trials=20, **MOMENTUM))
        assert len(kind("mlp", "digits", PLANE, trials=5, journal=path, **MOMENTUM).table) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": {"lr": search.log_uniform(1e-4, 1)}}, r"space = .*uniform\(0.0001, 10\).*uniform\(0.0001, 1\)"),
        ({"steps": 20}, "steps = 300, and this one has steps = 20"),
        ({"seed": 1}, "seed = 0, and this one has seed = 1"),
        ({"seeds": 2}, r"seeds = \[0\], and this one has seeds = \[0, 1\]"),
        ({"rule": rules.Adam()}, "rule = .*Momentum.*Adam"),
        ({"metric": "loss"}, "metric = 'val_loss', and this one has metric = 'loss'"),
        ({"prune": search.Halving()}, "prune = None"),
        ({"batch_size": 8}, "batch_size = None, and this one has batch_size = 8"),
        ({"data": "glyphs"}, "data = 'digits', and this one has data = 'glyphs'"),
        ({"model": lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))}, "model = 'mlp'"),
    ],
)
def test_a_journal_goes_on_with_the_same_arguments_only(
    change: dict[str, Any], words: str, bowl: Bowl, tmp_path: Path
) -> None:
    arguments = {"model": "mlp", "data": "digits", "space": RATES, "trials": 3, "journal": tmp_path / "it", **MOMENTUM}
    search.random(**arguments)
    before = (tmp_path / "it").read_bytes()
    with pytest.raises(ValueError, match=f"it is the journal of a search with {words}"):
        search.random(**{**arguments, **change})
    assert (tmp_path / "it").read_bytes() == before
    with pytest.raises(ValueError, match="search = 'random', and this one has search = 'grid'|rule|trials"):
        search.grid(**arguments)


def test_own_modules_and_data_are_told_apart(bowl: Bowl, tmp_path: Path) -> None:
    def module(seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))

    def data(shift: float) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.linspace(shift, 1, 80).reshape(20, 4), torch.arange(20) % 2

    settings: dict[str, Any] = {"trials": 2, "journal": tmp_path / "it", "batch_size": 4, "progress": False}
    search.random(module(0), data(0), RATES, **settings)
    search.random(module(0), data(0), RATES, **settings)
    assert len(bowl.calls) == 1
    with pytest.raises(ValueError, match="with model = 'Sequential"):
        search.random(module(1), data(0), RATES, **settings)
    with pytest.raises(ValueError, match="with data = 'your data"):
        search.random(module(0), data(0.5), RATES, **settings)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: [*lines[:3], b'{"op_code":4,"trial_id\n', *lines[4:]], "line 4: the journal is broken here"),
        (lambda lines: [*lines[:-1], b"scribble\n"], "line 5: the journal is broken here"),
        (lambda lines: [*lines, b"scribble"], "line 6: the journal is broken here"),
        (lambda lines: [b"lr,loss\n", b"0.1,2.3\n"], "line 1: the journal is broken here"),
        (lambda lines: [*lines[:2], b'{"op_code":4}\n', *lines[2:]], "line 3: the journal is broken here"),
        (lambda lines: [*lines, lines[-1]], "holds a trial that is not of this search"),
    ],
)
def test_a_broken_journal_is_named_and_left_alone(damage: Any, words: str, bowl: Bowl, tmp_path: Path) -> None:
    path = tmp_path / "it.log"
    search.random("mlp", "digits", RATES, trials=3, journal=path, progress=False)
    broken = b"".join(damage(path.read_bytes().splitlines(keepends=True)))
    path.write_bytes(broken)
    bowl.calls.clear()
    with pytest.raises(ValueError, match=words) as caught:
        search.random("mlp", "digits", RATES, trials=3, journal=path, progress=False)
    assert str(path) in str(caught.value) and "give another file as journal=" in str(caught.value)
    assert path.read_bytes() == broken and bowl.calls == []


def test_two_searches_do_not_share_a_journal(bowl: Bowl, tmp_path: Path) -> None:
    path = tmp_path / "it.log"

    def at_the_same_time(*args: Any, **given: Any) -> Any:
        search.random("mlp", "digits", RATES, trials=3, journal=path, progress=False)

    search.sweep = functools.wraps(sweep)(at_the_same_time)  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="another search is at work on .*it.log: wait for it"):
        search.random("mlp", "digits", RATES, trials=3, journal=path, progress=False)


def test_what_is_finished_stays_when_training_fails(
    bowl: Bowl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @functools.wraps(sweep)
    def fails_later(*args: Any, **given: Any) -> Any:
        if len(bowl.calls) == 3:
            raise MemoryError("no room")
        return bowl(*args, **given)

    call = functools.partial(
        search.random, "mlp", "digits", RATES, trials=8, at_once=2, journal=tmp_path / "it", progress=False
    )
    with monkeypatch.context() as patch:
        patch.setattr(search, "sweep", fails_later)
        with pytest.raises(MemoryError):
            call()
    bowl.calls.clear()
    assert len(call().table) == 8 and len(bowl.points) == 2


def test_studies_of_others_are_left_alone(bowl: Bowl, tmp_path: Path) -> None:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    path = tmp_path / "theirs.log"
    optuna.create_study(study_name="theirs", storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"holds other studies \(theirs\)"):
        search.random("mlp", "digits", RATES, trials=3, journal=path, progress=False)
    assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        search.random("mlp", "digits", RATES, trials=3, journal=tmp_path / "none" / "it", progress=False)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        search.random("mlp", "digits", RATES, trials=3, journal=tmp_path, progress=False)


def test_without_optuna_only_what_needs_it_is_refused(
    bowl: Bowl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert len(search.random("mlp", "digits", RATES, trials=3, progress=False).table) == 3
    with pytest.raises(ImportError, match="a journal needs optuna, .*: pip install 'optuna>=4'"):
        search.random("mlp", "digits", RATES, trials=3, journal=tmp_path / "it", progress=False)
    with pytest.raises(ImportError, match="Bayesian search needs optuna"):
        search.bayesian("mlp", "digits", RATES, trials=3, progress=False)


# Results --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space",
    [
        RATES,
        PLANE,
        {"lr": [0.01, 0.1, 1.0]},
        {"lr": [0.01, 0.1], "rho": [0.1, 0.9]},
        {**PLANE, "batch_size": search.choice(8, 16), "dampening": search.uniform(0, 0.5)},
        {"lr": search.choice(0.1, schedules.Cosine(0.1, total=300)), "rho": search.uniform(0, 0.9)},
        {"lr": search.log_uniform(6, 10)},
    ],
)
def test_pictures_and_their_words(space: dict[str, Any], bowl: Bowl) -> None:
    for kind, more in (("grid", {}), ("random", {"prune": search.Halving(2, 40)})):
        if "dampening" in space:
            space = {name: each for name, each in space.items() if name != "dampening"}
        found = getattr(search, kind)("mlp", "digits", space, trials=18, **more, **MOMENTUM)
        fig = found.plot()
        assert isinstance(fig, Figure) and isinstance(found.plot("A message"), Figure)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fig.draw_without_rendering()
        for status, count in found.table.status.value_counts().items():
            assert f"{count} {status}" in found.alt
        assert f"of {len(found.table)} trials over {', '.join(space)}" in found.alt


@pytest.mark.filterwarnings("ignore:round")
def test_when_all_diverge_there_is_no_best(bowl: Bowl) -> None:
    found = search.random("mlp", "digits", {"lr": search.log_uniform(6, 10)}, trials=4, progress=False)
    assert set(found.table.status) == {"diverged"} and found.table.val_loss.isna().all()
    with pytest.raises(ValueError, match="all 4 trials diverged, so there is no best one: search smaller learning"):
        found.best  # noqa: B018
    with pytest.warns(UserWarning, match="round 1: every trial so far diverged; the next round"):
        search.coarse_to_fine("mlp", "digits", {"lr": search.log_uniform(6, 10)}, trials=6, rounds=2, progress=False)
    assert len(search.bayesian("mlp", "digits", {"lr": [6.0, 7.0]}, trials=12, progress=False).table) == 12
    with pytest.raises(ValueError, match="trial must be a number from 0 to 3, got 4"):
        found.run(4)
    assert found.run(2, seed=3).seed == 3
    assert repr(found) == "Search(random: 4 trials, lr)"


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"space": {}}, "space must name at least one hyperparameter.*got {}"),
        ({"space": ["lr"]}, r"space must name at least one hyperparameter.*got \['lr'\]"),
        ({"space": {"lr": 0.1}}, r"space\['lr'\] must be search.uniform, .* or a list; got 0.1"),
        ({"space": {"lr": []}}, "choice.* is empty"),
        ({"space": {"lr": [0.1, 0.1]}}, "the options must differ"),
        ({"space": {"lr": [0.1, -1.0]}}, r"space\['lr'\]: lr must be greater than 0"),
        ({"space": {"rh": search.uniform(0, 1)}}, r"space\['rh'\]: .*no knob 'rh', did you mean 'rho'\?"),
        ({"space": {"rho": search.uniform(0, 1.5)}}, r"space\['rho'\]: rho = 1.5 is outside its range \[0, 1\)"),
        ({"space": {"rho": [0.9], "rule": ["SGD", "Momentum"]}}, r"space\['rho'\]: .*no knob 'rho'"),
        ({"space": {"rule": search.uniform(0, 1)}}, r"space\['rule'\] must be a choice of rules"),
        ({"space": {"batch_size": search.uniform(8, 64)}}, "samples are counted, so use search.integers or choice"),
        ({"space": {"batch_size": [9999]}}, r"space\['batch_size'\]: .*9999"),
        ({"batch_size": 8, "space": {"batch_size": [4, 8]}}, "batch_size stands in the space and beside it"),
        ({"trials": 0}, "trials must be a whole number of at least 1, got 0"),
        ({"trials": 2.5}, "trials must be a whole number of at least 1, got 2.5"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"at_once": 0}, "at_once must be a whole number of at least 1"),
        ({"metric": "val_los"}, "metric must be 'val_loss', .*got 'val_los'; did you mean 'val_loss'"),
        ({"prune": 3}, r"prune must be None or search.Halving\(factor=3, least_steps=50\), got 3"),
        ({"prune": search.Halving(least_steps=300)}, r"least_steps must be below the steps of the search \(300\)"),
        ({"batchsize": 8}, "a search has no argument 'batchsize'; did you mean 'batch_size'"),
        ({"validate_every": 5}, "a search has no argument 'validate_every'"),
        ({"weight_decay": [0.1, 0.2]}, "weight_decay=.* beside the space must be one value"),
        ({"rule": "momentun"}, "Momentum"),
        ({"model": "mpl"}, "mlp"),
    ],
)
def test_what_is_refused_before_anything_is_trained(arguments: dict[str, Any], words: str, bowl: Bowl) -> None:
    given = {"model": "mlp", "data": "digits", "space": RATES, "trials": 4, **MOMENTUM, **arguments}
    with pytest.raises((ValueError, TypeError), match=words):
        search.random(**given)
    assert bowl.calls == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: search.uniform(1, 1), "low must be below high"),
        (lambda: search.log_uniform(1, 0.1), r"log_uniform\(1, 0.1\): low must be below high"),
        (lambda: search.log_uniform(0, 1), "low must be above 0, got 0; try 1e-6"),
        (lambda: search.uniform(0, math.inf), "both finite"),
        (lambda: search.uniform("0", 1), "the bounds must be numbers, got '0'"),
        (lambda: search.integers(1, 2.5), "the bounds must be whole numbers, got 2.5"),
        (lambda: search.Halving(factor=1), "factor must be a whole number of at least 2"),
        (lambda: search.Halving(least_steps=0), "least_steps must be a whole number of at least 1"),
        (lambda: search.trials_for(1.0), "chance must be a number between 0 and 1, got 1.0"),
        (lambda: search.chance_of_a_hit(-1), "trials must be a whole number of at least 0"),
        (lambda: search.grid("mlp", "digits", RATES), "trials= is needed"),
        (lambda: search.grid("mlp", "digits", {"lr": [1.0, 2.0]}, trials=1), "trials must be at least 2"),
        (lambda: search.coarse_to_fine("mlp", "digits", RATES, trials=8), "at least 9, three for each of 3 rounds"),
        (lambda: search.coarse_to_fine("mlp", "digits", RATES, trials=8, rounds=0), "rounds must be"),
        (lambda: search.coarse_to_fine("mlp", "digits", RATES, trials=9, zoom=1), "zoom must be a number above 1"),
        (
            lambda: search.bayesian("mlp", "digits", RATES, trials=8, sampler="cma"),
            "sampler must be one of 'tpe', 'gp'",
        ),
    ],
)
def test_dimensions_and_plans_that_cannot_be(make: Any, words: str, bowl: Bowl) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()
    assert bowl.calls == []
