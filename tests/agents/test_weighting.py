"""Inverse propensities undo what a policy chose to show: in expectation exactly, and in what networks learn."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from agents.bert4rec import MaskedClicks
from agents.examples import clicks_of, slates_of
from agents.fields import Schema
from agents.losses import make_loss
from agents.matrix_factorization import FactorNetwork, MatrixFactorization
from agents.negatives import uniform
from agents.neural import NetworkAgent
from agents.objective import Catalogue, Objective, WholeCatalogue
from agents.registry import make_agent
from agents.sasrec import NextClicks
from agents.sequences import ClickSequences
from agents.transformer import full_cross_entropy
from agents.weighting import Selection
from recsim_lab.evaluation.statistics import mean_interval, paired_interval
from recsim_lab.examination import by_propensities, by_rates
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.propensities import inverse_propensities
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, planted_log

A = np.ndarray
T = torch.Tensor
INF = float("inf")


def with_slates(log: InteractionLog, slate: A, clicks: A, marginal: A, prefix: A) -> InteractionLog:
    """The first rows of a log with other slates."""
    log, shape = log.take(slice(len(slate))), slate.shape
    return replace(
        log,
        slate=slate.astype(np.int32),
        clicks=clicks.astype(bool),
        propensity=marginal.astype(np.float32),
        prefix_propensity=prefix.astype(np.float64),
        propensity_error=np.zeros(shape, np.float32),
        source=np.zeros(shape, np.int16),
        dwell=np.zeros(shape, np.float32),
        likes=np.zeros(shape, bool),
    )


def certain(log: InteractionLog) -> InteractionLog:
    ones = np.ones(log.slate.shape)
    return replace(log, propensity=ones.astype(np.float32), prefix_propensity=ones)


def uneven(log: InteractionLog) -> InteractionLog:
    """Propensities that differ by item and slot."""
    chance = (1 + log.slate % 7) / (40 * (1 + np.arange(log.num_slots)))
    return replace(log, propensity=chance.astype(np.float32), prefix_propensity=np.cumprod(chance, axis=1))


# ---- in expectation --------------------------------------------------------------------------------------------------

NUM_ITEMS, SLOTS = 3, 2
SLATES = np.array(list(permutations(range(NUM_ITEMS), SLOTS)))
SHOWN = np.array([0.5, 0.05, 0.2, 0.1, 0.03, 0.12])
"""How likely the policy is to show each slate."""
RELEVANCE, EXAMINED = np.array([0.7, 0.2, 0.4]), np.array([1.0, 0.5])
SCORES = torch.tensor([0.9, -0.6, 0.3], dtype=torch.float64)


@pytest.fixture(scope="module")
def outcomes() -> tuple[InteractionLog, A]:
    """Every slate with every answer as the rows of a log, and how likely each is."""
    marginal = np.array([[SHOWN[SLATES[:, k] == slate[k]].sum() for k in range(SLOTS)] for slate in SLATES])
    prefix = np.column_stack([[SHOWN[SLATES[:, 0] == slate[0]].sum() for slate in SLATES], SHOWN])
    row, clicks = (np.array(x) for x in zip(*product(range(6), product([0, 1], repeat=SLOTS)), strict=True))
    chance = EXAMINED * RELEVANCE[SLATES[row]]
    probability = SHOWN[row] * np.where(clicks, chance, 1 - chance).prod(axis=1)
    assert probability.sum() == pytest.approx(1)
    log = planted_log(num_users=24, num_items=NUM_ITEMS, num_slots=SLOTS, num_days=1)
    return with_slates(log, SLATES[row], clicks, marginal[row], prefix[row]), probability


def table_of(log):
    return Schema.of(log.features, int(log.user.max()) + 1, 1).table(log.features, "cpu")


def expected_loss(
    name: str, outcomes: tuple[InteractionLog, A], slot_weights: A | None = None, weighted: bool = True
) -> tuple[float, T]:
    """The expectation over what is shown and clicked of the loss of one request as agents compute it, and its
    gradient."""
    (log, probability), loss = outcomes, make_loss(name)
    whole = loss.kind != "pointwise"
    selection = Selection.of(log, "ips", INF, "cpu", whole=whole) if weighted else None
    kept = log.clicks.any(axis=1) if whole else np.ones(len(log), bool)
    examples = slates_of(
        log, table_of(log), "cpu", 0, only_clicked=whole, slot_weights=slot_weights, selection=selection
    )
    scores = SCORES.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    batches = list(examples.batches(1, shuffled=False))
    assert len(batches) == kept.sum()
    for batch, chance in zip(batches, probability[np.argsort(log.tick, kind="stable")][kept], strict=True):
        total = total + chance * loss(scores[batch.items], batch.labels, batch.mask, batch.weights)
    total.backward()
    return total.item(), scores.grad


def pointwise(name: str, chance: A) -> tuple[float, T]:
    """The mean over items, and slots in which they are clicked with these chances, of the expected loss."""
    scores = SCORES.clone().requires_grad_()
    labels = torch.tensor(chance).reshape(-1, NUM_ITEMS)
    value = scores.expand_as(labels)
    if name == "mse":
        loss = labels * (value - 1) ** 2 + (1 - labels) * value**2
    else:
        loss = -labels * value.sigmoid().log() - (1 - labels) * (-value).sigmoid().log()
    loss.mean().backward()
    return loss.mean().item(), scores.grad


@pytest.mark.parametrize("name", ["bce", "mse"])
def test_the_expected_loss_of_documents_is_that_of_all_items_in_all_slots(name, outcomes):
    value, gradient = expected_loss(name, outcomes)
    truth, slope = pointwise(name, EXAMINED[:, None] * RELEVANCE)
    assert value == pytest.approx(truth, rel=1e-6)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-7)
    naive, wrong = expected_loss(name, outcomes, weighted=False)
    assert abs(naive - truth) > 0.02 and (wrong - slope).abs().max() > 0.02


@pytest.mark.parametrize("name", ["bce", "mse"])
def test_with_weights_of_slots_it_is_that_of_all_items_as_if_always_examined(name, outcomes):
    value, gradient = expected_loss(name, outcomes, slot_weights=1 / EXAMINED)
    truth, slope = pointwise(name, RELEVANCE)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-7)
    if name == "bce":  # the square of a label that is more than 1 adds what no score changes
        assert value == pytest.approx(truth, rel=1e-6)
    # Each factor alone leaves a bias.
    for slot_weights, weighted in ((None, True), (1 / EXAMINED, False)):
        assert (expected_loss(name, outcomes, slot_weights, weighted)[1] - slope).abs().max() > 0.02


LISTS = ["bpr", "margin", "lambdarank", "lambdarank-map", "softmax", "listnet", "listmle", "approx-ndcg"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("slot_weights", [None, 1 / EXAMINED], ids=["", "examined"])
def test_the_expected_loss_of_lists_is_that_of_all_slates(name, slot_weights, outcomes):
    """Each slate as likely as another, whatever the loss makes of the documents of one, and of slots' weights."""
    log, probability = outcomes
    even = np.repeat(SHOWN, 2**SLOTS) * len(SLATES)
    truth, slope = expected_loss(name, (log, probability / even), slot_weights, weighted=False)
    value, gradient = expected_loss(name, outcomes, slot_weights)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-7)
    if name != "approx-ndcg":  # which has a part without weights, and without scores
        assert value == pytest.approx(truth, rel=1e-6)
    naive = expected_loss(name, outcomes, slot_weights, weighted=False)[1]
    assert (naive - slope).abs().max() > 0.1 * slope.abs().max()


