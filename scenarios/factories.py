"""How scenarios make worlds and policies; evaluation is given these and knows neither presets nor agents."""

import numpy as np
from jaxtyping import Int

from agents.business_rules import RepeatRules
from agents.mixing import ByUser, TeamDraft, credit
from agents.registry import family_of, make_agent, target_of
from recsim_lab.evaluation.experiments.trials import Designs
from recsim_lab.evaluation.plan import Factories
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent, Observation, Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World

A = np.ndarray

REPEAT_DAYS = 7.0
"""No policy shows again what the user clicked in the last so many days, nor anything twice in a session."""


def world_of_seed(name: str, seed: int) -> World:
    """A preset drawn anew for each seed."""
    return make_world(name, seed=seed)


def with_rules(policy: Policy) -> RepeatRules:
    """The policy under the rules that bind all."""
    return RepeatRules(policy, REPEAT_DAYS)


def restricted(observation: Observation, num_slots: int) -> Observation:
    """Rebuilt requests under the same rules."""
    return RepeatRules(make_agent("random"), REPEAT_DAYS).apply(observation, num_slots)


FACTORIES = Factories(world_of_seed, make_agent, family_of, target_of, with_rules, restricted)


def divided_by_user(agents: tuple[Agent, Agent], salt: str, diverted_from: int | None) -> ByUser:
    """Half of the users are served by each of the two."""
    return ByUser(agents, salt, (0.5, 0.5), diverted_from)


def margin(log: InteractionLog, policy: str, other: str) -> Int[A, " rows"]:
    """Clicks on the slots of the one minus those on the other's."""
    return credit(log, (policy, other)).difference(policy, other)


DESIGNS = Designs(divided_by_user, TeamDraft, margin)
