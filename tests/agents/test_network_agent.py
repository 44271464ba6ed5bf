"""The agent around a network: it repeats itself, goes on where it stood, and says what it cannot do."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.base import LOWEST
from agents.dcn import DCN
from agents.dlrm import DLRM
from agents.matrix_factorization import MatrixFactorization
from agents.multilayer import Multilayer
from agents.neural import NetworkAgent
from agents.registry import make_agent
from agents.sasrec import SASRec
from agents.two_tower import TwoTower
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import gather
from recsim_lab.testing import planted_log

A = np.ndarray

SMALL = "epochs=2,warm_epochs=1,batch_size=512"
SPECS = (
    f"mf:dim=4,{SMALL}",
    f"mf:dim=4,target=impressions,loss=bpr,{SMALL}",
    f"mf:dim=4,loss=ce,weight_decay=0,{SMALL}",
    f"mf:dim=4,negatives=hard,hard_warmup=1,{SMALL}",
    f"two-tower:dim=4,num_negatives=16,{SMALL}",
    f"two-tower:dim=4,negatives=mixed,num_negatives=16,logq=true,{SMALL}",
    f"mlp:dim=4,loss=softmax,{SMALL}",
    f"dlrm:dim=4,target=impressions,{SMALL}",
    f"dcn:dim=4,dropout=0.1,{SMALL}",
)
IMPRESSIONS = f"dlrm:dim=4,target=impressions,loss=softmax,{SMALL}"


def taught(spec: str, *logs: InteractionLog, seed: int = 3) -> NetworkAgent:
    agent = make_agent(spec, seed=seed)
    assert isinstance(agent, NetworkAgent)
    for log in logs:
        agent.learn(log)
    return agent


def same_state(first: NetworkAgent, second: NetworkAgent) -> bool:
    """Equal in every bit: weights, moments, offsets of slots, counters."""
    one, two = first.state(), second.state()
    return one.keys() == two.keys() and all(
        one[name].dtype == two[name].dtype and one[name].tobytes() == two[name].tobytes() for name in one
    )


@pytest.fixture(scope="module")
def parts(featured_log) -> tuple[InteractionLog, InteractionLog]:
    """An earlier log that lacks the users from 40 on, and a later one of all."""
    days = featured_log.day
    earlier = featured_log.take((days < 2) & (featured_log.user < 40))
    return earlier, featured_log.take(days == 5)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, num_threads", [*((spec, 1) for spec in SPECS), *((spec, 2) for spec in (SPECS[0], SPECS[4], SPECS[7]))]
)
def test_learning_follows_from_log_and_seed_alone(spec, num_threads, parts, threads):
    threads(num_threads)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = taught(spec, *parts)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert same_state(first, taught(spec, *parts))
    assert not same_state(first, taught(spec, parts[0], seed=4))


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[4], SPECS[5], IMPRESSIONS])
def test_a_saved_agent_goes_on_bit_for_bit(spec, parts, tmp_path):
    agent = taught(spec, parts[0])
    agent.save(tmp_path / "agent")
    loaded = make_agent(spec, seed=3)
    loaded.load(tmp_path / "agent")
    assert same_state(agent, loaded)
    assert (agent.slot_bias is not None) == ("impressions" in spec)
    assert agent.slot_bias is None or agent.slot_bias.detach().any()
    for _ in range(2):
        agent.learn(parts[1])
        loaded.learn(parts[1])
    assert same_state(agent, loaded) and agent.num_learned == 3
    observation = parts[1].observations(np.arange(20))
    assert np.array_equal(agent.scores(observation), loaded.scores(observation))
    # And what was loaded is not what an agent would be that learned later things only.
    assert not same_state(agent, taught(spec, parts[1], parts[1]))


def test_moments_and_offsets_are_part_of_the_state(parts, tmp_path):
    """Learning on without the optimiser's past, or without the offsets, would end elsewhere."""
    agent = taught(IMPRESSIONS, parts[0])
    state = agent.state()
    assert {"slot_bias", "num_learned", "schema"} < set(state)
    num_parameters = sum(1 for _ in agent.network.parameters() if _.numel()) + 1
    assert sum(name.endswith("/exp_avg") and value.any() for name, value in state.items()) >= num_parameters - 2
    agent.learn(parts[1])
    for forgotten in ("optimizer", "slot_bias", "num_learned"):
        other = make_agent(IMPRESSIONS, seed=3)
        kept = {name: value for name, value in state.items() if not name.startswith(forgotten)}
        if forgotten == "slot_bias":
            kept["slot_bias"] = np.zeros_like(state["slot_bias"])
        if forgotten == "num_learned":
            kept["num_learned"] = np.array(0)
        other.restore(kept)
        other.learn(parts[1])
        assert not same_state(agent, other), forgotten


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[7]])
def test_users_who_are_held_out_altogether_are_newcomers(spec, parts):
    log = parts[0]
    late = log.user >= 35
    log = replace(log, tick=np.where(late, log.tick + log.tick.max(), log.tick))
    network = taught(f"{spec},validation=0.4", log).network
    assert network.known_users[1:36].all() and not network.known_users[36:].any()


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[4], SPECS[8]])
def test_new_users_get_rows_and_old_ones_keep_theirs(spec, parts):
    agent = taught(spec, parts[0])

    def users() -> A:
        table = agent.network.users if isinstance(agent, MatrixFactorization) else agent.network.reader.users
        return table.detach().numpy().copy()

    before, moments = users(), agent.state()
    known = agent.network.known_users.clone()
    assert before.shape[0] == 41 and known[1:].all()
    network, optimizer, _ = agent._make_room(parts[1])
    table = network.users if isinstance(agent, MatrixFactorization) else network.reader.users
    assert np.array_equal(table.detach().numpy()[:41], before)
    assert np.array_equal(table.detach().numpy()[41:], np.repeat(before[:1], 20, axis=0))
    assert network.known_users.tolist() == [*known.tolist(), *[False] * 20]
    place = next(place for place, parameter in enumerate(network.parameters()) if parameter is table)
    moment = optimizer.state[table]["exp_avg"].numpy()
    assert np.array_equal(moment[:41], moments[f"optimizer/{place}/exp_avg"]) and not moment[41:].any()
    agent.learn(parts[1])
    assert users().shape[0] == 61 and agent.network.known_users[1:].all()
    # A later log of fewer users takes no row away.
    agent.learn(parts[0])
    assert users().shape[0] == 61