def test_clicks_come_as_if_items_had_been_shown_by_chance(outcomes):
    log, probability = outcomes
    selection = Selection.of(log, "ips", INF, "cpu", whole=False)
    examples = clicks_of(log, table_of(log), "cpu", 0, selection)
    order = np.argsort(log.tick, kind="stable")
    chance = torch.tensor(probability[order][np.nonzero(log.clicks[order])[0]])
    expected = torch.zeros(NUM_ITEMS, dtype=torch.float64)
    for batch, its in zip(examples.batches(1, shuffled=False), chance, strict=True):
        expected[batch.items[0, 0]] += its * batch.weights[0, 0]
    np.testing.assert_allclose(expected, RELEVANCE * EXAMINED.sum() / NUM_ITEMS, rtol=1e-6)


# ---- weights ---------------------------------------------------------------------------------------------------------


def test_weights_are_shares_of_what_chance_would_show():
    log = planted_log()
    for whole in (False, True):
        np.testing.assert_allclose(inverse_propensities(log, whole=whole), 1, rtol=1e-6)
        assert (inverse_propensities(certain(log), whole=whole) == 1).all()
        assert inverse_propensities(log.take(slice(0)), whole=whole).shape == (0, 1 if whole else 5)
    some = uneven(log)
    np.testing.assert_allclose(inverse_propensities(some, whole=False), 1 / some.propensity / 40, rtol=1e-6)
    possible = 40 * 39 * 38 * 37 * 36
    weights = 1 / some.prefix_propensity[:, -1:] / possible
    np.testing.assert_allclose(inverse_propensities(some, whole=True, most_weight=INF), weights, rtol=1e-6)
    bound = inverse_propensities(some, whole=True, most_weight=3.0)
    np.testing.assert_allclose(bound, np.minimum(weights, 3), rtol=1e-6)
    assert (bound == 3).any() and (bound < 3).any()


