"""The laws of worlds: every user lives the same life in any company, and no luck depends on what was shown."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from unittest import mock

import numba
import numpy as np
from jaxtyping import Int

from recsim_lab.policy import NEVER, TICKS_PER_DAY, Observation
from recsim_lab.simulation.dynamics import Response
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws, draws_of
from recsim_lab.testing.dynamics import HOOKS, check_dynamics, hidden_arrays, moments, same_bits
from recsim_lab.testing.frequencies import two_sided_chance
from recsim_lab.testing.law import law

A = np.ndarray
Pieces = list[Int[A, " piece"]]
Life = dict[str, A]
"""Everything that can be seen of some users, by name and time; one row a user."""

FALSE_ALARM_PROBABILITY = 1e-5
"""How often a right world would fail `check_world` under a random seed."""
CROWD = 10_000
_SEED = 11
_NUM_VISITS, _NUM_SLATES = 3, 4


def check_world(world: World, num_users: int = 60, num_draws: int = 10_000) -> None:
    """Hold a world, each of its dynamics, and `Sessions` with it to their laws.

    The same user gets the same draws and the same life to the bit: alone, in another order, over shards, and in a
    crowd of 10,000 on one thread and on two. Two policies meet the same users with the same luck, also after one
    arm's user has left earlier. Clicks come as often as `click_probability` says, in a fixed state that is drawn
    from `num_draws` times. No two parts use the same draws. Takes a second or two.

    Raises:
        AssertionError: naming the law and what was found.
    """
    truth = {name: values.copy() for name, values in hidden_arrays(world).items()}
    _check_company(world, num_users)
    _check_luck(world, num_users)
    _check_click_probability(world, num_draws)
    _check_purposes(world)
    for name, values in hidden_arrays(world).items():
        law(same_bits(truth[name], values), f"the world stays as it is ({name})", values)
    for dynamics in world.dynamics:
        check_dynamics(dynamics, world)


def live(
    world: World,
    users: Int[A, " users"],
    cut: Callable[[Int[A, " rows"]], Pieces] = lambda rows: [rows],
    taste: str = "one policy",
    num_slates: int = _NUM_SLATES,
) -> Life:
    """Serve users on three visits of a few random slates each, in the pieces that `cut` makes of each batch.

    `taste` names the draws of the slates, some of which repeat items; `num_slates` is the most of a visit.
    """
    profile = (users % world.population.num_users).astype(np.int32)
    sessions = Sessions(world, np.full(len(users), _SEED, np.uint64), users, profile)
    life: Life = {}

    def record(name: str, piece: Int[A, " piece"], values: A) -> None:
        if name not in life:
            life[name] = np.full((len(users), *values.shape[1:]), -9, values.dtype)
        life[name][piece] = values

    here = np.arange(len(users))
    for piece in cut(here):
        record("first due", piece, sessions.first_visit(piece))
    due = life["first due"]
    for visit in range(_NUM_VISITS):
        here = staying = np.flatnonzero(due < NEVER)
        for piece in cut(here):
            sessions.open(piece, due[piece])
        for step in range(num_slates):
            left = np.zeros(len(users), bool)
            for piece in cut(staying):
                observation = sessions.observe(piece)
                response = sessions.answer(piece, _random_slates(sessions, piece, taste))
                left[piece] = response.left
                when = f"visit {visit}, slate {step}"
                _check_response(world, response, sessions.state["step"][piece])
                for field in fields(Observation):
                    if field.name != "features":
                        record(f"observed {field.name} at {when}", piece, getattr(observation, field.name))
                for name in ("clicks", "dwell", "likes", "reward", "left", "utility", "match", "void"):
                    record(f"{name} at {when}", piece, getattr(response, name))
            staying = staying[~left[staying]]
        name = f"due after visit {visit}"
        life[name] = np.full(len(users), NEVER)
        for piece in cut(here):
            record(name, piece, sessions.close(piece))
        due = life[name]
    return life | {f"{name} at the end": values for name, values in sessions.state.items()}


def _random_slates(sessions: Sessions, rows: Int[A, " rows"], taste: str) -> Int[A, "rows slots"]:
    luck = sessions.draws(rows).fork(taste).uniform(1, sessions.num_slots)
    num_items = sessions.world.catalogue.num_items
    return np.minimum((luck.astype(np.float64) * num_items).astype(np.int32), num_items - 1)


# ---- the same life in any company ------------------------------------------------------------------------------


def _check_company(world: World, num_users: int) -> None:
    users = np.arange(num_users, dtype=np.int32) * 3
    whole = live(world, users)
    rng = np.random.default_rng(_SEED)
    everybody = np.arange(num_users)

    def same(part: Life, mine: Int[A, " part"], theirs: Int[A, " part"], when: str) -> None:
        for name, values in part.items():
            law(same_bits(values[theirs], whole[name][mine]), f"a user's life is the same {when}: {name}", values)

    same(live(world, users, lambda rows: [rows[::-1]]), everybody, everybody, "when rows are served backwards")
    thirds = live(world, users, lambda rows: np.array_split(rng.permutation(rows), 3))
    same(thirds, everybody, everybody, "when rows are served in three pieces")
    for shard in range(2):
        mine = everybody[shard::2]
        same(live(world, users[mine]), mine, np.arange(len(mine)), "on shards")
    for user in everybody[:3]:
        same(live(world, users[[user]]), np.array([user]), np.array([0]), "alone")
    crowd = rng.permutation(CROWD).astype(np.int32)
    place = np.argsort(crowd)[users]
    most = min(numba.config.NUMBA_NUM_THREADS, 2)  # type: ignore[attr-defined]
    for num_threads in range(1, most + 1):
        with _threads(num_threads):
            same(live(world, crowd), everybody, place, f"in a crowd on {num_threads} threads")


@contextmanager
def _threads(num_threads: int) -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(num_threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _check_response(world: World, response: Response, step: Int[A, " rows"]) -> None:
    """`step` counts the slates of the visit, this one included."""
    clicks = response.clicks
    law(not (clicks & response.void).any(), "nobody clicks a void slot", response.slate)
    law(bool((response.utility[response.void] == -np.inf).all()), "a void slot has no utility", response.utility)
    law(bool(np.isfinite(response.utility[~response.void]).all()), "utility is finite", response.utility)
    law(bool(np.isfinite(response.reward).all()), "rewards are finite", response.reward)
    law(bool(np.isfinite(response.value).all()), "values are finite", response.value)
    law(bool((np.isfinite(response.dwell) & (response.dwell >= 0)).all()), "dwell is finite, 0 or more", response.dwell)
    law(not response.dwell[~clicks].any(), "dwell follows clicks", response.dwell)
    law(not (response.likes & ~clicks).any(), "likes follow clicks", response.likes)
    law(bool(response.left[step >= world.session_steps].all()), "a visit has at most session_steps slates", step)


# ---- the same luck for every policy ----------------------------------------------------------------------------


def _check_luck(world: World, num_users: int) -> None:
    users = np.arange(num_users, dtype=np.int32)
    long, short = live(world, users), live(world, users, taste="another", num_slates=1)
    for visit in range(_NUM_VISITS):
        first = f"observed %s at visit {visit}, slate 0"
        for name in ("device", "tick"):
            ours, theirs = long[first % name], short[first % name]
            both = (long[first % "session"] == visit) & (short[first % "session"] == visit)
            if name == "tick":
                # The day may differ, since users may have been pleased or not; the luck of the hour does not.
                ours, theirs = ours % TICKS_PER_DAY, theirs % TICKS_PER_DAY
            law(
                np.array_equal(ours[both], theirs[both]),
                f"visit {visit} has the same luck with {name} whatever was shown",
                (ours[both], theirs[both]),
            )

    rows = np.arange(num_users)
    sessions = Sessions(world, np.full(num_users, _SEED, np.uint64), users, users % world.population.num_users)
    sessions.open(rows, sessions.first_visit(rows))
    longer = sessions.copy()
    longer.state["step"] += 5
    law(
        np.array_equal(sessions.close(rows), longer.close(rows)),
        "the luck of coming back does not depend on the length of the visit",
        longer.state["step"],
    )


def _check_purposes(world: World) -> None:
    """Parts that draw for the same purpose would have the same luck."""
    owners = {"the world": {int(p) for p in (Purpose.PROFILE, Purpose.DEVICE, Purpose.PART_OF_DAY, Purpose.LEAVE)}}
    moment = list(moments(world))[-1]
    response, draws = moment.response, moment.draws
    with _recorded() as owners["the choice model"]:
        world.choice.sample_clicks(response.utility, response.habit, draws)
    state, rows = moment.state, moment.rows
    with _recorded() as owners["feedback"]:
        world.feedback.emit(world, state, rows, response, draws)
    for place, dynamics in enumerate(world.dynamics):
        with _recorded() as owners[f"{type(dynamics).__name__} (dynamics {place})"]:
            dynamics.initial(world, state["profile"][rows], draws)
            for hook in HOOKS.values():
                hook(dynamics, world, moment.take(np.arange(len(rows))))
    taken: dict[int, str] = {}
    for owner, purposes in owners.items():
        for purpose in purposes:
            law(
                purpose not in taken, f"purposes differ between parts, not so {owner} and {taken.get(purpose)}", purpose
            )
            taken[purpose] = owner


@contextmanager
def _recorded() -> Iterator[set[int]]:
    """The purposes for which draws are made meanwhile."""
    purposes: set[int] = set()

    def recording(method: Callable) -> Callable:
        def record(draws: Draws, purpose: int, *others: object) -> A:
            purposes.add(int(purpose))
            return method(draws, purpose, *others)

        return record

    with ExitStack() as stack:
        for name in ("uniform", "uniform_at", "normal", "normal_at"):
            stack.enter_context(mock.patch.object(Draws, name, recording(getattr(Draws, name))))
        yield purposes


# ---- clicks as often as promised -------------------------------------------------------------------------------


def _check_click_probability(world: World, num_draws: int, num_rows: int = 4) -> None:
    """Users in the middle of a visit see random slates, ever better ones, one of them with a repeated item."""
    rng = np.random.default_rng(_SEED)
    users = np.arange(num_rows, dtype=np.int32)
    rows = np.arange(num_rows)
    sessions = Sessions(world, np.full(num_rows, _SEED, np.uint64), users, users % world.population.num_users)
    sessions.open(rows, sessions.first_visit(rows))
    sessions.answer(rows, _random_slates(sessions, rows, "one policy"))
    num_slots, num_items = sessions.num_slots, world.catalogue.num_items
    slates = np.empty((num_rows, num_slots), np.int32)
    for row in rows:
        pool = rng.permutation(num_items)[: num_slots * 4**row].astype(np.int32)
        utility, _ = world.true_utility(sessions.state, rows[row : row + 1], pool[None])
        slates[row] = pool[np.argsort(-utility[0])[:num_slots]]
    slates[0, -1] = slates[0, 0]
    promised = world.click_probability(sessions.state, rows, slates)
    draws = draws_of(_SEED, np.arange(num_draws), session=1)
    copies = np.arange(num_draws)
    for row in rows:
        state = {name: np.repeat(values[row : row + 1], num_draws, axis=0) for name, values in sessions.state.items()}
        slate = np.repeat(slates[row : row + 1], num_draws, axis=0)
        clicks = world.respond(state, copies, slate, np.zeros(num_draws, np.int32), draws).clicks
        chance = two_sided_chance(clicks.sum(axis=0), num_draws, promised[row])
        law(
            bool((chance >= FALSE_ALARM_PROBABILITY / slates.size).all()),
            f"clicks come as often as click_probability promises: {promised[row]}",
            clicks.mean(axis=0),
        )
