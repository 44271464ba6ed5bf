"""Team-draft interleaving: two or more policies pick items in turn, so that clicks tell which of them users prefer."""

from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float, Int

from agents.mixing.base import Mix, without_impossible
from agents.mixing.credit import Credit, credit
from agents.mixing.sources import joined
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Recommendation, answered
from recsim_lab.probabilities import NUM_REDRAWS, Probabilities, exact_where, exactly, is_certain, over_redraws, redraw
from recsim_lab.streams import Draws

A = np.ndarray

_TURN = 0
_MOST_POLICIES = 6
_ROWS_AT_ONCE = 4096
"""Bounds memory."""


@final
@dataclass(eq=False)
class TeamDraft(Mix):
    """In each round every policy picks once, in an order drawn anew: the best item of its own slate that is not yet
    placed (Radlinski, Kurup & Joachims, CIKM 2008). In the last round only as many pick as there are slots left.

    Probabilities are exact where the policies are certain of their slates; where they are not, `probabilities`
    averages over `redraws` of them. At most six policies.
    """

    redraws: int = field(default=NUM_REDRAWS, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.policies) > _MOST_POLICIES:
            raise ValueError(f"policies must be at most {_MOST_POLICIES}, got {len(self.policies)}")

    @property
    def name(self) -> str:
        return f"team-draft({'; '.join(self.names)})"

    def credit(self, log: InteractionLog) -> Credit:
        """What users' clicks say of each policy."""
        return credit(log, self.names)

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        answers = self._answers(observation, num_slots, draws)
        slates = np.stack([answer.items for answer in answers], axis=1)
        team, place = draft(slates, draws.uniform(_TURN, num_slots))
        rows = np.arange(len(observation))[:, None]
        items = slates[rows, team, place]
        sources, renumbered = joined(self.names, answers)
        source = np.stack(renumbered, axis=1)[rows, team, place]
        known = np.logical_and.reduce([is_certain(answer) for answer in answers])
        return answered(items, _given(slates, items), source, sources, known)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        num_slots = slates.shape[1]

        def given(answers: list[Recommendation]) -> Probabilities:
            return _given(np.stack([answer.items for answer in answers], axis=1), slates)

        first = self._answers(observation, num_slots, redraw(observation, 0))
        sure = np.logical_and.reduce([is_certain(answer) for answer in first])
        if sure.all():
            return given(first)
        told = over_redraws(
            lambda draws: given(self._answers(observation, num_slots, draws)), observation, self.redraws
        )
        return without_impossible(exact_where(sure, given(first), told), observation, slates)

    def _answers(self, observation: Observation, num_slots: int, draws: Draws) -> list[Recommendation]:
        """Slates as long as the mix, so that no policy runs out of items."""
        return [policy.recommend(observation, num_slots, draws.fork(policy.name)) for policy in self.policies]