def test_slots_and_items_that_could_not_differ_have_no_alternatives():
    """The first slot is fixed, the others are drawn; half of the items come later."""
    log = planted_log()
    chance = np.broadcast_to([1, 1 / 39, 1 / 39, 1 / 39, 1 / 39], log.slate.shape)
    prefix = np.cumprod(1 / np.array([1, 39, 38, 37, 36])) * np.ones((len(log), 1))
    log = replace(log, propensity=chance.astype(np.float32), prefix_propensity=prefix)
    np.testing.assert_allclose(inverse_propensities(log, whole=True), 1, rtol=1e-9)
    weights = inverse_propensities(log, whole=False)
    np.testing.assert_allclose(weights[:, 0], 5 / 161, rtol=1e-6)
    np.testing.assert_allclose(weights[:, 1:], 39 * 5 / 161, rtol=1e-6)

    release = np.where(np.arange(40) < 20, 0, 3 * TICKS_PER_DAY)
    late = replace(planted_log(), features=replace(log.features, release=release))
    early = late.tick < 3 * TICKS_PER_DAY
    late = replace(late, propensity=np.where(early, 1 / 20, 1 / 40)[:, None] * np.ones((1, 5), np.float32))
    weights = inverse_propensities(late.take(early), whole=False)
    np.testing.assert_allclose(weights, 1, rtol=1e-6)
    assert inverse_propensities(late, whole=False).mean() == pytest.approx(1, rel=1e-6)


def test_batches_are_normalised_where_asked():
    log = uneven(planted_log())
    plain, normal = (
        slates_of(
            log,
            table_of(log),
            "cpu",
            0,
            only_clicked=False,
            slot_weights=np.arange(1, 6.0),
            selection=Selection.of(log, weighting, 100.0, "cpu", whole=False),
        )
        for weighting in ("ips", "snips")
    )
    order = np.argsort(log.tick, kind="stable")
    expected = inverse_propensities(log, whole=False)[order]
    for number, (one, two) in enumerate(zip(plain.batches(64, False), normal.batches(64, False), strict=True)):
        weights = expected[64 * number : 64 * (number + 1)]
        np.testing.assert_allclose(one.weights, weights, rtol=1e-6)
        np.testing.assert_allclose(two.weights, weights / weights.mean(), rtol=1e-5)
        assert torch.equal(one.labels, two.labels) and one.labels.max() > 1
    older, newest = plain.split(0.25)
    assert torch.equal(torch.cat([older.selection.weights, newest.selection.weights]), plain.selection.weights)


