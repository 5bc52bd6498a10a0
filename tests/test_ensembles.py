"""Ensembles: what is averaged is the average, what is taken is what the run had, and every bad input."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import swa_utils
from torch.utils.data import DataLoader, TensorDataset

from lrlab import Run, data, ensembles, models, rules, schedules, sweep
from lrlab.ensembles import Ensemble, Member
from lrlab.regularization import EarlyStopping

QUICK = {"device": "cpu", "progress": False}


def points(classes: int = 3) -> tuple[Tensor, Tensor]:
    """250 points in the plane, 200 of them to train on; the class is the sector they lie in, some are mistaken."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(250, 2, generator=generator)
    angle = torch.atan2(x[:, 1], x[:, 0]) + 0.3 * torch.randn(250, generator=generator)
    return x, ((angle + math.pi) / (2 * math.pi) * classes).long().clamp(0, classes - 1)


def split(classes: int = 3) -> data.Split:
    x, y = points(classes)
    return data.Split(x[:100], y[:100])


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def run(**options) -> Run:
    given = {"model": network, "data": points(), "lr": 0.2, "batch_size": 20, "device": "cpu", **options}
    return Run(given.pop("model"), given.pop("data"), **given)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def recorded(one: Run, steps: int) -> Tensor:
    """The weights after each step, ``[steps, P]``."""
    return torch.stack([weights(one.model) for _ in one.steps(steps)])


def noisy_logits(members: int = 3, examples: int = 40, seed: int = 0) -> Tensor:
    return 2 * torch.randn(members, examples, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noisy_classes(examples: int = 40, seed: int = 0) -> Tensor:
    return torch.randint(4, (examples,), generator=torch.Generator().manual_seed(seed + 1))


some_logits = st.integers(0, 10_000).map(lambda seed: noisy_logits(1 + seed % 5, 12, seed))


@pytest.fixture(scope="module")
def three() -> Ensemble:
    return ensembles.independent(network, points(), members=3, lr=0.2, steps=40, batch_size=20, how="batched", **QUICK)


# Averages of predictions ----------------------------------------------------------------------------------------------


@given(some_logits)
def test_the_average_of_probabilities_is_their_mean(logits: Tensor) -> None:
    whole = ensembles.average(logits)
    torch.testing.assert_close(whole.exp(), logits.softmax(-1).mean(0), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(whole.logsumexp(-1), torch.zeros(12).double(), rtol=0, atol=1e-12)


@given(some_logits)
def test_the_average_of_logits_is_the_geometric_mean(logits: Tensor) -> None:
    geometric = logits.softmax(-1).prod(0) ** (1 / len(logits))
    wanted = geometric / geometric.sum(-1, keepdim=True)
    torch.testing.assert_close(ensembles.average(logits, "logits").exp(), wanted, rtol=1e-10, atol=1e-15)


@given(some_logits, st.sampled_from(["probabilities", "logits"]))
def test_the_whole_has_at_most_the_mean_loss(logits: Tensor, how: str) -> None:
    y = noisy_classes(12)
    members = [ensembles.scores(one, y).loss for one in logits]
    assert ensembles.scores(ensembles.average(logits, how), y).loss <= sum(members) / len(members) + 1e-12


@pytest.mark.parametrize("how", ["probabilities", "logits"])
def test_equal_members_are_one(how: str) -> None:
    one = noisy_logits(1)
    for logits in (one, one.repeat(4, 1, 1)):
        torch.testing.assert_close(ensembles.average(logits, how), one[0].log_softmax(-1))


def test_the_average_stays_finite_where_probabilities_do_not() -> None:
    logits = torch.tensor([[[1000.0, 0.0]], [[900.0, 0.0]]])
    found = ensembles.scores(ensembles.average(logits), torch.tensor([1]))
    assert found.loss == pytest.approx(900 + math.log(2), rel=1e-6) and found.accuracy == 0


def test_the_averages_differ_where_one_member_is_sure() -> None:
    """Of probabilities, the two unsure members win; of logits, the sure one does."""
    logits = torch.tensor([[[0.0, 9.0]], [[1.0, 0.0]], [[1.5, 0.0]]])
    assert ensembles.average(logits).argmax() == 0
    assert ensembles.average(logits, "logits").argmax() == 1


def test_scores_are_torchs_loss_and_the_share_that_is_right() -> None:
    z, y = noisy_logits(1)[0], noisy_classes()
    found = ensembles.scores(z, y)
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(z, y)), rel=1e-12)
    assert found.accuracy == sum(int(row.argmax()) == int(c) for row, c in zip(z, y, strict=True)) / 40
    assert found.ece == ensembles.ece(z.softmax(1), y)


# Calibration ----------------------------------------------------------------------------------------------------------


def two_classes(*confidences: float) -> Tensor:
    """Predictions of class 0 with these confidences."""
    return torch.tensor([[p, 1 - p] for p in confidences], dtype=torch.float64)


def test_ece_by_hand() -> None:
    """Five bins: .55 (right) and .60 (wrong) in (.4, .6]; .7 (right) in (.6, .8]; .9, .95 (right) and 1 (wrong) above.

    2/6 |.5 − .575| + 1/6 |1 − .7| + 3/6 |2/3 − .95| = .025 + .05 + .141667
    """
    probabilities = two_classes(0.55, 0.60, 0.7, 0.9, 0.95, 1.0)
    y = torch.tensor([0, 1, 0, 0, 0, 1])
    assert ensembles.ece(probabilities, y, bins=5) == pytest.approx(0.025 + 0.05 + 0.5 * (0.95 - 2 / 3), abs=1e-12)
    found = ensembles.reliability(probabilities, y, bins=5)
    assert found.examples.tolist() == [0, 0, 2, 1, 3]
    assert found.confidence[2:].tolist() == pytest.approx([0.575, 0.7, 0.95])
    assert found.accuracy[2:].tolist() == pytest.approx([0.5, 1, 2 / 3])
    assert found.accuracy[:2].isnan().all() and found.confidence[:2].isnan().all()