def _given(inner: Int[A, "rows policies slots"], slates: Int[A, "rows slots"]) -> Probabilities:
    marginal = np.empty(slates.shape)
    for start in range(0, len(slates), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        marginal[rows] = marginal_probability(inner[rows], slates[rows])
    return exactly(marginal, prefix_probability(inner, slates))


def draft(
    inner: Int[A, "rows policies slots"], uniform: Float[A, "rows slots"]
) -> tuple[Int[A, "rows slots"], Int[A, "rows slots"]]:
    """(who fills each slot, with the item at which place of its inner slate); `uniform` decides whose turn it is."""
    num_rows, num_policies, num_slots = inner.shape
    rows = np.arange(num_rows)
    team, place = (np.empty((num_rows, num_slots), np.int64) for _ in range(2))
    placed = np.zeros(inner.shape, bool)
    for slot in range(num_slots):
        num_picked = slot % num_policies
        if num_picked == 0:
            to_pick = np.ones((num_rows, num_policies), bool)
        turn = (uniform[:, slot].astype(np.float64) * (num_policies - num_picked)).astype(np.int64)
        team[:, slot] = np.argmax(np.cumsum(to_pick, axis=1) > turn[:, None], axis=1)
        to_pick[rows, team[:, slot]] = False
        place[:, slot] = np.argmin(placed[rows, team[:, slot]], axis=1)
        placed |= inner == inner[rows, team[:, slot], place[:, slot]][:, None, None]
    return team, place


def prefix_probability(inner: Int[A, "rows policies slots"], slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
    """The probability of slots 0 to k together.

    They tell what each policy would pick next, so all that is unknown is who has picked in this round: `chance` is the
    probability of what was shown so far together with each set of those, numbered by its bits.
    """
    num_rows, num_policies, num_slots = inner.shape
    nobody, everybody = 0, 2**num_policies - 1
    prefix = np.empty((num_rows, num_slots))
    placed = np.zeros(inner.shape, bool)
    chance = {nobody: np.ones(num_rows)}
    for slot in range(num_slots):
        best = np.take_along_axis(inner, np.argmin(placed, axis=2)[:, :, None], axis=2)[:, :, 0]
        picks = best == slates[:, slot, None]
        picked: dict[int, A] = {}
        for earlier, probability in chance.items():
            for policy in range(num_policies):
                if not earlier & 1 << policy:
                    now = earlier | 1 << policy
                    share = probability * picks[:, policy] / (num_policies - slot % num_policies)
                    picked[now] = picked.get(now, 0.0) + share
        prefix[:, slot] = sum(picked.values())
        chance = {nobody: picked[everybody]} if everybody in picked else picked
        placed |= inner == slates[:, slot, None, None]
    return prefix


def marginal_probability(inner: Int[A, "rows policies slots"], slates: Int[A, "rows slots"]) -> Float[A, "rows slots"]:
    """The probability that each slot holds its item.

    What is placed is always the union of a beginning of each inner slate: a policy that picks has nothing better left.
    So where each policy's next pick stands tells all that is placed, and with two policies k items can be placed in at
    most k + 1 ways, not in 2^(k/2). Each way, together with who has picked in this round, is a state; states of equal
    future are one.
    """
    num_rows, num_policies, num_slots = inner.shape
    same = inner[:, :, :, None, None] == inner[:, None, None, :, :]
    # rank[r, p, k, q]: where policy q's slate has the item that stands in place k of policy p's.
    rank = np.where(same.any(axis=4), same.argmax(axis=4), num_slots).astype(np.int16)
    marginal = np.zeros((num_rows, num_slots))
    row, picked, chance = np.arange(num_rows), np.zeros(num_rows, np.int64), np.ones(num_rows)
    upcoming = np.zeros((num_rows, num_policies), np.int64)
    sizes = (num_rows, 2**num_policies, *[num_slots + 1] * num_policies)
    for slot in range(num_slots):
        state, policy = np.nonzero((picked[:, None] >> np.arange(num_policies)) & 1 == 0)
        row, picked, upcoming = row[state], picked[state] | 1 << policy, upcoming[state]
        chance = chance[state] / (num_policies - slot % num_policies)
        at = upcoming[np.arange(len(state)), policy]
        hit = inner[row, policy, at] == slates[row, slot]
        marginal[:, slot] = np.bincount(row, chance * hit, num_rows)

        upcoming[np.arange(len(state)), policy] = at + 1
        placed = (rank[row] < upcoming[:, None, None, :]).any(axis=3)
        upcoming = np.where(placed.all(axis=2), num_slots, np.argmin(placed, axis=2))
        picked[picked == 2**num_policies - 1] = 0
        key = np.ravel_multi_index((row, picked, *upcoming.T), sizes)
        _, first, number = np.unique(key, return_index=True, return_inverse=True)
        row, picked, upcoming = row[first], picked[first], upcoming[first]
        chance = np.bincount(number, chance).astype(np.float64)
    return marginal
