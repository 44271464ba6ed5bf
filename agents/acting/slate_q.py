"""SlateQ: what a slate is worth is what its items are worth, weighted by how likely each is to be chosen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from agents.acting.candidates import drawn_at_random
from agents.acting.experience import Experience, experienced
from agents.acting.live_users import LiveUsers
from agents.acting.replay import ReplayAgent
from agents.acting.slate_optimisation import OPTIMISERS, value_of
from agents.acting.state import StateNetwork, States
from agents.base import check_catalogue
from agents.exploration.race import in_pieces, told_in_pieces
from agents.fields import Schema, Table
from recsim_lab.policy import (
    FeatureTable,
    Observation,
    Recommendation,
    answered,
    check_slots,
    deterministic,
    top_items,
)
from recsim_lab.probabilities import Probabilities, certain, exactly, over_redraws, redraw
from recsim_lab.streams import Draws

A = np.ndarray
T = torch.Tensor

_CANDIDATES = 0

Worths = tuple[T, T, T]
"""Log-attractions and values of candidates, and the value of nothing."""


@final
class ItemValues(nn.Module):
    """How attractive each item is, and what its choice is worth from now on; the same of choosing nothing.

    Each is a dot product of a query of the state with the item's vector, and an offset of each: the attraction is exp
    of it, that of nothing is 1.
    """

    def __init__(self, schema: Schema, dim: int, num_blocks: int, newest: int, ids: bool) -> None:
        super().__init__()
        self.states = StateNetwork(schema, dim, num_blocks, newest, ids)
        self.queries = nn.Linear(dim, 2 * dim)
        self.of_state = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 3))
        self.of_item = nn.Linear(dim, 2)
        self.unit: T
        self.register_buffer("unit", torch.zeros(()))
        """What a life is worth from now on, roughly: values count in it."""

    def forward(
        self, states: States, items: Int[T, "rows drawn"], table: Table
    ) -> tuple[Float[T, "rows candidates"], Float[T, "rows candidates"], Float[T, " rows"]]:
        """Log-attractions and values of some candidates (no columns: of all items), and the value of nothing."""
        vectors = self.states.items(table)
        state = self.states(states, vectors, table)
        chosen, worth = self.queries(state).chunk(2, dim=1)
        offset = self.of_state(state)
        of_item = self.of_item(vectors)
        if items.shape[1]:
            mine, of_item = vectors[items], of_item[items]
            logit, value = (torch.linalg.vecdot(mine, query[:, None]) for query in (chosen, worth))
        else:
            logit, value = chosen @ vectors.T, worth @ vectors.T
        logit = logit + of_item[..., 0] + offset[:, :1]
        value = self.unit * (value + of_item[..., 1] + offset[:, 1:2])
        return logit, value, self.unit * offset[:, 2]


@final
@dataclass(eq=False)
class SlateQ(ReplayAgent):
    """Ie et al. (IJCAI 2019; arXiv 1905.12767): Q-learning over slates by way of their items.

    Users are taken to choose one item of a slate, or nothing, in proportion to its attraction, which is learned from
    clicks; where they click several, each click counts as a choice. Then Q(s, slate) = sum_i P(i | s, slate) Q(s, i),
    and the item that was chosen learns r + `discount` max Q(s', slate'), where the maximum is found by `optimise`:
    exactly, greedily, or by the items of highest attraction times value. With `discount=0` it is the myopic
    recommender.

    Slates are chosen from `candidates` items drawn anew for each (0: from all). While it acts, a slot is random with
    probability `explore`, which falls from 1 over the first `annealing` share of the steps. The target network is
    renewed every `renew_every` updates. From a log, values are those of the best slates of the whole catalogue.
    """

    family: ClassVar[str] = "slate-q"

    optimise: Literal["exact", "greedy", "top"] = "exact"
    candidates: int = 0
    explore: float = 0.1
    annealing: float = 0.3
    renew_every: int = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimise not in OPTIMISERS:
            raise ValueError(f"optimise must be one of {', '.join(OPTIMISERS)}, got {self.optimise!r}")
        if self.renew_every < 1:
            raise ValueError(f"renew_every must be at least 1, got {self.renew_every}")
        if self.candidates < 0:
            raise ValueError(f"candidates must be at least 0, got {self.candidates}")
        for name in ("explore", "annealing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")

    def build(self, schema: Schema, num_slots: int) -> ItemValues:
        self._check_candidates(num_slots)
        return ItemValues(schema, self.dim, self.num_blocks, self.newest, self.ids)

    # Serving

    def item_scores(self, states: States, table: Table, eligible: Bool[A, "rows items"]) -> Float[T, "rows items"]:
        """Attraction times value, the order of the items where slates are not optimised as a whole."""
        logit, value, _ = self._network()(states, self._all(states), table)
        return logit.exp() * value

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        items = np.empty((len(observation), num_slots), np.int32)
        for rows in in_pieces(len(observation), observation.features.num_items):
            chosen = self._chooser(observation.take(rows), num_slots)
            items[rows] = chosen(draws.take(np.arange(len(draws))[rows]))
        if not self._draws_candidates:
            return deterministic(items, self.name)
        unknown = np.full(items.shape, np.nan)
        return answered(items, exactly(unknown, unknown), np.zeros(items.shape, np.int16), (self.name,))

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        def tell(requests: Observation, slates: Int[A, "piece slots"], rows: slice) -> Probabilities:
            chosen = self._chooser(requests, slates.shape[1])
            if not self._draws_candidates:
                return certain(chosen(redraw(requests, 0)), slates)
            return over_redraws(lambda draws: certain(chosen(draws), slates), requests)

        return told_in_pieces(observation, slates, tell)

    @property
    def _draws_candidates(self) -> bool:
        return self.candidates > 0 and self.network is not None

    def _chooser(self, observation: Observation, num_slots: int) -> Callable[[Draws], Int[A, "rows slots"]]:
        """Tells the best slates of the candidates that luck decides on; without a network, items in order of their
        id."""
        offered = observation.eligible()
        check_slots(offered, num_slots)
        if self.network is None or self.schema is None:
            first = top_items(np.zeros(offered.shape, np.float32), offered, num_slots)
            return lambda draws: first
        check_catalogue(self.schema.num_items, observation.features)
        self._check_candidates(num_slots)
        states = States.of(observation, self.newest, self.num_slots)
        offers = self.tensor(offered)
        with torch.no_grad():
            worths = self._network()(states, self._all(states), self.table(observation.features))

        def chosen(draws: Draws) -> Int[A, "rows slots"]:
            if not self.candidates:
                return self._best_of(worths, offers, num_slots).int().cpu().numpy()
            luck = self.tensor(draws.uniform(_CANDIDATES, offered.shape[1]))
            drawn = drawn_at_random(luck, offers, self.candidates)
            logit, value, nothing = worths
            among = logit.gather(1, drawn), value.gather(1, drawn), nothing
            place = self._best_of(among, torch.ones_like(drawn, dtype=torch.bool), num_slots)
            return drawn.gather(1, place).int().cpu().numpy()

        return chosen

    def _check_candidates(self, num_slots: int) -> None:
        if 0 < self.candidates < num_slots:
            raise ValueError(f"candidates must be 0 or at least the {num_slots} slots, got {self.candidates}")

    def _best_of(self, worths: Worths, eligible: Bool[T, "rows candidates"], num_slots: int) -> Int[T, "rows slots"]:
        """The places of the best slate among candidates."""
        logit, value, nothing = worths
        return OPTIMISERS[self.optimise](logit.exp(), value, nothing, eligible, num_slots)

    # Learning

    def act(self, users: LiveUsers, progress: float) -> Experience:
        explored = max(self.explore, 1 - progress / self.annealing) if self.annealing else self.explore
        states = States.of(users.observation, self.newest, users.num_slots)
        drawn = self._drawn(states, users.features)
        with torch.no_grad():
            best = self._optimal(self._network(), states, drawn, users.features, users.num_slots)
        slate = self._explored(best, drawn, users.features.on_offer(states.tick), explored).cpu().numpy()
        outcome = users.step(slate)
        new = experienced(states, slate, np.full(slate.shape, np.nan), outcome, self.newest)
        return replace(new, candidates=self._drawn(new.after, users.features).int().cpu().numpy())

    def _drawn(self, states: States, features: FeatureTable) -> Int[T, "rows drawn"]:
        """Candidates of each slate, no columns where all are."""
        if not self.candidates:
            return self._all(states)
        offered = self.tensor(features.on_offer(states.tick))
        return drawn_at_random(torch.rand(offered.shape, device=self.device), offered, self.candidates)

    def _optimal(
        self, network: ItemValues, states: States, drawn: Int[T, "rows drawn"], features: FeatureTable, num_slots: int
    ) -> Int[T, "rows slots"]:
        """The best slates of the items drawn, or of all that are on offer."""
        worths = network(states, drawn, self.table(features))
        if not drawn.shape[1]:
            return self._best_of(worths, self.tensor(features.on_offer(states.tick)), num_slots).int()
        return drawn.gather(1, self._best_of(worths, torch.ones_like(drawn, dtype=torch.bool), num_slots)).int()

    def _explored(
        self, slate: Int[T, "rows slots"], drawn: Int[T, "rows drawn"], offered: Bool[A, "rows items"], share: float
    ) -> Int[T, "rows slots"]:
        """The slates with some slots' items changed for candidates that no other slot holds, where there are any."""
        num_slots = slate.shape[1]
        if drawn.shape[1]:
            free = ~(drawn[:, :, None] == slate[:, None, :]).any(dim=2)
        else:
            free = self.tensor(offered).scatter(1, slate.long(), False)
        luck, place = torch.where(free, torch.rand(free.shape, device=self.device), -1.0).topk(num_slots)
        other = drawn.gather(1, place) if drawn.shape[1] else place
        random = (torch.rand(slate.shape, device=self.device) < share) & (luck >= 0)
        return torch.where(random, other.int(), slate)

    def update(self, batch: Experience, target: ItemValues, features: FeatureTable) -> dict[str, float]:
        network, table = self._network(), self.table(features)
        reward, earned, clicks, ended, slate = (
            self.tensor(column) for column in (batch.reward, batch.earned, batch.clicks, batch.ended, batch.slate)
        )
        with torch.no_grad():
            drawn = self.tensor(batch.candidates).long()
            best = self._optimal(target, batch.after, drawn, features, slate.shape[1])
            logit, value, nothing = target(batch.after, best.long(), table)
            future = self.discount * value_of(logit.exp(), value, nothing).masked_fill(ended, 0.0)
        # Slots that may not be learned from are left out of the choice, and so are choices of them.
        seen = slate >= 0
        logit, value, nothing = network(batch.states, slate.long().clamp(min=0), table)
        ignored = ~clicks.any(dim=1)
        chosen = torch.cat([clicks & seen, ignored[:, None]], dim=1)
        logits = torch.cat([logit.masked_fill(~seen, -torch.inf), torch.zeros_like(nothing)[:, None]], dim=1)
        told = torch.cat([earned + future[:, None], (reward + future)[:, None]], dim=1)
        wrong = (torch.cat([value, nothing[:, None]], dim=1) - told) / network.unit
        num_chosen = chosen.sum().clamp(min=1)
        choice_loss = -torch.log_softmax(logits, dim=1).where(chosen, 0.0).sum() / num_chosen
        value_loss = wrong.square().where(chosen, 0.0).sum() / num_chosen
        self.take_step(choice_loss + value_loss)
        return {"choice_loss": float(choice_loss.detach()), "value_loss": float(value_loss.detach())}

    def renew(self, target: nn.Module, num_updates: int) -> None:
        if num_updates % self.renew_every == 0:
            target.load_state_dict(self._network().state_dict())

    def _all(self, states: States) -> Int[T, "rows drawn"]:
        """No columns: the whole catalogue."""
        return torch.zeros((len(states), 0), dtype=torch.long, device=self.device)

    def _network(self) -> ItemValues:
        assert isinstance(self.network, ItemValues)
        return self.network
