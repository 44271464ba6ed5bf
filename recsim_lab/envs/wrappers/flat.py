"""The observation as one vector of sensible numbers, for policies that read nothing else."""

from dataclasses import dataclass
from functools import cached_property

import gymnasium
import numpy as np
from jaxtyping import Float32

from recsim_lab.envs.wrappers.base import Requests, View
from recsim_lab.envs.wrappers.public_numbers import PublicNumbers

A = np.ndarray


@dataclass(frozen=True)
class FlatObservation(View):
    """Public features of the user and of what they clicked and were shown, and the moment; see `PublicNumbers`.

    Gymnasium's own `FlattenObservation` gives ids and ticks as they are, of which a network can make nothing.
    """

    most_codes: int = 64
    num_newest: int = 3

    @cached_property
    def numbers(self) -> PublicNumbers:
        return PublicNumbers(self.seats.world.features, self.most_codes, self.num_newest)

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.numbers.space(self.inner_observations)

    def observe(self, requests: Requests) -> Float32[A, "rows numbers"]:
        return self.numbers.requests(requests.observation, requests.fields)
