"""REINFORCE with a correction for slates of several items and for data of other policies."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from agents.acting.base import ActingAgent
from agents.acting.diary import Diary
from agents.acting.experience import Course, Experience, experience_of, experienced
from agents.acting.live_users import LiveUsers
from agents.acting.returns import futures
from agents.acting.state import StateNetwork, States
from agents.fields import Schema, Table
from agents.training import seeded
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import FeatureTable

A = np.ndarray
T = torch.Tensor

_ROWS = 4096
"""States that are judged at a time."""


@final
class PolicyNetwork(nn.Module):
    """The policy's logits of all items, and what a slate is expected to bring.

    logit = query(state) · item + bias(item). The expected earnings of each slot now, and of the future after this
    slate, are the baselines.
    """

    def __init__(
        self, schema: Schema, dim: int, num_blocks: int, newest: int, ids: bool, num_slots: int, discount: float
    ) -> None:
        super().__init__()
        self.states = StateNetwork(schema, dim, num_blocks, newest, ids)
        self.query = nn.Linear(dim, dim)
        self.bias = nn.Linear(dim, 1)
        self.expected = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, num_slots + 1))
        self.horizon = 1 / (1 - discount)
        self.unit: T
        self.register_buffer("unit", torch.zeros(()))
        """What a slate earns, roughly: heads count in it, the future in as many as the discount leaves."""

    def forward(
        self, states: States, table: Table
    ) -> tuple[Float[T, "rows items"], Float[T, "rows slots"], Float[T, " rows"]]:
        """Logits, the earnings expected of each slot, and those of the future."""
        items = self.states.items(table)
        state = self.states(states, items, table)
        logits = self.query(state) @ items.T + self.bias(items)[:, 0]
        return logits, *self._expected(state)

    def expected_of(self, states: States, table: Table) -> tuple[Float[T, "rows slots"], Float[T, " rows"]]:
        """The same without the logits."""
        return self._expected(self.states(states, self.states.items(table), table))

    def _expected(self, state: Float[T, "rows dim"]) -> tuple[Float[T, "rows slots"], Float[T, " rows"]]:
        expected = self.unit * self.expected(state)
        return expected[:, :-1], self.horizon * expected[:, -1]


@final
@dataclass(eq=False)
class Reinforce(ActingAgent):
    """Chen et al. (WSDM 2019, "Top-K off-policy correction for a REINFORCE recommender system").

    The policy is a softmax over items, from which the K slots of a slate are drawn without replacement. An item a that
    was shown moves log pi(a | s) by

        min(pi / beta, `most_weight`) * K (1 - pi)^(K - 1) * advantage

    where beta is how likely the policy that showed it was to do so: this one as it was some updates ago, or that of a
    log. The advantage is what the slot earned, and what all the user did later earned, each less what was expected of
    it; the future is traced by TD(`trace`).

    `train` acts for `horizon` steps, then learns from them in about `num_batches` batches. `entropy` is what a nat of
    the policy's entropy is worth, in root mean squares of the advantage: it keeps the policy from settling early.

    Served by its logits it shows the best items; `boltzmann=1,standardised=false` around it draws slates as it learned.
    """

    family: ClassVar[str] = "reinforce"

    horizon: int = 16
    num_batches: int = 4
    most_weight: float = 10.0
    entropy: float = 0.01
    trace: float = 0.95
    epochs: int = 5
    """Passes over a log in `learn`."""
    batch_size: int = 2048
    """Slates of a batch in `learn`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("horizon", "num_batches", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.trace <= 1:
            raise ValueError(f"trace must be in [0, 1], got {self.trace}")
        if not self.most_weight > 0:
            raise ValueError(f"most_weight must be above 0, got {self.most_weight}")
        if not 0 <= self.entropy < np.inf:
            raise ValueError(f"entropy must be at least 0 and finite, got {self.entropy}")

    def build(self, schema: Schema, num_slots: int) -> PolicyNetwork:
        return PolicyNetwork(schema, self.dim, self.num_blocks, self.newest, self.ids, num_slots, self.discount)

    def item_scores(self, states: States, table: Table, eligible: Bool[A, "rows items"]) -> Float[T, "rows items"]:
        return self._network()(states, table)[0]

    def train(self, env: Any, num_steps: int, diary: Diary | None = None) -> None:
        users, diary = LiveUsers(env), diary or Diary()
        first, _ = self.resume(users, diary)
        for step in range(first, num_steps, self.horizon):
            with seeded(self.seed, step):
                experience, course = self._act(users, min(self.horizon, num_steps - step))
                figures = {"reward": float(experience.reward.mean())}
                size = max(1, len(experience) // self.num_batches)
                figures |= self._improve(experience, course, users.features, size)
            self.keep(users, diary, min(step + self.horizon, num_steps), num_steps, figures)

    def learn(self, log: InteractionLog) -> None:
        """Learn from what others showed, weighted by the propensities that the log holds; slots without one count as if
        this policy had filled them."""
        experience, course = experience_of(log, self.newest)
        if not (experience.slate >= 0).any():
            return
        self.begin(log.features, log.num_slots)
        for epoch in range(self.epochs):
            with seeded(self.seed, len(log), epoch):
                self._improve(experience, course, log.features, self.batch_size)

    def _act(self, users: LiveUsers, horizon: int) -> tuple[Experience, Course]:
        """`horizon` slates for each user, drawn by the policy."""
        parts, gone = [], []
        for _ in range(horizon):
            observation = users.observation
            states = States.of(observation, self.newest, users.num_slots)
            with torch.no_grad():
                chances = self._log_chances(states, observation.features)[0]
                # Without replacement: the order of log-chance + Gumbel noise is that of drawing one after the other.
                noise = -torch.empty_like(chances).exponential_().log()
                slate = (chances + noise).topk(users.num_slots).indices
                chance = chances.gather(1, slate).exp()
            outcome = users.step(slate.cpu().numpy().astype(np.int32))
            parts.append(experienced(states, slate.cpu().numpy(), chance.cpu().numpy(), outcome, self.newest))
            gone.append(outcome.ended | outcome.cut)
        return Experience.joined(parts), Course.of_seats(np.stack(gone))

    def _improve(
        self, experience: Experience, course: Course, features: FeatureTable, batch_size: int
    ) -> dict[str, float]:
        """One pass over the slates in batches."""
        network = self._network()
        if not network.unit:
            network.unit += float(np.sqrt(np.square(experience.reward).mean())) or 1.0
        slots, future = self._expected(experience.states, features)
        last = np.flatnonzero((course.following < 0) & ~experience.ended)
        value, after = slots.sum(axis=1) + self.discount * future, np.zeros(len(experience))
        if len(last):
            slots_after, future_after = self._expected(experience.after.take(last), features)
            after[last] = slots_after.sum(axis=1) + self.discount * future_after
        told = futures(experience.reward, experience.ended, value, after, course, self.discount, self.trace).astype(
            np.float32
        )
        advantage = experience.earned - slots + self.discount * (told - future)[:, None]
        # Not its standard deviation, beside which an advantage that all slots share would be without bound.
        advantage /= max(float(np.sqrt(np.square(advantage[experience.slate >= 0]).mean())), 1e-8)
        totals = {"policy_loss": 0.0, "value_loss": 0.0, "entropy": 0.0}
        batches = torch.randperm(len(experience)).split(batch_size)
        for batch in batches:
            rows = batch.numpy()
            for name, value_now in self._step(experience.take(rows), advantage[rows], told[rows], features).items():
                totals[name] += value_now / len(batches)
        return totals

    def _step(
        self,
        batch: Experience,
        advantage: Float[A, "rows slots"],
        future: Float[A, " rows"],
        features: FeatureTable,
    ) -> dict[str, float]:
        network = self._network()
        chances, slots, later = self._log_chances(batch.states, features)
        slate = self.tensor(batch.slate).long()
        chosen = chances.gather(1, slate.clamp(min=0))
        correction = top_k_correction(chosen.detach().exp(), self.tensor(batch.chance), self.most_weight)
        pull = (correction * self.tensor(advantage) * chosen)[slate >= 0]
        # Divided by the slots, so that the value and the policy pull alike whatever their number.
        policy_loss = -pull.sum() / max(len(pull), 1) / slate.shape[1]
        entropy = -(chances.exp() * chances.clamp(min=-1e9)).sum(dim=1).mean()
        unit = network.unit
        value_loss = ((slots - self.tensor(batch.earned)) / unit).square().mean()
        value_loss = value_loss + ((later - self.tensor(future)) * (1 - self.discount) / unit).square().mean()
        self.take_step(policy_loss + value_loss - self.entropy * entropy)
        losses = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
        return {name: float(value.detach()) for name, value in losses.items()}

    def _log_chances(
        self, states: States, features: FeatureTable
    ) -> tuple[Float[T, "rows items"], Float[T, "rows slots"], Float[T, " rows"]]:
        """log pi of all items, minus infinity for those that are not on offer; and what is expected."""
        logits, slots, later = self._network()(states, self.table(features))
        offered = features.on_offer(states.tick)
        if not offered.all():
            logits = logits.masked_fill(self.tensor(~offered), -torch.inf)
        return torch.log_softmax(logits, dim=1), slots, later

    def _expected(self, states: States, features: FeatureTable) -> tuple[Float[A, "rows slots"], Float[A, " rows"]]:
        with torch.no_grad():
            parts = [
                self._network().expected_of(states.take(slice(start, start + _ROWS)), self.table(features))
                for start in range(0, len(states), _ROWS)
            ]
        slots, later = (torch.cat(columns).cpu().numpy() for columns in zip(*parts, strict=True))
        return slots, later

    def _network(self) -> PolicyNetwork:
        assert isinstance(self.network, PolicyNetwork)
        return self.network


def top_k_correction(
    chance: Float[T, "rows slots"], logged: Float[T, "rows slots"], most_weight: float
) -> Float[T, "rows slots"]:
    """min(pi / beta, `most_weight`) K (1 - pi)^(K - 1), beta being the `logged` chance; where that is NaN, beta = pi.

    The second factor is the derivative of 1 - (1 - pi)^K, the chance that K independent draws hold the item.
    """
    num_slots = chance.shape[1]
    weight = torch.where(logged.isnan(), 1.0, chance / logged).clamp(max=most_weight)
    return weight * num_slots * (1 - chance) ** (num_slots - 1)