def test_in_one_bin_ece_is_confidence_against_accuracy() -> None:
    y = torch.tensor([0, 0, 0, 1])
    assert ensembles.ece(two_classes(0.75, 0.75, 0.75, 0.75), y, bins=1) == 0
    assert ensembles.ece(two_classes(0.6, 0.7, 0.8, 0.9), y, bins=1) == pytest.approx(0)
    assert ensembles.ece(two_classes(0.6, 0.7, 0.8, 0.9), y, bins=15) > 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(dtype: torch.dtype) -> None:
    found = ensembles.reliability(two_classes(0.6, 0.7, 0.8, 0.9, 1.0).to(dtype), torch.zeros(5, dtype=torch.long), 10)
    assert found.examples.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    rounded_up = torch.tensor([[1.000001, 0.0]], dtype=dtype)  # as sums of rounded probabilities may be
    assert ensembles.reliability(rounded_up, torch.tensor([0]), 4).examples.tolist() == [0, 0, 0, 1]


@given(some_logits, st.integers(1, 20))
def test_ece_is_what_a_plain_loop_finds(logits: Tensor, bins: int) -> None:
    probabilities, y = logits[0].softmax(-1), noisy_classes(12)
    binned: dict[int, list[tuple[float, bool]]] = {}
    for row, c in zip(probabilities.tolist(), y.tolist(), strict=True):
        binned.setdefault(math.ceil(max(row) * bins), []).append((max(row), row.index(max(row)) == c))
    wanted = sum(abs(sum(hit - p for p, hit in rows)) for rows in binned.values()) / 12
    found = ensembles.ece(probabilities, y, bins)
    assert found == pytest.approx(wanted, abs=1e-12) and 0 <= found <= 1


@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_the_temperature_is_where_the_loss_is_least(seed: int, scale: float) -> None:
    z, y = noisy_logits(1, 60, seed)[0], noisy_classes(60, seed)
    y[:40] = z[:40].argmax(1)  # better than guessing, and not always right
    T = ensembles.temperature(scale * z, y)
    beta = torch.tensor(1 / T, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(beta * scale * z, y), beta)
    assert abs(float(slope) / scale) < 1e-9
    assert pytest.approx(ensembles.temperature(z, y) * scale, rel=1e-9) == T
    assert torch.equal((scale * z / T).argmax(1), z.argmax(1))


