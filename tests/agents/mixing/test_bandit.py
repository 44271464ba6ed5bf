"""The bandit takes each policy as often as it says, and in the end the one that users click."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import betaln

from agents.baselines import Popularity, Random
from agents.exploration import EpsilonGreedy
from agents.mixing import Bandit, TeamDraft
from agents.mixing.bandit import chance_of_being_best
from recsim_lab.interaction_log import InteractionLog, concatenate
from recsim_lab.policy import Policy
from recsim_lab.streams import Draws, draws_of

A = np.ndarray


def chance_that_second_is_better(a: tuple[int, int], b: tuple[int, int]) -> float:
    """P(Beta(b) > Beta(a)) for whole numbers, as a finite sum."""
    i = np.arange(b[0])
    terms = betaln(a[0] + i, a[1] + b[1]) - np.log(b[1] + i) - betaln(1 + i, b[1]) - betaln(*a)
    return float(np.exp(terms).sum())


@pytest.mark.parametrize(
    "a, b",
    [
        ((5, 20), (7, 20)),
        ((1, 1), (1, 1)),
        ((100, 1000), (140, 1000)),
        ((30, 1000), (90, 1000)),
        ((1000, 100_000), (1200, 100_000)),
        ((1, 1), (500, 500)),
        ((3, 50), (1, 1)),
    ],
    ids=str,
)
def test_chances_of_two_are_the_finite_sum(a, b):
    chances = chance_of_being_best(np.array([a[0], b[0]], float), np.array([a[1], b[1]], float))
    assert chances == pytest.approx([chance_that_second_is_better(b, a), chance_that_second_is_better(a, b)], rel=1e-4)


def test_chances_of_many_are_the_integral():
    good, bad = np.array([3.0, 20.0, 0.5, 9.5]), np.array([7.0, 61.0, 0.7, 30.0])
    chances = chance_of_being_best(good, bad)
    for arm in range(4):
        others = [other for other in range(4) if other != arm]
        integral, _ = integrate.quad(
            lambda x, arm=arm, others=others: (
                stats.beta.pdf(x, good[arm], bad[arm]) * np.prod([stats.beta.cdf(x, good[o], bad[o]) for o in others])
            ),
            0,
            1,
            limit=200,
        )
        assert chances[arm] == pytest.approx(integral, rel=1e-5)
    assert chances.sum() == pytest.approx(1)


def test_what_the_draws_cannot_tell_from_never_is_never():
    chances = chance_of_being_best(np.array([100.0, 90]), np.array([10.0, 1000]))
    assert chances.tolist() == [1, 0]


def served(log: InteractionLog, policy: Policy, rows: A, draws: Draws, rate: dict[str, float]) -> InteractionLog:
    """The policy's answers to some of the log's requests, of which each slot is clicked at the rate of its source."""
    part = log.take(rows)
    answer = policy.recommend(log.observations(rows), part.num_slots, draws)
    chance = np.array([rate[source] for source in answer.sources])[answer.source]
    clicks = draws.uniform(900, part.num_slots) < chance
    return replace(part, slate=answer.items, clicks=clicks, source=answer.source, sources=answer.sources)


@pytest.mark.parametrize("by", ["thompson", "epsilon-greedy"])
@pytest.mark.parametrize("better", [0, 1])
def test_it_converges_to_the_better_policy(by, better, log, fixed):
    policies = (fixed("one", 1, 2), fixed("two", 3, 4))
    bandit = Bandit(policies, by=by, arm_epsilon=0.2)
    rate = {"one": 0.1, "two": 0.1} | {policies[better].name: 0.3}
    logs = []
    for day in range(12):
        rows = np.flatnonzero(log.session == day % 6)[:120]
        draws = draws_of(day, np.arange(len(rows)))
        logs.append(served(log, bandit, rows, draws, rate))
        bandit.learn(concatenate(logs))
    # Of 1,440 slates; five slots at .3 have a click with .83, at .1 with .41.
    assert bandit.chances[better] >= (0.9 if by == "epsilon-greedy" else 0.999)
    expected = 1 - 0.7**5
    assert bandit.successes[better] / bandit.trials[better] == pytest.approx(expected, abs=0.08)
    taken = np.concatenate([part.source[:, 0] for part in logs[3:]])
    assert (taken == better).mean() > 0.8


def test_a_slate_is_a_trial_of_all_who_have_slots_in_it(log, fixed):
    bandit = Bandit((fixed("one"), fixed("two"), EpsilonGreedy(fixed("two"), 0.2)))
    sources = ("one", "two", "other", "two:epsilon=0.2/random", "mix/two")
    source = np.array([[0, 0, 0, 0, 0], [0, 1, 0, 1, 2], [2, 2, 2, 2, 2], [3, 3, 0, 0, 0], [4, 4, 4, 4, 4]], np.int16)
    clicks = np.zeros((5, 5), bool)
    clicks[0, [1, 3]] = clicks[1, [1, 4]] = clicks[2, 0] = clicks[3, 1] = True
    bandit.learn(replace(log.take(slice(0, 5)), source=source, sources=sources, clicks=clicks))
    assert bandit.trials.tolist() == [3, 2, 1] and bandit.successes.tolist() == [1, 1, 1]


def test_epsilon_greedy_takes_the_best_or_any(log, fixed, requests):
    policies = tuple(fixed(str(number), number) for number in range(4))
    bandit = Bandit(policies, by="epsilon-greedy", arm_epsilon=0.2)
    assert bandit.chances == pytest.approx([0.85, 0.05, 0.05, 0.05])  # of equal ones the first
    bandit.restore_own({"trials": np.array([50, 50, 50, 9]), "successes": np.array([20, 25, 24, 4])})
    assert bandit.chances == pytest.approx([0.05, 0.85, 0.05, 0.05])
    answer = bandit.recommend(requests(range(20_000), 9), 2, draws_of(0, np.arange(20_000)))
    share = np.bincount(answer.source[:, 0], minlength=4) / 20_000
    assert np.abs(share - bandit.chances).max() < 4.5 * (0.13 / 20_000) ** 0.5
    assert np.allclose(answer.prefix_propensity[:, -1][answer.source[:, 0] == 1], 0.85)


def test_probabilities_are_mixtures(fixed, requests):
    one, two = fixed("one", 3, 4), EpsilonGreedy(fixed("two", 4, 3), 0.5)
    bandit = Bandit((one, two), by="epsilon-greedy", arm_epsilon=0.5)
    slates = np.array([[3, 4], [4, 3], [0, 1]], np.int32)
    observation = requests([0] * 3, 6)
    told, inside = bandit.probabilities(observation, slates), two.probabilities(observation, slates)
    assert told.exact.all()
    same = np.array([[1, 1], [0, 0], [0, 0]])
    np.testing.assert_allclose(told.prefix, 0.75 * same + 0.25 * inside.prefix, rtol=1e-6)
    np.testing.assert_allclose(told.marginal, 0.75 * same + 0.25 * inside.marginal, rtol=1e-6)


def test_pairs_of_certain_policies_are_exact(fixed, requests):
    bandit = Bandit((fixed("one", 3, 4), fixed("two", 4, 5)), by="epsilon-greedy", arm_epsilon=0.5)
    told = bandit.pair_probabilities(requests([0], 6), np.array([[3, 4, 5]]), 2)
    assert (told.error == 0).all()
    together = told.value[0].reshape(2, 3, 2, 3)[0, :, 1]  # first slot x second slot
    np.testing.assert_allclose(together, [[0, 0.75, 0], [0, 0, 0.25], [0, 0, 0]])


@pytest.mark.parametrize("per", ["session", "slate"])
def test_a_session_has_one_policy(per, fixed):
    bandit = Bandit((fixed("one"), fixed("two")), arm_per=per)
    user = np.arange(1_000)
    arms = np.stack([bandit.arms(draws_of(3, user, session=2, step=step)) for step in range(4)])
    assert abs(arms[0].mean() - 0.5) < 4.5 * 0.5 / 1_000**0.5
    assert (arms == arms[0]).all() == (per == "session")
    other = bandit.arms(draws_of(3, user, session=1))
    assert 0.4 < (other == arms[0]).mean() < 0.6


def test_a_policy_that_cannot_tell_leaves_the_mixture_untold(fixed, requests):
    vague = EpsilonGreedy(Random(), 0.1, redraws=50)
    bandit = Bandit((fixed("one"), vague), by="epsilon-greedy", arm_epsilon=0.0)
    observation = requests([0, 1], 9)
    assert (bandit.recommend(observation, 2, draws_of(0, np.arange(2))).propensity == 1).all()
    bandit = Bandit((fixed("one"), vague), by="epsilon-greedy", arm_epsilon=0.1)
    assert np.isnan(bandit.recommend(observation, 2, draws_of(0, np.arange(2))).propensity).all()


def test_what_was_counted_is_kept(log, fixed, tmp_path):
    def make() -> Bandit:
        return Bandit((TeamDraft((Popularity(), fixed("one"))), Popularity(by="rate")))

    bandit, other = make(), make()
    bandit.learn(replace(log, sources=("popularity:by=rate",)))
    assert bandit.trials.tolist() == [0, len(log)]
    bandit.save(tmp_path / "bandit")
    other.load(tmp_path / "bandit")
    assert np.array_equal(bandit.chances, other.chances) and np.array_equal(bandit.trials, other.trials)
    with pytest.raises(ValueError, match="must hold the policy"):
        TeamDraft((Popularity(by="rate"), Popularity())).load(tmp_path / "bandit")


def test_an_empty_log_tells_nothing(log, fixed):
    bandit = Bandit((fixed("one"), fixed("two")))
    bandit.learn(replace(log.take(slice(0, 0)), sources=()))
    assert bandit.chances == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"arm_epsilon": 1.5}, r"arm_epsilon must be in \[0, 1\], got 1.5"),
        ({"prior_successes": 0}, "prior_successes must be above 0 and finite, got 0"),
        ({"prior_failures": float("inf")}, "prior_failures must be above 0 and finite, got inf"),
    ],
)
def test_parameters_are_checked(parameters, message, fixed):
    with pytest.raises(ValueError, match=message):
        Bandit((fixed("one"), fixed("two")), **parameters)


def test_names_say_what_is_not_the_default(fixed):
    policies = (fixed("one"), fixed("two"))
    assert Bandit(policies).name == "bandit(one; two)"
    named = Bandit(policies, by="epsilon-greedy", arm_epsilon=0.25, arm_per="slate").name
    assert named == "bandit(one; two):by=epsilon-greedy,arm_epsilon=0.25,arm_per=slate"