def test_lists_have_one_weight_times_those_of_their_slots():
    log = uneven(planted_log())
    selection = Selection.of(log, "ips", 50.0, "cpu", whole=True)
    slots = np.arange(1, 6.0)
    examples = slates_of(log, table_of(log), "cpu", 0, only_clicked=True, slot_weights=slots, selection=selection)
    batch = next(examples.batches(len(examples), shuffled=False))
    order = np.argsort(log.tick, kind="stable")
    order = order[log.clicks[order].any(axis=1)]
    np.testing.assert_allclose(
        batch.weights, inverse_propensities(log, whole=True, most_weight=50.0)[order] * slots, rtol=1e-6
    )


@pytest.mark.parametrize("masked", [False, True])
def test_every_click_of_a_sequence_keeps_its_own_weight(masked):
    log = planted_log()
    log = replace(log, propensity=((1 + log.slate) / 50).astype(np.float32))
    clicks = ClickSequences.of(log, "cpu", Selection.of(log, "ips", INF, "cpu", whole=False))
    examples = MaskedClicks(clicks, table_of(log), 20, 0.3, 0.1) if masked else NextClicks(clicks, table_of(log), 20)
    torch.manual_seed(0)
    for some in (examples, *examples.split(0.3)):
        for batch in some.batches(16, shuffled=True):
            np.testing.assert_allclose(batch.weights, 50 / (1 + batch.items) / 40, rtol=1e-6)


def test_the_whole_catalogue_weighs_tokens():
    torch.manual_seed(0)
    states, items, bias = (torch.randn(*shape, dtype=torch.float64) for shape in ((7, 3), (5, 3), (5,)))
    targets, weights = torch.randint(5, (7,)), torch.rand(7, dtype=torch.float64) * 3
    for tensor in (states, items, bias):
        tensor.requires_grad_()
    plain = (weights * cross_entropy(states @ items.T + bias, targets, reduction="none")).mean()
    torch.testing.assert_close(full_cross_entropy(states, items, targets, bias, weights), plain)
    assert torch.autograd.gradcheck(
        lambda s, i, b: full_cross_entropy(s, i, targets, b, weights), (states, items, bias)
    )


@pytest.mark.parametrize("name", ["bce", "gbce", "bpr", "softmax", "ce"])
def test_a_click_of_weight_three_is_three_clicks(name):
    """With its negatives: of three clicks that weigh 3, 0 and 0 what is left is the mean over one."""
    log = planted_log(num_users=3).take(slice(12))
    examples = clicks_of(replace(log, clicks=np.eye(12, 5, dtype=bool)), table_of(log), "cpu", 0)
    whole = next(examples.batches(3, shuffled=False))
    one = next(examples.batches(1, shuffled=False))
    weighted = replace(whole, weights=torch.tensor([[3.0], [0.0], [0.0]]))
    torch.manual_seed(0)
    network = FactorNetwork(Schema.of(log.features, 3, 1), 4)
    network.known_users[:] = network.known_items[:] = True
    pool = torch.arange(40)
    if name == "ce":
        objective: Objective = WholeCatalogue(pool, pool, changes=False)
    else:
        loss = make_loss(name, sampling_rate=0.2) if name == "gbce" else make_loss(name)
        objective = Catalogue(loss, uniform(torch.ones(40, dtype=torch.bool)), 8, shared=True)
    found = []
    for batch in (one, weighted, whole):
        torch.manual_seed(1)
        found.append(objective.loss(network, batch).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5) and abs(found[0] - found[2]) > 1e-5


# ---- what is learned -------------------------------------------------------------------------------------------------

SMALL = "dim=4,epochs=1,batch_size=256"
SPECS = (
    *(f"mf:target=impressions,loss={loss},{SMALL}" for loss in ("bce", "mse", "bpr", "softmax", "approx-ndcg")),
    f"mf:target=impressions,loss=bce,position=weight,{SMALL}",
    f"dlrm:target=impressions,loss=listnet,position=weight,{SMALL}",
    f"mf:{SMALL}",
    f"mf:loss=gbce,shared=true,{SMALL}",
    f"mf:loss=ce,{SMALL}",
    f"two-tower:negatives=mixed,logq=true,num_negatives=16,{SMALL}",
    f"mf:negatives=hard,hard_warmup=0,loss=bpr,{SMALL}",
    f"sasrec:num_blocks=1,{SMALL}",
    f"sasrec:num_blocks=1,target=impressions,loss=softmax,{SMALL}",
    f"bert4rec:num_blocks=1,loss=softmax,num_negatives=16,{SMALL}",
)


