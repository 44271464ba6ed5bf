"""The laws of policies and agents: what they answer, how likely they say it was, and what they remember."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Int

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import (
    NEVER,
    TICKS_PER_DAY,
    Agent,
    FeatureTable,
    Observation,
    Policy,
    Probabilities,
    Recommendation,
    Scorer,
)
from recsim_lab.probabilities import MOST_PAIRED_ITEMS
from recsim_lab.streams import Draws, draws_of
from recsim_lab.testing.frequencies import check_frequencies
from recsim_lab.testing.law import law

A = np.ndarray

_CHUNK = 20_000
"""Requests that are answered at a time."""


def check_policy(policy: Policy, observation: Observation, num_slots: int, draws: Draws) -> None:
    """The laws of `recommend` and `probabilities` on given requests.

    Items are distinct and eligible; a row gets the same answer alone and in a batch of any order, and the same
    `probabilities`; propensities are probabilities that fit together; and they are the `probabilities` of the same
    slates. Costs a few dozen calls. Requests whose best scores differ in their last bits only may be answered
    differently by a policy that multiplies matrices; keep such ties out.
    """
    answer = policy.recommend(observation, num_slots, draws)
    shape = (len(observation), num_slots)
    for field in fields(Recommendation):
        if field.name != "sources":
            array = getattr(answer, field.name)
            law(array.shape == shape, f"{field.name} has a row for each request and a column for each slot", array)

    ordered = np.sort(answer.items, axis=1)
    law((ordered[:, 1:] != ordered[:, :-1]).all(), "items of a slate are distinct", answer.items)
    in_range = (answer.items >= 0) & (answer.items < observation.features.num_items)
    law(in_range.all(), "items are of the catalogue", answer.items)
    allowed = np.take_along_axis(observation.eligible(), answer.items.astype(np.int64), axis=1)
    law(allowed.all(), "items are eligible", answer.items[~allowed.all(axis=1)])
    named = (answer.source >= 0) & (answer.source < len(answer.sources))
    law(named.all(), f"sources are among the {len(answer.sources)} named", answer.source)

    own = Probabilities(
        answer.propensity, answer.prefix_propensity, answer.propensity_error, np.zeros(shape, np.float32)
    )
    check_probabilities(own, "propensities")
    law(not (own.marginal == 0).any(), "the policy does what it calls possible", own.marginal)
    told = policy.probabilities(observation, answer.items)
    for name, mine, theirs, error in (
        ("marginal", own.marginal, told.marginal, told.error),
        ("prefix", own.prefix, told.prefix, told.prefix_error),
    ):
        # What recommend() does not know, probabilities() may.
        same = np.isclose(mine, theirs, rtol=1e-5, atol=0) | np.isnan(mine) | (own.error != 0) | (error != 0)
        law(same.all(), f"probabilities() of the own slates are the propensities ({name})", (mine, theirs))

    for row in {0, len(observation) - 1} if len(observation) else ():
        alone = np.array([row])
        same_told = policy.probabilities(observation.take(alone), answer.items[alone])
        for name in ("marginal", "prefix", "error", "prefix_error"):
            whole, part = getattr(told, name)[alone], getattr(same_told, name)
            # Scores of matrix products differ in their last bits, and probabilities are exponentials of some.
            law(
                np.allclose(whole, part, rtol=1e-4, equal_nan=True),
                f"probabilities() of a request are the same alone ({name})",
                (whole, part),
            )

    nothing = policy.recommend(observation.take(slice(0, 0)), num_slots, draws.take(np.arange(0)))
    law(nothing.items.shape == (0, num_slots), "no requests get no slates", nothing.items)

    backwards = np.arange(len(observation))[::-1]
    again = policy.recommend(observation.take(backwards), num_slots, draws.take(backwards))
    _same_answers(answer, again, backwards, "in another order")
    for row in np.unique(np.linspace(0, len(observation) - 1, 8).astype(np.int64)) if len(observation) else ():
        alone = np.array([row])
        again = policy.recommend(observation.take(alone), num_slots, draws.take(alone))
        _same_answers(answer, again, alone, "alone")


def check_probabilities(told: Probabilities, whose: str) -> None:
    """Marginal and prefix probabilities fit together, NaN where they cannot be had."""
    marginal, prefix = told.marginal, told.prefix
    for name, values in (("marginal", marginal), ("prefix", prefix)):
        possible = np.isnan(values) | ((values >= 0) & (values <= 1 + 1e-6))
        law(possible.all(), f"{whose} ({name}) are in [0, 1]", values[~possible])
    for name, errors in (("marginal", told.error), ("prefix", told.prefix_error)):
        law(not (errors < 0).any(), f"errors of {whose} ({name}) are at least 0", errors)
    exact = (told.error == 0) & (told.prefix_error == 0)
    slack = 1 + 1e-5
    law(not (exact & (prefix > marginal * slack)).any(), f"{whose}: prefix at most marginal", (prefix, marginal))
    law(
        not (exact[:, 1:] & (prefix[:, 1:] > prefix[:, :-1] * slack)).any(),
        f"{whose}: a longer prefix is not likelier",
        prefix,
    )
    first = np.isclose(marginal[:, :1], prefix[:, :1], rtol=1e-5, equal_nan=True) | ~exact[:, :1]
    law(first.all(), f"{whose}: marginal and prefix agree in the first slot", (marginal, prefix))


def check_propensities(
    policy: Policy, request: Observation, num_slots: int, num_draws: int = 100_000, seed: int = 0
) -> None:
    """Over many draws for one request, items and slates appear as often as the probabilities say.

    Chi-square tests of the items in each slot and of the whole slates; keep the catalogue small (some tens of items;
    about ten, and two or three slots, where probabilities are estimated), so that what is expected is counted often
    enough. What a policy cannot tell is counted together.
    """
    law(len(request) == 1, "the law is about one request", len(request))
    num_items = request.features.num_items
    # Row i shows item i in the first slot, item i + 1 in the second, ...: each item once in each slot.
    slates = ((np.arange(num_items)[:, None] + np.arange(num_slots)) % num_items).astype(np.int32)
    told = policy.probabilities(request.take(np.zeros(num_items, np.int64)), slates)
    check_probabilities(told, "probabilities")
    expected, error = (np.empty((num_slots, num_items)) for _ in range(2))
    expected[np.arange(num_slots), slates], error[np.arange(num_slots), slates] = told.marginal, told.error
    known = np.isfinite(expected)
    law(known.any(axis=1).all(), "some marginal probability of each slot is known", expected)
    sums, slack = np.nansum(expected, axis=1), 1e-4 + 5 * np.sqrt(np.nansum(error**2, axis=1))
    law(bool((sums <= 1 + slack).all()), "marginal probabilities of a slot sum to at most 1", sums)
    whole = known.all(axis=1)
    law(bool((sums[whole] >= 1 - slack[whole]).all()), "marginal probabilities of a slot sum to 1", sums)

    answers = [
        policy.recommend(
            request.take(np.zeros(min(_CHUNK, num_draws - first), np.int64)),
            num_slots,
            draws_of(seed, np.arange(first, min(first + _CHUNK, num_draws))),
        )
        for first in range(0, num_draws, _CHUNK)
    ]
    items = np.concatenate([answer.items for answer in answers])
    for slot in range(num_slots):
        counts = np.bincount(items[:, slot], minlength=num_items)
        check_frequencies(counts, expected[slot], error[slot], num_draws, f"items of slot {slot}")

    seen, first_seen, counts = np.unique(items, axis=0, return_index=True, return_counts=True)
    own = np.concatenate([answer.prefix_propensity[:, -1] for answer in answers])[first_seen].astype(np.float64)
    told = policy.probabilities(request.take(np.zeros(len(seen), np.int64)), seen)
    likely, unsure = told.prefix[:, -1].astype(np.float64), told.prefix_error[:, -1].astype(np.float64)
    same = np.isnan(own) | np.isnan(likely) | (unsure > 0) | np.isclose(own, likely, rtol=1e-5)
    law(same.all(), "probabilities() of slates are what recommend() says of them", (own, likely))
    slack = 1e-4 + 5 * np.sqrt(np.nansum(unsure**2))
    law(np.nansum(likely) <= 1 + slack, "probabilities of slates sum to at most 1", np.nansum(likely))
    check_frequencies(counts, likely, unsure, num_draws, f"the {len(seen)} slates seen")
    if num_items <= MOST_PAIRED_ITEMS:
        _check_pairs(policy, request, items)


def _check_pairs(policy: Policy, request: Observation, items: Int[A, "draws slots"]) -> None:
    """Pairs of items stand in pairs of slots as often as told, within six standard errors (rare ones twenty counts)."""
    (num_draws, num_slots), num_items = items.shape, request.features.num_items
    told = policy.pair_probabilities(request, np.arange(num_items)[None], num_slots)
    value, error = told.value[0].astype(np.float64), told.error[0].astype(np.float64)
    cells = np.arange(num_slots) * num_items + items
    counted = np.zeros_like(value)
    for first in range(num_slots):
        for second in range(num_slots):
            np.add.at(counted, (cells[:, first], cells[:, second]), 1)
    counted /= num_draws
    chance = np.maximum(counted, value)
    margin = 6 * np.sqrt(error**2 + chance * (1 - chance) / num_draws) + 20 / num_draws
    law(bool((np.abs(counted - value) <= margin).all()), "pairs of items are as likely as told", (counted, value))


def check_agent(make: Callable[[], Agent], log: InteractionLog, folder: Path | None = None, num_slots: int = 5) -> None:
    """Learning is repeatable, and a saved agent goes on exactly where it stood.

    `make` builds the same agent again and again. Learns from the first half of the log, is saved and loaded, then
    both learn from the whole log. The file lies in `folder` (None: in one that is removed at the end).
    """
    if folder is None:
        with TemporaryDirectory() as scratch:
            return check_agent(make, log, Path(scratch), num_slots)
    requests = log.observations(np.arange(max(len(log) - 50, 0), len(log)))
    draws = draws_of(7, requests.user)
    earlier = log.take(slice(0, len(log) // 2))

    def same(first: Agent, second: Agent, when: str) -> None:
        one, two = (agent.recommend(requests, num_slots, draws) for agent in (first, second))
        _same_answers(one, two, np.arange(len(requests)), when)
        if isinstance(first, Scorer) and isinstance(second, Scorer):
            scores = first.scores(requests)
            law(bool(np.isfinite(scores).all()), "scores are finite", scores)
            law(np.array_equal(scores, second.scores(requests)), f"scores are equal {when}", scores)

    agent, twin = make(), make()
    same(agent, twin, "before learning")
    agent.learn(earlier)
    twin.learn(earlier)
    same(agent, twin, "after learning the same")

    path = folder / "agent"
    before = set(folder.iterdir())
    agent.save(path)
    written = set(folder.iterdir()) - before
    law(written <= {path}, "an agent is saved as one file", written)
    loaded = make()
    loaded.load(path)
    same(agent, loaded, "after saving and loading")
    agent.learn(log)
    loaded.learn(log)
    twin.learn(log)
    same(agent, loaded, "after saving, loading and learning on")
    same(agent, twin, "after learning on, saved or not")


def planted_log(
    num_users: int = 60, num_items: int = 40, num_slots: int = 5, num_days: int = 6, seed: int = 0
) -> InteractionLog:
    """Random slates, of which even users click even items and odd users odd ones: taste that an agent must find.

    A day has one session of four slates for every user; an item of the user's kind is clicked with probability
    .5, any other with .03. Catalogue and users have no features.
    """
    generator = np.random.default_rng(seed)
    num_slates = num_days * 4 * num_users
    slate = generator.permuted(np.tile(np.arange(num_items), (num_slates, 1)), axis=1)[:, :num_slots]
    day, step, user = (index.ravel() for index in np.indices((num_days, 4, num_users)))
    own = slate % 2 == user[:, None] % 2
    clicks = generator.random(slate.shape) < np.where(own, 0.5, 0.03)
    never = np.full(num_items, NEVER)
    left = num_items - np.arange(num_slots)
    return InteractionLog(
        tick=day * TICKS_PER_DAY + step,
        user=user.astype(np.int32),
        session=day.astype(np.int32),
        step=step.astype(np.int32),
        device=np.zeros(num_slates, np.int8),
        reward=clicks.sum(axis=1).astype(np.float32),
        left=step == 3,
        slate=slate.astype(np.int32),
        propensity=np.full(slate.shape, 1 / num_items, np.float32),
        prefix_propensity=np.broadcast_to(np.cumprod(1 / left).astype(np.float32), slate.shape),
        propensity_error=np.zeros(slate.shape, np.float32),
        source=np.zeros(slate.shape, np.int16),
        clicks=clicks,
        dwell=clicks.astype(np.float32),
        likes=np.zeros_like(clicks),
        features=FeatureTable((), (), {}, {}, release=np.zeros_like(never), withdrawal=never),
        sources=("random",),
        history=20,
        shown=4 * num_slots,
    )


def _same_answers(whole: Recommendation, part: Recommendation, rows: Int[A, " part"], when: str) -> None:
    """Every row of `part` is the answer that `whole` has for that row."""
    law(
        np.array_equal(whole.items[rows], part.items),
        f"a request gets the same slate {when}",
        (whole.items[rows], part.items),
    )
    for name in ("propensity", "prefix_propensity"):
        mine, theirs = getattr(whole, name)[rows], getattr(part, name)
        law(np.allclose(mine, theirs, rtol=1e-5, equal_nan=True), f"a request gets the same {name} {when}", theirs)
    sources = [np.array(answer.sources, object)[answer.source] for answer in (whole, part)]
    law(np.array_equal(sources[0][rows], sources[1]), f"a request gets the same sources {when}", part.sources)
