"""The laws of dynamics: a member writes only what it declares, for the rows it is given, and each row stands alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Int

from recsim_lab.compile import PARALLEL_ROWS
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.dynamics import Dynamics, Response, State
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws
from recsim_lab.testing.law import law

A = np.ndarray

TAKEN_NAMES = {
    *("profile", "habit", "tick", "device"),
    *("seed", "user", "session", "step", "clicked", "clicked_tick", "shown"),
}
"""The arrays of the state that belong to the world and to `Sessions`."""
_NUM_ROWS, _NUM_REQUESTS = 40, 31
_SEED = 7


@dataclass(frozen=True)
class Moment:
    """Requests of some users in the middle of their lives, and all that a hook may be asked about them.

    `rows` are rows of `state`; the other arrays have one row for each of `rows`.
    """

    state: State
    rows: Int[A, " rows"]
    days: Int[A, " rows"]
    response: Response
    draws: Draws

    def take(self, which: Int[A, " taken"]) -> "Moment":
        """Some of the requests, in another order or again and again; the state is copied."""
        return Moment(
            state={name: values.copy() for name, values in self.state.items()},
            rows=self.rows[which],
            days=self.days[which],
            response=_response_of(self.response, which),
            draws=self.draws.take(which),
        )

    def repeated(self, times: int) -> "Moment":
        """The users and their requests `times` over."""
        num_rows, which = len(self.state["user"]), np.tile(np.arange(len(self.rows)), times)
        crowd = self.take(which)
        rows = crowd.rows + np.repeat(np.arange(times), len(self.rows)) * num_rows
        return replace(
            crowd, state={name: np.concatenate([values] * times) for name, values in self.state.items()}, rows=rows
        )


Hook = Callable[[Dynamics, World, Moment], A | None]

READING: dict[str, Hook] = {
    "utility": lambda d, world, m: d.utility(world, m.state, m.rows, m.response.slate),
    "leave_probability": lambda d, world, m: d.leave_probability(world, m.state, m.rows, m.response),
    "gap_days": lambda d, world, m: d.gap_days(world, m.state, m.rows, m.draws.at_step(0)),
}
WRITING: dict[str, Hook] = {
    "arrive": lambda d, world, m: d.arrive(world, m.state, m.rows, m.days, m.draws.at_step(0)),
    "respond": lambda d, world, m: d.respond(world, m.state, m.rows, m.response, m.draws),
}
HOOKS = READING | WRITING


def check_dynamics(dynamics: Dynamics, world: World) -> None:
    """Hold one member of a world's dynamics to its laws, hook by hook, at the start of lives and in their middle.

    A hook writes only the arrays that `initial` declares, in place, and only the given rows of them; those that
    answer a question write nothing; the world, the response and the draws stay as they are. The same bits come
    out for every user whatever the batch: in another order, in shards, alone, and in a crowd that is served in
    parallel. Answers are of the type and in the range that `Dynamics` names. A member that `world` does not have
    joins after its own.

    Raises:
        AssertionError: naming the hook, the law and what was found.
    """
    if dynamics not in world.dynamics:
        world = replace(world, dynamics=(*world.dynamics, dynamics))
    truth = {name: values.copy() for name, values in hidden_arrays(world).items()}
    declared = _check_initial(dynamics, world)
    for moment in moments(world):
        for name, hook in HOOKS.items():
            _check_hook(name, hook, dynamics, world, moment, declared if name in WRITING else set())
    for name, values in hidden_arrays(world).items():
        law(same_bits(truth[name], values), f"the world stays as it is ({name})", values)


def moments(world: World) -> Iterator[Moment]:
    """Requests before the first visit, during it, and during the third, each with the answer to a random slate."""
    rng = np.random.default_rng(_SEED)
    num_users, num_items = world.population.num_users, world.catalogue.num_items
    profile = rng.integers(num_users, size=_NUM_ROWS).astype(np.int32)
    user = rng.permutation(1000)[:_NUM_ROWS].astype(np.int32)
    sessions = Sessions(world, np.full(_NUM_ROWS, _SEED, np.uint64), user, profile)
    everybody = np.arange(_NUM_ROWS)

    def slates() -> Int[A, "rows slots"]:
        return rng.integers(num_items, size=(_NUM_ROWS, sessions.num_slots)).astype(np.int32)

    for visit in range(3):
        day = 3 * visit + rng.integers(2, size=_NUM_ROWS)
        if visit == 0:
            yield _moment(sessions, slates(), day, rng)
        sessions.open(everybody, day * TICKS_PER_DAY + 60)
        for _ in range(3):
            if visit < 2:
                sessions.answer(everybody, slates())
        if visit != 1:
            yield _moment(sessions, slates(), day + rng.integers(4, size=_NUM_ROWS), rng)


def hidden_arrays(world: World) -> dict[str, A]:
    """The arrays of the catalogue and the population by name."""
    return {
        f"{part}.{name}": values
        for part in ("catalogue", "population")
        for name, values in vars(getattr(world, part)).items()
        if isinstance(values, np.ndarray)
    }


def same_bits(first: A, second: A) -> bool:
    """Equal in type, shape and every bit; so NaN equals itself, and -0 does not equal 0."""
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


def _moment(sessions: Sessions, slate: Int[A, "rows slots"], day: Int[A, " rows"], rng: np.random.Generator) -> Moment:
    rows = rng.permutation(_NUM_ROWS)[:_NUM_REQUESTS]
    world, state, draws = sessions.world, sessions.copy().state, sessions.draws(rows)
    before = state["tick"][rows]
    days = np.where(before < 0, 0, day[rows] - before // TICKS_PER_DAY)
    state["tick"][rows] = day[rows] * TICKS_PER_DAY + 90
    # No dynamics yet: what is under test must find the response as it was.
    response = replace(world, dynamics=()).respond(state, rows, slate[rows], state["step"][rows], draws)
    return Moment(state, rows, days, response, draws)


def _response_of(response: Response, which: Int[A, " taken"]) -> Response:
    """The response to some of the requests."""
    value = np.zeros(response.clicks.shape, np.float32)
    value[response.clicked_row, response.clicked_slot] = response.value
    by_click = ("clicked_row", "clicked_slot", "clicked_item", "value")
    by_request = {f.name: getattr(response, f.name)[which] for f in fields(Response) if f.name not in by_click}
    row, slot = np.nonzero(by_request["clicks"])
    item = by_request["slate"][row, slot]
    return Response(**by_request, clicked_row=row, clicked_slot=slot, clicked_item=item, value=value[which][row, slot])


def _check_initial(dynamics: Dynamics, world: World) -> set[str]:
    """Returns the names of the arrays that the member declares."""
    num_users = world.population.num_users
    rng = np.random.default_rng(_SEED)
    profile = rng.integers(num_users, size=PARALLEL_ROWS + 76).astype(np.int32)
    zeros = np.zeros(len(profile), np.int32)
    draws = Draws(np.full(len(profile), _SEED, np.uint64), rng.permutation(len(profile)).astype(np.int32), zeros, zeros)
    whole = dynamics.initial(world, profile, draws)
    law(not TAKEN_NAMES & set(whole), "declared names are not those of the world's own arrays", sorted(whole))
    for name, values in whole.items():
        law(values.shape[:1] == profile.shape, f"{name} has a row for each profile", values.shape)
        for hidden, truth in hidden_arrays(world).items():
            law(not np.shares_memory(values, truth), f"{name} is a copy, no view of {hidden}", values.shape)
    everybody = np.arange(len(profile))
    pieces = [everybody, everybody[::-1], *np.array_split(rng.permutation(everybody), 3), everybody[:0]]
    for which in [*pieces, *everybody[:5, None]]:
        again = dynamics.initial(world, profile[which], draws.take(which))
        law(list(again) == list(whole), "initial declares the same arrays for any batch", list(again))
        for name, values in again.items():
            law(same_bits(values, whole[name][which]), f"initial {name} does not depend on the batch", values)
    return set(whole)


def _check_hook(name: str, hook: Hook, dynamics: Dynamics, world: World, moment: Moment, writable: set[str]) -> None:
    requests = np.arange(len(moment.rows))
    whole = moment.take(requests)
    answer = hook(dynamics, world, whole)
    _check_answer(name, answer, len(requests), moment.response.slate.shape)
    _check_what_is_written(name, moment, whole, writable)

    order = np.random.default_rng(_SEED).permutation(len(requests))
    batches = {
        "again": [requests],
        "in another order": [requests[::-1]],
        "in shards": np.array_split(order, 3),
        "alone": list(order[:8, None]),
        "with nobody": [order[:0]],
    }
    for when, pieces in batches.items():
        for which in pieces:
            part = moment.take(which)
            told = hook(dynamics, world, part)
            _check_same(name, when, answer, told, which)
            served = moment.rows[which]
            for key, values in part.state.items():
                same = same_bits(values[served], whole.state[key][served])
                law(same, f"{name} makes the same {key} {when}", values[served])

    times = PARALLEL_ROWS // len(requests) + 2
    crowd = moment.repeated(times)
    told = hook(dynamics, world, crowd)
    _check_same(name, "in a crowd", answer, told, np.tile(requests, times))
    for key, values in crowd.state.items():
        same = same_bits(values, np.concatenate([whole.state[key]] * times))
        law(same, f"{name} makes the same {key} in a crowd", values)


def _check_same(name: str, when: str, whole: A | None, part: A | None, which: Int[A, " taken"]) -> None:
    if whole is None or part is None:
        law(whole is part, f"{name} answers None always or never", part)
    else:
        law(same_bits(part, whole[which]), f"{name} answers the same {when}", part)


def _check_answer(name: str, answer: A | None, num_rows: int, shape: tuple[int, ...]) -> None:
    if answer is None:
        return
    if name == "utility":
        law(answer.shape == shape and answer.dtype == np.float32, "utility is float32, one a slot", answer)
        law(bool(np.isfinite(answer).all()), "utility is finite", answer)
    elif name == "leave_probability":
        law(answer.shape == (num_rows,) and answer.dtype == np.float64, "leave_probability is float64", answer)
        law(bool(((answer >= 0) & (answer <= 1)).all()), "leave_probability is in [0, 1]", answer)
    elif name == "gap_days":
        law(answer.shape == (num_rows,) and answer.dtype == np.int64, "gap_days is int64", answer)
        law(bool(((answer == -1) | (answer >= 1)).all()), "gap_days is -1 or at least 1", answer)
    else:
        law(False, f"{name} answers None", answer)


def _check_what_is_written(name: str, before: Moment, after: Moment, writable: set[str]) -> None:
    law(list(after.state) == list(before.state), f"{name} adds and removes no arrays", list(after.state))
    for key, values in before.state.items():
        now = after.state[key]
        law(
            now.dtype == values.dtype and now.shape == values.shape,
            f"{name} keeps the type and shape of {key}",
            (now.dtype, now.shape),
        )
        if key not in writable:
            law(same_bits(now, values), f"{name} writes only what it declares, not {key}", now)
        others = np.setdiff1d(np.arange(len(values)), before.rows)
        law(same_bits(now[others], values[others]), f"{name} writes only the given rows of {key}", now[others])
    arguments: Mapping[str, object]
    for owner in ("response", "draws"):
        arguments = vars(getattr(before, owner))
        for key, given in arguments.items():
            now = getattr(getattr(after, owner), key)
            law(same_bits(np.asarray(given), np.asarray(now)), f"{name} leaves {owner}.{key} as it is", now)
    for key in ("rows", "days"):
        law(same_bits(getattr(before, key), getattr(after, key)), f"{name} leaves {key} as they are", None)
