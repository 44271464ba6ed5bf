"""The laws of choice models: clicks come as often as promised, each row stands alone, and void slots stay silent."""

import numpy as np
from jaxtyping import Float32

from recsim_lab.simulation.choice import ChoiceModel
from recsim_lab.simulation.population import AVERAGE_HABIT, HABITS
from recsim_lab.streams import draws_of
from recsim_lab.testing.frequencies import two_sided_chance
from recsim_lab.testing.law import law

A = np.ndarray

FALSE_ALARM_PROBABILITY = 1e-5
"""How often a right model would fail `check_choice_model` under a random seed; all its comparisons share it."""

_VOID = -np.inf
_SLATES = (
    (0.4,),
    (_VOID,),
    (-1.0, 0.7),
    (0.5, -0.3, 0.9, 0.1, -0.8),
    (0.2, 0.2, 0.2, 0.2, 0.2),
    (_VOID, 0.6, _VOID, 0.3, _VOID),
    (_VOID, _VOID, _VOID, _VOID, _VOID),
    (-50.0, 50.0, _VOID, 50.0, -50.0),
    (-50.0, -50.0, -0.2, _VOID, -50.0),
    (0.1, -1.2, 0.8, _VOID, 0.0, 1.5, -0.4, _VOID, 0.3, 0.9, -2.0, 0.6),
)
_TESTED_HABITS = (0, AVERAGE_HABIT, len(HABITS) - 1)


def check_choice_model(model: ChoiceModel, num_draws: int = 200_000, seed: int = 20_240) -> None:
    """Hold a choice model to its laws, on slates of 1 to 12 slots with void ones, ties and utilities of +-50.

    Every slate is drawn `num_draws` times, shared out over three position habits. With 200,000 draws a
    probability near one half that is wrong by .02 is found out.

    Raises:
        AssertionError: naming the law, the slate and what was found.
    """
    num_comparisons = len(_TESTED_HABITS) * sum(len(slate) for slate in _SLATES)
    for slate in _SLATES:
        utility = np.array([slate], np.float32)
        _check_probabilities(model, utility)
        _check_frequencies(model, utility, num_draws, seed, FALSE_ALARM_PROBABILITY / num_comparisons)
    for num_slots in (1, 5, 12):
        _check_rows_stand_alone(model, _mixed_slates(num_slots, seed), seed)


def _check_probabilities(model: ChoiceModel, utility: Float32[A, "one slots"]) -> None:
    for habit in range(len(HABITS)):
        before = utility.copy()
        probability = model.click_probability(utility, np.array([habit], np.int32))
        _hold(probability.shape == utility.shape, "click_probability has one value a slot", utility, probability)
        _hold(probability.dtype == np.float64, "click_probability is in float64", utility, probability.dtype)
        inside = (probability >= 0) & (probability <= 1 + 1e-12)
        _hold(bool(inside.all()), "click_probability is in [0, 1]", utility, probability)
        _hold(not probability[utility == _VOID].any(), "a void slot has probability 0", utility, probability)
        _hold(bool((utility == before).all()), "utility is left as it was", before, utility)


def _check_frequencies(
    model: ChoiceModel, utility: Float32[A, "one slots"], num_draws: int, seed: int, false_alarm: float
) -> None:
    """Two-sided exact binomial tests of each slot's clicks under each habit."""
    users = np.arange(num_draws)
    habit = np.array(_TESTED_HABITS, np.int32)[users % len(_TESTED_HABITS)]
    clicks = model.sample_clicks(np.repeat(utility, num_draws, axis=0), habit, draws_of(seed, users))
    _hold(clicks.dtype == bool, "clicks are Boolean", utility, clicks.dtype)
    _hold(not clicks[:, utility[0] == _VOID].any(), "a void slot is never clicked", utility, clicks.mean(axis=0))
    for tested in _TESTED_HABITS:
        drawn = clicks[habit == tested]
        promised = model.click_probability(utility, np.array([tested], np.int32))[0]
        chance = two_sided_chance(drawn.sum(axis=0), len(drawn), promised)
        finding = f"promised {promised}, found {drawn.mean(axis=0)} under habit {tested} ({chance.min():.1e})"
        _hold(bool((chance >= false_alarm).all()), "clicks come as often as promised", utility, finding)


def _check_rows_stand_alone(model: ChoiceModel, utility: Float32[A, "rows slots"], seed: int) -> None:
    """The same bits in a batch, one by one, in another order and in shards."""
    num_rows = len(utility)
    rng = np.random.default_rng(seed)
    habit = rng.integers(0, len(HABITS), num_rows).astype(np.int32)
    draws = draws_of(seed, rng.permutation(num_rows), session=3, step=2)
    clicks, probability = model.sample_clicks(utility, habit, draws), model.click_probability(utility, habit)
    order = rng.permutation(num_rows)
    single = [np.array([row]) for row in order[:20]]
    for rows in [order, *np.array_split(order, 3), *single, np.arange(num_rows)]:
        again = model.sample_clicks(utility[rows], habit[rows], draws.take(rows))
        _hold(bool((again == clicks[rows]).all()), "clicks do not depend on the batch", utility[rows], again)
        same = model.click_probability(utility[rows], habit[rows])
        equal = bool((same == probability[rows]).all())
        _hold(equal, "click_probability does not depend on the batch", utility[rows], same)


def _mixed_slates(num_slots: int, seed: int, num_rows: int = 1500) -> Float32[A, "rows slots"]:
    """Enough rows that parallel kernels are used; a tenth of the slots is void."""
    rng = np.random.default_rng(seed)
    utility = rng.normal(0.0, 2.0, (num_rows, num_slots))
    utility[rng.random(utility.shape) < 0.1] = _VOID
    return utility.astype(np.float32)


def _hold(holds: bool, text: str, utility: A, finding: object) -> None:
    law(holds, f"{text}: broken by the utilities {utility.tolist()[:3]}", finding)