def taught(spec: str, log: InteractionLog) -> dict[str, A]:
    agent = make_agent(spec, seed=3)
    assert isinstance(agent, NetworkAgent)
    agent.learn(log)
    return agent.state()


def same(one: dict[str, A], two: dict[str, A]) -> bool:
    return one.keys() == two.keys() and all(one[name].tobytes() == two[name].tobytes() for name in one)


@pytest.mark.parametrize("spec", SPECS)
def test_weights_of_one_change_nothing_and_others_do(spec):
    log = planted_log(num_users=30)
    plain = taught(spec, certain(log))
    for weighting in ("ips", "snips"):
        assert same(plain, taught(f"{spec},weighting={weighting}", certain(log)))
        assert not same(plain, taught(f"{spec},weighting={weighting}", uneven(log)))
    # A lower bound is another weight.
    bound = taught(f"{spec},weighting=ips,most_weight=1", uneven(log))
    assert not same(bound, taught(f"{spec},weighting=ips", uneven(log)))


@pytest.mark.parametrize(
    "spec",
    [
        f"mf:target=impressions,loss=softmax,weighting=snips,position=weight,examination=propensities,{SMALL}",
        f"mf:target=impressions,loss=bce,weighting=ips,position=weight,examination=repeats,validation=.2,{SMALL}",
        f"sasrec:num_blocks=1,weighting=snips,most_weight=inf,{SMALL}",
    ],
)
def test_weighted_agents_keep_the_laws(spec, tmp_path):
    log = uneven(planted_log(num_users=30))
    check_agent(lambda: make_agent(spec, seed=1), log, tmp_path)
    agent = make_agent(spec, seed=1)
    assert agent.name == make_agent(agent.name).name and "weighting=" in agent.name
    agent.learn(log)
    requests = log.observations(np.arange(len(log) - 60, len(log)))
    check_policy(agent, requests, 5, draws_of(0, requests.user))


NUM_USERS, NUM_KINDS, NUM_OFFERED = 120, 4, 8