def test_a_network_that_knows_its_chances_has_temperature_one() -> None:
    """Classes drawn from the probabilities themselves; 40,000 of them, so within five standard errors of 1."""
    z = noisy_logits(1, 40_000)[0]
    y = torch.multinomial(z.softmax(1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
    assert ensembles.temperature(z, y) == pytest.approx(1, abs=0.03)
    assert ensembles.temperature(3 * z, y) == pytest.approx(3, abs=0.09)
    assert ensembles.scores(3 * z / 3, y).ece < 0.02 < 0.1 < ensembles.scores(3 * z, y).ece


def test_where_no_temperature_is_best() -> None:
    z = noisy_logits(1)[0]
    with pytest.raises(ValueError, match="all 40 examples are right"):
        ensembles.temperature(z, z.argmax(1))
    with pytest.raises(ValueError, match="no better than guessing"):
        ensembles.temperature(z, z.argmin(1))
    with pytest.raises(ValueError, match="no better than guessing"):
        ensembles.temperature(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
    with pytest.raises(ValueError, match="must be finite"):
        ensembles.temperature(z.log(), noisy_classes())


# Diversity ------------------------------------------------------------------------------------------------------------


def test_disagreement_by_hand() -> None:
    logits = nn.functional.one_hot(torch.tensor([[0, 1, 2, 3], [0, 1, 2, 0], [1, 0, 2, 0]]), 4).double()
    assert ensembles.disagreement(logits).tolist() == [[0, 0.25, 0.75], [0.25, 0, 0.5], [0.75, 0.5, 0]]


@given(some_logits)
def test_jensen_shannon_is_the_entropy_of_the_whole_minus_the_members(logits: Tensor) -> None:
    p = logits.softmax(-1)
    mean = p.mean(0)
    wanted = -(mean * mean.log()).sum(-1) + (p * p.log()).sum(-1).mean(0)
    found = ensembles.jensen_shannon(logits)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    assert (found >= 0).all() and (found <= math.log(len(logits)) + 1e-12).all()
    torch.testing.assert_close(ensembles.jensen_shannon(logits.flip(0)), found)


def test_a_single_member_agrees_with_itself(three: Ensemble) -> None:
    assert three.subset(0).diversity(points()[0]) == (0, 0)
    found, logits = three.diversity(points()[0]), three.logits(points()[0])
    pairs = ensembles.disagreement(logits)[[0, 0, 1], [1, 2, 2]]
    assert found.disagreement == pytest.approx(float(pairs.mean())) and found.disagreement > 0
    assert found.jensen_shannon == pytest.approx(float(ensembles.jensen_shannon(logits).mean()))


# Averages of weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "every"), [(0, 1), (10, 1), (10, 7), (23, 7)])
def test_swa_is_the_mean_of_the_recorded_weights(start: int, every: int) -> None:
    path = recorded(run(), 30)
    found = ensembles.swa(run(), 30, start=start, every=every, progress=False)
    taken = path[start + every - 1 :: every].double()
    torch.testing.assert_close(weights(found), taken.mean(0).float(), rtol=1e-6, atol=1e-7)
    assert not found.training


def test_swa_is_torchs_averaged_model() -> None:
    one = run()
    theirs = swa_utils.AveragedModel(one.model)
    for _ in one.steps(20):
        theirs.update_parameters(one.model)
    ours = ensembles.swa(run(), 20, progress=False)
    torch.testing.assert_close(weights(ours), weights(theirs.module), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.97])
def test_ema_is_its_recurrence(decay: float) -> None:
    first, path = weights(run().model).double(), recorded(run(), 25).double()
    plain, corrected = first, torch.zeros_like(first)
    for x in path:
        plain = decay * plain + (1 - decay) * x
        corrected = decay * corrected + (1 - decay) * x
    found = ensembles.ema(run(), 25, decay=decay, corrected=False, progress=False)
    torch.testing.assert_close(weights(found), plain.float(), rtol=1e-6, atol=1e-7)
    found = ensembles.ema(run(), 25, decay=decay, progress=False)
    torch.testing.assert_close(weights(found), (corrected / (1 - decay**25)).float(), rtol=1e-6, atol=1e-7)


def test_the_bias_of_ema_is_the_share_of_the_first_weights() -> None:
    """plain = dᵗ x₀ + (1 − dᵗ) corrected."""
    first = weights(run(dtype="float64").model)
    plain, corrected = (
        weights(ensembles.ema(run(dtype="float64"), 20, decay=0.9, corrected=yes, progress=False))
        for yes in (False, True)
    )
    torch.testing.assert_close(plain, 0.9**20 * first + (1 - 0.9**20) * corrected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("average", [ensembles.swa, ensembles.ema])
def test_a_run_goes_on_as_if_nobody_averaged(average) -> None:
    watched, alone = run(), run().train(30, progress=False)
    average(watched, 12, progress=False)
    average(watched, 18, progress=False)
    assert torch.equal(weights(watched.model), weights(alone.model)) and watched.step == 30
    assert watched.history["loss"].tolist() == alone.history["loss"].tolist()


def test_an_average_does_not_share_weights_with_the_run() -> None:
    one = run()
    mean = ensembles.swa(one, 10, progress=False)
    before = weights(mean)
    one.train(10, progress=False)
    assert torch.equal(weights(mean), before)


def test_renewed_statistics_are_those_of_a_full_pass() -> None:
    torch.manual_seed(0)
    model, x = with_batch_norm(), points()[0]
    ensembles.renew_batchnorm(model, x, batch_size=1000)
    inner = model[0](x)
    torch.testing.assert_close(model[1].running_mean, inner.mean(0))
    torch.testing.assert_close(model[1].running_var, inner.var(0))
    assert not any(part.training for part in model.modules()) and model[1].momentum == 0.1


def test_renewed_statistics_are_torchs_over_mini_batches() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5), nn.BatchNorm1d(5))
    theirs, x = copy.deepcopy(ours), points()[0]
    ensembles.renew_batchnorm(ours, x, batch_size=50)
    swa_utils.update_bn(x.split(50), theirs)
    for found, wanted in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_loader_renews_like_its_tensor_and_a_pass_repeats_itself() -> None:
    torch.manual_seed(0)
    one = with_batch_norm()
    other, x = copy.deepcopy(one), points()[0]
    ensembles.renew_batchnorm(one, x, batch_size=50)
    ensembles.renew_batchnorm(other, DataLoader(TensorDataset(*points()), batch_size=50))
    ensembles.renew_batchnorm(other, DataLoader(TensorDataset(*points()), batch_size=50))
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


def test_a_normalisation_without_weights_is_renewed_too() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(2, affine=False)), points()[0]
    ensembles.renew_batchnorm(model, x, batch_size=len(x))
    torch.testing.assert_close(model[0].running_mean, x.mean(0))


def test_frozen_and_absent_statistics_stay() -> None:
    frozen = nn.BatchNorm1d(2).requires_grad_(False)
    model = nn.Sequential(frozen, nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False))
    ensembles.renew_batchnorm(model, 5 + 3 * points()[0])
    assert frozen.running_mean.tolist() == [0, 0] and frozen.running_var.tolist() == [1, 1]
    assert (model[1].running_mean > 1).all()
    assert model[2].running_mean is None