def test_a_later_learn_takes_fewer_epochs(parts):
    agent = make_agent("mf:dim=2,epochs=3,warm_epochs=2")
    told = []
    agent.report = lambda epoch, planned: told.append((epoch.epoch, planned))
    agent.learn(parts[0])
    assert len(agent.curve) == 3
    agent.learn(parts[1])
    assert len(agent.curve) == 2 and told == [(0, 3), (1, 3), (2, 3), (0, 2), (1, 2)]
    assert agent.curve[1].loss < agent.curve[0].loss


@pytest.mark.parametrize("spec", [SPECS[0], IMPRESSIONS])
@pytest.mark.parametrize("before", [0, 1], ids=["untaught", "taught"])
def test_divergence_changes_nothing(spec, before, parts):
    agent = taught(spec, *parts[:before])
    state = agent.state()
    scores = agent.scores(parts[1].observations(np.arange(5)))
    bias = agent.slot_bias
    rate, agent.learning_rate = agent.learning_rate, 1e30
    with pytest.raises(ValueError, match="training must keep its loss finite"):
        agent.learn(parts[1])
    assert agent.state().keys() == state.keys() and agent.slot_bias is bias and agent.num_learned == before
    assert all(np.array_equal(agent.state()[name], value) for name, value in state.items())
    assert np.array_equal(scores, agent.scores(parts[1].observations(np.arange(5))))
    agent.learning_rate = rate
    agent.learn(parts[1])
    assert same_state(agent, taught(spec, *parts[:before], parts[1]))


