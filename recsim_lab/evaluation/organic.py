"""References that serve no model: what users find by themselves, and a bubble of each user's favourite topic."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int

from recsim_lab.policy import TICKS_PER_DAY, Observation, Policy, Recommendation, Scorer, gather, top_items
from recsim_lab.probabilities import Probabilities, exactly
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws

A = np.ndarray

_AWARENESS = 0


@final
@dataclass(eq=False)
class Organic(Policy):
    """No recommender: each day users come across items in an order of their own, and choose among the next ones.

    The order is drawn without replacement with weights exp(popularity * appeal) * taste(topic)^own_topics, where
    `taste` is each user's own share of the topic. It is keyed by user and day, so it depends on nothing that was shown
    or clicked. Items that rules forbid are passed over.
    """

    world: World
    popularity: float = 0.5
    own_topics: float = 0.5

    @property
    def name(self) -> str:
        return "organic"

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        catalogue, taste = self.world.catalogue, self.world.population.topic_taste
        by_topic = self.own_topics * np.log(taste[observation.user])
        day = (observation.tick // TICKS_PER_DAY).astype(np.int32)
        luck = draws.fork("awareness").on_day(day).uniform(_AWARENESS, catalogue.num_items)
        # The largest of log-weights with Gumbel noise are such a sample (Yellott 1977).
        order = self.popularity * catalogue.appeal + by_topic[:, catalogue.topic] - np.log(-np.log(luck))
        items = top_items(order.astype(np.float32), observation.eligible(), num_slots)
        unknown = np.full(items.shape, np.nan, np.float32)
        return Recommendation(
            items, unknown, unknown, np.zeros_like(unknown), np.zeros(items.shape, np.int16), (self.name,)
        )

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        """Not known: no estimator is asked to value the absence of a recommender."""
        unknown = np.full(slates.shape, np.nan)
        return exactly(unknown, unknown)


@final
@dataclass(eq=False)
class TopTopic(Scorer):
    """Shows each user the most appealing items of the topic that was their favourite at first, and no other while
    there are any."""

    world: World

    @property
    def name(self) -> str:
        return "top-topic"

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        catalogue = self.world.catalogue
        favourite = self.world.population.topic_taste[observation.user].argmax(axis=1)
        above_all = np.float32(1 + np.ptp(catalogue.appeal))
        every = catalogue.appeal + above_all * (catalogue.topic == favourite[:, None])
        return gather(every.astype(np.float32), items)
