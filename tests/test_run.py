"""The run: exact replay, rewind and branch; knobs, files, statuses; every bad input with its message."""

import json
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrlab import Run, data, engine, models, rules, schedules


def small_run(**options) -> Run:
    """A run that takes milliseconds: 250 points in the plane, 200 of them to train on, two classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(250, 2, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long()
    settings = {"rule": rules.Momentum(rho=0.9), "lr": 0.1, "batch_size": 20, "seed": 0, **options}
    return Run(settings.pop("model", two_layers), settings.pop("data", (x, y)), **settings)


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def weights(run: Run) -> torch.Tensor:
    return torch.cat([tensor.detach().double().reshape(-1) for tensor in run.model.state_dict().values()])


def assert_same(one: Run, other: Run) -> None:
    """Bitwise the same weights, buffers, history and moves."""
    assert torch.equal(weights(one), weights(other))
    for column in ("lr", "loss", "epoch", "val_step", "val_loss", "val_accuracy"):
        np.testing.assert_array_equal(one.history[column], other.history[column], err_msg=column)
    assert one.moves == other.moves
    assert one.step == other.step and one.epoch == other.epoch
    assert one.knobs == other.knobs and one.rule == other.rule


def assert_same_future(one: Run, other: Run, steps: int = 15) -> None:
    """The two runs stand at the same place and go on alike."""
    assert_same(one, other)
    one.train(steps, progress=False)
    other.train(steps, progress=False)
    assert_same(one, other)


MODELS = [two_layers, with_dropout, with_batch_norm]

# Learning by doing ----------------------------------------------------------------------------------------------------


def test_it_learns_digits():
    run = Run("mlp", "digits", rule=rules.Momentum(rho=0.9), lr=0.1, batch_size=64, seed=0)
    assert run.status == "ready" and run.parameters == 9610 and run.title == "mlp on digits"
    run.train(epochs=10, progress=False)
    assert run.status == "done" and run.epoch == 10
    assert run.history["val_accuracy"][-1] > 0.95
    assert len(run.history["val_step"]) == 11  # before the first step, then once an epoch


def test_the_textbook_loop_by_hand_gives_the_same_weights():
    """The run is the plain loop: same first weights, same batches, same formula."""
    run = small_run(weight_decay=0.01)
    torch.manual_seed(0)
    model = two_layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    batches = run._material.batches(0)
    for _ in range(30):
        x, y = batches.next(20)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    run.train(30, progress=False)
    by_hand = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    torch.testing.assert_close(weights(run).float(), by_hand, rtol=1e-5, atol=1e-6)


def test_lookahead_rules_take_the_gradient_elsewhere():
    """Two forms of Nesterov's momentum: one stands at the look-ahead point, the other goes there and comes back."""
    one = small_run(rule=rules.Nesterov(rho=0.9), dtype="float64").train(20, progress=False)
    other = small_run(rule=rules.NesterovLookahead(rho=0.9), dtype="float64").train(20, progress=False)
    np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-10)
    assert not torch.allclose(weights(one), weights(other), atol=1e-4)


def test_an_epoch_shows_every_sample_at_most_once_and_epochs_differ():
    run = small_run()
    batches = run._material.batches(3)
    first = [torch.cat([batches.next(30)[0] for _ in range(6)]) for _ in range(2)]
    for epoch in first:
        assert len(epoch.unique(dim=0)) == 180
    assert not torch.equal(*first)


# Exactness ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_two_runs_with_one_seed_are_bitwise_equal_and_another_seed_differs(model):
    one, two = (small_run(model=model).train(40, progress=False) for _ in range(2))
    assert_same(one, two)
    assert not torch.equal(weights(one), weights(small_run(model=model, seed=1).train(40, progress=False)))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", [0, 1, 31, 32, 33, 77, 99, 100])
def test_rewound_and_continued_equals_never_interrupted(model, step):
    rewound = small_run(model=model).train(60, progress=False)
    rewound.lr = 0.03
    rewound.train(40, progress=False).rewind(step)
    straight = small_run(model=model).train(min(step, 60), progress=False)
    if step > 60:
        straight.lr = 0.03
        straight.train(step - 60, progress=False)
    assert_same_future(rewound, straight)