@pytest.mark.parametrize("loader", [False, True])
def test_averaged_networks_have_renewed_statistics(loader: bool) -> None:
    """With the statistics that the last weights came with, the averaged network would be another one."""
    source = DataLoader(TensorDataset(*points()), batch_size=50) if loader else points()
    one = run(model=with_batch_norm, data=source, batch_size=50)
    train = source if loader else one.dataset.train.x
    mean = ensembles.swa(one, 30, progress=False)
    again = ensembles.renew_batchnorm(copy.deepcopy(mean), train)
    assert torch.equal(mean[1].running_var, again[1].running_var)
    assert not torch.allclose(mean[1].running_var, one.model[1].running_var, rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ensembles.swa(run(), 0), "steps must be a whole number of at least 1"),
        (lambda: ensembles.swa(run(), 10, start=-1), "start must be a whole number of at least 0"),
        (lambda: ensembles.swa(run(), 10, every=0), "every must be a whole number of at least 1"),
        (lambda: ensembles.swa(run(), 10, start=10), "leave nothing to average in steps=10"),
        (lambda: ensembles.swa(run(), 10, start=5, every=6), "the first point would be that after step 11"),
        (lambda: ensembles.ema(run(), 10, decay=1), r"decay must be in \[0, 1\)"),
        (lambda: ensembles.ema(run(), 10, decay=-0.1), r"decay must be in \[0, 1\)"),
        (lambda: ensembles.ema(run(), True), "steps must be a whole number"),
        (lambda: ensembles.swa(run(lr=1e12, loss="mse", model=one_number, data=lines()), 60), "diverged at step"),
        (lambda: ensembles.ema(run(validate_every=1, stopping=EarlyStopping(1), lr=9.0), 400), "stopped early, after"),
        (lambda: ensembles.renew_batchnorm(with_batch_norm(), points()[0], 1), "batch_size must be"),
        (lambda: ensembles.renew_batchnorm(with_batch_norm(), points()[0][:1]), "at least 2 examples, got 1"),
    ],
)
def test_bad_averages(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def one_number() -> nn.Module:
    return nn.Linear(2, 1)


def lines() -> tuple[Tensor, Tensor]:
    x, _ = points()
    return x, x.sum(1, keepdim=True)


def test_averages_of_no_run() -> None:
    with pytest.raises(TypeError, match="swa: run must be a Run"):
        ensembles.swa(network(), 10)
    with pytest.raises(TypeError, match="ema: run must be a Run"):
        ensembles.ema("mlp", 10)
    for wrong in (3, points(), ["text"], "digits"):
        with pytest.raises(TypeError, match=r"data must be the inputs, a tensor \[N, ...\] .* or a DataLoader; "):
            ensembles.renew_batchnorm(with_batch_norm(), wrong)


def test_statistics_that_cannot_be_renewed_stay_as_they_were() -> None:
    model = with_batch_norm()
    model.train()(points()[0])
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="this list gave no batch, so there is nothing to measure"):
        ensembles.renew_batchnorm(model, [])
    with pytest.raises(RuntimeError):
        ensembles.renew_batchnorm(model, [points()[0], torch.zeros(4, 5)])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model[1].momentum == 0.1 and not model.training


# Independent networks -------------------------------------------------------------------------------------------------


def test_members_are_single_runs(three: Ensemble) -> None:
    assert three.names == ["seed 0", "seed 1", "seed 2"]
    for seed, member in enumerate(three.members):
        alone = run(seed=seed).train(40, progress=False)
        torch.testing.assert_close(weights(member.model), weights(alone.model), rtol=1e-4, atol=1e-6)
        assert (member.step, member.lr) == (40, 0.2)


def test_looped_members_are_single_runs_bitwise() -> None:
    options = {"steps": 20, "lr": 0.1, "batch_size": 20, "how": "looped", **QUICK}
    found = ensembles.independent(with_batch_norm, points(), members=[3, 7], **options)
    for seed, member in zip([3, 7], found.members, strict=True):
        alone = run(model=with_batch_norm, seed=seed, lr=0.1).train(20, progress=False).model
        assert all(
            torch.equal(a, b)
            for a, b in zip(member.model.state_dict().values(), alone.state_dict().values(), strict=True)
        )


def test_members_differ_and_repeat_themselves(three: Ensemble) -> None:
    again = ensembles.independent(network, points(), members=3, lr=0.2, steps=40, batch_size=20, how="batched", **QUICK)
    x = points()[0]
    assert torch.equal(three.logits(x), again.logits(x))
    assert not torch.allclose(three.logits(x)[0], three.logits(x)[1])


def test_members_under_several_rates_and_a_schedule() -> None:
    found = ensembles.independent(
        network, points(), members=2, lr=[0.1, 0.2], steps=10, batch_size=20, how="batched", **QUICK
    )
    assert found.names == ["lr 0.1, seed 0", "lr 0.1, seed 1", "lr 0.2, seed 0", "lr 0.2, seed 1"]
    assert [member.lr for member in found.members] == [0.1, 0.1, 0.2, 0.2]
    falling = schedules.Linear(0.2, total=10)
    found = ensembles.independent(network, points(), members=1, lr=falling, steps=10, batch_size=20, **QUICK)
    assert found.members[0].lr == pytest.approx(falling(9))


def regression_sweep(lr):
    """Losses that overflow where the rate is far too high."""
    options = {"lr": lr, "seeds": 2, "steps": 60, "loss": "mse", "validation": lines(), "keep_weights": True, **QUICK}
    return sweep(one_number, lines(), how="batched", **options)


def test_a_diverged_member_is_left_out_with_a_note() -> None:
    result = regression_sweep([0.01, 1e12])
    with pytest.warns(UserWarning, match=r"left out of the ensemble: lr 1e\+12, seed 0 \(diverged at step \d+\)"):
        found = Ensemble.from_sweep(result)
    assert found.names == ["lr 0.01, seed 0", "lr 0.01, seed 1"] and len(found.left_out) == 2
    assert "left out: lr 1e+12" in repr(found)
    with pytest.raises(ValueError, match="all 2 runs diverged, so there is no ensemble: lower lr"):
        Ensemble.from_sweep(result, rows=[2, 3])


