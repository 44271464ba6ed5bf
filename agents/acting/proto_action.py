"""An actor that names a point in the space of items, and a critic that chooses among the items around it."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from torch.nn.functional import one_hot

from agents.acting.experience import Experience, experienced
from agents.acting.live_users import LiveUsers
from agents.acting.replay import ReplayAgent
from agents.acting.state import StateNetwork, States
from agents.fields import Schema, Table, categorical
from recsim_lab.policy import FeatureTable

A = np.ndarray
T = torch.Tensor

_NUM_APART, _APART = 4, 0.3
"""Random coordinates of each item, and their standard deviation."""


@final
class ActorCritic(nn.Module):
    """The point that the actor names for a state, and what the critic thinks of showing an item at some place.

    The space is that of the items' public features: a coordinate for each code of each categorical field, each value of
    each multi-valued one, and each number; and a few at random, by which items of the same features are told apart. The
    point lies in the box that the items span.
    """

    def __init__(self, schema: Schema, dim: int, num_blocks: int, newest: int, ids: bool) -> None:
        super().__init__()
        self.cardinalities = [f.cardinality for f in categorical(schema.item_fields)]
        width = sum(1 if f.kind == "numeric" else f.cardinality for f in schema.item_fields) + _NUM_APART
        self.states = StateNetwork(schema, dim, num_blocks, newest, ids)
        self.actor = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, width))
        self.critic = nn.Sequential(nn.Linear(dim + width, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, 1))
        self.apart: T
        self.register_buffer("apart", _APART * torch.randn(schema.num_items, _NUM_APART))
        self.unit: T
        self.register_buffer("unit", torch.zeros(()))
        """What a life is worth from now on, roughly: values count in it."""

    def space(self, table: Table) -> Float[T, "items width"]:
        """Where each item lies."""
        columns = table.items
        codes = [one_hot(columns.codes[:, k], num).float() for k, num in enumerate(self.cardinalities)]
        return torch.cat([*codes, *columns.shares, columns.numbers, self.apart], dim=1)

    def state(self, states: States, table: Table) -> Float[T, "rows dim"]:
        return self.states(states, self.states.items(table), table)

    def point(self, state: Float[T, "rows dim"], space: Float[T, "items width"]) -> Float[T, "rows width"]:
        low, high = space.amin(dim=0), space.amax(dim=0)
        return low + (high - low) * torch.sigmoid(self.actor(state))

    def value(self, state: Float[T, "rows dim"], places: Float[T, "rows some width"]) -> Float[T, "rows some"]:
        """What showing an item at each of these places is worth from now on; a slate is worth their mean."""
        beside = state[:, None].expand(-1, places.shape[1], -1)
        return self.unit * self.critic(torch.cat([beside, places], dim=2))[:, :, 0]


@final
@dataclass(eq=False)
class Wolpertinger(ReplayAgent):
    """Dulac-Arnold et al. 2015 (arXiv 1512.07679), trained as DDPG (Lillicrap et al., ICLR 2016).

    The actor names a point in the space of public item features. Of the `neighbours` items nearest to it (Euclid) the
    critic chooses those of highest value for the slate, so actors need no output for each item. What a slate is worth
    is the mean of what its items are worth.

    The critic learns r + `discount` Q(s', slate'), the actor follows the critic's gradient at its point, and targets
    follow both by a share of `follow` an update. While it acts, the point is moved by normal noise of `noise` times the
    width of the box, which falls to a tenth of that over the run. Where most items are neighbours, that changes little
    of what is shown: nothing else explores.
    """

    family: ClassVar[str] = "wolpertinger"

    neighbours: int = 50
    noise: float = 0.3
    follow: float = 0.02
    learning_rate: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, got {self.neighbours}")
        if not 0 < self.follow <= 1:
            raise ValueError(f"follow must be in (0, 1], got {self.follow}")
        if not 0 <= self.noise < np.inf:
            raise ValueError(f"noise must be at least 0 and finite, got {self.noise}")

    def build(self, schema: Schema, num_slots: int) -> ActorCritic:
        return ActorCritic(schema, self.dim, self.num_blocks, self.newest, self.ids)

    def item_scores(self, states: States, table: Table, eligible: Bool[A, "rows items"]) -> Float[T, "rows items"]:
        network = self._network()
        space = network.space(table)
        state = network.state(states, table)
        return self._scores(network, state, network.point(state, space), space, self.tensor(eligible))

    def _scores(
        self,
        network: ActorCritic,
        state: Float[T, "rows dim"],
        point: Float[T, "rows width"],
        space: Float[T, "items width"],
        eligible: Bool[T, "rows items"],
    ) -> Float[T, "rows items"]:
        """Values of the eligible neighbours of the point; other items come after them, the nearer the better."""
        # By a matrix product distances would depend on the batch, and with them who is a neighbour.
        distance = torch.cdist(point, space, compute_mode="donot_use_mm_for_euclid_dist")
        among = distance.masked_fill(~eligible, torch.inf)
        near = among.topk(min(self.neighbours, len(space)), largest=False).indices
        value = network.value(state, space[near])
        return (value.amin(dim=1, keepdim=True) - distance).scatter(1, near, value)

    def _best_slates(
        self,
        network: ActorCritic,
        state: Float[T, "rows dim"],
        point: Float[T, "rows width"],
        space: Float[T, "items width"],
        offered: Bool[A, "rows items"],
        num_slots: int,
    ) -> Int[T, "rows slots"]:
        """The items on offer of highest score."""
        eligible = self.tensor(offered)
        scores = self._scores(network, state, point, space, eligible).masked_fill(~eligible, -torch.inf)
        return scores.topk(num_slots).indices

    # Learning

    def act(self, users: LiveUsers, progress: float) -> Experience:
        noise = self.noise * max(0.1, 1 - progress)
        states = States.of(users.observation, self.newest, users.num_slots)
        network, table = self._network(), self.table(users.features)
        with torch.no_grad():
            space = network.space(table)
            state = network.state(states, table)
            point = network.point(state, space)
            point = point + noise * (space.amax(dim=0) - space.amin(dim=0)) * torch.randn_like(point)
            offered = users.features.on_offer(states.tick)
            slate = self._best_slates(network, state, point, space, offered, users.num_slots).cpu().numpy()
        outcome = users.step(slate.astype(np.int32))
        return experienced(states, slate, np.full(slate.shape, np.nan), outcome, self.newest)

    def update(self, batch: Experience, target: ActorCritic, features: FeatureTable) -> dict[str, float]:
        network, table = self._network(), self.table(features)
        space = network.space(table)
        with torch.no_grad():
            after = target.state(batch.after, table)
            point = target.point(after, space)
            offered = features.on_offer(batch.after.tick)
            best = self._best_slates(target, after, point, space, offered, batch.slate.shape[1])
            # Not the mean of scores: where neighbours are fewer than slots, some are no values.
            future = target.value(after, space[best]).mean(dim=1)
            told = self.tensor(batch.reward) + self.discount * future.masked_fill(self.tensor(batch.ended), 0.0)
        state = network.state(batch.states, table)
        slate = self.tensor(batch.slate).long()
        # Of slots that may not be learned from it is not known what they held: they are taken to be as the others.
        seen = (slate >= 0).float()
        value = (network.value(state, space[slate.clamp(min=0)]) * seen).sum(dim=1) / seen.sum(dim=1)
        critic_loss = ((value - told) / network.unit).square().mean()
        point = network.point(state.detach(), space)
        # The actor moves where the critic's value rises; the critic itself must not be pulled along.
        at = point.detach()[:, None].requires_grad_()
        (slope,) = torch.autograd.grad(network.value(state.detach(), at).sum(), at)
        actor_loss = -(point * slope[:, 0] / network.unit).sum(dim=1).mean()
        self.take_step(critic_loss + actor_loss)
        return {"critic_loss": float(critic_loss.detach()), "value": float(told.mean())}

    def renew(self, target: nn.Module, num_updates: int) -> None:
        with torch.no_grad():
            for kept, new in zip(target.parameters(), self._network().parameters(), strict=True):
                kept.lerp_(new, self.follow)

    def _network(self) -> ActorCritic:
        assert isinstance(self.network, ActorCritic)
        return self.network
