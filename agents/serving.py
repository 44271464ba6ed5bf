"""A network that has learned answers requests: items are embedded once for a catalogue, requests as they come."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Int

from agents.base import LOWEST
from agents.fields import Table
from agents.network import DotNetwork, Network
from agents.requests import Requests
from recsim_lab.policy import FeatureTable, Observation

A = np.ndarray

_ROWS = 4096
"""Requests that meet all items in one product, or are encoded, at a time."""


@final
@dataclass(frozen=True)
class Serving:
    """A network beside the tensors of a catalogue; good for as long as neither changes.

    `num_recent` is how many of a request's clicks the network reads (None: all); a network that is no `DotNetwork`
    computes `pairs_at_once` scores at a time, which bounds memory.
    """

    network: Network
    features: FeatureTable
    table: Table
    embedded: Any
    device: str
    num_recent: int | None
    pairs_at_once: int

    @staticmethod
    def of(
        network: Network, features: FeatureTable, device: str, num_recent: int | None, pairs_at_once: int
    ) -> "Serving":
        table = network.schema.table(features, device)
        with torch.no_grad():
            embedded = network.embed(torch.arange(features.num_items, device=device), table)
        return Serving(network, features, table, embedded, device, num_recent, pairs_at_once)

    def scores(
        self,
        observation: Observation,
        items: Int[A, "rows candidates"] | None,
        crosses: Float32[A, "rows candidates crosses"] | None,
    ) -> Float32[A, "rows candidates"]:
        """Scores of candidates (None: of all items), the lowest for items that the network can't judge."""
        network = self.network
        requests = Requests.of(observation, self.table, self.device, self.num_recent)
        num_candidates = observation.features.num_items if items is None else items.shape[1]
        whole = isinstance(network, DotNetwork)
        chunk = _ROWS if whole else max(1, self.pairs_at_once // max(num_candidates, 1))

        def some(rows: slice) -> Float32[A, "some candidates"]:
            encoded = network.encode(requests.take(rows))
            if items is None:
                embedded = self.embedded
            else:
                embedded = network.embed(torch.as_tensor(items[rows], device=self.device).long(), self.table)
            if crosses is not None:
                embedded = network.crossed(embedded, torch.as_tensor(crosses[rows], device=self.device))
            return network.score(encoded, embedded).cpu().numpy()

        with torch.no_grad():
            if 0 < len(observation) <= chunk:
                scores = np.require(some(slice(None)), np.float32, ["C", "W"])  # as they come, not copied
            else:
                scores = np.empty((len(observation), num_candidates), np.float32)
                for start in range(0, len(observation), chunk):
                    rows = slice(start, start + chunk)
                    scores[rows] = some(rows)
        if not network.judges_unknown and (unknown := ~network.known_items[1:].cpu().numpy()).any():
            if items is None:
                scores[:, unknown] = LOWEST
            else:
                scores[unknown[items]] = LOWEST
        return scores

    def request_vectors(self, observation: Observation) -> Float32[A, "rows dim"]:
        """What the network, a `DotNetwork`, encodes of each request."""
        with torch.no_grad():
            encoded = [
                self.network.encode(Requests.of(observation.take(rows), self.table, self.device, self.num_recent))
                for rows in (slice(start, start + _ROWS) for start in range(0, max(len(observation), 1), _ROWS))
            ]
        return torch.cat(encoded).cpu().numpy()
