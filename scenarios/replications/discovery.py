"""A small world in which users find items by chance, or because some items are met everywhere; and the whole truth.

Whether an item is met depends on the item alone and has nothing to do with how good it is: what is missing from such a
log is missing at random given the item, and not at random given nothing (Cañamares & Castells, SIGIR 2018).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from agents.exploration import PlackettLuce
from agents.registry import make_agent
from recsim_lab.evaluation.oracle import FixedScores
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform
from recsim_lab.policy import Observation, Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World

A = np.ndarray


@dataclass(frozen=True)
class Discovered:
    """A log cut at random into a part to learn from and a part to be tested on, for users whose tastes stay.

    `met` marks the pairs of user and item in the part to learn from, `tested` those that are in the other part alone,
    `clicked` those of them with a click. `chance` is how likely each user truly is to click each item once met.
    """

    train: InteractionLog
    met: Bool[A, "users items"]
    tested: Bool[A, "users items"]
    clicked: Bool[A, "users items"]
    chance: Float[A, "users items"]

    @property
    def requests(self) -> Observation:
        """A request of each user, who has said nothing since the log."""
        num_users, users = len(self.chance), np.arange(len(self.chance), dtype=np.int32)
        nothing = np.zeros((num_users, 0), np.int32)
        tick = np.full(num_users, self.train.tick.max(initial=0), np.int64)
        zeros = np.zeros(num_users, np.int32)
        return Observation(users, zeros, zeros, tick, zeros, nothing, nothing, nothing, self.train.features, nothing)


def discover(world_name: str, seed: int, skew: float, days: int, test_share: float) -> Discovered:
    """Let users meet items for some days, one at a time, and cut what happened.

    An item is met in proportion to exp(`skew` z), with z drawn from the standard normal for each item: 0 is uniform.
    """
    world = make_world(world_name, seed=seed, num_slots=1)
    rng = np.random.default_rng([seed, 17])
    known = skew * rng.standard_normal(world.catalogue.num_items)
    policy: Policy = make_agent("random")
    if skew:
        table = np.tile(known.astype(np.float32), (world.population.num_users, 1))
        policy = PlackettLuce(FixedScores(table, "met everywhere"), 1.0, standardised=False)
    platform = Platform(world, policy, seed=seed)
    log = platform.run(days)
    test = rng.random(len(log)) < test_share
    train, rest = log.take(~test), log.take(test)
    shape = (world.population.num_users, world.catalogue.num_items)
    met = _pairs(train.user, train.slate[:, 0], shape)
    clicks = rest.clicks[:, 0]
    return Discovered(
        train,
        met,
        _pairs(rest.user, rest.slate[:, 0], shape) & ~met,
        _pairs(rest.user[clicks], rest.slate[clicks, 0], shape) & ~met,
        click_chances(platform, world),
    )


def click_chances(platform: Platform, world: World) -> Float[A, "users items"]:
    """How likely each user is to click each item that is shown alone, in a world without dynamics."""
    state, rows = platform.service.sessions.state, np.arange(world.population.num_users)
    every = np.tile(np.arange(world.catalogue.num_items, dtype=np.int32), (len(rows), 1))
    utility, _ = world.true_utility(state, rows, every)
    chance = world.choice.click_probability(utility.reshape(-1, 1), np.repeat(state["habit"][rows], every.shape[1]))
    return chance.reshape(every.shape)


def _pairs(user: A, item: A, shape: tuple[int, int]) -> Bool[A, "users items"]:
    marks = np.zeros(shape, bool)
    marks[user, item] = True
    return marks
