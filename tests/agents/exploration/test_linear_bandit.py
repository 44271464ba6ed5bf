"""Linear bandits know what a ridge regression of clicks on public features knows, written out impression by
impression."""

from dataclasses import replace

import numpy as np
import pytest

from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy, LinearThompson, LinUCB
from agents.exploration.design import MOST_CODES, Design, squares, unpacked
from agents.exploration.linear_bandit import evidence_of, variances
from agents.exploration.ridge import Evidence, Posterior
from agents.registry import make_agent
from recsim_lab.policy import FeatureTable, Field
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_agent, check_policy, check_propensities

A = np.ndarray


def literal_features(table: FeatureTable, user: int, item: int) -> A:
    """All products of the columns of a user and an item of `featured_log`, one after the other."""

    def standard(name: str, columns: dict[str, A], row: int) -> float:
        values = columns[name].astype(np.float64)
        return float(np.clip((values[row] - values.mean()) / values.std(), -3, 3))

    def share(values: A) -> list[float]:
        return [float(v) / max(int(values.sum()), 1) for v in values]

    of_user = [1.0, standard("age", table.users, user)]
    of_user += [float(table.users["country"][user] == code) for code in range(3)]
    of_user += share(table.users["hobbies"][user])
    of_item = [1.0] + [float(table.items["topic"][item] == code) for code in range(2)]
    of_item += share(table.items["tags"][item])
    of_item += [standard("price", table.items, item)]
    of_item += [float(table.items["maker"][item] == code) for code in range(7)]
    return np.outer(of_user, of_item).ravel()


@pytest.fixture(scope="module")
def tiny(featured_log):
    return featured_log.take(slice(0, 40))


def test_evidence_is_the_sum_over_impressions(tiny):
    design = Design.of(tiny.features)
    evidence = evidence_of(tiny, design)
    phi = np.array(
        [literal_features(tiny.features, u, i) for u, slate in zip(tiny.user, tiny.slate, strict=True) for i in slate]
    )
    clicks = tiny.clicks.ravel().astype(np.float64)
    np.testing.assert_allclose(evidence.gram, phi.T @ phi, atol=1e-9)
    np.testing.assert_allclose(evidence.moment, phi.T @ clicks, atol=1e-9)
    assert (evidence.num_impressions, evidence.num_clicks) == (200, clicks.sum())


def test_posterior_is_that_of_ridge_regression(tiny):
    bandit = LinUCB(regularization=2.0, alpha=0.7)
    bandit.learn(tiny)
    rows = [(u, i) for u, slate in zip(tiny.user, tiny.slate, strict=True) for i in slate]
    phi = np.array([literal_features(tiny.features, u, i) for u, i in rows])
    clicks = tiny.clicks.ravel().astype(np.float64)
    inverse = np.linalg.inv(phi.T @ phi + 2 * np.eye(phi.shape[1]))
    weights = inverse @ phi.T @ clicks
    _, posterior = bandit.known(tiny.observations())
    np.testing.assert_allclose(posterior.mean, weights, atol=1e-9)
    np.testing.assert_allclose(posterior.covariance, inverse, atol=1e-9)
    residuals = clicks - phi @ weights
    assert posterior.noise**2 == pytest.approx(((residuals**2).sum() + 0.25) / 201)
    observation = tiny.observations(np.array([3, 17]))
    scores, expected = bandit.scores(observation), bandit.expected(observation)
    for row, user in enumerate(observation.user):
        for item in (0, 7, 39):
            x = literal_features(tiny.features, user, item)
            assert expected[row, item] == pytest.approx(x @ weights, abs=1e-6)
            assert scores[row, item] == pytest.approx(x @ weights + 0.7 * np.sqrt(x @ inverse @ x), abs=1e-6)


def test_one_feature_by_hand():
    # Three impressions of a constant 1, one click, regularization 1: weight 1/4, variance 1/4.
    posterior = Posterior(Evidence(np.array([[3.0]]), np.array([1.0]), 3.0, 1.0), 1.0)
    assert posterior.mean == pytest.approx(0.25) and posterior.covariance == pytest.approx(0.25)
    assert posterior.noise**2 == pytest.approx((0.75**2 + 2 * 0.25**2 + 0.25) / 4)