def test_a_log_without_clicks_teaches_nothing(parts):
    silent = replace(parts[1], clicks=np.zeros_like(parts[1].clicks))
    for logs in ([], [parts[0]]):
        agent = taught(SPECS[0], *logs)
        before = copy.deepcopy(agent.state())
        agent.learn(silent)
        assert agent.num_learned == len(logs) and agent.state().keys() == before.keys()
        assert all(np.array_equal(agent.state()[name], value) for name, value in before.items())


def test_validation_stops_early_and_keeps_the_best(parts):
    agent = make_agent("mf:dim=16,weight_decay=0,learning_rate=.1,epochs=40,validation=.3,patience=2,batch_size=256")
    agent.learn(parts[0])
    values = [epoch.validation for epoch in agent.curve]
    best = int(np.argmax(values))
    assert best == len(values) - 3 and len(values) < 40
    # The same, stopped by hand: as many steps, and the same weights.
    twin = make_agent(
        f"mf:dim=16,weight_decay=0,learning_rate=.1,epochs={best + 1},validation=.3,patience=40,batch_size=256"
    )
    twin.learn(parts[0])
    twin_state, state = twin.state(), agent.state()
    assert all(np.array_equal(twin_state[name], state[name]) for name in state.keys() - {"losses", "validations"})
    assert twin.curve[-1].loss == agent.curve[best].loss


def test_small_logs_can_hold_out(parts):
    few = parts[0].take(np.flatnonzero(parts[0].clicks.any(axis=1))[:2])
    for spec in (
        "mf:dim=2,validation=.5",
        "mf:dim=2,validation=.1",
        "mf:dim=2,validation=.9",
        "dlrm:dim=2,validation=.9",
        "two-tower:dim=2,validation=.9,negatives=in-batch",
    ):
        agent = taught(spec, few)
        assert np.isfinite(agent.scores(parts[1].observations(np.arange(3)))).all()
        if "=.1" in spec:  # nothing to hold out, so nothing tells when to stop
            assert len(agent.curve) == agent.epochs and np.isnan([epoch.validation for epoch in agent.curve]).all()


def test_held_out_clicks_without_a_negative_do_not_end_training(parts):
    """The newest two, on one item, are all of their batch."""
    log = parts[0].take(np.flatnonzero(parts[0].clicks.any(axis=1))[:18])
    slate, clicks = log.slate.copy(), np.zeros_like(log.clicks)
    slate[-2:], clicks[:, 0] = slate[-1], True
    agent = taught("two-tower:dim=2,negatives=in-batch,validation=.1", replace(log, slate=slate, clicks=clicks))
    assert len(agent.curve) == agent.epochs and np.isnan([epoch.validation for epoch in agent.curve]).all()


@pytest.mark.parametrize("spec", ["two-tower:", "sasrec:loss=softmax,validation=.1,"])
def test_items_that_only_held_out_clicks_show_do_not_end_training(spec, parts):
    """Their share of what is learned from is zero, and the correction by its logarithm would be endless."""
    log = parts[0]
    slate, clicks = log.slate.copy(), log.clicks & (log.slate != 3)
    newest = np.flatnonzero(clicks.any(axis=1))[-1]
    slate[newest] = np.append(3, slate[newest][slate[newest] != 3])[: log.num_slots]
    clicks[newest] = np.arange(log.num_slots) == 0
    agent = taught(f"{spec}negatives=in-batch,logq=true", replace(log, clicks=clicks, slate=slate))
    assert np.isfinite([epoch.validation for epoch in agent.curve]).all()


def test_a_validation_that_is_no_number_is_an_error(parts):
    agent = make_agent("mf:dim=2")
    agent.judged_by = lambda judged: float("nan")
    with pytest.raises(ValueError, match="validation must be a number, got nan in epoch 0"):
        agent.learn(parts[0])


def test_vectors_are_of_the_catalogue_that_was_learned_from(parts):
    whole = parts[0].features
    other = replace(whole, item_fields=(), items={}, release=whole.release[:9], withdrawal=whole.withdrawal[:9])
    with pytest.raises(ValueError, match="catalogue of 40 items that was learned from, got one of 9"):
        taught("mf:dim=2", parts[0]).item_vectors(other)


