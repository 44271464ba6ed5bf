"""SASRec: a causal transformer reads a user's clicks and, after each of them, expects the next.

Kang & McAuley (ICDM 2018). Whole sequences are learned from at once, every click from those before it; with a softmax
over many negatives instead of one (`loss`), the same network reaches a third more (Klenitskiy & Vasilev, RecSys 2023).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Int

from agents.examples import Examples
from agents.fields import Schema, Table
from agents.network_parameters import Loss
from agents.neural import NetworkAgent
from agents.objective import Batch
from agents.sequence_network import SequenceNetwork
from agents.sequences import NOTHING, ClickSequences, Sequences, gap_of
from agents.transformer import TransformerConfig
from agents.weighting import Selection
from recsim_lab.interaction_log import InteractionLog

T = torch.Tensor


@final
@dataclass(eq=False)
class SASRec(NetworkAgent):
    """Scores by the state after the last `max_length` clicks, in a transformer of `num_blocks` blocks.

    `TransformerConfig` explains their shape.
    `embeddings` says what joins a click's vector: its `position` in the sequence, the `time` from it to the next event
    (for the newest click, to the request), or `both`. Of a user's clicks the last `max_length` are learned from;
    `batch_size` counts users, or slates where `target="impressions"`. Its loss stands still for some epochs before the
    network sees more than popularity: a sampled loss, or stopping by `validation`, may end there.
    """

    family: ClassVar[str] = "sasrec"

    dim: int = 64
    num_blocks: int = 2
    num_heads: int = 1
    max_length: int = 50
    feedforward_factor: int = 1
    activation: Literal["relu", "gelu"] = "relu"
    norm: Literal["pre", "post", "query"] = "pre"
    dropout: float = 0.2
    embeddings: Literal["position", "time", "both"] = "both"
    loss: Loss = "ce"
    epochs: int = 14
    learning_rate: float = 0.002
    batch_size: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embeddings not in ("position", "time", "both"):
            raise ValueError(f"embeddings must be 'position', 'time' or 'both', got {self.embeddings!r}")
        self._config()

    def _config(self) -> TransformerConfig:
        return TransformerConfig(
            dim=self.dim,
            num_blocks=self.num_blocks,
            num_heads=self.num_heads,
            max_length=self.max_length,
            dropout=self.dropout,
            feedforward_factor=self.feedforward_factor,
            activation=self.activation,
            norm=self.norm,
            positions=self.embeddings != "time",
        )

    def build(self, schema: Schema) -> SequenceNetwork:
        return SequenceNetwork(schema, self._config(), times=self.embeddings != "position")

    @property
    def num_recent(self) -> int:
        return self.max_length

    def catalogue_examples(self, log: InteractionLog, table: Table, selection: Selection | None) -> Examples:
        return NextClicks(ClickSequences.of(log, self.device, selection), table, self.max_length, self.needs_known)


@final
@dataclass(frozen=True)
class NextClicks(Examples):
    """Every click of a user's last `max_length`, to be predicted from those before it; counted in users."""

    clicks: ClickSequences
    table: Table
    max_length: int
    tells_known: bool = False
    """Whether batches tell all clicks of their sequences."""

    def __len__(self) -> int:
        return len(self.clicks)

    @property
    def users(self) -> Int[T, " users"]:
        return self.clicks.item[:0]

    @property
    def clicked(self) -> Int[T, " clicks"]:
        return self.clicks.targets(self.max_length)

    def batches(self, batch_size: int, shuffled: bool) -> Iterator[Batch]:
        device = self.clicks.item.device
        order = torch.randperm(len(self), device=device) if shuffled else torch.arange(len(self), device=device)
        for chosen in order.split(batch_size):
            yield self._batch(chosen)

    def _batch(self, chosen: Int[T, " sequences"]) -> Batch:
        clicks, windows = self.clicks, self.clicks.windows(chosen, self.max_length)
        before = (windows.place - 1).clamp(min=0)
        token = torch.where(windows.is_first, NOTHING, clicks.item[before])
        minutes = torch.where(windows.is_first, -1, clicks.tick[windows.place] - clicks.tick[before])
        wanted = torch.nonzero(windows.is_target)[:, 0]
        place = windows.place[wanted]
        items = clicks.item[place][:, None]
        inputs = Sequences(token, gap_of(minutes), windows.packing, wanted)
        labels = torch.ones(items.shape, device=items.device)
        known = clicks.known(chosen, windows.sequence[wanted]) if self.tells_known else None
        return Batch(inputs, self.table, items, labels, clicks.tick[place], clicks.weights(place), known=known)

    def split(self, share: float) -> tuple["NextClicks", "NextClicks"]:
        older, newest = self.clicks.split(share)
        return replace(self, clicks=older), replace(self, clicks=newest)