def test_samples_have_the_moments_of_the_posterior():
    generator = np.random.default_rng(0)
    phi = generator.normal(size=(30, 4))
    clicks = (generator.random(30) < 0.4).astype(np.float64)
    posterior = Posterior(Evidence(phi.T @ phi, phi.T @ clicks, 30.0, clicks.sum()), 1.0)
    draws = posterior.sample(draws_of(0, np.arange(50_000)).normal(0, 4).astype(np.float64), 2.0)
    wanted = 4 * posterior.noise**2 * posterior.covariance
    deviation = np.sqrt(np.diag(wanted) / 50_000)
    assert (np.abs(draws.mean(axis=0) - posterior.mean) < 4.5 * deviation).all()
    spread = np.sqrt(2 * np.outer(np.diag(wanted), np.diag(wanted)) / 50_000)
    assert (np.abs(np.cov(draws.T) - wanted) < 5 * spread).all()


def test_squares_are_put_back():
    generator = np.random.default_rng(0)
    users, items = generator.normal(size=(50, 3)), generator.normal(size=(50, 4))
    pairs = (users[:, :, None] * items[:, None]).reshape(50, -1)
    np.testing.assert_allclose(unpacked(squares(users).T @ squares(items), 3, 4), pairs.T @ pairs)
    covariance = pairs.T @ pairs
    told = variances(covariance, users[:5], items)
    phi = (users[:5, None, :, None] * items[None, :, None]).reshape(5, 50, -1)
    np.testing.assert_allclose(told, np.einsum("rip,pq,riq->ri", phi, covariance, phi))


def test_codes_beyond_the_bound_are_folded():
    codes = np.array([0, 31, 32, 77], np.int32)
    many = np.zeros((4, 70), bool)
    many[0, [1, 33, 65]] = many[1, [2, 3]] = True
    table = FeatureTable(
        (),
        (Field("maker", "categorical", 78), Field("tags", "multi", 70)),
        {},
        {"maker": codes, "tags": many},
        np.zeros(4, np.int64),
        np.full(4, 10**9),
    )
    items = Design.of(table).items
    assert items.shape == (4, 1 + 2 * MOST_CODES)
    assert items[:, 1 : 1 + MOST_CODES].argmax(axis=1).tolist() == [0, 31, 0, 13]
    assert items[0, 1 + MOST_CODES + 1] == pytest.approx(1) and items[1, 1 + MOST_CODES + 2] == 0.5


def test_too_many_pairs_are_refused(featured_log):
    features = featured_log.features
    more = tuple(Field(f"f{n}", "categorical", 40) for n in range(9))
    columns = {f.name: np.zeros(60, np.int32) for f in more}
    table = replace(features, user_fields=more, users=columns)
    with pytest.raises(ValueError, match="at most 2500 pairs of columns, got 289 of users times 16 of items: 4624"):
        LinUCB().learn(replace(featured_log, features=table))


@pytest.mark.parametrize("spec", ["linucb", "linear-thompson", "linucb:alpha=0"])
def test_taste_that_features_tell_is_found(spec, featured_log):
    """Odd users click odd items: declared as a field of both, which only their cross tells."""
    features = featured_log.features
    users = {**features.users, "country": (np.arange(60) % 2).astype(np.int32)}
    log = replace(featured_log, features=replace(features, users=users))
    agent = make_agent(spec)
    agent.learn(log)
    observation = log.observations(np.arange(len(log) - 60, len(log)))
    slates = agent.recommend(observation, 5, draws_of(0, observation.user)).items
    assert (slates % 2 == observation.user[:, None] % 2).mean() > 0.95


def test_what_is_unknown_gets_a_bonus(featured_log):
    """Item 39, never shown, comes from makers and topics that were; with items of one maker unshown, it leads."""
    maker = np.where(np.arange(40) == 39, 6, np.arange(40) % 6).astype(np.int32)
    log = replace(
        featured_log, features=replace(featured_log.features, items={**featured_log.features.items, "maker": maker})
    )
    bold, greedy = LinUCB(alpha=3.0), LinUCB(alpha=0.0)
    observation = log.observations(np.arange(len(log) - 50, len(log)))
    for agent in (bold, greedy):
        agent.learn(log)
    first = [agent.recommend(observation, 5, draws_of(0, observation.user)).items[:, 0] for agent in (bold, greedy)]
    assert (first[0] == 39).all() and (first[1] != 39).all()