def test_members_from_rows_of_a_sweep() -> None:
    result = sweep(
        network, points(), lr=[0.1, 0.2], seeds=2, steps=10, batch_size=20, keep_weights=True, how="batched", **QUICK
    )
    found = Ensemble.from_sweep(result, rows=[3, 0])
    assert found.names == ["lr 0.2, seed 1", "lr 0.1, seed 0"]
    assert torch.equal(weights(found.members[0].model), weights(result.model(3)))
    with pytest.raises(ValueError, match="row must be a number from 0 to 3"):
        Ensemble.from_sweep(result, rows=[4])
    with pytest.raises(TypeError, match="rows must be numbers of rows"):
        Ensemble.from_sweep(result, rows=2)
    with pytest.raises(TypeError, match=r"from_sweep takes what sweep.* returned, not a DataFrame"):
        Ensemble.from_sweep(result[result["lr"] == 0.1])
    with pytest.raises(TypeError, match="from_sweep"):
        Ensemble(result)
    kept_not = sweep(network, points(), lr=0.1, steps=2, batch_size=20, how="batched", **QUICK)
    with pytest.raises(ValueError, match="the weights of this run were not kept"):
        Ensemble.from_sweep(kept_not)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"members": 0}, ValueError, "members must be a whole number of at least 1; got 0"),
        ({"members": 2.5}, ValueError, "members must be a whole number"),
        ({"members": []}, ValueError, "seeds is empty"),
        ({"members": [1, 1]}, ValueError, "given more than once"),
        ({"seeds": 5}, TypeError, "seeds is set here; say members=5"),
        ({"keep_weights": False}, TypeError, "keep_weights is set here"),
        ({"rho": 0.9}, TypeError, "has no hyperparameter 'rho'"),
    ],
)
def test_bad_members(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ensembles.independent(network, points(), batch_size=20, steps=2, **{**QUICK, **options})


# Snapshots ------------------------------------------------------------------------------------------------------------


def test_snapshots_are_the_runs_weights_at_the_ends_of_its_cycles_bitwise() -> None:
    alone = recorded(run(lr=schedules.WarmRestarts(0.2, period=20), rule=rules.Momentum()), 60)
    found = ensembles.snapshots(
        network, points(), cycles=3, steps=60, lr=0.2, rule=rules.Momentum(), batch_size=20, **QUICK
    )
    assert [member.step for member in found.members] == [20, 40, 60]
    for member in found.members:
        assert torch.equal(weights(member.model), alone[member.step - 1])
    assert found.names == ["cycle 1", "cycle 2", "cycle 3"]


def test_snapshots_carry_the_statistics_of_their_moment() -> None:
    one = run(model=with_batch_norm, lr=schedules.WarmRestarts(0.2, period=20))
    found = ensembles.snapshots(one.fresh(), cycles=2, steps=40, progress=False)
    one.train(20, progress=False)
    first = found.members[0].model
    assert torch.equal(first[1].running_mean, one.model[1].running_mean)
    assert not torch.equal(first[1].running_mean, found.members[1].model[1].running_mean)


def test_each_snapshot_is_taken_at_the_least_rate_that_was_applied_in_its_cycle() -> None:
    one = run(lr=0.3)
    found = ensembles.snapshots(one, cycles=4, steps=40, progress=False)
    applied = one.history["lr"]
    assert len(applied) == 40
    for cycle, member in enumerate(found.members):
        assert member.lr == applied[member.step - 1] == min(applied[10 * cycle : 10 * cycle + 10])
        assert applied[10 * cycle] == 0.3 and member.lr < 0.01
    assert one.knobs["lr"] == 0.3  # the next step is a restart


def test_a_run_that_was_made_before_begins_its_cycles_where_it_stands() -> None:
    one = run(lr=0.3).train(7, progress=False)
    found = ensembles.snapshots(one, cycles=2, steps=10, progress=False)
    assert [member.step for member in found.members] == [12, 17]
    assert one.history["lr"][:7].tolist() == [0.3] * 7 and one.history["lr"][7] == 0.3 == one.history["lr"][12]
    again = Run.replay(one.config, one.moves, model=network, data=points())
    assert torch.equal(weights(again.model), weights(found.members[1].model))


@pytest.mark.parametrize(
    ("schedule", "per", "steps", "ends"),
    [
        (schedules.WarmRestarts(0.2, period=4, mult=2), "step", 28, [4, 12, 28]),
        (schedules.WarmRestarts(0.2, period=2), "epoch", 60, [20, 40, 60]),
        (schedules.Triangular(0.02, 0.2, stepsize=5), "step", 31, [11, 21, 31]),
        (schedules.Constant(0.1).until(5).then(schedules.WarmRestarts(0.2, period=5)), "step", 20, [10, 15, 20]),
    ],
)
def test_minima_of_a_schedule_of_ones_own(schedule, per: str, steps: int, ends: list[int]) -> None:
    one = run(lr=schedule, per=per)  # 200 examples, 20 at a time: ten steps an epoch
    found = ensembles.snapshots(one, cycles=3, steps=steps, progress=False)
    assert [member.step for member in found.members] == ends
    assert [member.lr for member in found.members] == [one.history["lr"][end - 1] for end in ends]


@given(st.integers(2, 12), st.integers(1, 6), st.floats(1e-4, 10))
def test_warm_restarts_have_a_minimum_a_cycle(period: int, cycles: int, lr: float) -> None:
    restarts = schedules.WarmRestarts(lr, period=period)
    planned = [restarts(step) for step in range(period * cycles + 1)]
    assert ensembles.minima(planned) == [period * (cycle + 1) for cycle in range(cycles)]
    assert ensembles.minima(planned[:-1]) == [period * (cycle + 1) for cycle in range(cycles - 1)]


def test_rates_without_a_minimum() -> None:
    assert ensembles.minima([1.0, 1.0, 1.0]) == ensembles.minima([3.0, 2.0, 1.0]) == ensembles.minima([1.0, 2.0]) == []
    assert ensembles.minima([3.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0]) == [3, 6]


def test_snapshots_share_the_steps_of_their_run(three: Ensemble) -> None:
    found = ensembles.snapshots(run(), cycles=4, steps=40, progress=False)
    assert found.training_steps == 40 and found.without(0).training_steps == 40
    assert found.without(3).training_steps == 30 and found.subset(0).training_steps == 10
    assert found.subset(3, 0).training_steps == 40
    assert three.training_steps == 120 and three.without(1).training_steps == 80
    assert found.joined(three).training_steps == 160
    assert found.subset(0).joined(found.without(0)).training_steps == 40
    assert Ensemble([network(), *three.members]).training_steps is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cycles": 3, "steps": 40}, "steps=40 does not make cycles=3 of one length: take steps=39 or steps=42"),
        ({"cycles": 30, "steps": 40}, "too short for cycles=30: a cycle needs at least 2 steps"),
        ({"cycles": 0}, "cycles must be a whole number of at least 1"),
        ({"cycles": 2.0}, "cycles must be a whole number"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"lr": schedules.Cosine(0.1, total=500)}, "has 0 minima: it must have fallen and rise again"),
        ({"lr": schedules.WarmRestarts(0.1, period=200)}, "has 2 minima, after steps 200, 400"),
        ({"lr": schedules.WarmRestarts(0.1, 50), "steps": 240}, "cycles=5, but in these 240 steps .* has 4 minima"),
        ({"lr": schedules.Plateau(0.1)}, "a Plateau has no minima"),
        ({"per": "epoch"}, "with per='epoch' give the restarts in epochs"),
        ({"lr": 1e12, "model": one_number, "data": lines(), "loss": "mse"}, "diverged at step"),
        ({"lr": 9.0, "validate_every": 1, "stopping": EarlyStopping(1)}, "stopped early, at step"),
    ],
)
def test_bad_snapshots(options: dict, message: str) -> None:
    given = {"model": network, "data": points(), "batch_size": 20, **QUICK, **options}
    with pytest.raises(ValueError, match=message):
        ensembles.snapshots(given.pop("model"), given.pop("data"), **given)


