"""Matrix factorisation: a user and an item are vectors, and their dot product says whether they suit each other.

The model of Koren, Bell & Volinsky (IEEE Computer 2009), trained as a network on clicks by binary cross-entropy
with sampled negatives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch.nn.functional import embedding, softplus

from agents.base import LOWEST, ArrayAgent, check_catalogue, indifferent, learned
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Scorer, gather

A = np.ndarray
T = torch.Tensor

_INITIAL_SCALE = 0.1

DrawNegatives = Callable[[T, int, torch.Generator], tuple[T, T]]
"""Of the users of clicks: as many items against each as asked for, and whether there were any to draw from."""


@final
@dataclass(eq=False)
class MatrixFactorization(ArrayAgent, Scorer):
    """Score = user vector · item vector + item bias.

    Every click is trained against `num_negatives` items that were not clicked: with `target="catalogue"` drawn
    uniformly from all items shown so far, with `target="impressions"` from what this user was shown and did not
    click. The first teaches what users choose out of everything, popularity included; the second what they
    choose out of what was put before them.

    `learn` again goes on from the weights and the optimiser's state, for `warm_epochs` instead of `epochs` over
    the log's clicks. `weight_decay` multiplies the squared vectors of every example in the loss. A user without
    clicks has the mean vector; an item that was never shown scores lowest.
    """

    family: ClassVar[str] = "mf"

    dim: int = 32
    epochs: int = 10
    warm_epochs: int = 2
    target: Literal["catalogue", "impressions"] = "catalogue"
    num_negatives: int = 4
    learning_rate: float = 0.02
    weight_decay: float = 0.05
    batch_size: int = 2048
    """Clicks in a step; each brings its negatives."""
    seed: int = 0

    users: Float[A, "users_and_newcomer dim"] = learned(2)
    """Vectors of the users; the last row, the mean of all who clicked, serves those who never did."""
    items: Float[A, "items dim_and_bias"] = learned(2)
    user_moments: Float[A, "two users_and_newcomer dim"] = learned(3)
    """Adam's running means of the gradient and of its square."""
    item_moments: Float[A, "two items dim_and_bias"] = learned(3)
    num_steps: Int[A, ""] = learned(0, np.int64)
    clicked_once: Bool[A, " users_and_newcomer"] = learned(1, np.bool_)
    shown_once: Bool[A, " items"] = learned(1, np.bool_)
    generator_state: UInt8[A, " bytes"] = learned(1, np.uint8)

    def __post_init__(self) -> None:
        for name in ("dim", "epochs", "warm_epochs", "num_negatives", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.target not in ("catalogue", "impressions"):
            raise ValueError(f"target must be 'catalogue' or 'impressions', got {self.target!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be above 0 and finite, got {self.learning_rate}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be at least 0 and finite, got {self.weight_decay}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in [0, 2^63), got {self.seed}")

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        if not len(self.users):
            return indifferent(observation, items)
        check_catalogue(len(self.items), observation)
        vectors = self.users[np.minimum(observation.user, len(self.users) - 1)]
        scores = vectors @ self.items[:, :-1].T + self.items[:, -1]
        scores[:, ~self.shown_once] = LOWEST
        return gather(scores, items)

    def learn(self, log: InteractionLog) -> None:
        """Go on learning, from all clicks of this log; a log without clicks teaches nothing."""
        row, slot = np.nonzero(log.clicks)
        if not len(row):
            return
        generator = torch.Generator()
        if not len(self.generator_state):
            generator.manual_seed(self.seed)
        else:
            generator.set_state(torch.from_numpy(self.generator_state.copy()))
        num_epochs = self.warm_epochs if len(self.users) else self.epochs
        self._make_room(int(log.user.max()) + 1, log.features.num_items, generator)

        clicked_user, clicked_item = log.user[row].astype(np.int64), log.slate[row, slot].astype(np.int64)
        self.clicked_once[clicked_user] = True
        self.shown_once[log.slate] = True
        draw_negatives = (
            shown_items(np.flatnonzero(self.shown_once)) if self.target == "catalogue" else unclicked_impressions(log)
        )
        self._train(
            torch.from_numpy(clicked_user), torch.from_numpy(clicked_item), draw_negatives, num_epochs, generator
        )
        self.users[~self.clicked_once] = self.users[self.clicked_once].mean(axis=0)
        self.generator_state = generator.get_state().numpy()

    def _make_room(self, num_users: int, num_items: int, generator: torch.Generator) -> None:
        """Make the tables, or add rows for new users, who start as the newcomer."""
        if not len(self.users):
            self.users = _INITIAL_SCALE * torch.randn(num_users + 1, self.dim, generator=generator).numpy()
            self.items = _INITIAL_SCALE * torch.randn(num_items, self.dim + 1, generator=generator).numpy()
            # The bias starts at the log-odds of a click among the examples.
            self.items[:, -1] = -np.log(self.num_negatives)
            self.user_moments = np.zeros((2, *self.users.shape), np.float32)
            self.item_moments = np.zeros((2, *self.items.shape), np.float32)
            self.num_steps = np.array(0)
            self.clicked_once = np.zeros(num_users + 1, bool)
            self.shown_once = np.zeros(num_items, bool)
            return
        if num_items != len(self.items):
            raise ValueError(f"the log must be of the catalogue of {len(self.items)} items, got one of {num_items}")
        num_new = num_users + 1 - len(self.users)
        if num_new > 0:
            self.users = np.concatenate([self.users, np.repeat(self.users[-1:], num_new, axis=0)])
            self.user_moments = np.pad(self.user_moments, ((0, 0), (0, num_new), (0, 0)))
            self.clicked_once = np.pad(self.clicked_once, (0, num_new))

    def _train(
        self,
        clicked_user: Int[T, " clicks"],
        clicked_item: Int[T, " clicks"],
        draw_negatives: DrawNegatives,
        num_epochs: int,
        generator: torch.Generator,
    ) -> None:
        users = torch.nn.Parameter(torch.tensor(self.users))
        items = torch.nn.Parameter(torch.tensor(self.items))
        optimizer = torch.optim.Adam([users, items], lr=self.learning_rate)
        for table, moments in ((users, self.user_moments), (items, self.item_moments)):
            optimizer.state[table] = {
                "step": torch.tensor(float(self.num_steps)),
                "exp_avg": torch.tensor(moments[0]),
                "exp_avg_sq": torch.tensor(moments[1]),
            }
        for _ in range(num_epochs):
            order = torch.randperm(len(clicked_user), generator=generator)
            user = clicked_user[order]
            negative, valid = draw_negatives(user, self.num_negatives, generator)
            candidates = torch.cat([clicked_item[order, None], negative], dim=1)
            for start in range(0, len(user), self.batch_size):
                batch = slice(start, start + self.batch_size)
                # Indexing would add up its gradients in any order where torch has several threads; this does not.
                loss = self._loss(embedding(user[batch], users), embedding(candidates[batch], items), valid[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.users, self.items = users.detach().numpy(), items.detach().numpy()
        self.user_moments, self.item_moments = (
            torch.stack([optimizer.state[table]["exp_avg"], optimizer.state[table]["exp_avg_sq"]]).numpy()
            for table in (users, items)
        )
        self.num_steps = np.array(int(optimizer.state[users]["step"]))

    def _loss(
        self,
        user: Float[T, "batch dim"],
        item: Float[T, "batch candidates dim_and_bias"],
        valid: Bool[T, " batch"],
    ) -> Float[T, ""]:
        """Binary cross-entropy of the click (the first candidate) and its negatives, per click."""
        vector, bias = item[:, :, :-1], item[:, :, -1]
        logit = torch.einsum("bd,bcd->bc", user, vector) + bias
        fit = softplus(-logit[:, 0]) + valid * softplus(logit[:, 1:]).sum(dim=1)
        size = (user**2).sum(dim=1) + (vector**2).sum(dim=(1, 2))
        return (fit + self.weight_decay * size).mean()


def shown_items(shown: Int[A, " shown"]) -> DrawNegatives:
    """Draw uniformly from the given items, whoever the user is."""
    pool = torch.from_numpy(shown)

    def draw(user: T, num_negatives: int, generator: torch.Generator) -> tuple[T, T]:
        place = torch.randint(len(pool), (len(user), num_negatives), generator=generator)
        return pool[place], torch.ones(len(user), dtype=torch.bool)

    return draw


def unclicked_impressions(log: InteractionLog) -> DrawNegatives:
    """Draw uniformly from all that the log showed to the user of the click and that was not clicked."""
    order = np.argsort(log.user, kind="stable")
    unclicked = ~log.clicks[order]
    pool = torch.from_numpy(log.slate[order][unclicked].astype(np.int64))
    count = np.bincount(log.user[order], unclicked.sum(axis=1)).astype(np.int64)
    counts, starts = torch.from_numpy(count), torch.from_numpy(np.cumsum(count) - count)

    def draw(user: T, num_negatives: int, generator: torch.Generator) -> tuple[T, T]:
        num = counts[user, None]
        # In float64, so that the product stays below the count.
        uniform = torch.rand(len(user), num_negatives, generator=generator, dtype=torch.float64)
        place = (uniform * num).long() + starts[user, None]
        place = torch.where(num > 0, place, 0)
        items = pool[place] if len(pool) else torch.zeros_like(place)
        return items, num[:, 0] > 0

    return draw
