"""The account of two stages adds up, is literal, and puts the loss where it arose."""

import numpy as np
import pytest

from agents.baselines import Popularity
from agents.business_rules import RepeatRules
from agents.two_stage import Fresh, Popular, TwoStage
from recsim_lab.evaluation.oracle import Oracle
from recsim_lab.evaluation.two_stage import UNION, StageProbe, account
from recsim_lab.platform import Platform
from recsim_lab.simulation.presets import make_world
from scenarios.factories import restricted

A = np.ndarray


@pytest.fixture
def truth():
    generator = np.random.default_rng(0)
    utility = generator.normal(size=(40, 25))
    eligible = generator.random((40, 25)) < 0.8
    order = np.argsort(np.where(eligible, generator.random((40, 25)), 2), axis=1)
    found = {"a": order[:, :6].copy(), "b": order[:, 3:9].copy()}
    found["a"][::3, 4:] = -1
    return utility, eligible, found


def test_it_is_what_a_literal_count_says(truth):
    utility, eligible, found = truth
    slates = found["b"][:, [1, 0, 4]]
    eligible[7] = False
    eligible[7, found["b"][7, :5]] = True
    found["a"][7] = found["b"][7, 3]
    found["b"][7, 5:] = -1
    told = account(utility, eligible, found, slates, 7)
    for row in range(40):
        allowed = [item for item in range(25) if eligible[row, item]]
        best = sorted(allowed, key=lambda item: -utility[row, item])
        brought = {name: {int(item) for item in items[row] if item >= 0} for name, items in found.items()}
        brought[UNION] = brought["a"] | brought["b"]
        for name, items in brought.items():
            assert told.recall[name][row] == pytest.approx(len(items & set(best[:7])) / min(7, len(best)))
        reachable = sorted(brought[UNION], key=lambda item: -utility[row, item])[:3]
        mean = [utility[row, items].mean() for items in (best[:3], reachable, slates[row])]
        assert told.retrieval[row] == pytest.approx(mean[0] - mean[1])
        assert told.ranking[row] == pytest.approx(mean[1] - mean[2])
        assert told.regret[row] == pytest.approx(mean[0] - mean[2])
    assert (told.retrieval >= 0).all() and (told.ranking >= -1e-12).all()


def test_the_parts_add_up_whatever_a_slate_is_worth(truth):
    utility, eligible, found = truth
    slates = found["a"][:, :3]

    def worth(some):
        return np.sin(7.0 * some).sum(axis=1)

    told = account(utility, eligible, found, slates, 5, worth)
    best = np.argsort(np.where(eligible, -utility, np.inf), axis=1)[:, :3]
    np.testing.assert_allclose(told.retrieval + told.ranking, worth(best) - worth(slates), atol=1e-12)


def test_the_loss_lies_where_it_arose(truth):
    utility, eligible, _ = truth
    best = np.argsort(np.where(eligible, -utility, np.inf), axis=1)
    perfect = account(utility, eligible, {"a": best[:, :8]}, best[:, :3], 5)
    assert not perfect.regret.any() and (perfect.recall["a"] == 1).all()
    misordered = account(utility, eligible, {"a": best[:, :8]}, best[:, 3:6], 5)
    assert not misordered.retrieval.any() and (misordered.ranking > 0).all()
    missed = account(utility, eligible, {"a": best[:, 3:8]}, best[:, 3:6], 5)
    assert (missed.retrieval > 0).all() and not missed.ranking.any()
    np.testing.assert_allclose(missed.recall[UNION], 2 / 5)
    # Without a first stage all is ranking; what was filled in is nobody's find, and no gain of the ranker's.
    single = account(utility, eligible, None, best[:, 3:6], 5)
    assert not single.retrieval.any() and (single.recall[UNION] == 1).all()
    filled = account(utility, eligible, {"a": np.full((40, 3), -1)}, best[:, :3], 5)
    assert not filled.regret.any() and not filled.recall["a"].any()


@pytest.fixture(scope="module")
def logged():
    world = make_world("everyday", num_users=80, num_items=100, num_slots=5, new_items_a_day=2, days=10)
    platform = Platform(world, RepeatRules(Popularity()), seed=1)
    platform.run(3)
    return platform


@pytest.mark.parametrize("heavy", ["popularity", "oracle"])
def test_the_probe_agrees_with_the_platform(heavy, logged):
    twin = logged.fork(RepeatRules(Popularity()))
    scorer = Oracle(logged.world).watch(twin.service.sessions) if heavy == "oracle" else Popularity()
    policy = TwoStage(((Popular(), 20), (Fresh(), 3)), scorer)
    policy.learn(logged.log())
    twin.service.policy = RepeatRules(policy)
    twin.probe = probe = StageProbe(logged.world, restricted, policy.found, 10, share=0.5)
    twin.run(5)
    means = probe.means()
    assert means["regret"] == pytest.approx(means["retrieval"] + means["ranking"])
    assert 0 < means["recall/popularity"] <= means["recall/union"] < 1 and means["retrieval"] > 0.01
    assert means["recall/union"] <= means["recall/popularity"] + means["recall/fresh"] + 1e-9
    if heavy == "oracle":
        # An oracle over candidates loses by retrieval alone.
        assert means["ranking"] == pytest.approx(0, abs=1e-6)
    else:
        assert means["ranking"] > 0.01


def test_no_request_no_account(logged):
    probe = StageProbe(logged.world, restricted, None, share=0.0)
    twin = logged.fork(RepeatRules(Popularity()), probe=probe)
    twin.run(4)
    assert probe.means() == {}


@pytest.mark.parametrize("name, value", [("share", 1.5), ("depth", 0)])
def test_bad_parameters(name, value, logged):
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        StageProbe(logged.world, restricted, None, **{name: value})
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        account(np.zeros((1, 4)), np.ones((1, 4), bool), None, np.zeros((1, 2), np.int32), 0)