@pytest.mark.parametrize("agent", [LinUCB, LinearThompson])
def test_learning_and_state(agent, featured_log, tmp_path):
    check_agent(agent, featured_log, tmp_path)


@pytest.mark.parametrize("taught", [False, True], ids=["untaught", "taught"])
@pytest.mark.parametrize("policy", [LinUCB(), LinearThompson(redraws=50), RepeatRules(LinearThompson(redraws=50))])
def test_a_batch_is_its_requests(policy, taught, featured_log):
    policy.learn(featured_log if taught else featured_log.take(slice(0, 0)))
    observation = featured_log.observations(np.arange(len(featured_log) - 40, len(featured_log)))
    check_policy(policy, observation, 4, draws_of(1, observation.user))


@pytest.fixture(scope="module")
def small(featured_log):
    """The log on a catalogue of seven items, of which each has its own code."""
    generator = np.random.default_rng(0)
    slate = np.argsort(generator.random((len(featured_log), 7)), axis=1)[:, :3].astype(np.int32)
    names = ("propensity", "prefix_propensity", "propensity_error", "source", "clicks", "dwell", "likes")
    table = featured_log.features
    features = replace(
        table,
        item_fields=(Field("code", "categorical", 7),),
        items={"code": np.arange(7, dtype=np.int32)},
        release=np.zeros(7, np.int64),
        withdrawal=table.withdrawal[:7],
    )
    kept = {name: getattr(featured_log, name)[:, :3] for name in names}
    return replace(featured_log, slate=slate, features=features, **kept).take(slice(0, 60))


def test_thompson_does_what_it_says(small):
    policy = LinearThompson(scale=1.0)
    policy.learn(small)
    request = small.observations(np.array([len(small) - 1])).block(np.array([[2]]))
    check_propensities(policy, request, 2)


def test_nestings_do_what_they_say(small):
    policy = RepeatRules(EpsilonGreedy(LinearThompson(), 0.3, redraws=300), days=7)
    policy.learn(small)
    check_propensities(policy, small.observations(np.array([len(small) - 1])), 1)


def test_no_spread_is_certain_of_the_mean(small):
    policy, mean = LinearThompson(scale=0.0), LinUCB(alpha=0.0)
    policy.learn(small)
    mean.learn(small)
    observation = small.observations(np.arange(20))
    answer, same = (p.recommend(observation, 3, draws_of(0, observation.user)) for p in (policy, mean))
    assert np.array_equal(answer.items, same.items) and (answer.propensity == 1).all()
    assert (policy.probabilities(observation, answer.items).prefix == 1).all()
    np.testing.assert_array_equal(policy.ranker.scores(observation), mean.scores(observation))


def test_what_is_blocked_has_probability_zero(small):
    policy = LinearThompson(redraws=20)
    observation = small.observations(np.array([0, 0])).block(np.array([[2], [2]]))
    told = policy.probabilities(observation, np.array([[2, 0], [0, 0]], np.int32))
    assert told.marginal[0, 0] == 0 and (told.prefix[0] == 0).all() and told.prefix[1, 1] == 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: LinUCB(alpha=-1.0), "alpha must be at least 0 and finite, got -1.0"),
        (lambda: LinUCB(regularization=0.0), "regularization must be above 0 and finite, got 0.0"),
        (lambda: LinearThompson(scale=float("nan")), "scale must be at least 0 and finite, got nan"),
        (lambda: LinearThompson(redraws=1), "redraws must be at least 2, got 1"),
    ],
)
def test_parameters_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_other_fields_are_refused(small, featured_log):
    policy = LinUCB()
    policy.learn(small)
    with pytest.raises(ValueError, match="fields must make 72 features, as in the log, got 144"):
        policy.scores(featured_log.observations(np.arange(3)))


def test_numbers_that_are_none_are_refused(featured_log):
    users = {**featured_log.features.users, "age": np.full(60, np.nan, np.float32)}
    with pytest.raises(ValueError, match="numbers of 'age' must be finite, got nan"):
        LinUCB().learn(replace(featured_log, features=replace(featured_log.features, users=users)))