@pytest.mark.parametrize("model", MODELS)
def test_a_branch_shares_the_past_and_does_not_touch_its_parent(model):
    parent, untouched = (small_run(model=model).train(50, progress=False) for _ in range(2))
    child = parent.branch()
    child.lr = 0.5
    child.train(30, progress=False)
    early = parent.branch(20)
    early.train(10, progress=False)
    assert early.step == 30 and child.step == 80
    assert_same_future(parent, untouched)
    np.testing.assert_array_equal(child.history["loss"][:50], parent.history["loss"][:50])


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)])
def test_torch_optimizers_rewind_branch_and_save_too(optimizer, tmp_path):
    run = small_run(rule=None, lr=None, optimizer=optimizer)
    first_lr = run.lr
    run.train(40, progress=False)
    run.lr = first_lr / 10
    run.train(40, progress=False)
    assert set(run.history["lr"]) == {first_lr, first_lr / 10}
    straight = small_run(rule=None, lr=None, optimizer=optimizer).train(30, progress=False)
    branch = run.branch(30)
    run.rewind(30)
    run.save(tmp_path / "run.safetensors")
    loaded = Run.load(
        tmp_path / "run.safetensors", model=two_layers, data=(run.dataset), optimizer=optimizer
    )
    assert_same_future(run, straight)
    loaded.train(15, progress=False)
    branch.train(15, progress=False)
    assert_same(loaded, straight)
    assert_same(branch, straight)


KNOB_TURNS = st.one_of(
    st.tuples(st.just("lr"), st.floats(1e-4, 1.0)),
    st.tuples(st.just("rho"), st.floats(0.0, 0.99)),
    st.tuples(st.just("weight_decay"), st.floats(0.0, 0.1)),
    st.tuples(st.just("batch_size"), st.integers(2, 200)),
)
LOGS = st.lists(st.tuples(st.integers(0, 60), KNOB_TURNS), max_size=8).map(
    lambda log: [(step, *turn) for step, turn in sorted(log, key=lambda entry: entry[0])]
)


def played(log, steps: int, **options) -> Run:
    """A run that is stopped at each move to turn the knob by hand."""
    run = small_run(**options)
    for step, knob, value in log:
        if step <= steps:
            run.train(step - run.step, progress=False)
            run.turn(knob, value)
    return run.train(steps - run.step, progress=False)


@settings(max_examples=25, deadline=None)
@given(log=LOGS, model=st.sampled_from(MODELS))
def test_any_move_log_replays_bitwise_also_through_json(log, model):
    run = played(log, 60, model=model)
    if run.status == "diverged":
        return
    config = {**run.config, "model": None, "data": None}
    config, moves = json.loads(json.dumps([config, run.moves]))
    assert_same_future(run, Run.replay(config, moves, model=model, data=run.dataset))


@settings(max_examples=25, deadline=None)
@given(log=LOGS, step=st.integers(0, 60), budget=st.sampled_from([0.0, 0.02, 256.0]), model=st.sampled_from(MODELS))
def test_rewinding_any_run_to_any_step_is_exact_on_any_budget(log, step, budget, model):
    run = played(log, 60, model=model, checkpoint_mb=budget)
    if run.status == "diverged":
        return
    run.rewind(step)
    assert_same_future(run, played([move for move in log if move[0] < step], step, model=model))


def test_replaying_a_rule_change_and_a_schedule():
    run = small_run().train(20, progress=False)
    run.rule = rules.Adam(beta1=0.8)
    run.lr = schedules.Constant(0.004)
    run.train(20, progress=False)
    run.beta1 = 0.95
    run.train(20, progress=False)
    assert [knob for _, knob, _ in run.moves] == ["rule", "lr", "beta1"]
    config = {**run.config, "model": None, "data": None}
    config, moves = json.loads(json.dumps([config, run.moves]))
    assert_same_future(run, Run.replay(config, moves, model=two_layers, data=run.dataset))


