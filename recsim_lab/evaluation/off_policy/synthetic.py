"""Synthetic bandits on which the estimators of Open Bandit Pipeline were compared (Saito et al., NeurIPS 2021).

Contexts are standard normal; the expected reward is a logistic function of a bilinear form of context and action; the
logging policy is a softmax of the expected rewards. The formulas are those of `SyntheticBanditDataset` with a logistic
reward function of degree 1 and one-hot actions; the numbers drawn are our own.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit, softmax

from recsim_lab.evaluation.off_policy.distributions import logged_actions
from recsim_lab.evaluation.off_policy.logged import LoggedSlates

A = np.ndarray


@dataclass(frozen=True)
class BanditLog:
    """A log of binary rewards, and the truth about it."""

    context: Float[A, "rows dims"]
    action: Int[A, " rows"]
    reward: Float[A, " rows"]
    expected: Float[A, "rows actions"]
    logging: Float[A, "rows actions"]

    def __len__(self) -> int:
        return len(self.action)

    def value(self, target: Float[A, "rows actions"]) -> float:
        """What a policy with these probabilities truly earns in these contexts."""
        return float(np.einsum("ra,ra->r", target, self.expected).mean())

    def logged(
        self, target: Float[A, "rows actions"], predicted: Float[A, "rows actions"] | None = None
    ) -> LoggedSlates:
        """What estimators read."""
        return logged_actions(self.action, self.reward, self.logging, target, predicted)


@dataclass(frozen=True)
class SyntheticBandit:
    """`beta` is the logging policy's inverse temperature: below 0 it prefers what earns less.

    A `mean_reward` (None: about a half) moves all logits so that rewards are as sparse as in logs of clicks.
    """

    num_actions: int = 30
    num_dims: int = 5
    beta: float = -3.0
    mean_reward: float | None = None
    seed: int = 12345

    def __post_init__(self) -> None:
        if self.num_actions < 2:
            raise ValueError(f"num_actions must be at least 2, got {self.num_actions}")
        if self.num_dims < 1:
            raise ValueError(f"num_dims must be at least 1, got {self.num_dims}")
        if self.mean_reward is not None and not 0 < self.mean_reward < 1:
            raise ValueError(f"mean_reward must be in (0, 1) or None, got {self.mean_reward}")

    def log(self, num_rows: int, number: int = 0) -> BanditLog:
        """The `number`-th log of this bandit."""
        rng = np.random.default_rng([self.seed, 1, number])
        context = rng.standard_normal((num_rows, self.num_dims))
        expected = self.expected_reward(context)
        logging = softmax(self.beta * expected, axis=1)
        action = draw(logging, rng)
        reward = rng.random(num_rows) < expected[np.arange(num_rows), action]
        return BanditLog(context, action, reward.astype(np.float64), expected, logging)

    def expected_reward(self, context: Float[A, "rows dims"]) -> Float[A, "rows actions"]:
        """sigmoid(z), where z is theta_x . x + theta_a + x' M e_a, standardised over all rows and actions; the
        coefficients are uniform on (-1, 1)."""
        rng = np.random.default_rng([self.seed, 0])
        of_context = rng.uniform(-1, 1, self.num_dims)
        of_action = rng.uniform(-1, 1, self.num_actions)
        of_both = rng.uniform(-1, 1, (self.num_dims, self.num_actions))
        value = (context @ of_context)[:, None] + of_action + context @ of_both
        value = (value - value.mean()) / value.std()
        return expit(value if self.mean_reward is None else value + logit(self.mean_reward))


def draw(chance: Float[A, "rows actions"], rng: np.random.Generator) -> Int[A, " rows"]:
    """An action for each row, with these probabilities."""
    upper = np.cumsum(chance, axis=1)
    return (rng.random((len(chance), 1)) * upper[:, -1:] >= upper[:, :-1]).sum(axis=1)