def test_bad_arguments_of_snapshots() -> None:
    with pytest.raises(TypeError, match="the run is made already, so data, seed cannot be given"):
        ensembles.snapshots(run(), points(), seed=3)
    with pytest.raises(TypeError, match="give a model and data"):
        ensembles.snapshots(network)
    one = run(lr=schedules.WarmRestarts(0.1, period=2), per="epoch").train(3, progress=False)
    with pytest.raises(ValueError, match=r"needs a run at the start of an epoch; it stands at 0.30"):
        ensembles.snapshots(one, cycles=1, steps=20)


def test_a_rate_that_is_turned_meanwhile() -> None:
    class Turning(nn.Linear):
        """Turns the rate in its twelfth forward pass in training."""

        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Turning.calls += self.training
            if Turning.calls == 12:
                one.lr = 0.5
            return super().forward(x)

    one = run(model=Turning(2, 3))
    with pytest.raises(RuntimeError, match="the learning rate was turned while the snapshots were taken"):
        ensembles.snapshots(one, cycles=2, steps=20, progress=False)
    assert one.status == "paused"


# The ensemble ---------------------------------------------------------------------------------------------------------


def test_logits_predictions_and_scores_of_members_and_whole(three: Ensemble) -> None:
    x, y = split()
    logits = three.logits(x)
    assert logits.shape == (3, 100, 3) and not logits.requires_grad
    for one, member in zip(logits, three.members, strict=True):
        assert torch.equal(one, member.model(x).detach())
    for how in ("probabilities", "logits"):
        whole = ensembles.average(logits, how)
        assert torch.equal(three.predict(x, how), whole.exp())
        result = three.evaluate(split(), how)
        assert result.whole == ensembles.scores(whole, y)
        assert result.members == tuple(ensembles.scores(one, y) for one in logits)
        assert result.mean.accuracy == pytest.approx(sum(m.accuracy for m in result.members) / 3)
    assert three.evaluate(split(), bins=1).whole.ece != three.evaluate(split(), bins=50).whole.ece


def test_the_scores_of_a_run_are_its_own() -> None:
    one = run().train(20, progress=False)
    found = Ensemble([one]).evaluate(one.dataset.validation)
    loss, accuracy = one.validate()
    assert found.whole[:2] == pytest.approx((loss, accuracy), rel=1e-5) == found.members[0][:2]


def test_members_left_out_and_joined(three: Ensemble) -> None:
    x, logits = points()[0], three.logits(points()[0])
    assert torch.equal(three.without(1).logits(x), logits[[0, 2]])
    assert torch.equal(three.subset(2, 0).logits(x), logits[[2, 0]])
    back = three.without(1).joined(three.subset(1))
    assert back.names == ["seed 0", "seed 2", "seed 1"] and len(back) == 3
    assert [group.names for group in three.groups(1)] == [["seed 0"], ["seed 1"], ["seed 2"]]
    assert three.groups(3)[0].names == three.names


def test_members_are_copies_in_inference_mode() -> None:
    one, model = run(), with_batch_norm().train()
    found = Ensemble({"run": one, "own": model})
    before = found.logits(points()[0])
    one.train(10, progress=False)
    nn.init.zeros_(model[0].weight)
    assert torch.equal(found.logits(points()[0]), before) and torch.equal(before, found.logits(points()[0]))
    assert model.training and found.names == ["run", "own"]
    assert Ensemble([one, model]).names == ["member 0", "member 1"]


def test_a_member_of_runs_knows_where_it_comes_from() -> None:
    one = run(lr=schedules.Linear(0.2, total=10)).train(5, progress=False)
    member = Ensemble([one]).members[0]
    assert (member.step, member.lr, member.classes) == (5, one.history["lr"][4], ("0", "1", "2"))
    assert Ensemble([run()]).members[0].lr is None
    assert member.architecture is None
    named = Ensemble([Run("mlp", "digits", device="cpu")])
    assert named.members[0].architecture == ("mlp", (1, 8, 8), 10) and len(named.classes) == 10


def test_members_of_another_dtype_get_what_they_need() -> None:
    found = Ensemble([network(), network().double()])
    assert found.logits(points()[0]).dtype == torch.float64
    assert found.logits(points()[0].double()).shape == (2, 250, 3)