@pytest.mark.parametrize("rule", [rules.Momentum(), rules.Adam(), rules.NesterovLookahead(), rules.Ranger()])
def test_long_vectors_are_stepped_in_pieces_with_the_same_result(rule, monkeypatch):
    whole = small_run(rule=rule, lr=0.01).train(40, progress=False)
    monkeypatch.setattr(engine, "PIECE", 11)
    pieces = small_run(rule=rule, lr=0.01)
    assert pieces._engine.in_pieces and not whole._engine.in_pieces
    pieces.train(40, progress=False)
    assert_same(whole, pieces)
    assert_same_future(whole.rewind(33), pieces.rewind(33))


def test_a_recorded_trace_gives_the_same_run():
    run = small_run().train(30, progress=False)
    run.lr = 0.02
    run.train(30, progress=False)
    again = small_run(lr=schedules.Recorded.from_history(run.history["lr"])).train(60, progress=False)
    assert torch.equal(weights(run), weights(again))


def test_own_dataloader_rewinds_and_keeps_its_augmentation():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 90

        def __getitem__(self, i):
            return torch.tensor([i / 90, 1.0]) + 0.1 * torch.randn(2), i % 2

    def loader_run():
        return Run(two_layers, DataLoader(Noisy(), batch_size=20, shuffle=True), lr=0.1, seed=4)

    run = loader_run().train(23, progress=False).rewind(12)
    assert_same_future(run, loader_run().train(12, progress=False))
    assert run.epoch == 27 / 5 and run.batch_size == 20


def test_the_users_random_numbers_are_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    small_run(model=with_dropout).train(5, progress=False)
    assert torch.equal(before, torch.get_rng_state())


def test_a_module_is_trained_in_place_and_branches_are_not():
    module = two_layers()
    start = module[0].weight.detach().clone()
    run = small_run(model=module).train(10, progress=False)
    assert run.model is module and not torch.equal(start, module[0].weight)
    trained = module[0].weight.detach().clone()
    run.branch().train(10, progress=False)
    run.fresh(seed=5).train(10, progress=False)
    again = run.fresh()
    assert torch.equal(trained, module[0].weight)
    assert torch.equal(start, again.model[0].weight)


# Knobs ----------------------------------------------------------------------------------------------------------------


def test_a_turn_acts_at_the_next_step_and_is_logged_as_applied():
    run = small_run()
    for record in run.steps(6):
        if record.step == 3:
            run.lr = 0.02
            run.rho = 0.5
    np.testing.assert_array_equal(run.history["lr"], [0.1, 0.1, 0.1, 0.02, 0.02, 0.02])
    assert run.moves == [(3, "lr", 0.02), (3, "rho", 0.5)]
    assert run.rule == rules.Momentum(rho=0.5) and run.rho == 0.5 and run.lr == 0.02


