"""BERT4Rec: a transformer that looks both ways guesses masked items from what is left and right of them.

Sun et al. (CIKM 2019). To recommend, a mask is put after the last click.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from jaxtyping import Int

from agents.examples import Examples
from agents.fields import Schema, Table
from agents.network_parameters import Loss
from agents.neural import NetworkAgent
from agents.objective import Batch
from agents.sequence_network import SequenceNetwork
from agents.sequences import MASKED, ClickSequences, Sequences, gap_of
from agents.transformer import TransformerConfig
from agents.weighting import Selection
from recsim_lab.interaction_log import InteractionLog

T = torch.Tensor


@final
@dataclass(eq=False)
class BERT4Rec(NetworkAgent):
    """Scores by the state of a mask after the last `max_length - 1` clicks.

    In training each of a user's last `max_length` clicks is masked with `mask_probability`; with `last_probability`
    the newest alone is, which is the task that requests put; where chance masks none, the newest is masked too.
    `batch_size` counts users, or slates where `target="impressions"`.
    """

    family: ClassVar[str] = "bert4rec"

    dim: int = 64
    num_blocks: int = 2
    num_heads: int = 2
    max_length: int = 50
    dropout: float = 0.2
    mask_probability: float = 0.3
    last_probability: float = 0.1
    loss: Loss = "ce"
    learning_rate: float = 0.001
    batch_size: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mask_probability", "last_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        masks = self.target == "catalogue"
        self.check_unread(masks, "clicks are masked: target='catalogue'", "mask_probability", "last_probability")
        self.check_unread(self.last_probability < 1, "last_probability is below 1", "mask_probability")
        self._config()

    def _config(self) -> TransformerConfig:
        return TransformerConfig(
            dim=self.dim,
            num_blocks=self.num_blocks,
            num_heads=self.num_heads,
            max_length=self.max_length,
            causal=False,
            dropout=self.dropout,
            feedforward_factor=4,
            activation="gelu",
        )

    def build(self, schema: Schema) -> SequenceNetwork:
        # From smaller ones it takes several times as many epochs to tell neighbours apart.
        return SequenceNetwork(schema, self._config(), times=False, scale=0.1)

    @property
    def num_recent(self) -> int:
        return self.max_length

    def catalogue_examples(self, log: InteractionLog, table: Table, selection: Selection | None) -> Examples:
        clicks = ClickSequences.of(log, self.device, selection)
        return MaskedClicks(
            clicks, table, self.max_length, self.mask_probability, self.last_probability, self.needs_known
        )


@final
@dataclass(frozen=True)
class MaskedClicks(Examples):
    """Users' last `max_length` clicks, some masked anew in every epoch; counted in users.

    In the order of users (`shuffled` false) the newest click alone is masked, as in a request.
    """

    clicks: ClickSequences
    table: Table
    max_length: int
    mask_probability: float
    last_probability: float
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
            yield self._batch(chosen, 1.0 if not shuffled else self.last_probability)

    def _batch(self, chosen: Int[T, " sequences"], last_probability: float) -> Batch:
        clicks, windows = self.clicks, self.clicks.windows(chosen, self.max_length)
        place, packing = windows.place, windows.packing
        item, device = clicks.item[place], place.device
        sequence = windows.sequence
        last_only = torch.rand(len(chosen), device=device) < last_probability
        masked = (torch.rand(len(place), device=device) < self.mask_probability) & ~last_only[sequence]
        masked &= windows.is_target
        num_masked = torch.zeros_like(packing.last).index_add_(0, sequence, masked.long())
        masked[packing.last[num_masked == 0]] = True
        # What follows the newest click is not known.
        is_last = torch.zeros_like(masked).index_fill_(0, packing.last, True)
        after = torch.where(is_last, place, place + 1)
        minutes = torch.where(is_last, -1, clicks.tick[after] - clicks.tick[place])
        wanted = torch.nonzero(masked)[:, 0]
        inputs = Sequences(torch.where(masked, MASKED, item), gap_of(minutes), packing, wanted)
        labels = torch.ones(len(wanted), 1, device=device)
        known = clicks.known(chosen, sequence[wanted]) if self.tells_known else None
        items, tick, weights = item[wanted][:, None], clicks.tick[place[wanted]], clicks.weights(place[wanted])
        return Batch(inputs, self.table, items, labels, tick, weights, known=known)

    def split(self, share: float) -> tuple["MaskedClicks", "MaskedClicks"]:
        older, newest = self.clicks.split(share)
        return replace(self, clicks=older), replace(self, clicks=newest)
