"""An ensemble is the mixture of its copies, each of which has learned from users of its own."""

import numpy as np
import pytest

from agents.baselines import Popularity, Random
from agents.business_rules import RepeatRules
from agents.ease import EASE
from agents.exploration import BootstrappedEnsemble, EpsilonGreedy, EpsilonGreedySlate
from agents.registry import make_agent
from recsim_lab.streams import Draws, draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities, planted_log

A = np.ndarray


@pytest.fixture(scope="module")
def small():
    return planted_log(num_users=30, num_items=8, num_slots=3, num_days=2)


def taught(spec: str, log) -> BootstrappedEnsemble:
    policy = make_agent(spec, seed=2)
    policy.learn(log)
    return policy


def test_copies_learn_from_half_of_the_users_each_their_own():
    ensemble = BootstrappedEnsemble(tuple(Popularity() for _ in range(3)))
    users = np.arange(20_000)
    learns = np.stack([ensemble.learns_from(number, users) for number in range(3)])
    assert (np.abs(learns.mean(axis=1) - 0.5) < 4.5 * 0.5 / np.sqrt(20_000)).all()
    both = [(learns[a] & learns[b]).mean() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert (np.abs(np.array(both) - 0.25) < 4.5 * 0.433 / np.sqrt(20_000)).all()
    # A coin is the user's, whatever the log.
    assert np.array_equal(ensemble.learns_from(1, users[::-7]), learns[1][::-7])
    other = BootstrappedEnsemble(ensemble.members, share=0.9, seed=1)
    assert abs(other.learns_from(0, users).mean() - 0.9) < 4.5 * 0.3 / np.sqrt(20_000)


def test_a_copy_learns_whole_users_and_no_others(log):
    ensemble = BootstrappedEnsemble(tuple(Popularity() for _ in range(2)))
    ensemble.learn(log)
    for number, member in enumerate(ensemble.members):
        own = log.take(ensemble.learns_from(number, log.user))
        assert 0 < len(own) < len(log) and (np.diff(own.tick) >= 0).all()
        # Requests of its users are what they were: no click of theirs is missing or there twice.
        row = len(own) - 1
        before = np.flatnonzero(ensemble.learns_from(number, log.user))[row]
        one, whole = own.observations(np.array([row])), log.observations(np.array([before]))
        assert np.array_equal(one.clicked, whole.clicked) and np.array_equal(one.shown, whole.shown)
        assert np.array_equal(member.popularity, np.bincount(own.slate[own.clicks], minlength=40))
    assert not np.array_equal(ensemble.members[0].popularity, ensemble.members[1].popularity)


def test_probabilities_are_the_share_of_copies(small):
    ensemble = taught("ease:ensemble=5", small)
    observation = small.observations(np.arange(20))
    slates = np.stack([m.recommend(observation, 3, draws_of(0, observation.user)).items for m in ensemble.members])
    asked = slates[2].copy()
    told = ensemble.probabilities(observation, asked)
    assert told.exact.all()
    np.testing.assert_allclose(told.marginal, (slates == asked).mean(axis=0), rtol=1e-6)
    prefix = np.logical_and.accumulate(slates == asked, axis=2).mean(axis=0)
    np.testing.assert_allclose(told.prefix, prefix, rtol=1e-9)
    answer = ensemble.recommend(observation, 3, draws_of(4, observation.user))
    np.testing.assert_array_equal(answer.propensity, ensemble.probabilities(observation, answer.items).marginal)


def test_copies_that_agree_are_certain(requests):
    ensemble = BootstrappedEnsemble(tuple(EASE() for _ in range(10)))
    answer = ensemble.recommend(requests([0, 1], 9), 3, draws_of(0, np.arange(2)))
    assert (answer.prefix_propensity == 1).all() and (answer.propensity == 1).all()


def test_a_session_keeps_its_copy(small):
    ensemble = taught("ease:ensemble=6", small)
    observation = small.observations(np.arange(20).repeat(40))
    users = np.arange(800, dtype=np.int32)
    draws = draws_of(3, users)
    first = ensemble.recommend(observation, 3, draws).items
    later = ensemble.recommend(observation, 3, draws.at_step(5)).items
    other = ensemble.recommend(observation, 3, Draws(draws.seed, users, draws.session + 1, draws.step)).items
    assert np.array_equal(first, later) and not np.array_equal(first, other)


@pytest.mark.parametrize("spec", ["ease:ensemble=3", "mf:dim=4,epochs=1,ensemble=2", "random:ensemble=2"])
def test_learning_and_state(spec, log, tmp_path):
    check_agent(lambda: make_agent(spec, seed=3), log, tmp_path)


def test_copies_of_networks_differ(log):
    ensemble = make_agent("mf:dim=4,ensemble=3", seed=3)
    seeds = [member.seed for member in ensemble.members]
    assert len(set(seeds)) == 3
    assert set(seeds).isdisjoint(member.seed for member in make_agent("mf:dim=4,ensemble=3", seed=4).members)


def test_the_ranker_is_the_mean_of_the_copies(small):
    ensemble = taught("ease:ensemble=3", small)
    observation = small.observations(np.arange(10))
    scores = np.stack([member.scores(observation) for member in ensemble.members])
    np.testing.assert_allclose(ensemble.ranker.scores(observation), scores.mean(axis=0), rtol=1e-5)
    some = np.tile([3, 1], (10, 1))
    np.testing.assert_allclose(ensemble.ranker.scores(observation, some), scores.mean(axis=0)[:, [3, 1]], rtol=1e-5)
    assert make_agent("random:ensemble=2").ranker is None


def test_it_does_what_it_says(small):
    request = small.observations(np.array([len(small) - 1])).block(np.array([[2]]))
    check_propensities(taught("ease:ensemble=3", small), request, 2)


@pytest.mark.parametrize("inside", [",epsilon=0.2", ",boltzmann=0.5"])
def test_copies_that_explore_are_mixed_as_exactly_as_they_are_known(inside, small):
    policy = BootstrappedEnsemble(tuple(make_agent("ease:" + inside[1:]) for _ in range(3)))
    policy.learn(small)
    observation = small.observations(np.arange(10))
    answer = policy.recommend(observation, 2, draws_of(1, observation.user))
    told = policy.probabilities(observation, answer.items)
    of_copies = [copy.probabilities(observation, answer.items) for copy in policy.members]
    np.testing.assert_allclose(told.prefix, np.mean([one.prefix for one in of_copies], axis=0), rtol=1e-9)
    assert np.isnan(answer.propensity).all() and (told.prefix_error == 0).all()
    assert told.exact.all()


def test_exploration_around_it_does_what_it_says(small):
    policy = RepeatRules(EpsilonGreedy(taught("ease:ensemble=3", small), 0.3, redraws=400), days=7)
    check_propensities(policy, small.observations(np.array([len(small) - 1])), 2)


def test_whole_slates_around_it_are_exact(small):
    inner = taught("ease:ensemble=3", small)
    observation = small.observations(np.arange(10))
    slates = small.slate[5:15]
    told = EpsilonGreedySlate(inner, 0.3).probabilities(observation, slates)
    assert told.exact.all()
    prefix = 0.7 * inner.probabilities(observation, slates).prefix + 0.3 / np.array([8, 8 * 7, 8 * 7 * 6])
    np.testing.assert_allclose(told.prefix, prefix, rtol=1e-9)


def test_a_batch_is_its_requests(small):
    policy = RepeatRules(EpsilonGreedy(taught("ease:ensemble=3", small), 0.3, redraws=50))
    observation = small.observations(np.arange(40, 70))
    check_policy(policy, observation, 3, draws_of(1, observation.user))
    inner = taught("ease:ensemble=3", small)
    check_policy(inner, observation, 3, draws_of(1, observation.user))


def test_nobody_to_learn_from_teaches_nothing(log):
    ensemble = make_agent("ease:ensemble=2,share=0.01")
    ensemble.learn(log.take(slice(0, 1)))
    observation = log.observations(np.arange(3))
    assert ensemble.recommend(observation, 3, draws_of(0, observation.user)).items.shape == (3, 3)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BootstrappedEnsemble(()), "members must be at least one agent, got none"),
        (lambda: BootstrappedEnsemble((EASE(), Random())), "members must be copies of one agent, got ease, random"),
        (lambda: BootstrappedEnsemble((EASE(),) * 2), "members must be agents of their own, got one of them twice"),
        (lambda: BootstrappedEnsemble((EASE(),), share=0.0), r"share must be in \(0, 1\], got 0.0"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