def test_a_schedule_is_applied_as_planned_in_steps_and_in_epochs():
    plan = schedules.Recorded((0, 4, 9), (0.1, 0.05, 0.01))
    run = small_run(lr=plan).train(20, progress=False)
    np.testing.assert_array_equal(run.history["lr"], [plan(t) for t in range(20)])
    run = small_run(lr=plan, per="epoch").train(epochs=12, progress=False)
    np.testing.assert_array_equal(run.history["lr"], [plan(t // 10) for t in range(120)])


# Plateau --------------------------------------------------------------------------------------------------------------

PLATEAU = schedules.Plateau(0.3, factor=0.5, patience=2, cooldown=1)


def plateau_by_hand(run: Run, plateau: schedules.Plateau, first_step: int = 0, column: str = "val_loss") -> list[float]:
    """The rate of each step, from the validations in the history: one at step s is known to step s."""
    checks = [
        (int(step), value)
        for step, value in zip(run.history["val_step"], run.history[column], strict=True)
        if step >= first_step
    ]
    state, rates = plateau.init(), []
    for step in range(first_step, run.step):
        while checks and checks[0][0] <= step:
            state = plateau.observe(checks.pop(0)[1], state)
        rates.append(state["lr"])
    return rates


@pytest.mark.parametrize("every", [None, 1, 7])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_is_applied_as_planned(every, mode):
    plateau = schedules.Plateau(0.3, factor=0.5, patience=1, mode=mode)
    run = small_run(lr=plateau, validate_every=every).train(200, progress=False)
    column = {"min": "val_loss", "max": "val_accuracy"}[mode]
    np.testing.assert_array_equal(run.history["lr"], plateau_by_hand(run, plateau, column=column))
    assert len(set(run.history["lr"])) > 2 and run.schedule == plateau
    assert run.lr == run.history["lr"][-1] or run.history["val_step"][-1] == run.step


@pytest.mark.parametrize("optimizer", [None, lambda weights: torch.optim.SGD(weights, lr=1.0, momentum=0.9)])
@pytest.mark.parametrize("step", [0, 1, 39, 40, 64, 101, 120])
def test_a_plateau_rewinds_branches_saves_and_replays_bitwise(optimizer, step, tmp_path):
    own = {"optimizer": optimizer, "rule": None if optimizer else rules.Momentum(rho=0.9)}
    options = {**own, "lr": PLATEAU, "validate_every": 4}
    run = small_run(**options).train(120, progress=False)
    rates = len(set(run.history["lr"]))
    straight = small_run(**options).train(step, progress=False)
    branch = run.branch(step)
    run.rewind(step)
    run.save(tmp_path / "run.safetensors")
    given = {"model": two_layers, "data": run.dataset, **({"optimizer": optimizer} if optimizer else {})}
    loaded = Run.load(tmp_path / "run.safetensors", **given)
    config, moves = json.loads(json.dumps([{**run.config, "model": 0, "data": 0, "optimizer": None}, run.moves]))
    replayed = Run.replay(config, moves, **given)
    straight.train(130 - step, progress=False)
    for other in (run, branch, loaded, replayed):
        assert_same(other.train(130 - step, progress=False), straight)
    assert rates > 2


def test_turning_to_a_plateau_and_away_and_to_another_begins_anew():
    run = small_run(validate_every=3).train(30, progress=False)
    run.lr = PLATEAU
    assert run.lr == 0.3
    run.train(61, progress=False)
    assert run.lr < 0.3
    run.lr = schedules.Plateau(0.3, factor=0.5, patience=2, cooldown=1)  # an equal one: its memory is new
    run.train(40, progress=False)
    run.lr = 0.01
    run.train(9, progress=False)
    by_hand = [0.1] * 30 + plateau_by_hand(run.branch(91), PLATEAU, 31)  # the validation at 30 came before it
    np.testing.assert_array_equal(run.history["lr"][:91], by_hand[:30] + [0.3] + by_hand[30:])
    np.testing.assert_array_equal(run.history["lr"][91:131], [0.3, *plateau_by_hand(run.branch(131), PLATEAU, 92)])
    config = {**run.config, "model": None, "data": None}
    config, moves = json.loads(json.dumps([config, run.moves]))
    replayed = Run.replay(config, moves, model=two_layers, data=run.dataset)
    rewound = run.branch().rewind(100)
    rewound.train(31, progress=False)
    rewound.lr = 0.01
    assert_same(rewound.train(9, progress=False), run)
    assert_same_future(run, replayed)


def test_a_plateau_set_before_the_first_step_replays():
    run = small_run(validate_every=2)
    run.lr = PLATEAU
    run.train(50, progress=False)
    config = {**run.config, "model": None, "data": None}
    assert_same_future(run, Run.replay(config, run.moves, model=two_layers, data=run.dataset))


def test_a_plateau_needs_something_to_observe():
    with pytest.raises(ValueError, match=r"lr=Plateau\(...\) observes validations, but validate_every=0 makes none"):
        small_run(lr=PLATEAU, validate_every=0)
    run = small_run(validate_every=0)
    with pytest.raises(ValueError, match="validate_every=0 makes none"):
        run.lr = PLATEAU
    assert run.lr == 0.1 and run.moves == []
    loader = DataLoader(TensorDataset(torch.zeros(20, 2), torch.zeros(20).long()), batch_size=4)
    with pytest.raises(ValueError, match="this run has no validation data"):
        Run(two_layers, loader, lr=PLATEAU)
    numbers = (torch.randn(20, 2), torch.randn(20, 2))
    best = schedules.Plateau(0.1, mode="max")
    with pytest.raises(ValueError, match='observes an accuracy, but these targets are no classes: mode="min"'):
        Run(two_layers, numbers, loss="mse", validation=numbers, lr=best)


def test_weight_decay_belongs_to_a_rule_that_has_one():
    run = small_run(rule=rules.AdamW(), lr=0.01, weight_decay=0.3)
    assert run.rule.weight_decay == 0.3
    assert Run.replay(run.config, []).rule == run.rule


def test_batch_size_in_mid_epoch():
    run = small_run().train(5, progress=False)
    run.batch_size = 50
    run.train(2, progress=False)
    assert run.epoch == 1.0
    assert run.history["epoch"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75])


# Statuses -------------------------------------------------------------------------------------------------------------


def test_divergence_stops_at_the_step_and_can_be_rewound():
    run = small_run(lr=0.1).train(40, progress=False)
    run.lr = 1e38
    run.train(100, progress=False)
    assert run.status == "diverged" and 40 < run.step < 50
    assert len(run.history) == run.step and not np.isfinite(run.history["loss"][-1])
    assert np.isfinite(run.history["loss"][:-1]).all()
    with pytest.raises(RuntimeError, match="diverged at step .* run.rewind"):
        run.train(1, progress=False)
    run.rewind(40)
    assert run.status == "paused" and run.lr == 0.1
    assert_same_future(run, small_run().train(40, progress=False))


def test_divergence_read_late_as_on_a_gpu_ends_at_the_same_step():
    eager, late = small_run(), small_run()
    late._reads_every_loss = False
    for run in (eager, late):
        run.train(40, progress=False)
        run.lr = 1e38
        run.train(300, progress=False)
        assert run.status == "diverged"
    np.testing.assert_array_equal(eager.history["loss"], late.history["loss"])
    assert eager.step == late.step


def test_breaking_out_of_the_loop_pauses():
    run = small_run()
    for record in run.steps():
        if record.step == 7:
            break
    assert run.status == "paused" and run.step == 7
    assert_same_future(run, small_run().train(7, progress=False))


class Fragile(nn.Module):
    """Raises `error` at its forward pass number `at`, once."""

    def __init__(self, at: int, error: type[BaseException]):
        super().__init__()
        self.net, self.at, self.error, self.count = two_layers(), at, error, 0

    def forward(self, x):
        self.count += self.training
        if self.count == self.at:
            raise self.error("the sensor fell off")
        return self.net(x)


def test_an_error_in_the_model_is_kept_and_nothing_is_lost():
    run = small_run(model=lambda: Fragile(at=38, error=ValueError))
    with pytest.raises(ValueError, match="sensor"):
        run.train(60, progress=False)
    assert run.status == "failed" and "sensor" in str(run.error) and run.step == 37
    run.lr = 0.01
    run.train(10, progress=False)
    straight = small_run(model=lambda: Fragile(at=-1, error=ValueError)).train(37, progress=False)
    straight.lr = 0.01
    assert_same(run, straight.train(10, progress=False))


def test_an_interrupt_pauses_between_steps():
    run = small_run(model=lambda: Fragile(at=38, error=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.train(60, progress=False)
    assert run.status == "paused"
    straight = small_run(model=lambda: Fragile(at=-1, error=ValueError)).train(37, progress=False)
    assert_same_future(run.branch(), straight)


def test_while_it_runs_elsewhere_it_refuses_to_be_moved():
    run = small_run()
    steps = run.steps()
    next(steps)
    for verb in (lambda: run.rewind(0), run.branch, run.validate, lambda: run.save("x"), lambda: next(run.steps(1))):
        with pytest.raises(RuntimeError, match="pause"):
            verb()
    steps.close()
    assert run.status == "paused"


def test_knobs_turned_from_another_thread_are_all_logged():
    run = small_run()
    go = threading.Event()

    def turn():
        go.wait()
        for i in range(200):
            run.lr = 0.01 + i / 1e4

    thread = threading.Thread(target=turn)
    thread.start()
    for record in run.steps(3000):
        if record.step == 10:
            go.set()
        if record.step > 10 and not thread.is_alive():
            break
    thread.join()
    run.train(1, progress=False)
    assert [value for _, _, value in run.moves] == [0.01 + i / 1e4 for i in range(200)]
    steps = [step for step, _, _ in run.moves]
    assert steps == sorted(steps)
    applied = {step: value for step, _, value in run.moves}
    for step, value in applied.items():
        assert run.history["lr"][step] == value


# Files ----------------------------------------------------------------------------------------------------------------


def test_save_and_load_go_on_bitwise(tmp_path):
    path = tmp_path / "run.safetensors"
    run = Run("mlp", "digits", rule=rules.Adam(), lr=1e-3, seed=2).train(30, progress=False)
    run.lr = 3e-3
    run.save(path)
    loaded = Run.load(path)
    assert loaded.status == "done"
    assert_same_future(loaded, run)
    loaded.rewind(10)
    assert_same_future(loaded, Run("mlp", "digits", rule=rules.Adam(), lr=1e-3, seed=2).train(10, progress=False))


def test_a_file_of_something_else_or_cut_short_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    run = small_run().train(10, progress=False)
    run.save(path)
    with pytest.raises(ValueError, match="model of its own .*: give it as model="):
        Run.load(path)
    with pytest.raises(ValueError, match="other data"):
        Run.load(path, model=two_layers, data=(run.dataset.train.x + 1, run.dataset.train.y))
    with pytest.raises(ValueError, match="does not fit"):
        Run.load(path, model=lambda: nn.Linear(2, 2), data=run.dataset)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        Run.load(path, model=two_layers, data=run.dataset)
    with pytest.raises(FileNotFoundError):
        Run.load(tmp_path / "nothing")


def test_move_logs_are_files_too(tmp_path):
    run = Run("mlp", "digits", lr=0.1, seed=3).train(12, progress=False)
    run.lr = 0.03
    run.train(12, progress=False)
    config, moves = Run.load_moves(run.save_moves(tmp_path / "moves.json"))
    assert_same_future(Run.replay(config, moves), run)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-20], "not valid JSON"),
        (lambda text: text.replace("lrlab moves 1", "a recipe"), "not a move log"),
        (lambda text: text.replace('"moves": [', '"steps": ['), "damaged move log"),
        (lambda text: text.replace('"lr",\n   0.03', '"lr"'), r"move 0 must be \[step, knob, value\]"),
        (lambda text: text.replace('12,\n   "lr"', '-1,\n   "lr"'), "move 0: the step"),
    ],
)
def test_damaged_move_logs(tmp_path, damage, message):
    run = Run("mlp", "digits", lr=0.1).train(12, progress=False)
    run.lr = 0.03
    run.train(1, progress=False)
    path = run.save_moves(tmp_path / "moves.json")
    text = path.read_text()
    assert damage(text) != text
    path.write_text(damage(text))
    with pytest.raises(ValueError, match=message):
        Run.load_moves(path)


