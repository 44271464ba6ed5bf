"""Mixes in which each slot belongs to one policy, whatever the request."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int

from agents.mixing.base import Mix, is_closed, told_of, without_impossible
from agents.mixing.sources import joined
from recsim_lab.policy import Observation, Policy, Recommendation, check_slots
from recsim_lab.probabilities import NUM_REDRAWS, Probabilities, certain, is_certain, over_redraws, redraw
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True)
class _Turn:
    """A policy and the slots that it fills, in order."""

    policy: Policy
    slots: Int[A, " own"]


@dataclass(eq=False)
class FixedSlots(Mix):
    """The policies choose one after the other, the main one first, each all items of its slots at once; what those
    before it chose is forbidden to it. So an item that two of them want is the earlier one's, and the later one shows
    its next best.

    A policy that follows certain ones tells its probabilities exactly if it can by itself; so does any that follows
    policies all of whose slots come before its own, as to prefixes. All else is averaged over `redraws` of the
    answers.
    """

    redraws: int = field(default=NUM_REDRAWS, kw_only=True)

    @abstractmethod
    def owners(self, num_slots: int) -> Int[A, " slots"]:
        """The place of the policy that each slot belongs to.

        Raises:
            ValueError: if slates of this length can't be laid out.
        """

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        turns = self._turns(num_slots)
        check_slots(observation.eligible(), num_slots)
        answers, _ = _answers(turns, observation, draws)
        sources, renumbered = joined([turn.policy.name for turn in turns], answers)
        items = np.empty((len(observation), num_slots), np.int32)
        source = np.empty(items.shape, np.int16)
        for turn, answer, numbers in zip(turns, answers, renumbered, strict=True):
            items[:, turn.slots], source[:, turn.slots] = answer.items, numbers
        own = [
            Probabilities(a.propensity, a.prefix_propensity, a.propensity_error, np.zeros_like(a.propensity_error))
            for a in answers
        ]
        told = _together(turns, own)
        known, prefix_known = _known(turns, [is_certain(answer) for answer in answers])
        return Recommendation(
            items,
            np.where(known, told.marginal, np.nan).astype(np.float32),
            np.where(prefix_known, told.prefix, np.nan),
            told.error,
            source,
            sources,
        )

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        turns = self._turns(slates.shape[1])
        check_slots(observation.eligible(), slates.shape[1])
        luck, left = redraw(observation, 0), observation
        told, sure = [], []
        for turn in turns:
            mine = slates[:, turn.slots]
            answer = _answer(turn, left, luck)
            told.append(told_of(turn.policy, left, answer, mine, np.ones(len(left), bool)))
            sure.append(is_certain(answer))
            # Where it could choose otherwise, what follows is told for the case that it chose the slate's items.
            left = left.block(np.where(sure[-1][:, None], answer.items, mine))
        exact = _together(turns, told)
        known, prefix_known = _known(turns, sure)
        if not (known & prefix_known).all():
            redrawn = over_redraws(lambda draws: _given(turns, observation, slates, draws), observation, self.redraws)
            exact = Probabilities(
                *(
                    np.where(where, getattr(exact, name), getattr(redrawn, name)).astype(kind)
                    for name, where, kind in (
                        ("marginal", known, np.float32),
                        ("prefix", prefix_known, np.float64),
                        ("error", known, np.float32),
                        ("prefix_error", prefix_known, np.float32),
                    )
                )
            )
        return without_impossible(exact, observation, slates)

    def _turns(self, num_slots: int) -> list[_Turn]:
        """Who fills which slots, in the order in which they choose; nobody who fills none."""
        owners = self.owners(num_slots)
        turns = [_Turn(policy, np.flatnonzero(owners == place)) for place, policy in enumerate(self.policies)]
        return [turn for turn in turns if len(turn.slots)]


def _answer(turn: _Turn, observation: Observation, draws: Draws) -> Recommendation:
    return turn.policy.recommend(observation, len(turn.slots), draws.fork(turn.policy.name))


def _answers(
    turns: Sequence[_Turn], observation: Observation, draws: Draws
) -> tuple[list[Recommendation], list[Observation]]:
    """What each policy chooses from what those before it left, and the requests that it was asked."""
    answers, asked = [], [observation]
    for turn in turns:
        answers.append(_answer(turn, asked[-1], draws))
        asked.append(asked[-1].block(answers[-1].items))
    return answers, asked[:-1]


def _given(
    turns: Sequence[_Turn], observation: Observation, slates: Int[A, "rows slots"], draws: Draws
) -> Probabilities:
    """The probabilities given what all but the last policy choose; the last one's choice too where it can't tell."""
    answers, asked = _answers(turns, observation, draws)
    told = []
    for turn, answer, left in zip(turns, answers, asked, strict=True):
        mine = slates[:, turn.slots]
        chosen = certain(answer.items, mine)
        closed = told_of(turn.policy, left, answer, mine, is_closed(answer))
        marginal = np.where(np.isnan(closed.marginal), chosen.marginal, closed.marginal)
        prefix = np.where(np.isnan(closed.prefix), chosen.prefix, closed.prefix) if turn is turns[-1] else chosen.prefix
        told.append(Probabilities(marginal, prefix, np.zeros_like(marginal), np.zeros_like(marginal)))
    return _together(turns, told)


def _together(turns: Sequence[_Turn], told: Sequence[Probabilities]) -> Probabilities:
    """The probabilities of whole slates from those of each policy's own slots: prefixes are products."""
    num_rows, num_slots = len(told[0].marginal), sum(len(turn.slots) for turn in turns)
    marginal, error = (np.empty((num_rows, num_slots), np.float32) for _ in range(2))
    prefix, variance = np.ones((num_rows, num_slots)), np.zeros((num_rows, num_slots))
    impossible = np.zeros((num_rows, num_slots), bool)
    for turn, own in zip(turns, told, strict=True):
        marginal[:, turn.slots], error[:, turn.slots] = own.marginal, own.error
        num_filled = np.searchsorted(turn.slots, np.arange(num_slots), side="right")
        begun = num_filled > 0
        factor = own.prefix[:, num_filled[begun] - 1]
        impossible[:, begun] |= factor == 0
        prefix[:, begun] *= factor
        with np.errstate(invalid="ignore", divide="ignore"):
            variance[:, begun] += (own.prefix_error[:, num_filled[begun] - 1] / factor) ** 2
    prefix[impossible], variance[impossible] = 0.0, 0.0
    return Probabilities(marginal, prefix, error, (prefix * np.sqrt(variance)).astype(np.float32))


def _known(
    turns: Sequence[_Turn], sure: Sequence[Bool[A, " rows"]]
) -> tuple[Bool[A, "rows slots"], Bool[A, "rows slots"]]:
    """Where marginals and prefixes follow from what each policy tells of its own slots.

    A marginal does if all who choose before are sure of their choice; a prefix, if each of them who chooses before
    another who has begun is sure, or has filled all its slots in it.
    """
    num_slots = sum(len(turn.slots) for turn in turns)
    marginal, prefix = (np.ones((len(sure[0]), num_slots), bool) for _ in range(2))
    for place, (turn, certain_rows) in enumerate(zip(turns, sure, strict=True)):
        later = [other.slots for other in turns[place + 1 :]]
        if not later:
            break
        slots = np.concatenate(later)
        marginal[:, slots] &= certain_rows[:, None]
        between = (np.arange(num_slots) >= slots.min()) & (np.arange(num_slots) < turn.slots[-1])
        prefix[:, between] &= certain_rows[:, None]
    return marginal, prefix