def chosen_log(num_rows: int, seed: int) -> tuple[InteractionLog, A]:
    """Slates of one item, which five times out of six is of the user's kind, clicked with chance .6 then and .1 else.

    Also tells how often each user clicks each item.
    """
    generator = np.random.default_rng(seed)
    own = np.arange(NUM_USERS)[:, None] % NUM_KINDS == np.arange(NUM_OFFERED) % NUM_KINDS
    truth, shown = np.where(own, 0.6, 0.1), np.where(own, 5 / 12, 1 / 36)
    user = generator.integers(NUM_USERS, size=num_rows)
    item = (generator.random((num_rows, 1)) > shown[user].cumsum(axis=1)).sum(axis=1)
    clicks = generator.random(num_rows) < truth[user, item]
    log = planted_log(num_users=NUM_USERS, num_items=NUM_OFFERED, num_slots=1, num_days=-(-num_rows // 480))
    chance = shown[user, item][:, None]
    log = with_slates(log, item[:, None], clicks[:, None], chance, chance)
    return replace(log, user=user.astype(np.int32)), truth


def errors(weighting: str, num_rows: int, seed: int) -> tuple[float, float]:
    """(mean error, mean squared error) over all pairs of a model too small for the truth, by least squares."""
    log, truth = chosen_log(num_rows, seed)
    agent = make_agent(
        f"mf:dim=1,target=impressions,loss=mse,position=ignored,weighting={weighting},weight_decay=0,"
        f"learning_rate=.05,batch_size={num_rows // 6},epochs=15",
        seed=seed,
    )
    agent.learn(log)
    _, rows = np.unique(log.user, return_index=True)
    error = agent.scores(log.observations(rows)) - truth
    return float(error.mean()), float((error**2).mean())


def test_least_squares_of_what_was_chosen_are_biased_and_weighted_ones_are_not():
    """A vector of one number cannot hold four kinds of taste, so what it gets right is what counts."""
    sure = 1 - 1e-4
    found = {w: np.array([errors(w, 12_000, seed) for seed in range(8)]) for w in ("none", "ips", "snips")}
    for weighting in ("ips", "snips"):
        (mean, squared), (naive_mean, naive_squared) = found[weighting].T, found["none"].T
        assert paired_interval(squared, naive_squared, sure).high < 0
        # On average over all pairs, it is as if they had been shown alike; the naive one goes by those that were.
        assert mean_interval(mean, sure).contains(0.0)
        assert paired_interval(mean, naive_mean, sure).high < -0.05
    assert mean_interval(found["none"][:, 0], sure).low > 0.05


def test_more_data_bring_only_weighted_ones_to_the_truth():
    # The standard deviation over seeds is .006, as with 12,000 rows, less what more rows take off it.
    assert abs(errors("ips", 60_000, 0)[0]) < 0.03
    assert errors("none", 60_000, 0)[0] > 0.08


def test_examination_is_told_as_it_is_asked_for():
    log = uneven(planted_log())
    table = table_of(log)
    labels = {}
    for by in ("rates", "propensities,most_weight=2"):
        agent = make_agent(f"mf:target=impressions,loss=bce,position=weight,examination={by}")
        labels[by.partition(",")[0]] = agent._examples(log, table, None).labels.amax(dim=0).numpy()
    np.testing.assert_allclose(labels["rates"], by_rates(log).weights(), rtol=1e-6)
    np.testing.assert_allclose(labels["propensities"], by_propensities(log, 2.0).weights(), rtol=1e-6)
    assert not np.allclose(labels["rates"], labels["propensities"], rtol=1e-2)


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"most_weight": 0.5}, "most_weight must be at least 1, got 0.5"),
        ({"most_weight": float("nan")}, "most_weight must be at least 1, got nan"),
        ({"examination": "repeats"}, "examination must be left out unless position='weight'; got 'repeats'"),
        ({"position": "weight", "weighting": "ips"}, "position must be left out unless target='impressions'"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        MatrixFactorization(**parameters)


@pytest.mark.parametrize("field", ["weighting", "examination"])
def test_names_are_checked(field):
    agent = MatrixFactorization()
    setattr(agent, field, "some")  # past the type checker, which is off outside tests
    with pytest.raises(ValueError, match=f"{field} must be one of .*got 'some'"):
        agent.__post_init__()


@pytest.mark.parametrize(
    "spec, column",
    [
        ("mf:weighting=ips,epochs=1", "propensity"),
        ("mf:target=impressions,loss=bce,weighting=snips,epochs=1", "propensity"),
        ("mf:target=impressions,loss=softmax,weighting=ips,epochs=1", "prefix_propensity"),
    ],
)
def test_logs_whose_propensities_are_not_known_are_refused(spec, column):
    log = planted_log(num_users=10)
    values = getattr(log, column).copy()
    values[3, -1] = np.nan
    agent = make_agent(spec)
    size = values.size if column == "propensity" else len(values)
    message = f"^{column} must be known to weight by it, got NaN in 1 of {size}: put estimates .* weighting='none'"
    with pytest.raises(ValueError, match=message):
        agent.learn(replace(log, **{column: values}))
    assert agent.network is None
    for wrong in (0.0, 1.5, -0.1):
        values[3, -1] = wrong
        with pytest.raises(ValueError, match=rf"{column} of what was shown must be in \(0, 1\], got {wrong}"):
            agent.learn(replace(log, **{column: values}))
    # The other column is of no concern.
    other = {"propensity": "prefix_propensity", "prefix_propensity": "propensity"}[column]
    agent.learn(replace(log, **{other: np.full_like(getattr(log, other), np.nan)}))
