"""The loop stops when it should, keeps what was best, and touches nobody else's randomness."""

import copy
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from agents.examples import RequestExamples
from agents.fields import Columns, Schema, Table
from agents.losses import make_loss
from agents.matrix_factorization import FactorNetwork
from agents.negatives import uniform
from agents.objective import Batch, Catalogue, Objective
from agents.requests import Requests
from agents.training import Epoch, Schedule, curve_rows, fit, held_out_loss, seeded
from recsim_lab.policy import NEVER

T = torch.Tensor

NOTHING = Columns(torch.zeros(4, 0, dtype=torch.long), torch.zeros(4, 0), ())
TABLE = Table(NOTHING, NOTHING, torch.zeros(4, dtype=torch.long), torch.full((4,), NEVER))


def examples_of(items: list[int]) -> RequestExamples:
    zero = torch.zeros(len(items), dtype=torch.long)
    nothing = torch.zeros(len(items), 0, dtype=torch.int32)
    clicked = torch.tensor(items)[:, None]
    requests = Requests(zero, zero, zero, nothing, nothing, TABLE)
    return RequestExamples(requests, torch.arange(len(items)), clicked, torch.ones(clicked.shape))


@pytest.fixture
def network() -> FactorNetwork:
    torch.manual_seed(0)
    network = FactorNetwork(Schema(1, 4, 1), 2)
    network.known_users[:] = network.known_items[:] = True
    return network


@dataclass
class Pull(Objective):
    """The sum of all scores and an offset, each step a little lower; remembers the judges it was given."""

    offset: torch.nn.Parameter = field(default_factory=lambda: torch.nn.Parameter(torch.zeros(1)))
    needs_judge: bool = False
    judges: list = field(default_factory=list)

    def loss(self, network, batch: Batch, judge=None):
        self.judges.append(judge)
        return network(batch.inputs, batch.items).mean() + self.offset.sum()


def weights_of(network, optimizer, objective: Pull) -> list[T]:
    """All that training moves: weights, the offset, and the optimiser's moments."""
    moments = [value for state in optimizer.state.values() for value in state.values()]
    return [value.detach().clone() for value in (*network.state_dict().values(), objective.offset, *moments)]


