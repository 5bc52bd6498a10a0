"""The race without a browser: the paths, the methods, the messages, and what it refuses."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from lrlab import figures, instruments, rules, schedules, surfaces
from lrlab.instruments import instrument, page
from lrlab.instruments.race import Race
from lrlab.instruments.racers import Racer
from lrlab.instruments.relief import relief_of, widened

SECONDS = 20  # far more than anything here takes
THREE = [rules.SGD(), rules.Momentum(rho=0.9), rules.Adam()]


def new_race(steps: int = 0, **settings: Any) -> Race:
    settings = {"surface": surfaces.ravine(10), "rules": THREE, "lr": 0.02, **settings}
    race = Race(settings.pop("surface"), settings.pop("rules"), settings.pop("lr"), **settings)
    if steps:
        race.play(steps)
        race.wait(SECONDS)
    return race


# Paths ----------------------------------------------------------------------------------------------------------------


def test_every_rule_goes_the_path_of_descend_bit_for_bit() -> None:
    for group in np.array_split(list(rules.RULES.values()), 4):
        race = new_race(40, surface=surfaces.beale, rules=[rule() for rule in group], lr=1e-3)
        for name, path in race.paths().items():
            expected = rules.descend(rules.RULES[name](), surfaces.beale, surfaces.beale.start, lr=1e-3, steps=40)
            assert np.array_equal(path, expected.numpy())
            assert np.array_equal(race.losses()[name], surfaces.beale(expected).numpy())
            assert path.dtype == np.float64 and race.losses()[name].dtype == np.float64


def test_it_makes_no_difference_when_a_knob_is_turned() -> None:
    before, after = new_race(), new_race(30)
    for race in (before, after):
        race.turn("SGD", "lr", 0.05)
        race.turn("Momentum", "rho", 0.5)
        race.move_start(3.0, -2.0)
        race.set_noise(0.3)
    before.play(30)
    before.wait(SECONDS)
    assert all(np.array_equal(path, after.paths()[name]) for name, path in before.paths().items())
    noisy = surfaces.noisy(surfaces.ravine(10), sigma=0.3)
    expected = rules.descend(rules.Momentum(rho=0.5), noisy, [3.0, -2.0], lr=0.02, steps=30)
    assert np.array_equal(after.paths()["Momentum"], expected.numpy())


def test_turning_one_knob_leaves_the_other_racers_alone() -> None:
    race = new_race(20)
    versions = {racer.name: racer.version for racer in race._field.racers}
    race.turn("Adam", "beta1", 0.5)
    changed = {racer.name: racer.version - versions[racer.name] for racer in race._field.racers}
    assert changed == {"SGD": 0, "Momentum": 0, "Adam": 1}


def test_the_noise_is_seeded_and_gone_at_zero() -> None:
    plain, one, other = new_race(20), new_race(20, sigma=1.0, seed=1), new_race(20, sigma=1.0, seed=2)
    assert np.array_equal(one.paths()["SGD"], new_race(20, sigma=1.0, seed=1).paths()["SGD"])
    assert not np.array_equal(one.paths()["SGD"], other.paths()["SGD"])
    one.set_noise(0)
    assert np.array_equal(one.paths()["SGD"], plain.paths()["SGD"])
    given = new_race(20, surface=surfaces.noisy(surfaces.ravine(10), 1.0, seed=2))
    assert given.sigma == 1.0 and np.array_equal(given.paths()["SGD"], other.paths()["SGD"])


def test_a_schedule_is_asked_for_each_step() -> None:
    drop = schedules.MultiStep(0.02, milestones=(10,), gamma=0.1)
    pair = [rules.Momentum(), rules.VelocityMomentum()]
    race = new_race(30, rules=pair, lr=drop)
    expected = rules.descend(rules.VelocityMomentum(), surfaces.ravine(10), race.start, lr=drop, steps=30)
    assert np.array_equal(race.paths()["VelocityMomentum"], expected.numpy())
    apart = np.abs(race.paths()["Momentum"] - race.paths()["VelocityMomentum"]).max(1)
    assert apart[:11].max() < 1e-12 < 1e-3 < apart[12:].max()  # one until the rate drops, two after it


def test_the_two_parts_of_a_step_are_the_velocity_and_the_gradient() -> None:
    slope, start, lr = surfaces.ravine(10), torch.tensor([-9.0, 1.0], dtype=torch.float64), 0.02
    for rule, velocity_of in [
        (rules.Momentum(0.9), lambda state: -lr * 0.9 * state["v"]),
        (rules.VelocityMomentum(0.9), lambda state: 0.9 * state["velocity"]),
        (rules.NesterovLookahead(0.9), lambda state: 0.9 * state["velocity"]),
        (rules.SGD(), lambda state: torch.zeros(2, dtype=torch.float64)),
    ]:
        racer = Racer("it", 0, rule, lr)
        racer.restart(slope, start)
        for _ in range(15):
            racer.step(slope)
        velocity, gradient = racer.parts()
        for i, (state, g) in enumerate(zip(racer.states, racer.gradients, strict=True)):
            torch.testing.assert_close(velocity[i], velocity_of(state), rtol=0, atol=1e-14)
            torch.testing.assert_close(gradient[i], -lr * g, rtol=0, atol=1e-14)
        steps = racer.path().diff(dim=0)
        torch.testing.assert_close((velocity + gradient)[:-1], steps, rtol=0, atol=1e-14)
        assert torch.equal(racer.parts(first=7)[0], velocity[7:])


# Divergence, and who is first -----------------------------------------------------------------------------------------


def test_a_path_that_diverges_ends_there_and_the_others_go_on() -> None:
    race = new_race(50, lr={"SGD": 0.25, "Momentum": 0.02, "Adam": 0.1})
    gone = race.diverged["SGD"]
    assert gone is not None and race.diverged["Momentum"] is None
    path = race.paths()["SGD"]
    assert len(path) == gone + 1 and len(race.paths()["Momentum"]) == 51
    (left, right), (bottom, top) = race.surface.window
    within = [abs(x) <= 10 * (right - left) and abs(y) <= 10 * (top - bottom) for x, y in path]
    assert within == [True] * gone + [False]
    assert f"SGD diverged at step {gone}" in race.verdict() and f"SGD (rate 0.25) diverged at step {gone}" in race.alt
    race.turn("SGD", "lr", 0.1)
    assert race.diverged["SGD"] is None and len(race.paths()["SGD"]) == 51


def test_when_all_have_diverged_the_race_is_over() -> None:
    race = new_race(rules=[rules.SGD()], lr=5.0)
    race.play()
    race.wait(SECONDS)
    assert race.step == race.diverged["SGD"] and "all diverged" in race.alt
    with pytest.raises(RuntimeError, match="every racer has diverged: turn their learning rates down"):
        race.play()
    race.reset()
    race.step_once()
    assert race.step == 1
    assert isinstance(race.figure(), Figure)


def test_a_path_that_is_no_number_has_diverged() -> None:
    race = new_race(100, surface=surfaces.rosenbrock, rules=[rules.SGD()], lr=1e200)
    assert race.diverged == {"SGD": 1}
    assert np.frombuffer(race._news(True)[1][2], "<f4").shape == (14,)


def test_steps_to_a_height() -> None:
    race = new_race(200, rules={"slow": rules.SGD(), "fast": rules.Momentum(rho=0.5)}, lr=0.01)
    needed = race.steps_to(2)
    for name, gap in race.gaps().items():
        reached = needed[name]
        assert reached is not None and gap[reached] <= 2 < gap[:reached].min()
    assert needed["fast"] < needed["slow"]
    assert race.verdict(2).startswith(f"fast needs {needed['fast']} steps to a height of 2; slow needs")
    assert race.steps_to(1e-30) == {"slow": None, "fast": None}
    assert race.verdict(1e-30) == "slow is not there after 200; fast is not there after 200."


def test_heights_are_above_the_deepest_minimum() -> None:
    race = new_race(400, surface=surfaces.double_well, rules=[rules.SGD()], lr=0.02)
    local = surfaces.double_well(torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64))
    assert race.gaps()["SGD"][-1] == pytest.approx(float(local[0] - local[1]), abs=1e-6)  # it rests in the local one


# Playing --------------------------------------------------------------------------------------------------------------


def test_play_pause_step_reset() -> None:
    race = new_race(speed=None)
    race.play()
    while race.step < 5:
        time.sleep(0.001)
    race.pause()
    step = race.step
    assert not race.playing and 5 <= step <= 1000
    race.step_once()
    assert race.step == step + 1 and all(len(path) == step + 2 for path in race.paths().values())
    race.play(10)
    race.wait(SECONDS)
    assert race.step == step + 11
    race.turn("SGD", "lr", 0.03)
    race.reset()
    assert race.step == 0 and race.settings["SGD"]["lr"] == 0.03
    assert [path.tolist() for path in race.paths().values()] == [[list(race.start)]] * 3


def test_a_play_without_an_end_makes_a_thousand_steps() -> None:
    race = new_race(rules=[rules.SGD()])
    race.play()
    race.wait(SECONDS)
    assert race.step == 1000


def test_a_slow_race_can_be_turned_waited_for_and_paused() -> None:
    race = new_race()
    race._views.add("a page")
    race.speed = 20
    race.play(1000)
    with pytest.raises(TimeoutError, match=r"still on after 0.05 s; pause\(\) it"):
        race.wait(timeout=0.05)
    with pytest.raises(RuntimeError, match=r"the race is on already; pause\(\) first"):
        race.play(5)
    race.turn("SGD", "lr", 0.01)
    race.move_start(1.0, 1.0)
    race.pause()
    assert race.step < 100
    expected = rules.descend(rules.SGD(), surfaces.ravine(10), [1.0, 1.0], lr=0.01, steps=race.step)
    assert np.array_equal(race.paths()["SGD"], expected.numpy())
    race._views.clear()
    race.play(300)  # nobody watches: no limit
    race.wait(10)


def test_a_full_speed_race_answers_at_once() -> None:
    race = new_race(surface=surfaces.beale, lr=1e-3)
    race.play()
    started = time.monotonic()
    for x in np.linspace(-2, 2, 10):
        race.move_start(float(x), 1.0)
    race.pause()
    assert time.monotonic() - started < 5


def test_a_race_that_nobody_holds_is_gone_with_its_thread() -> None:
    race = new_race()
    race._keep_pace = lambda: None  # type: ignore[method-assign]
    race._pace.speed = 5
    race.play()
    thread = race._belongings.worker._thread  # type: ignore[union-attr]
    forgotten = weakref.ref(race)
    del race
    gc.collect()
    deadline = time.monotonic() + SECONDS
    while (forgotten() is not None or thread.is_alive()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert forgotten() is None and not thread.is_alive()


def test_an_error_in_the_thread_is_raised_by_wait() -> None:
    race = new_race()
    race._field.slope = Broken()  # type: ignore[assignment]
    race.play(5)
    with pytest.raises(ZeroDivisionError):
        race.wait(SECONDS)


class Broken:
    def minibatch_grad(self, x: torch.Tensor, step: int) -> torch.Tensor:
        raise ZeroDivisionError


# Pictures -------------------------------------------------------------------------------------------------------------


def test_it_is_called_the_same_on_every_machine() -> None:
    assert repr(new_race(5)) == "Race(ravine: SGD, Momentum, Adam)" == str(new_race())


def test_rules_of_one_class_are_numbered() -> None:
    race = new_race(rules=[rules.Momentum(0.5), rules.SGD(), rules.Momentum(0.9)], lr=[0.1, 0.2, 0.3])
    assert race.names == ["Momentum", "SGD", "Momentum 2"]
    assert race.settings["Momentum 2"] == {"lr": 0.3, "rho": 0.9}
    assert new_race(rules=rules.Adam()).names == new_race(rules="adam").names == ["Adam"]


@pytest.mark.parametrize("name", list(surfaces.SURFACES))
def test_every_surface_has_its_words(name: str) -> None:
    race = new_race(30, surface=surfaces.SURFACES[name], lr=0.003)
    alt = race.alt
    assert alt.startswith(f"Race on the {race.surface.name} from (") and "after 30 steps" in alt
    for racer, gap in race.gaps().items():
        assert f"{racer} (rate 0.003) is {gap[-1]:.2g} above the minimum." in alt or "diverged" in alt


@pytest.mark.parametrize("name", ["ravine", "rastrigin"])
def test_the_figure(name: str) -> None:
    race = new_race(30, surface=surfaces.SURFACES[name], lr=0.003)
    figure = race.figure()
    assert len(figures.png(figure)) < figures.LIMIT_BYTES
    land, curves = figure.axes
    assert [line.get_label() for line in curves.get_lines()] == race.names
    for line, gap in zip(curves.get_lines(), race.gaps().values(), strict=True):
        assert np.array_equal(line.get_ydata(), gap)
    drawn = [line.get_xydata() for line in land.get_lines()]
    for path in race.paths().values():
        assert any(np.array_equal(points, path) for points in drawn)


def test_a_real_network_is_raced_on(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 4, generator=generator), torch.arange(16) % 3
    torch.manual_seed(0)
    plane = surfaces.plane(torch.nn.Linear(4, 3), x, y)
    race = new_race(3, surface=plane, rules=[rules.SGD()], lr=0.1)
    assert race.losses()["SGD"][-1] < race.losses()["SGD"][0]
    assert relief_of(plane).heights.shape == (31, 41)


def test_contours_lie_on_their_heights() -> None:
    relief = relief_of(surfaces.ravine(4))
    assert relief.to_scale and relief.floor == 0
    ratios = np.diff(np.log(relief.levels))
    assert np.allclose(ratios, ratios[0])
    for level, lines in zip(relief.levels, relief.lines(), strict=True):
        points = torch.from_numpy(np.concatenate(lines))
        np.testing.assert_allclose(surfaces.ravine(4)(points), level, rtol=0.05)


def test_a_local_minimum_has_a_contour_of_its_own() -> None:
    relief = relief_of(surfaces.double_well)
    closed = [line for lines in relief.lines() for line in lines if np.hypot(*(line - [1.0, 0.0]).T).max() < 0.5]
    assert closed


def test_the_map_is_to_scale_unless_that_would_waste_it() -> None:
    assert widened(((-1.0, 1.0), (-1.0, 1.0))).sides == ((-4 / 3, 4 / 3), (-1.0, 1.0))
    long = widened(((0.0, 100.0), (0.0, 1.0)))
    assert long.sides == ((0.0, 100.0), (0.0, 1.0)) and not long.to_scale


# The page -------------------------------------------------------------------------------------------------------------


class FakePage:
    """Takes the place of the widget, and keeps the paths as race.js does."""

    def __init__(self) -> None:
        self.paths: dict[str, np.ndarray] = {}
        self.state: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []

    def tell(self, message: dict[str, Any], buffers: list[bytes] = ()) -> None:  # type: ignore[assignment]
        self.messages.append(message)
        self.state = message["state"]
        buffers = list(buffers)
        if message["fresh"]:
            self.map, self.points, self.depth = message["map"], buffers.pop(0), buffers.pop(0)
        for racer, rows in zip(message["racers"], buffers, strict=True):
            new = np.frombuffer(rows, "<f4").reshape(-1, 7)
            self.paths[racer["name"]] = np.concatenate([self.paths.get(racer["name"], new)[: racer["at"]], new])

    def close(self) -> None:
        pass


@pytest.fixture
def opened() -> Iterator[tuple[Race, FakePage]]:
    race = new_race(speed=None)
    fake = FakePage()
    race._belongings.page = fake  # type: ignore[assignment]
    race._pictured = race._picture_key
    race._publish_picture = lambda: setattr(race, "_pictured", race._picture_key())  # type: ignore[method-assign]
    race._hear({"do": "hello", "view": "v"})
    yield race, fake
    race.pause()
    race._views.clear()
    instrument._on_screen.discard(race)


def asks(race: Race, number: int, **message: Any) -> None:
    race._hear({**message, "view": "v", "seq": number})


def test_a_page_is_sent_everything_and_then_what_is_new(opened: tuple[Race, FakePage]) -> None:
    race, fake = opened
    assert fake.messages[0]["fresh"] and set(fake.paths) == {"SGD", "Momentum", "Adam"}
    assert len(fake.points) == 8 * sum(map(sum, fake.map["lengths"]))
    assert len(fake.depth) == math.prod(fake.map["depth"])
    for number in range(1, 6):
        asks(race, number, do="step")
        assert fake.state["heard"] == {"v": number} and fake.state["step"] == number
    assert [racer["at"] for racer in fake.messages[-1]["racers"]] == [5, 5, 5]
    for name, path in race.paths().items():
        np.testing.assert_allclose(fake.paths[name][:, :2], path, rtol=1e-6)
        np.testing.assert_allclose(fake.paths[name][:, 2], race.gaps()[name], rtol=1e-5)


def test_a_drag_is_answered_with_whole_new_paths(opened: tuple[Race, FakePage]) -> None:
    race, fake = opened
    race.play(20)
    race.wait(SECONDS)
    asks(race, 1, do="start", x=4.0, y=2.0)
    assert fake.state["start"] == [4.0, 2.0] and all(r["at"] == 0 for r in fake.messages[-1]["racers"])
    deadline = time.monotonic() + SECONDS
    while any(len(path) < 21 for path in fake.paths.values()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for name, path in race.paths().items():
        np.testing.assert_allclose(fake.paths[name][:, :2], path, rtol=1e-6)


def test_what_a_page_can_ask_for(opened: tuple[Race, FakePage]) -> None:
    race, fake = opened
    asks(race, 1, do="select", racer="Momentum")
    assert [dial["name"] for dial in fake.state["knobs"]] == ["lr", "rho", "noise"]
    asks(race, 2, do="turn", racer="Momentum", knob="rho", value=0.5)
    asks(race, 3, do="noise", value=0.25)
    assert [dial["value"] for dial in fake.state["knobs"]] == [0.02, 0.5, 0.25]
    asks(race, 4, do="start", x=1.0, y=1.0)
    asks(race, 5, do="home")
    assert race.start == (-9.0, 1.0)
    asks(race, 6, do="speed", speed=15)
    assert race.speed == 15
    asks(race, 7, do="speed", speed=0)
    asks(race, 8, do="play")
    asks(race, 9, do="pause")
    assert not race.playing and race.step > 0
    asks(race, 10, do="reset")
    assert race.step == fake.state["step"] == 0


def test_what_goes_wrong_is_said_on_the_page(opened: tuple[Race, FakePage]) -> None:
    race, fake = opened
    asks(race, 1, do="turn", racer="SGD", knob="lr", value=-1)
    assert fake.state["problem"] == "lr must be greater than 0 and finite; got -1" and fake.state["heard"] == {"v": 1}
    asks(race, 2, do="dance")
    assert "which this race does not know" in fake.state["problem"]
    asks(race, 3, do="step")
    assert fake.state["problem"] == ""


def test_a_page_that_stays_away_pauses_the_race(opened: tuple[Race, FakePage], monkeypatch: pytest.MonkeyPatch) -> None:
    race, _ = opened
    monkeypatch.setattr(instrument, "ABSENT_SECONDS", 0.05)
    asks(race, 1, do="speed", speed=5)
    asks(race, 2, do="play")
    assert race.playing and race in instrument._on_screen
    race._hear({"do": "goodbye", "view": "v"})
    deadline = time.monotonic() + SECONDS
    while race.playing and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not race.playing


def test_a_page_that_comes_back_is_sent_everything(opened: tuple[Race, FakePage]) -> None:
    race, fake = opened
    race.play(7)
    race.wait(SECONDS)
    race._hear({"do": "goodbye", "view": "v"})
    fake.paths.clear()
    race._hear({"do": "hello", "view": "w"})
    assert fake.messages[-1]["fresh"] and {len(path) for path in fake.paths.values()} == {8}


def test_no_more_than_six_controls_are_in_view() -> None:
    for rule in rules.RULES.values():
        race = new_race(rules=[rule()])
        assert len(race._dials()) + 2 <= 6  # and the choice of the racer, and the speed
        for dial in race._dials():
            low, high = (0, 1e-300) if dial["scale"] == "" else (dial["low"], dial["high"])
            assert dial["scale"] in ("", "zero") or low <= dial["value"] <= high


def test_the_sources_are_inline_and_ask_for_nothing() -> None:
    for kind in (page.RacePage, page.AdaptivePage):
        source = kind._esm + kind._css
        assert len(source.encode()) < 70_000 and "import " not in kind._esm
        addresses = source.replace("http://www.w3.org/2000/svg", "")
        assert not any(mark in addresses for mark in ("http:", "https:", "//cdn", "@import", "url("))


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr": 0}, ValueError, "lr must be greater than 0 and finite; got 0"),
        ({"lr": -0.1}, ValueError, "lr must be greater than 0 and finite; got -0.1"),
        ({"lr": math.nan}, ValueError, "lr must be greater than 0 and finite; got nan"),
        ({"lr": math.inf}, ValueError, "lr must be greater than 0 and finite; got inf"),
        ({"lr": "fast"}, TypeError, "lr must be a number .* got 'fast'"),
        ({"lr": [0.1, 0.2]}, ValueError, "lr holds 2 rates for 3 rules"),
        ({"lr": {"SGD": 0.1}}, ValueError, "lr has no rate for Momentum, Adam: give one for each racer"),
        ({"lr": {"Sgd": 0.1}}, ValueError, "lr: this race has no racer 'Sgd', did you mean 'SGD'"),
        ({"start": (1.0, 2.0, 3.0)}, ValueError, "start has 3 coordinates, but the points of ravine have 2"),
        ({"start": 4.0}, TypeError, r"start must be two numbers \(x, y\), not 4.0"),
        ({"start": ("a", "b")}, TypeError, "start must be two numbers"),
        ({"start": (math.nan, 0.0)}, ValueError, r"start = \(nan, 0.0\) is not on the map: x in \[-10, 10\]"),
        ({"start": (99.0, 0.0)}, ValueError, r"is not on the map: x in \[-10, 10\], y in \[-7.5, 7.5\]"),
        ({"rules": []}, ValueError, "rules holds 0 rules, but a race has 1 to 7"),
        ({"rules": [rules.SGD()] * 8}, ValueError, "rules holds 8 rules, but a race has 1 to 7"),
        ({"rules": [rules.SGD]}, TypeError, r"write rules.SGD\(\) with its parentheses"),
        ({"rules": [0.9]}, TypeError, r"rule must be a rule such as .* got 0.9"),
        ({"rules": 0.9}, TypeError, r"rule must be a rule such as .* got 0.9"),
        ({"rules": ["Adm"]}, ValueError, "did you mean 'Adam'"),
        ({"rules": [rules.Momentum(torch.tensor([[0.5], [0.9]]))]}, ValueError, "rho is a tensor .* one path"),
        ({"surface": lambda x: x.sum()}, TypeError, "surface must be one of lrlab.surfaces"),
        ({"surface": surfaces.Ravine(10, dimension=3)}, ValueError, "surface has 3 dimensions, but a map has 2"),
        ({"surface": surfaces.noisy(surfaces.beale, 1.0), "sigma": 2.0}, ValueError, "surface is noisy already"),
        ({"sigma": -1}, ValueError, r"sigma = -1 is outside its range \[0, inf\)"),
        ({"sigma": "much"}, TypeError, "sigma must be a number of at least 0, not 'much'"),
        ({"seed": -1, "sigma": 1.0}, ValueError, "seed = -1 is outside its range"),
        ({"speed": 0}, ValueError, "speed must be a number of steps per second above 0"),
    ],
)
def test_what_a_race_refuses(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        new_race(**settings)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda race: race.turn("Mometum", "rho", 0.5), ValueError, "no racer 'Mometum', did you mean 'Momentum'"),
        (lambda race: race.turn("SGD", "rho", 0.5), ValueError, "SGD has no knob 'rho'. There are: lr"),
        (lambda race: race.turn("Adam", "beta_1", 0.5), ValueError, "Adam has no knob 'beta_1', did you mean 'beta1'"),
        (lambda race: race.turn("Momentum", "rho", 1), ValueError, r"rho = 1 is outside its range \[0, 1\)"),
        (lambda race: race.turn("Momentum", "rho", "big"), TypeError, "rho must be a number"),
        (lambda race: race.turn("Adam", "beta2", 1.0), ValueError, r"beta2 = 1.0 is outside its range \[0, 1\)"),
        (lambda race: race.turn("Adam", "eps", -1e-8), ValueError, r"eps = -1e-08 is outside its range \[0, inf\)"),
        (lambda race: race.turn("Adam", "beta1", schedules.Constant(0.9)), TypeError, "of a schedule, give the value"),
        (lambda race: race.turn("SGD", "lr", math.nan), ValueError, "lr must be greater than 0 and finite; got nan"),
        (lambda race: race.select("sdg"), ValueError, "no racer 'sdg'"),
        (lambda race: race.move_start(0.0, 100.0), ValueError, "is not on the map"),
        (lambda race: race.move_start(None, 1.0), TypeError, "start must be two numbers"),
        (lambda race: race.set_noise(math.nan), ValueError, r"sigma = nan is outside its range \[0, inf\)"),
        (lambda race: race.play(0), ValueError, "steps = 0 is outside its range 1, 2, 3"),
        (lambda race: race.play(2.5), TypeError, "steps must be a whole number of at least 1, or None, not 2.5"),
        (lambda race: race.steps_to(0), ValueError, r"tolerance = 0 is outside its range \(0, inf\)"),
        (lambda race: race.steps_to("near"), TypeError, "tolerance must be a number above 0, not 'near'"),
    ],
)
def test_what_a_method_refuses_and_leaves_as_it_was(call: Any, error: type[Exception], message: str) -> None:
    race = new_race(5)
    before = (race.settings, race.start, race.sigma, race.step, {k: v.tolist() for k, v in race.paths().items()})
    with pytest.raises(error, match=message):
        call(race)
    after = (race.settings, race.start, race.sigma, race.step, {k: v.tolist() for k, v in race.paths().items()})
    assert before == after


def test_it_is_exported() -> None:
    assert instruments.Race is Race
    assert not any(thread.name == "lrlab race ravine" for thread in threading.enumerate())