def test_a_large_split_is_cut_into_parts() -> None:
    x = torch.randn(5000, 2)
    model = network()
    torch.testing.assert_close(Ensemble([model]).logits(x)[0], model(x).detach())


def test_the_table(three: Ensemble) -> None:
    table, result = three.table(split()), three.evaluate(split())
    assert list(table.index) == ["seed 0", "seed 1", "seed 2", "ensemble"]
    assert list(table.columns) == ["step", "lr", "loss", "accuracy", "ece"]
    assert table["step"].tolist() == [40, 40, 40, 120] and table["lr"][:3].tolist() == [0.2] * 3
    assert tuple(table.loc["ensemble", ["loss", "accuracy", "ece"]]) == result.whole
    assert tuple(table.loc["seed 1", ["loss", "accuracy", "ece"]]) == result.members[1]
    assert list(Ensemble([network()]).table(split()).columns) == ["loss", "accuracy", "ece"]
    assert str(Ensemble([network(), *three.members]).table(split())["step"].iloc[-1]) == "<NA>"


def test_calibration_before_and_after(three: Ensemble) -> None:
    x, y = points()
    validation, test = data.Split(x[:120], y[:120]), data.Split(x[120:], y[120:])
    table = three.calibration(validation, test)
    fitted, judged = three.logits(validation.x), three.logits(test.x)
    pairs = zip([*fitted, ensembles.average(fitted)], [*judged, ensembles.average(judged)], strict=True)
    for (ours, theirs), (_, row) in zip(pairs, table.iterrows(), strict=True):
        T = ensembles.temperature(ours, validation.y)
        before, after = ensembles.scores(theirs, test.y), ensembles.scores(theirs / T, test.y)
        assert row.tolist() == [T, before.loss, before.ece, after.loss, after.ece]
    on_itself = three.calibration(validation, validation)
    assert (on_itself["loss_scaled"] <= on_itself["loss"] + 1e-7).all()
    assert list(table.index) == [*three.names, "ensemble"]


def test_the_cost(three: Ensemble) -> None:
    found = three.cost(points()[0], rounds=2)
    assert (found.training_steps, found.forward_passes, found.parameters) == (120, 3, 3 * 99)
    assert found.seconds > 0 and found.seconds_of_one > 0
    with pytest.raises(ValueError, match="rounds must be"):
        three.cost(points()[0], rounds=0)


def test_its_text(three: Ensemble) -> None:
    assert repr(three) == "Ensemble(3 members: seed 0, seed 1, seed 2; 120 training steps)"
    assert repr(Ensemble([network()])) == "Ensemble(1 member: member 0)"
    many = repr(Ensemble([network() for _ in range(9)]))
    assert many == "Ensemble(9 members: member 0, member 1, member 2, ..., member 8)"


# Files ----------------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path) -> None:
    pool = ensembles.snapshots("mlp", "digits", cycles=2, steps=20, lr=0.2, **QUICK)
    x, before = data.load("digits", device="cpu").test.x, torch.get_rng_state()
    found = Ensemble.load(pool.save(tmp_path / "two.safetensors"), device="cpu")
    assert torch.equal(found.logits(x), pool.logits(x)) and torch.equal(torch.get_rng_state(), before)
    for ours, theirs in zip(found.members, pool.members, strict=True):
        for name in ("name", "step", "lr", "classes", "architecture"):
            assert getattr(ours, name) == getattr(theirs, name)
    assert found.training_steps == 20 and found.members[0].run not in (None, pool.members[0].run)


def test_ones_own_networks_saved_and_loaded(tmp_path: Path) -> None:
    pool = Ensemble([with_batch_norm().double(), with_batch_norm().double()])
    path = pool.save(tmp_path / "own.safetensors")
    for model in (with_batch_norm, with_batch_norm()):
        assert torch.equal(Ensemble.load(path, model, device="cpu").logits(points()[0]), pool.logits(points()[0]))
    with pytest.raises(ValueError, match="member 0 is no network of this package: load"):
        Ensemble.load(path)
    with pytest.raises(ValueError, match="those of another architecture"):
        Ensemble.load(path, network, device="cpu")
    with pytest.raises(TypeError, match="model must be a torch.nn.Module"):
        Ensemble.load(path, lambda: 3, device="cpu")


def test_what_was_left_out_is_in_the_file(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="left out"):
        pool = Ensemble.from_sweep(regression_sweep([0.01, 1e12]))
    assert Ensemble.load(pool.save(tmp_path / "left"), one_number, device="cpu").left_out == pool.left_out


def test_damaged_files(tmp_path: Path) -> None:
    path = Ensemble([network()]).save(tmp_path / "one.safetensors")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged"):
        Ensemble.load(path, network)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Ensemble.load(tmp_path / "none")
    with pytest.raises(ValueError, match="holds an lrlab run 1, not an lrlab ensemble 1"):
        Ensemble.load(run().save(tmp_path / "run.safetensors"), network)


# Bad input ------------------------------------------------------------------------------------------------------------


def not_finite() -> nn.Module:
    model = network()
    nn.init.constant_(model[0].weight, math.nan)
    return model


