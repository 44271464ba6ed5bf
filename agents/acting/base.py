"""What agents that learn by acting have in common: a network that is made when a catalogue is first seen, and kept."""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from agents.acting.diary import Diary
from agents.acting.live_users import LiveUsers
from agents.acting.state import States
from agents.base import NamedAgent, check_catalogue, indifferent
from agents.fields import Schema, Table
from agents.learner import parted, tensors_of
from agents.training import seeded
from recsim_lab.policy import FeatureTable, Observation, Scorer

A = np.ndarray
T = torch.Tensor


@dataclass(eq=False)
class ActingAgent(NamedAgent, Scorer):
    """Learns from the environment itself (`train`), or from a log of what others showed (`learn`).

    `discount` is what a reward is worth one slate later. The state is a transformer of `num_blocks` blocks over the
    `newest` clicks, of width `dim`. Users' ids are not read, so the agent serves users it has never met. Without `ids`
    those of items are not read either: items of the same public features are the same, and less is to be learned.
    """

    discount: float = 0.95
    dim: int = 32
    num_blocks: int = 1
    newest: int = 20
    ids: bool = True
    learning_rate: float = 0.003
    seed: int = 0
    device: str = "cpu"

    network: nn.Module | None = field(init=False, repr=False, default=None)
    optimizer: torch.optim.Optimizer | None = field(init=False, repr=False, default=None)
    schema: Schema | None = field(init=False, repr=False, default=None)
    num_slots: int = field(init=False, repr=False, default=0)
    _table: tuple[FeatureTable, Table] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1:
            raise ValueError(f"discount must be in [0, 1), got {self.discount}")
        for name in ("dim", "num_blocks", "newest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate must be above 0 and finite, got {self.learning_rate}")

    @abstractmethod
    def build(self, schema: Schema, num_slots: int) -> nn.Module:
        """A new network, its weights drawn by torch."""

    @abstractmethod
    def train(self, env: Any, num_steps: int, diary: Diary | None = None) -> None:
        """Act and learn for `num_steps` steps of a vector environment with `autoreset_mode="Disabled"`; a step is a
        slate for each of its seats.

        With a diary that has a folder, a run that was killed goes on from its last checkpoint.
        """

    @abstractmethod
    def item_scores(self, states: States, table: Table, eligible: Bool[A, "rows items"]) -> Float[T, "rows items"]:
        """Finite scores of all items for each state, eligible or not, without gradients."""

    # Serving

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        if self.network is None or self.schema is None:
            return indifferent(observation, items)
        check_catalogue(self.schema.num_items, observation.features)
        states = States.of(observation, self.newest, self.num_slots)
        with torch.no_grad():
            table = self.table(observation.features)
            scores = self.item_scores(states, table, observation.eligible()).cpu().numpy()
        return scores if items is None else np.take_along_axis(scores, items.astype(np.int64), axis=1)

    def table(self, features: FeatureTable) -> Table:
        """The features as tensors, kept as long as they stay the same."""
        assert self.schema is not None
        if self._table is None or self._table[0] is not features:
            self._table = features, self.schema.table(features, self.device)
        return self._table[1]

    def tensor(self, array: A) -> T:
        """The array on the agent's device. Rows may share their memory, which torch must not."""
        return torch.as_tensor(np.ascontiguousarray(array), device=self.device)

    # Learning

    def begin(self, features: FeatureTable, num_slots: int) -> None:
        """Make the network, unless there is one that fits.

        Raises:
            ValueError: if the one there is was made for another catalogue or other slates.
        """
        if self.schema is not None:
            if (known := (self.schema.num_items, self.num_slots)) != (features.num_items, num_slots):
                raise ValueError(
                    f"an agent that has learned must stay with its {known[0]} items and slates of {known[1]} slots, "
                    f"got {features.num_items} items and {num_slots} slots"
                )
            return
        # Users of training and those to be served may differ, in number too: none is known by an id.
        self._make(Schema.of(features, 0, 1), num_slots)

    def _make(self, schema: Schema, num_slots: int) -> None:
        with seeded(self.seed):
            self.network = self.build(schema, num_slots).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, fused=True)
        self.schema, self.num_slots = schema, num_slots

    def resume(self, users: LiveUsers, diary: Diary) -> tuple[int, dict[str, A]]:
        """Go on from the diary's last checkpoint, or begin with new users; returns the steps done, and what else
        `keep` was given."""
        step, arrays = diary.resume(self._run(users))
        self.begin(users.features, users.num_slots)
        if not step:
            users.begin(self.seed)
            return 0, {}
        self.restore(_under("agent/", arrays))
        users.restore(_under("users/", arrays))
        return step, _under("own/", arrays)

    def keep(
        self,
        users: LiveUsers,
        diary: Diary,
        step: int,
        num_steps: int,
        figures: Mapping[str, float],
        own: Callable[[], Mapping[str, A]] = dict,
    ) -> None:
        """Enter figures, and where it is time for it a checkpoint of the agent, its users and what else it needs."""
        if diary.write(step, num_steps, figures):
            parts = {"agent/": self.state(), "users/": users.state(), "own/": own()}
            arrays = {kind + name: value for kind, part in parts.items() for name, value in part.items()}
            diary.keep(step, self._run(users), arrays)

    def _run(self, users: LiveUsers) -> str:
        """What a run is told by: the agent, and its users as far as they can be seen from outside."""
        return f"{self._description()} with {users.description}"

    def take_step(self, loss: T) -> None:
        """One step of the optimiser, of a gradient of length 1 at most.

        Raises:
            ValueError: if the loss is not finite.
        """
        assert self.network is not None and self.optimizer is not None
        if not torch.isfinite(loss):
            raise ValueError(
                f"training must keep its loss finite, got {float(loss.detach())}: a lower learning_rate may help"
            )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()

    # Keeping

    def state(self) -> dict[str, A]:
        if self.network is None or self.optimizer is None or self.schema is None:
            return {}
        described = json.dumps({"schema": self.schema.describe(), "num_slots": self.num_slots}).encode()
        tensors = tensors_of(self.network, self.optimizer)
        kept = {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}
        return kept | {"description": np.frombuffer(described, np.uint8)}

    def restore(self, state: Mapping[str, A]) -> None:
        self._table = None
        if "description" not in state:
            self.network, self.optimizer, self.schema, self.num_slots = None, None, None, 0
            return
        described = json.loads(state["description"].tobytes())
        self._make(Schema.parse(described["schema"]), described["num_slots"])
        assert self.network is not None and self.optimizer is not None
        # Fused, the optimiser counts its steps where the parameters are, too.
        weights, moments = parted({name: torch.tensor(value, device=self.device) for name, value in state.items()})
        self.network.load_state_dict(weights)
        for place, parameter in enumerate(self.network.parameters()):
            self.optimizer.state[parameter].update(moments.get(place, {}))


def _under(kind: str, arrays: Mapping[str, A]) -> dict[str, A]:
    return {name.removeprefix(kind): value for name, value in arrays.items() if name.startswith(kind)}
