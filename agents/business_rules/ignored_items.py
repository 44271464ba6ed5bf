"""Nothing again, within a visit, that the user has just passed over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int

from agents.base import named_with
from agents.business_rules.forbidding import Forbidding
from recsim_lab.policy import Observation

A = np.ndarray


@final
@dataclass(eq=False)
class SkipIgnored(Forbidding):
    """Shows nothing again that stood in a slate of this visit and was not clicked; what was clicked may come again.

    Models of clicks do not read what was shown in vain, so a policy that is sure of itself goes on showing it. The rule
    knows what the observation shows: the last slates of the visit and the last clicks. Where a request has too few
    items left for its slate, all are allowed.
    """

    @property
    def name(self) -> str:
        return named_with(self.policy.name, {"skip_ignored": "true"})

    def forbidden(self, observation: Observation) -> Sequence[Int[A, "rows _"]]:
        shown = observation.shown
        clicked = (shown[:, :, None] == observation.clicked[:, None, :]).any(axis=2)
        return (np.where(clicked, -1, shown),)