def test_logs_that_do_not_fit_the_configuration():
    run = small_run()
    with pytest.raises(ValueError, match="move 1 .* no knob 'beta1'"):
        Run.replay(run.config, [(0, "lr", 0.1), (3, "beta1", 0.9)], steps=10)
    with pytest.raises(ValueError, match="lies beyond the 10 steps"):
        Run.replay(run.config, [(11, "lr", 0.1)], steps=10)
    with pytest.raises(ValueError, match="go backwards"):
        Run.replay(run.config, [(5, "lr", 0.1), (4, "lr", 0.2)], steps=10)
    config = run.config
    del config["seed"]
    with pytest.raises(ValueError, match=r"missing keys \['seed'\]"):
        Run.replay(config, [])
    with pytest.raises(ValueError, match=r"unknown keys \['sede'\]"):
        Run.replay({**run.config, "sede": 1}, [])


# Bad input ------------------------------------------------------------------------------------------------------------

TOY_X, TOY_Y = torch.randn(100, 2, generator=torch.Generator().manual_seed(1)), torch.arange(100) % 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "mpl"}, ValueError, "mlp"),
        ({"model": 3}, TypeError, "model must be"),
        ({"model": lambda: 3}, TypeError, "must return a torch.nn.Module"),
        ({"model": lambda: nn.Linear(3, 2)}, ValueError, r"does not take images of shape \[2\]"),
        ({"model": lambda: nn.Linear(2, 1)}, ValueError, "last layer must have 2 outputs"),
        ({"model": nn.Identity}, ValueError, "nothing to train"),
        ({"data": "digit"}, ValueError, "digits"),
        ({"data": 5}, TypeError, "data must be"),
        ({"data": (TOY_X, TOY_Y[:50])}, ValueError, "100"),
        ({"data": (TOY_X, TOY_Y - 1)}, ValueError, "-1"),
        ({"rule": "mometum"}, ValueError, "Momentum"),
        ({"rule": rules.Momentum}, TypeError, "parentheses"),
        ({"rule": 0.9}, TypeError, "rule must be"),
        ({"lr": 0}, ValueError, "lr must be greater than 0"),
        ({"lr": -0.1}, ValueError, "lr must be greater than 0"),
        ({"lr": float("nan")}, ValueError, "lr must be greater than 0"),
        ({"lr": float("inf")}, ValueError, "finite"),
        ({"lr": "fast"}, TypeError, "lr must be a number"),
        ({"lr": True}, TypeError, "lr must be a number"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number from 1 to"),
        ({"batch_size": 10_000}, ValueError, "batch_size must be a whole number from 1 to"),
        ({"batch_size": 2.5}, ValueError, "batch_size"),
        ({"batch_size": "all"}, ValueError, "batch_size"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be at least 0"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, ValueError, "seed"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of"),
        ({"loss": "hinged"}, ValueError, "loss must be one of"),
        ({"loss": lambda outputs, targets: outputs}, ValueError, "one number"),
        ({"per": "minute"}, ValueError, "per must be one of"),
        ({"validate_every": -5}, ValueError, "validate_every"),
        ({"checkpoint_mb": -1}, ValueError, "checkpoint_mb"),
        ({"optimizer": torch.optim.SGD}, ValueError, "optimizer= brings its own rule"),
        ({"optimizer": lambda p: 3, "rule": None}, TypeError, "torch.optim.Optimizer"),
        ({"model": with_batch_norm, "compile": True}, ValueError, "BatchNorm"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        small_run(**options)


@pytest.mark.parametrize(
    ("knob", "value", "error", "message"),
    [
        ("lr", 0, ValueError, "greater than 0"),
        ("lr", float("nan"), ValueError, "greater than 0"),
        ("lr", "0.1", TypeError, "number"),
        ("rho", 1.0, ValueError, "rho"),
        ("rho", schedules.Constant(0.5), TypeError, "rho"),
        ("batch_size", 0, ValueError, "from 1 to"),
        ("batch_size", 201, ValueError, "from 1 to"),
        ("weight_decay", -0.1, ValueError, "at least 0"),
        ("rule", "Adma", ValueError, "Adam"),
        ("beta1", 0.9, ValueError, "no knob 'beta1'"),
        ("rh", 0.9, ValueError, "did you mean 'rho'"),
    ],
)
def test_a_bad_turn_changes_nothing(knob, value, error, message):
    run = small_run().train(3, progress=False)
    before = run.knobs
    with pytest.raises(error, match=message):
        run.turn(knob, value)
    assert run.knobs == before and run.moves == []


def test_a_mistyped_attribute_is_noticed():
    run = small_run()
    with pytest.raises(AttributeError, match="did you mean 'rho'"):
        run.rhoo = 0.5
    with pytest.raises(AttributeError, match="cannot be set"):
        run.step = 3
    with pytest.raises(AttributeError, match="no attribute 'velocity'"):
        _ = run.velocity


@pytest.mark.parametrize("step", [-1, 11, 2.0, "3", True])
def test_rewinding_beyond_the_run(step):
    run = small_run().train(10, progress=False)
    with pytest.raises(ValueError, match="from 0 to 10"):
        run.rewind(step)
    with pytest.raises(ValueError, match="from 0 to 10"):
        run.branch(step)
    assert run.step == 10


def test_bad_lengths_of_training():
    run = small_run()
    for options in ({}, {"steps": 3, "epochs": 1}):
        with pytest.raises(ValueError, match="one of the two"):
            run.train(**options)
    for steps in (-1, 2.5, True):
        with pytest.raises(ValueError, match="whole number"):
            run.train(steps, progress=False)
    with pytest.raises(ValueError, match="epochs"):
        run.train(epochs=0, progress=False)


def test_images_of_the_wrong_shape_for_a_named_model():
    with pytest.raises(ValueError):
        Run("cnn", (TOY_X, TOY_Y))


def test_regression_on_real_numbers():
    line = TOY_X @ torch.tensor([[1.0], [-2.0]])
    run = Run(lambda: nn.Linear(2, 1), (TOY_X, line), loss="mse", lr=0.1, validation=(TOY_X[:20], line[:20]))
    run.train(200, progress=False)
    assert run.history["loss"][-1] < 1e-6
    assert run.validate()[0] < 1e-6 and np.isnan(run.validate()[1])
    with pytest.raises(ValueError, match="equally long"):
        Run(lambda: nn.Linear(2, 1), (TOY_X, line[:5]), loss="mse")


def test_loader_without_length_or_pairs_and_a_fixed_batch_size():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(ValueError, match="know its length"):
        Run(two_layers, DataLoader(Stream()))
    with pytest.raises(ValueError, match=r"\(x, y\) pairs"):
        Run(two_layers, DataLoader(TensorDataset(TOY_X), batch_size=10))
    with pytest.raises(ValueError, match="needs a data set that knows its classes"):
        Run("mlp", DataLoader(TensorDataset(TOY_X, TOY_Y), batch_size=10))
    run = Run(two_layers, DataLoader(TensorDataset(TOY_X, TOY_Y), batch_size=10), validation=(TOY_X, TOY_Y))
    with pytest.raises(ValueError, match="fixes the batch size at 10"):
        run.batch_size = 20
    assert run.train(10, progress=False).validate()[1] > 0.4


# Compiled -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_compiled_step_is_the_readable_one():
    pytest.importorskip("torch._inductor")
    plain, fast = (small_run(rule=rules.Adam(), lr=0.01, dtype="float64", compile=c) for c in (False, True))
    for run in (plain, fast):
        run.train(20, progress=False)
        run.lr = 0.002
        run.beta1 = 0.8
        run.weight_decay = 0.01
        run.train(20, progress=False)
        run.rewind(25).train(10, progress=False)
    np.testing.assert_allclose(plain.history["loss"], fast.history["loss"], rtol=1e-9)
    torch.testing.assert_close(weights(plain), weights(fast), rtol=1e-8, atol=1e-10)


@pytest.mark.gpu
@pytest.mark.parametrize("compile", [False, True])
def test_a_run_on_a_gpu_learns_rewinds_and_diverges(compile):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    run = Run("mlp", "digits", rule=rules.Momentum(rho=0.9), lr=0.1, device="cuda", compile=compile)
    run.train(400, progress=False)
    assert run.history["val_accuracy"][-1] > 0.95 and run.device.type == "cuda"
    losses = run.history["loss"]
    run.rewind(210).train(100, progress=False)
    np.testing.assert_allclose(run.history["loss"], losses[:310], rtol=2e-2, atol=2e-3)
    run.lr = 1e30
    run.train(250, progress=False)
    assert run.status == "diverged" and run.step < 330


def test_models_and_data_of_ones_own_in_every_form():
    tensors = (TOY_X, TOY_Y)
    module, factory = two_layers(), two_layers
    for model in (module, factory):
        for source in (tensors, data.from_tensors(*tensors), DataLoader(TensorDataset(*tensors), batch_size=10)):
            assert Run(model, source, batch_size=10).train(5, progress=False).status == "done"
    assert Run("mlp", tensors).train(5, progress=False).parameters == models.parameter_count(models.mlp(2, (128,), 2))


@pytest.mark.parametrize("validation", [[], {}, "digits", 3, (TOY_X,)])
def test_validation_that_is_no_pair_is_refused(validation):
    with pytest.raises(TypeError, match="validation must be a pair"):
        Run("mlp", "digits", validation=validation)
