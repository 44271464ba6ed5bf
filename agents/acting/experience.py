"""What an acting agent learns from: requests, what was shown, clicked and earned, and the requests that followed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float, Int

from agents.acting.live_users import Outcome
from agents.acting.state import States
from recsim_lab.interaction_log import InteractionLog

A = np.ndarray


@final
@dataclass(frozen=True)
class Experience:
    """Slates, one row each.

    `slate` is -1 in slots that may not be learned from, which were clicked or not all the same. `chance` is how likely
    the policy in charge was to show the item, NaN where that is unknown: in a log, in this slot; of a policy that draws
    item after item, in the first. `earned` is what each slot earned: the reward of a slate belongs to its clicks in
    equal parts, or to all slots where nothing was clicked. `after` is the user's next request, `candidates` what its
    slate is chosen from (without columns: the whole catalogue). `ended`: there was none.
    """

    states: States
    slate: Int[A, "rows slots"]
    chance: Float[A, "rows slots"]
    clicks: Bool[A, "rows slots"]
    earned: Float[A, "rows slots"]
    after: States
    candidates: Int[A, "rows candidates"]
    ended: Bool[A, " rows"]

    def __len__(self) -> int:
        return len(self.slate)

    @property
    def reward(self) -> Float[A, " rows"]:
        return self.earned.sum(axis=1)

    def take(self, rows: A | slice) -> "Experience":
        parts: dict[str, Any] = {
            name: value.take(rows) if isinstance(value, States) else value[rows] for name, value in vars(self).items()
        }
        return replace(self, **parts)

    @staticmethod
    def joined(parts: Sequence["Experience"]) -> "Experience":
        """One after the other."""
        columns: dict[str, Any] = {
            name: States.joined([vars(part)[name] for part in parts])
            if isinstance(value, States)
            else np.concatenate([vars(part)[name] for part in parts])
            for name, value in vars(parts[0]).items()
        }
        return Experience(**columns)


@final
@dataclass(frozen=True)
class Course:
    """Which slates follow each other: `time` counts the slates of a user, `following` is the row of the user's next
    one, -1 where there is none."""

    time: Int[A, " rows"]
    following: Int[A, " rows"]

    @staticmethod
    def of_seats(gone: Bool[A, "steps seats"]) -> "Course":
        """Of slates shown to all seats, step after step; who is gone is followed by another user."""
        num_steps, num_seats = gone.shape
        following = np.arange(gone.size) + num_seats
        ends = gone.ravel().copy()
        ends[-num_seats:] = True
        return Course(np.repeat(np.arange(num_steps), num_seats), np.where(ends, -1, following))


def earned_by_slots(reward: Float[A, " rows"], clicks: Bool[A, "rows slots"]) -> Float[A, "rows slots"]:
    """The reward of each slate in equal parts for its clicks, or for all of its slots where nothing was clicked."""
    sharing = np.where(clicks.any(axis=1, keepdims=True), clicks, True)
    return (sharing * (reward / sharing.sum(axis=1))[:, None]).astype(np.float32)


def experienced(
    states: States,
    slate: Int[A, "rows slots"],
    chance: Float[A, "rows slots"],
    outcome: Outcome,
    newest: int,
) -> Experience:
    """What acting brought, where slates are chosen from the whole catalogue."""
    return Experience(
        states,
        slate.astype(np.int32),
        chance.astype(np.float32),
        outcome.clicks,
        earned_by_slots(outcome.reward, outcome.clicks),
        States.of(outcome.after, newest, slate.shape[1]),
        np.zeros((len(states), 0), np.int32),
        outcome.ended,
    )


def experience_of(log: InteractionLog, newest: int) -> tuple[Experience, Course]:
    """A log as experience, user by user in order of time.

    The last slate of each user is left out, since what followed it is not known. Slates were chosen from the whole
    catalogue as far as the log tells. Slots that the log hides take their share of the reward with them.
    """
    clicks = log.as_served.clicks
    order = np.lexsort((log.step, log.session, log.user))
    same_user = np.append(log.user[order][1:] == log.user[order][:-1], False)[: len(log)]
    states = States.of(log.observations(order), newest, log.num_slots)
    here, then = np.flatnonzero(same_user), np.flatnonzero(same_user) + 1
    rows = order[here]
    experience = Experience(
        states.take(here),
        log.slate[rows],
        log.propensity[rows],
        clicks[rows],
        earned_by_slots(log.reward[rows], clicks[rows]),
        states.take(then),
        np.zeros((len(rows), 0), np.int32),
        np.zeros(len(rows), bool),
    )
    first = np.searchsorted(log.user[rows], log.user[rows])
    place = np.arange(len(rows))
    same = np.append(log.user[rows][1:] == log.user[rows][:-1], False)[: len(rows)]
    return experience, Course(place - first, np.where(same, place + 1, -1))


@final
class Memory:
    """The newest slates, of which batches are drawn at random: a ring of rows.

    Mnih et al. 2015 (experience replay). It holds what acting brings in one array each, so that a checkpoint is a copy.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.num_seen = 0
        self.kept: Experience | None = None

    def __len__(self) -> int:
        return min(self.num_seen, self.size)

    def add(self, new: Experience) -> None:
        new = new.take(slice(-self.size, None))
        if not len(new):
            return
        if self.kept is None:
            self.kept = new.take(np.zeros(self.size, np.int64))
        places = (self.num_seen + np.arange(len(new))) % self.size
        for name, value in vars(self.kept).items():
            fresh = getattr(new, name)
            if isinstance(value, States):
                value.put(places, fresh)
            else:
                value[places] = fresh
        self.num_seen += len(new)

    def take(self, rows: Int[A, " taken"]) -> Experience:
        """Some of the slates that are kept, by a number below `len`."""
        assert self.kept is not None
        return self.kept.take(rows)

    def arrays(self) -> dict[str, A]:
        """All that is kept, as named arrays."""
        if self.kept is None:
            return {}
        arrays = {"num_seen": np.array(self.num_seen)}
        for name, value in vars(self.kept).items():
            if isinstance(value, States):
                arrays |= {f"{name}/{column}": array for column, array in vars(value).items()}
            else:
                arrays[name] = value
        return arrays

    def restore(self, arrays: Mapping[str, A]) -> None:
        """Take over what `arrays` gave."""
        self.num_seen, self.kept = 0, None
        if "num_seen" not in arrays:
            return
        self.num_seen = int(arrays["num_seen"])
        columns: dict[str, Any] = {
            name: value.copy() for name, value in arrays.items() if "/" not in name and name != "num_seen"
        }
        for part in ("states", "after"):
            inside = {name.removeprefix(part + "/"): value for name, value in arrays.items()}
            columns[part] = States(**{field.name: inside[field.name].copy() for field in fields(States)})
        self.kept = Experience(**columns)