def test_curves_are_saved_with_the_weights(parts, tmp_path):
    spec = "mf:dim=4,epochs=5,validation=.2,validate_every=2,patience=9"
    agent, loaded = taught(spec, parts[0]), make_agent(spec, seed=3)
    agent.save(tmp_path / "agent")
    loaded.load(tmp_path / "agent")
    assert [epoch.loss for epoch in loaded.curve] == [epoch.loss for epoch in agent.curve]
    validated = np.isfinite([epoch.validation for epoch in agent.curve]).tolist()
    assert validated == [False, True, False, True, True]
    assert np.isfinite([epoch.validation for epoch in loaded.curve]).tolist() == validated
    assert loaded.curve[-1].validation == agent.curve[-1].validation
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere must be there to save agent into it"):
        agent.save(tmp_path / "nowhere" / "agent")


# ---- serving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_scores_of_candidates_are_those_of_the_catalogue(spec, parts):
    agent = taught(spec, parts[0])
    observation = parts[1].observations(np.arange(0, 200, 10))
    everything = agent.scores(observation)
    assert everything.shape == (20, 40) and everything.dtype == np.float32
    items = np.random.default_rng(0).integers(40, size=(20, 7)).astype(np.int32)
    np.testing.assert_allclose(agent.scores(observation, items), gather(everything, items), rtol=1e-5, atol=1e-5)
    for chunk in (1, 100):
        agent.pairs_at_once = chunk
        np.testing.assert_allclose(agent.scores(observation), everything, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(agent.scores(observation, items), gather(everything, items), rtol=1e-5, atol=1e-5)
    for row in (0, 19):
        alone = agent.scores(observation.take(np.array([row])))
        np.testing.assert_allclose(alone[0], everything[row], rtol=1e-5, atol=1e-5)
    assert agent.scores(observation.take(slice(0))).shape == (0, 40)
    assert agent.scores(observation, items[:, :0]).shape == (20, 0)


@pytest.mark.parametrize("spec", SPECS)
def test_items_that_were_never_shown(spec, parts):
    """Models of ids cannot judge them; models of features go by what they are like."""
    agent = taught(spec, parts[0])
    scores = agent.scores(parts[1].observations(np.arange(50)))
    if agent.family == "mf":
        assert (scores[:, 39] == LOWEST).all() and (scores[:, :39] > LOWEST).all()
        items = np.full((50, 2), [39, 3], np.int32)
        assert (agent.scores(parts[1].observations(np.arange(50)), items)[:, 0] == LOWEST).all()
    else:
        assert (np.abs(scores) < 1e3).all()


@pytest.mark.parametrize("spec", ["two-tower:dim=8,id_dropout=.3", "dlrm:dim=8,id_dropout=.3,epochs=5"])
def test_features_tell_the_taste_for_new_items(spec, featured_log):
    """Items 36 to 38 are kept out of the log; their topic says who likes them."""
    known = featured_log.take(~(featured_log.slate >= 36).any(axis=1))
    agent = taught(spec, known)
    scores = agent.scores(known.observations(np.arange(len(known) - 60, len(known))))
    user = known.user[-60:]
    own = np.where(user % 2 == 0, scores[:, [36, 38]].mean(axis=1), scores[:, [37, 39]].mean(axis=1))
    other = np.where(user % 2 == 0, scores[:, [37, 39]].mean(axis=1), scores[:, [36, 38]].mean(axis=1))
    assert (own > other).mean() > 0.9


def test_scores_are_the_caller_s_own(parts):
    agent, observation = taught("mf:dim=4,epochs=1", parts[0]), parts[0].observations(np.arange(7))
    first = agent.scores(observation)
    kept = first.copy()
    assert first.flags.writeable and first.flags.c_contiguous and first.dtype == np.float32
    first[:] = 0
    np.testing.assert_array_equal(agent.scores(observation), kept)


def test_what_is_kept_is_renewed(parts):
    """The embedded catalogue follows the weights and the feature table."""
    agent = taught(SPECS[4], parts[0])
    observation = parts[1].observations(np.arange(5))
    first = agent.scores(observation)
    features = observation.features
    turned = replace(features, items=features.items | {"topic": 1 - features.items["topic"]})
    other = agent.scores(replace(observation, features=turned))
    assert not np.allclose(first, other)
    assert np.array_equal(agent.scores(observation), first)
    agent.learn(parts[1])
    assert not np.allclose(agent.scores(observation), first)
    items = np.tile(np.arange(40, dtype=np.int32), (5, 1))
    np.testing.assert_allclose(agent.scores(observation), agent.scores(observation, items), rtol=1e-5, atol=1e-5)


# ---- what makes no sense ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, parameters, message",
    [
        (MatrixFactorization, {"target": "impressions", "negatives": "hard"}, "negatives must be left out .*'hard'"),
        (MatrixFactorization, {"target": "impressions", "loss": "ce"}, "loss must be one of slates.*'ce'"),
        (MatrixFactorization, {"target": "impressions", "loss": "gbce"}, "loss must be one of slates.*'gbce'"),
        (MatrixFactorization, {"loss": "ce", "negatives": "hard"}, "negatives must be left out where loss='ce'"),
        (MatrixFactorization, {"loss": "gbce", "negatives": "in-batch"}, "negatives must be left out where loss='gb"),
        (MatrixFactorization, {"position": "weight"}, "position must be left out unless target='impressions'"),
        (MatrixFactorization, {"position": "ignored"}, "position must be left out unless target='impressions'"),
        (MatrixFactorization, {"loss": "ce", "num_negatives": 8}, "num_negatives must be left out unless negatives"),
        (SASRec, {"shared": False}, "shared must be left out unless negatives are drawn.*got False"),
        (DLRM, {"target": "impressions", "num_negatives": 8}, "num_negatives must be left out unless negatives"),
        (MatrixFactorization, {"popularity_power": 1.0}, "popularity_power must be left out unless negatives='pop"),
        (MatrixFactorization, {"hard_share": 0.25}, "hard_share must be left out unless negatives='hard'"),
        (MatrixFactorization, {"hard_warmup": 2}, "hard_warmup must be left out unless negatives='hard'"),
        (MatrixFactorization, {"negatives": "hard", "hard_warmup": 10}, "hard_warmup must be below the 10 epochs"),
        (MatrixFactorization, {"most_weight": 5.0}, "most_weight must be left out unless there is a weighting, or"),
        (
            MatrixFactorization,
            {"target": "impressions", "position": "weight", "most_weight": 5.0},
            "most_weight must be left out unless .*examination='propensities'",
        ),
        (TwoTower, {"negatives": "in-batch", "num_negatives": 8}, "num_negatives must be left out unless .* the whole"),
        (TwoTower, {"hidden": "", "dropout": 0.1}, "dropout must be left out unless towers have hidden layers"),
        (MatrixFactorization, {"target": "impressions", "examination": "repeats"}, "examination must be left out unl"),
        (TwoTower, {"temperature": 0.5}, "temperature must be left out unless vectors are normalised"),
        (DCN, {"rank": 0, "num_experts": 4}, "num_experts must be left out unless rank is above 0"),
        (Multilayer, {"history": "none", "newest": 5}, "newest must be left out unless history is read"),
        (Multilayer, {"ids": False, "id_dropout": 0.0}, "id_dropout must be left out unless ids are read; got 0.0"),
        (Multilayer, {"negatives": "mixed", "num_negatives": 1}, "num_negatives must be at least 2 where .*mixed"),
        (MatrixFactorization, {"device": "gpu"}, "device must be one that torch knows, .*got 'gpu'"),
        (TwoTower, {"logq": True, "loss": "listnet"}, "logq corrects a sampled softmax: .*got loss='listnet'"),
        (MatrixFactorization, {"logq": True}, "logq corrects a sampled softmax: .*got loss='bce'"),
        (MatrixFactorization, {"logq": True, "loss": "ce"}, "logq corrects a sampled softmax"),
        (TwoTower, {"logq": True, "target": "impressions"}, "logq corrects .*target='impressions'"),
        (TwoTower, {"logq": True, "negatives": "hard"}, "logq must be false where negatives='hard'"),
        (TwoTower, {"history": "paired"}, "history must be 'pooled' or 'none'"),
        (TwoTower, {"temperature": 0.0}, "temperature must be above 0"),
        (TwoTower, {"width": 0}, "width must be at least 1"),
        (TwoTower, {"hidden": "64-x"}, "hidden must be sizes of layers such as 64-32, got '64-x'"),
        (TwoTower, {"batch_norm": True}, "batch_norm must go with target='impressions'"),
        (DLRM, {"loss": "ce"}, "loss must be 'softmax' rather than 'ce'.*dlrm"),
        (DCN, {"loss": "ce"}, "loss must be 'softmax' rather than 'ce'.*dcn"),
        (Multilayer, {"loss": "ce"}, "loss must be 'softmax' rather than 'ce'.*mlp"),
        (DLRM, {"top": ""}, "top must name at least one layer"),
        (DLRM, {"bottom": "0"}, "bottom must be sizes of layers"),
        (DCN, {"num_layers": 0}, "num_layers must be at least 1, got 0"),
        (DCN, {"rank": -1}, "rank must be at least 0, got -1"),
        (DCN, {"num_experts": 0}, "num_experts must be at least 1, got 0"),
        (DCN, {"deep": ""}, "deep must name at least one layer"),
        (Multilayer, {"hidden": ""}, "hidden must name at least one layer"),
        (Multilayer, {"id_dropout": 1.0}, r"id_dropout must be in \[0, 1\), got 1.0"),
        (Multilayer, {"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
        (Multilayer, {"ids": False, "fields": False}, "fields must be true where ids=False"),
        (Multilayer, {"newest": 0}, "newest must be at least 1, got 0"),
        (MatrixFactorization, {"num_negatives": 0}, "num_negatives must be at least 1, got 0"),
        (MatrixFactorization, {"epochs": 0}, "epochs must be at least 1, got 0"),
        (MatrixFactorization, {"warm_epochs": 0}, "warm_epochs must be at least 1, got 0"),
        (MatrixFactorization, {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        (MatrixFactorization, {"hard_warmup": -1}, "hard_warmup must be at least 0, got -1"),
        (MatrixFactorization, {"patience": -1}, "patience must be at least 0, got -1"),
        (MatrixFactorization, {"learning_rate": 0.0}, "learning_rate must be above 0 and finite, got 0.0"),
        (MatrixFactorization, {"learning_rate": float("nan")}, "learning_rate must be above 0 and finite, got nan"),
        (MatrixFactorization, {"weight_decay": -1.0}, "weight_decay must be at least 0 and finite, got -1.0"),
        (MatrixFactorization, {"popularity_power": float("inf")}, "popularity_power must be at least 0 and finite"),
        (MatrixFactorization, {"hard_share": 0.0}, r"hard_share must be in \(0, 1\], got 0.0"),
        (MatrixFactorization, {"validation": 1.0}, r"validation must be in \[0, 1\), got 1.0"),
        (MatrixFactorization, {"seed": -1}, r"seed must be in \[0, 2\^63\), got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(make, parameters, message):
    with pytest.raises(ValueError, match=message):
        make(**parameters)


@pytest.mark.parametrize(
    "field, value", [("target", "clicks"), ("negatives", "easy"), ("position", "left"), ("loss", "l2")]
)
def test_names_are_checked(field, value):
    agent = MatrixFactorization()
    setattr(agent, field, value)  # past the type checker, which is off outside tests
    with pytest.raises(ValueError, match=f"{field} must be one of .*got {value!r}"):
        agent.__post_init__()


@pytest.mark.parametrize("loss", ["bce", "mse", "gbce", "bpr", "margin", "lambdarank", "softmax", "ce", "listmle"])
def test_any_loss_goes_with_a_catalogue(loss, parts):
    agent = taught(f"mf:dim=2,epochs=1,loss={loss}", parts[0])
    assert np.isfinite(agent.scores(parts[1].observations(np.arange(3)))).all()


def test_other_logs_are_refused(parts):
    agent = taught(SPECS[4], parts[0])
    before = agent.state()
    other = planted_log(num_users=10, num_items=30)
    with pytest.raises(ValueError, match="the log must be of the catalogue of 40 items, got one of 30"):
        agent.learn(other)
    with pytest.raises(ValueError, match="observations must be of the catalogue of 40 items"):
        agent.scores(other.observations(np.arange(3)))
    with pytest.raises(ValueError, match="user fields must hold those that were learned from"):
        agent.learn(planted_log(num_users=10))
    broken = replace(parts[1].features, items=parts[1].features.items | {"topic": np.full(40, 2)})
    with pytest.raises(ValueError, match=r"codes of 'topic' must be in \[0, 2\)"):
        agent.learn(replace(parts[1], features=broken))
    assert all(np.array_equal(agent.state()[name], value) for name, value in before.items())

    slated = taught(IMPRESSIONS, parts[0])
    short = parts[1].take(slice(None))
    columns = {name: getattr(short, name)[:, :3] for name, value in vars(short).items() if np.ndim(value) == 2}
    with pytest.raises(ValueError, match="the log must have slates of 5 slots, whose offsets were learned, got 3"):
        slated.learn(replace(short, **columns))


def test_items_without_anything_to_tell_them_apart_are_refused():
    for family in ("mlp", "dlrm", "dcn", "two-tower"):
        with pytest.raises(ValueError, match="ids must be true where no fields of items are declared"):
            make_agent(f"{family}:ids=false").learn(planted_log())


def test_users_without_features_are_refused(parts):
    agent = taught("dlrm:ids=false,epochs=1", parts[0])
    observation = replace(parts[1].observations(np.arange(2)), user=np.array([3, 60], np.int32))
    with pytest.raises(ValueError, match="users must be among the 60 that have features, got user 60"):
        agent.scores(observation)


@pytest.mark.parametrize("spec", SPECS[3:])
def test_files_of_other_agents_are_refused(spec, parts, tmp_path):
    taught(SPECS[0], parts[0]).save(tmp_path / "mf")
    agent = taught(spec, parts[0])
    before = agent.state()
    with pytest.raises(
        ValueError, match=r"like this one, got (family mf instead of|negatives uniform instead of hard)"
    ):
        agent.load(tmp_path / "mf")
    assert all(np.array_equal(agent.state()[name], value) for name, value in before.items())
    other = make_agent(spec, seed=4)
    agent.save(tmp_path / "agent")
    with pytest.raises(ValueError, match=r"like this one, got seed \d instead of 4$"):
        other.load(tmp_path / "agent")


@pytest.mark.parametrize("context", [False, True])
def test_time_of_day_and_device_are_context(context, featured_log):
    """With them requests differ that are alike in all else; without them they do not. New devices are served."""
    agent = Multilayer(dim=4, epochs=1, context=context, history="none")
    agent.learn(featured_log)
    one = featured_log.observations(np.arange(5))
    first = agent.scores(one)
    old = featured_log.features.release == 0  # how new others are also follows from the tick
    for changed in (replace(one, tick=one.tick + 60 * 13), replace(one, device=(one.device + 1) % 3)):
        assert np.array_equal(agent.scores(changed)[:, old], first[:, old]) != context
    assert np.isfinite(agent.scores(replace(one, device=np.full(5, 7, np.int8)))).all()


@pytest.mark.parametrize("spec", ["two-tower", "dlrm", "dcn", "mlp"])
def test_batches_of_one_can_be_normalised(spec, parts):
    log = parts[0].take(np.flatnonzero(parts[0].clicks.any(axis=1))[:9])
    agent = taught(f"{spec}:dim=2,target=impressions,loss=softmax,batch_norm=true,batch_size=8,epochs=2", log)
    agent.learn(log)
    assert np.isfinite(agent.scores(parts[1].observations(np.arange(3)))).all()