def diverged() -> Run:
    return run(lr=1e12, loss="mse", model=one_number, data=lines()).train(60, progress=False)


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        (lambda: [], ValueError, "an ensemble needs at least one member"),
        (lambda: {}, ValueError, "an ensemble needs at least one member"),
        (network, TypeError, "members must be a list of networks, or a dict that names them; got Sequential"),
        (run, TypeError, "members must be a list of networks, or a dict that names them; got Run"),
        (lambda: 3, TypeError, "members must be a list of networks"),
        (lambda: [network(), "mlp"], TypeError, "member 1 of the ensemble must be a torch.nn.Module, a Run"),
        (lambda: {3: network()}, TypeError, "the name of a member must be a text, got 3"),
        (lambda: [Member("a", network()), Member("a", network())], ValueError, "there is more than one 'a'"),
        (lambda: [network(), not_finite()], ValueError, "member 1 has weights that are not finite: it diverged"),
        (lambda: [run(), diverged()], ValueError, "member 1 of the ensemble: the run diverged at step"),
        (lambda: [network(), network().to("meta")], ValueError, "member 0 on cpu.*move them, model.to"),
        (
            lambda: [run(), run(data=points(2), model=lambda: nn.Linear(2, 2))],
            ValueError,
            r"the same classes: member 0 has 3 \(0, 1, 2\), member 1 has 2 \(0, 1\)",
        ),
    ],
)
def test_bad_ensembles(members, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Ensemble(members())


def test_networks_of_differing_classes() -> None:
    found = Ensemble({"three": network(), "two": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="must have the same classes, but their numbers are: three 3, two 2"):
        found.evaluate(split())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda e: e.without(3),
            ValueError,
            r"a member is a number from 0 to 2, as in without\(0, 2\); got 3",
        ),
        (lambda e: e.without("seed 0"), ValueError, "got 'seed 0'"),
        (lambda e: e.without(True), ValueError, "got True"),
        (lambda e: e.without(0, 1, 2), ValueError, "leaves out all 3 members"),
        (lambda e: e.subset(-1), ValueError, "subset: a member is a number from 0 to 2"),
        (lambda e: e.subset([0, 1]), ValueError, r"as in subset\(0, 2\)"),
        (lambda e: e.subset(), ValueError, "at least one member"),
        (lambda e: e.subset(0, 0), ValueError, "more than one 'seed 0'"),
        (lambda e: e.joined(e), ValueError, "more than one 'seed 0'"),
        (lambda e: e.joined(network()), TypeError, "joined takes an Ensemble"),
        (lambda e: e.groups(2), ValueError, "3 members do not make whole groups of 2"),
        (lambda e: e.groups(0), ValueError, "size must be"),
        (lambda e: e.logits([[1.0, 2.0]]), ValueError, r"x must be a tensor \[examples, ...\].*got list"),
        (lambda e: e.logits(torch.zeros(0, 2)), ValueError, r"got \[0, 2\]"),
        (lambda e: e.logits(torch.zeros(2)), ValueError, r"got \[2\]"),
        (lambda e: e.logits(torch.zeros(4, 3)), ValueError, r"seed 0 does not take examples of shape \[3\]"),
        (lambda e: e.logits(torch.zeros(4, 5, 2)), ValueError, r"must give logits \[examples, classes\]"),
        (lambda e: e.predict(points()[0], "votes"), ValueError, "average must be one of 'probabilities', 'logits'"),
        (lambda e: e.evaluate(points()[0]), TypeError, r"a split is a pair \(x, y\)"),
        (lambda e: e.evaluate((points()[0], points()[1][:9])), ValueError, "of the same examples: 250 and 9"),
        (lambda e: e.evaluate((points()[0], points()[1] + 1)), ValueError, "from 0 to 2, as there are 3 .* 1 to 3"),
        (lambda e: e.evaluate((points()[0], points()[1] - 1)), ValueError, "y must be from 0 to 2"),
        (lambda e: e.evaluate((points()[0], points()[1].float())), ValueError, "whole numbers; got float32"),
        (lambda e: e.evaluate((points()[0], points()[1].tolist())), ValueError, "whole numbers; got list"),
        (lambda e: e.evaluate(points(), bins=0), ValueError, "bins must be a whole number of at least 1"),
        (lambda e: e.cost("x"), ValueError, "x must be a tensor"),
    ],
)
def test_bad_questions(three: Ensemble, call, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call(three)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ensembles.average(torch.zeros(3, 4)), r"logits must be a tensor \[members, examples, classes\]"),
        (lambda: ensembles.average(torch.zeros(0, 3, 4)), r"got float32 \[0, 3, 4\]"),
        (lambda: ensembles.average(torch.zeros(2, 3, 4).long()), r"got int64 \[2, 3, 4\]"),
        (lambda: ensembles.disagreement([[[1.0]]]), "got list"),
        (lambda: ensembles.jensen_shannon(torch.zeros(3, 4)), "logits must be"),
        (lambda: ensembles.scores(torch.zeros(2, 3, 4), torch.zeros(3).long()), r"logits must be a tensor \[examples"),
        (lambda: ensembles.ece(torch.zeros(2, 3), torch.zeros(2).long()), "must be at least 0 and sum to 1"),
        (lambda: ensembles.ece(torch.tensor([[1.5, -0.5]]), torch.zeros(1).long()), "must be at least 0 and sum to 1"),
        (lambda: ensembles.ece(torch.full((2, 2), math.nan), torch.zeros(2).long()), "must be at least 0 and sum"),
    ],
)
def test_bad_logits(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# On a GPU -------------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    pool = ensembles.independent("mlp", "digits", members=2, steps=20, device="cuda", how="batched", progress=False)
    taken = ensembles.snapshots("mlp", "digits", cycles=2, steps=20, device="cuda", progress=False)
    digits = data.load("digits", device="cpu")
    for found in (pool, taken):
        assert found.device.type == "cuda" == found.logits(digits.test.x).device.type
        assert 0 <= found.evaluate(digits.test).whole.ece <= 1
        assert found.cost(digits.test.x).seconds > 0
        assert not found.calibration(digits.validation, digits.test).isna().any().any()
    mean = ensembles.swa(Run("mlp", "digits", device="cuda"), 20, progress=False)
    assert next(mean.parameters()).device.type == "cuda"
    with pytest.raises(ValueError, match="members must be on one device"):
        Ensemble([mean, models.mlp()])