def equal(first: list[T], second: list[T]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def run(network, values: list[float], schedule: Schedule):
    """Train while validation says what `values` hold: (the curve, weights after each epoch, weights in the end)."""
    objective = Pull()
    optimizer = torch.optim.Adam([*network.parameters(), objective.offset], lr=0.1)
    asked, after = iter(values), []
    curve = fit(
        network,
        optimizer,
        examples_of([0, 1, 2]),
        objective,
        schedule,
        lambda: float(next(asked)),
        lambda epoch, planned: after.append((planned, weights_of(network, optimizer, objective))),
    )
    assert {planned for planned, _ in after} == {schedule.epochs}
    return curve, [weights for _, weights in after], weights_of(network, optimizer, objective)


@pytest.mark.parametrize(
    "values, patience, num_epochs, best",
    [
        ([1, 3, 2, 1, 9, 9], 2, 4, 1),
        ([1, 3, 2, 4, 3, 3, 9], 2, 6, 3),
        ([1, 1, 1, 1], 3, 4, 0),
        ([5, 4, 9], 1, 2, 0),
        ([5, 6, 4, 9], 0, 3, 1),
        ([1, 2, 3, 4], 1, 4, 3),
        ([-9, -10, -8, -11], 2, 4, 2),
    ],
)
def test_the_best_epoch_stays(values, patience, num_epochs, best, network):
    schedule = Schedule(len(values), 2, patience)
    curve, after, final = run(network, values, schedule)
    assert [epoch.epoch for epoch in curve] == list(range(num_epochs))
    assert [epoch.validation for epoch in curve] == pytest.approx(values[:num_epochs], nan_ok=True)
    assert equal(final, after[best])
    assert all(equal(final, weights) == (place == best) for place, weights in enumerate(after))
    assert not network.training


def test_without_patience_the_last_epoch_stays(network):
    curve, after, final = run(network, [3, 2, 1, 0], Schedule(4, 2))
    assert len(curve) == 4 and equal(final, after[-1])


def test_validation_is_asked_when_due(network):
    curve, after, final = run(network, [5, 4, 3], Schedule(7, 2, patience=2, validate_every=3))
    # After epochs 2 and 5, and after the last.
    assert [epoch.validation for epoch in curve] == pytest.approx(
        [np.nan, np.nan, 5, np.nan, np.nan, 4, 3], nan_ok=True
    )
    assert equal(final, after[2])


@pytest.mark.parametrize(("patience", "expected"), [(1, [1, 1, 0.5, 0.5, 0.25]), (2, [1, 1, 1, 1, 1, 0.5, 0.5])])
def test_the_learning_rate_falls_where_validation_does_not_rise(network, patience, expected):
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    values, rates = iter([1.0, 0.0, 2.0, 1.0, 1.0, 1.0, 1.0]), []
    fit(
        network,
        optimizer,
        examples_of([0]),
        Pull(),
        Schedule(len(expected), 1, rate_factor=0.5, rate_patience=patience),
        lambda: next(values),
        lambda *_: rates.append(optimizer.param_groups[0]["lr"]),
    )
    # The report comes before the rate falls.
    assert rates == expected


def test_hard_negatives_are_judged_by_the_last_epoch(network):
    objective = Pull(needs_judge=True)
    optimizer = torch.optim.SGD([*network.parameters(), objective.offset], lr=0.1)
    after: list[T] = []
    fit(
        network,
        optimizer,
        examples_of([0, 1, 2]),
        objective,
        Schedule(4, 2, judge_from=2),
        report=lambda *_: after.append(network.items.detach().clone()),
    )
    judges = objective.judges  # two steps an epoch, and a last look
    assert len(judges) == 9
    assert judges[:4] == [None] * 4 and judges[4] is judges[5] and judges[6] is judges[7]
    for judge, weights in ((judges[4], after[1]), (judges[6], after[2])):
        assert torch.equal(judge.items, weights) and not judge.training and judge is not network


def test_losses_of_the_curve_are_means_over_steps(network):
    class Listed(Objective):
        losses = iter([1.0, 3.0, 5.0, 7.0, 0.0])

        def loss(self, network, batch, judge=None):
            return network.users.sum() * 0 + next(self.losses)

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    curve = fit(network, optimizer, examples_of([0, 1, 2]), Listed(), Schedule(2, 2))
    assert [epoch.loss for epoch in curve] == [2, 6] and all(np.isnan(epoch.validation) for epoch in curve)
    assert curve_rows([Epoch(3, 1.0, 2.0, 4.0)]) == [{"epoch": 3, "loss": 1.0, "validation": 2.0, "seconds": 4.0}]


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_divergence_is_an_error(poison, network):
    class Poisoned(Objective):
        def loss(self, network, batch, judge=None):
            return network.users.sum() * poison

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with pytest.raises(
        ValueError, match=r"training must keep its loss finite, got .* in epoch 0: a lower learning_rate"
    ):
        fit(network, optimizer, examples_of([0, 1, 2]), Poisoned(), Schedule(2, 2))


def test_a_last_step_that_was_too_long_is_an_error(network):
    optimizer = torch.optim.SGD(network.parameters(), lr=1e38)
    objective = Catalogue(make_loss("mse"), uniform(torch.ones(4, dtype=torch.bool)), 1, False)
    with pytest.raises(ValueError, match=r"training must keep its loss finite, got (inf|nan) in epoch 0"):
        fit(network, optimizer, examples_of([1]), objective, Schedule(1, 1))


def test_long_steps_are_shortened(network):
    objective = Pull()
    before = [parameter.detach().clone() for parameter in (*network.parameters(), objective.offset)]
    optimizer = torch.optim.SGD([*network.parameters(), objective.offset], lr=1.0)
    fit(network, optimizer, examples_of([1]), objective, Schedule(1, 1, gradient_norm=0.01))
    moved = [
        (now.detach() - then).norm()
        for now, then in zip((*network.parameters(), objective.offset), before, strict=True)
    ]
    assert float(torch.stack(moved).norm()) == pytest.approx(0.01, rel=1e-3)


# ---- what is held out ------------------------------------------------------------------------------------------------


def test_held_out_loss_is_the_mean_over_examples(network):
    """Also where the last batch is smaller than the others, and with the same negatives each time."""
    items = [0, 1, 2, 3, 0, 1, 3]
    losses = []

    class Literal(Objective):
        def loss(self, network, batch, judge=None):
            return batch.items.double().square().mean()

    value = held_out_loss(network, examples_of(items), Literal(), 3, seed=1)()
    assert value == pytest.approx(-np.mean(np.square(items)))

    objective = Catalogue(make_loss("bce"), uniform(torch.ones(4, dtype=torch.bool)), 2, False)
    validate = held_out_loss(network, examples_of(items), objective, 3, seed=1)
    torch.manual_seed(0)
    losses.append(validate())
    state = torch.get_rng_state()
    losses.append(validate())
    assert torch.equal(state, torch.get_rng_state()) and losses[0] == losses[1]
    assert held_out_loss(network, examples_of(items), objective, 3, seed=2)() != losses[0]


# ---- randomness ------------------------------------------------------------------------------------------------------


def test_seeded_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with seeded(1, 2):
        inside = torch.rand(3)
        torch.manual_seed(99)
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(KeyError), seeded(5):
        raise KeyError
    assert torch.equal(state, torch.get_rng_state())

    torch.manual_seed(4)
    with seeded(1, 2):
        assert torch.equal(torch.rand(3), inside)
    for other in ((1, 3), (2, 2), (1,), (2, 1), (2**63 - 1, 2)):
        with seeded(*other):
            assert not torch.equal(torch.rand(3), inside)


def test_batches_follow_the_seed(network):
    def trained(seed: int) -> T:
        twin = copy.deepcopy(network)
        optimizer = torch.optim.Adam(twin.parameters(), lr=0.1)
        objective = Catalogue(make_loss("bce"), uniform(torch.ones(4, dtype=torch.bool)), 1, False)
        with seeded(seed):
            fit(twin, optimizer, examples_of([0, 1, 2, 3] * 3), objective, Schedule(2, 2))
        return twin.items.detach()

    assert torch.equal(trained(1), trained(1)) and not torch.equal(trained(1), trained(2))
