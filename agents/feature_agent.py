"""What all agents around networks of public features take."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from agents.fields import Schema
from agents.network import Network
from agents.neural import NetworkAgent


@dataclass(eq=False)
class FeatureAgent(NetworkAgent):
    """A network that reads ids, declared fields, hour and device, and the clicks before.

    `history="pooled"` gives the network the mean vector of the newest `num_recent` clicks for each field of items;
    `"paired"` also tells it what an item has in common with them, as DIN's activation does (Zhou et al., KDD 2018);
    `"none"` hides them. Without `ids` only features are read; without `context` neither hour nor device nor how new an
    item is, without `fields` none of the fields declared for users and items.
    """

    dim: int = 8
    """Length of the vector of each field."""
    history: Literal["none", "pooled", "paired"] = "paired"
    newest: int = 20
    """How many of the clicks before are read."""
    ids: bool = True
    context: bool = True
    fields: bool = True
    id_dropout: float = 0.1
    """Share of ids that are hidden in training, from which the network learns what to do about new ones."""
    dropout: float = 0.0
    batch_norm: bool = False
    """Batch normalisation after each hidden layer, for impressions only."""
    shared: bool = False
    num_negatives: int = 32
    epochs: int = 30
    learning_rate: float = 0.003
    weight_decay: float = 0.01
    batch_size: int = 1024
    validation: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dim", "newest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("id_dropout", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if self.history not in ("none", "pooled", "paired"):
            raise ValueError(f"history must be 'none', 'pooled' or 'paired', got {self.history!r}")
        if not (self.ids or self.fields):
            raise ValueError("fields must be true where ids=False, or nothing tells items apart, got False")
        self.check_unread(self.history != "none", "history is read", "newest")
        self.check_unread(self.ids, "ids are read", "id_dropout")
        if self.batch_norm and self.target == "catalogue":
            # Clicked and drawn items pass the network apart, so each kind's own mean would give away its label.
            raise ValueError("batch_norm must go with target='impressions', got target='catalogue'")

    @property
    def num_recent(self) -> int:
        return 0 if self.history == "none" else self.newest

    @property
    def reads_fields(self) -> bool:
        return self.fields

    @property
    def reading(self) -> dict[str, Any]:
        """What a network is told about which features to read."""
        return {
            "dim": self.dim,
            "history": self.history,
            "ids": self.ids,
            "context": self.context,
            "id_dropout": self.id_dropout,
        }

    @abstractmethod
    def build(self, schema: Schema) -> Network: ...


def sizes_of(text: str, name: str) -> list[int]:
    """The sizes of hidden layers, written as `64-32`.

    Raises:
        ValueError: naming the parameter, if the text is not that.
    """
    try:
        sizes = [int(size) for size in text.split("-")] if text else []
    except ValueError:
        sizes = [0]
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name} must be sizes of layers such as 64-32, got {text!r}")
    return sizes
