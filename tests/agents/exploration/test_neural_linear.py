"""Thompson sampling on a last layer is the ridge regression of clicks on the products of a dot product."""

import numpy as np
import pytest

from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy, NeuralLinear
from agents.exploration.ridge import Posterior
from agents.registry import make_agent
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities, planted_log

A = np.ndarray
MF = "mf:dim=4,epochs=3"


@pytest.fixture(scope="module")
def taught(log) -> NeuralLinear:
    policy = NeuralLinear(make_agent(MF, seed=1), 1.0)
    policy.learn(log)
    return policy


@pytest.mark.parametrize("spec", ["mf:dim=4", "two-tower:dim=4,width=4,epochs=1", "sasrec:dim=8,epochs=1"])
def test_vectors_are_those_whose_products_are_scores(spec, log):
    agent = make_agent(spec)
    agent.learn(log.take(slice(0, 300)))
    observation = log.observations(np.arange(200, 260))
    of_requests, of_items = agent.request_vectors(observation), agent.item_vectors(observation.features)
    known = np.unique(log.slate[:300])
    np.testing.assert_allclose(
        (of_requests @ of_items.T)[:, known], agent.scores(observation)[:, known], rtol=1e-4, atol=1e-5
    )


def test_evidence_is_the_sum_over_impressions(taught, log):
    of_requests, of_items = taught.agent.request_vectors(log.observations()), taught.agent.item_vectors(log.features)
    products = np.array(
        [
            of_requests[row].astype(np.float64) * of_items[item]
            for row in range(len(log))
            for item in log.slate[row].tolist()
        ]
    )
    spread = np.sqrt((products**2).mean(axis=0))
    np.testing.assert_allclose(taught.spread, spread, rtol=1e-6)
    phi = np.concatenate([np.ones((len(products), 1)), products / spread], axis=1)
    np.testing.assert_allclose(taught.evidence.gram, phi.T @ phi, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(taught.evidence.moment, phi.T @ log.clicks.ravel(), rtol=1e-6, atol=1e-6)
    weights = np.linalg.solve(phi.T @ phi + np.eye(phi.shape[1]), phi.T @ log.clicks.ravel())
    np.testing.assert_allclose(Posterior(taught.evidence, 1.0).mean, weights, rtol=1e-5, atol=1e-7)
    observation = log.observations(np.arange(4))
    order = (of_requests[:4, None] * of_items / spread) @ weights[1:]
    np.testing.assert_allclose(taught.ranker.scores(observation), order, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scale, least", [(0.0, 0.95), (1.0, 0.9)])
def test_planted_taste_is_found(scale, least, log):
    policy = NeuralLinear(make_agent("mf", seed=1), scale)
    policy.learn(log)
    observation = log.observations(np.arange(60))
    slates = policy.recommend(observation, 5, draws_of(0, observation.user)).items
    assert (slates % 2 == observation.user[:, None] % 2).mean() > least


def test_the_wider_the_more_is_explored(log):
    observation = log.observations(np.zeros(500, np.int64))
    seen = []
    for scale in (0.0, 1.0, 4.0):
        policy = NeuralLinear(make_agent(MF, seed=1), scale)
        policy.learn(log.take(slice(0, 400)))
        seen.append(len(np.unique(policy.recommend(observation, 3, draws_of(0, np.arange(500))).items)))
    assert seen[0] == 3 < seen[1] < seen[2]


def test_no_spread_is_certain(log):
    policy = NeuralLinear(make_agent(MF), 0.0)
    policy.learn(log)
    observation = log.observations(np.arange(20))
    answer = policy.recommend(observation, 3, draws_of(0, observation.user))
    assert (answer.propensity == 1).all() and (policy.probabilities(observation, answer.items).prefix == 1).all()


def test_items_that_were_never_shown_come_last(log):
    policy = NeuralLinear(make_agent(MF), 1.0)
    policy.learn(log.take(~(log.slate == 7).any(axis=1)))
    observation = log.observations(np.arange(50))
    answer = policy.recommend(observation, 40, draws_of(0, observation.user))
    assert (answer.items[:, -1] == 7).all()


@pytest.mark.parametrize("spec", [MF, "two-tower:dim=4,width=4,epochs=1,warm_epochs=1"])
def test_learning_and_state(spec, log, tmp_path):
    check_agent(lambda: NeuralLinear(make_agent(spec, seed=3)), log, tmp_path)


@pytest.mark.parametrize("when", ["untaught", "taught"])
def test_a_batch_is_its_requests(when, log):
    policy = NeuralLinear(make_agent(MF), 1.0, redraws=50)
    if when == "taught":
        policy.learn(log)
    observation = log.observations(np.arange(100, 130))
    for nested in (policy, RepeatRules(EpsilonGreedy(policy, 0.2, redraws=20))):
        check_policy(nested, observation, 4, draws_of(1, observation.user))


def test_it_does_what_it_says():
    log = planted_log(num_users=8, num_items=7, num_slots=3, num_days=2)
    policy = NeuralLinear(make_agent(MF), 1.0)
    policy.learn(log)
    request = log.observations(np.array([len(log) - 1])).block(np.array([[2]]))
    check_propensities(policy, request, 2)


@pytest.mark.parametrize("spec", ["ease", "dlrm", "random", "mf:epsilon=0.1"])
def test_what_has_no_dot_product_is_refused(spec):
    with pytest.raises(ValueError, match="policy must be an agent whose scores are dot products"):
        NeuralLinear(make_agent(spec))


def test_bad_input(log):
    with pytest.raises(ValueError, match="scale must be at least 0 and finite, got -1"):
        NeuralLinear(make_agent("mf"), -1)
    with pytest.raises(ValueError, match="regularization must be above 0 and finite, got 0"):
        NeuralLinear(make_agent("mf"), 1.0, 0)
    with pytest.raises(ValueError, match=r"vectors must be asked of .* got 'mf' untaught"):
        make_agent("mf").request_vectors(log.observations(np.arange(2)))
