"""The agent around a network: which examples, which objective, when to stop; naming, saving and serving."""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int

from agents.base import LOWEST, NamedAgent, check_catalogue, indifferent
from agents.examination import examine
from agents.examples import Crosses, Examples, clicks_of, slates_of
from agents.fields import Schema, Table
from agents.losses import make_loss
from agents.negatives import Hard, InBatch, Mixed, Negatives, popularity, uniform
from agents.network import DotNetwork, Network
from agents.objective import Catalogue, Impressions, Objective, WholeCatalogue
from agents.requests import Requests
from agents.training import Epoch, Report, Schedule, fit, held_out_loss, seeded
from agents.weighting import MOST_WEIGHT, Selection, Weighting
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import FeatureTable, Observation, Scorer

A = np.ndarray
T = torch.Tensor

Loss = Literal[
    "bce",
    "mse",
    "gbce",
    "bpr",
    "ranknet",
    "margin",
    "lambdarank",
    "lambdarank-map",
    "softmax",
    "ce",
    "listnet",
    "listmle",
    "approx-ndcg",
]


@dataclass(eq=False)
class NetworkAgent(NamedAgent, Scorer):
    """Learns a network from a log, with one of two targets, any loss and any kind of negatives.

    `target="catalogue"` trains every click against `num_negatives` drawn items (`loss="ce"`: against all items),
    `target="impressions"` the clicks of a slate against the rest of it. Negatives are drawn from all items shown so
    far: `uniform`; by `popularity`, clicks to the power `popularity_power`; `in-batch`, the other clicks of the
    batch; `mixed`, in-batch and uniform ones; `hard`, of which `hard_share` are those that the previous epoch's
    network scores highest. With `shared`, one draw serves a whole batch. `logq` corrects softmax losses for how
    often each negative is drawn.

    What the log shows was chosen by a policy. `weighting="ips"` makes up for it by the propensities that the log holds:
    of an impression for pointwise losses of slates, of a whole slate for the other losses of slates, which are about
    documents that were shown together, and for `target="catalogue"` of the click's impression, so that clicks count as
    if items had been shown by chance. `"snips"` divides the weights of a batch by their mean. See `agents.weighting`
    for what weights mean, what a log without choice does, and which logs are refused. Slates of many slots are rare
    each: their weights leave little of a log, or are mostly cut off at `most_weight`.

    `learn` again goes on from the weights and the optimiser's state, for `warm_epochs` instead of `epochs`.
    With `validation` above 0, that share of the examples, the newest, is held out and training stops after
    `patience` epochs without a better loss on it. `curve` is what the last `learn` brought, epoch by epoch.
    """

    target: Literal["catalogue", "impressions"] = "catalogue"
    loss: Loss = "softmax"
    negatives: Literal["uniform", "popularity", "in-batch", "mixed", "hard"] = "uniform"
    num_negatives: int = 256
    shared: bool = True
    logq: bool = False
    popularity_power: float = 0.75
    hard_share: float = 0.5
    hard_warmup: int = 1
    """Epochs before the first hard negatives."""
    position: Literal["ignored", "feature", "weight"] = "feature"
    """What the slot of an impression is: nothing, an offset to learn and leave out when serving, or a weight that
    makes up for how rarely it is looked at, at most 10."""
    examination: Literal["rates", "propensities", "repeats"] = "rates"
    """How `position="weight"` tells from a log how rarely a slot is looked at: see `agents.examination`. Rates are
    right where slates are random."""
    weighting: Weighting = "none"
    most_weight: float = MOST_WEIGHT
    """The bound on weights, in which 1 means shown as often as by chance. A lower one has less variance and more
    bias."""
    epochs: int = 10
    warm_epochs: int = 2
    learning_rate: float = 0.003
    weight_decay: float = 0.0
    """Multiplies the squared length of the vectors that each example brings."""
    batch_size: int = 512
    """Clicks or slates in a step."""
    validation: float = 0.0
    patience: int = 2
    validate_every: int = 1
    """Epochs between validations."""
    seed: int = 0
    device: str = "cpu"

    network: Network | None = field(init=False, repr=False, default=None)
    optimizer: torch.optim.Optimizer | None = field(init=False, repr=False, default=None)
    slot_bias: torch.nn.Parameter | None = field(init=False, repr=False, default=None)
    num_learned: int = field(init=False, repr=False, default=0)
    curve: list[Epoch] = field(init=False, repr=False, default_factory=list)
    report: Report | None = field(init=False, repr=False, default=None)
    """Told about each epoch while `learn` runs."""
    judged_by: "Callable[[NetworkAgent], float] | None" = field(init=False, repr=False, default=None)
    """What tells when to stop in place of a loss on held-out examples: asked about this agent as it then is, higher is
    better."""
    _kept: "_Kept | None" = field(init=False, repr=False, default=None)

    compares_all: ClassVar[bool] = True
    """Whether a request meets all items in one product, as a `DotNetwork` does it."""
    pairs_at_once: ClassVar[int] = 2**14
    """Scores computed in one piece, which bounds memory."""

    @abstractmethod
    def build(self, schema: Schema) -> Network:
        """A new network, its weights drawn by torch."""

    def __post_init__(self) -> None:
        for name in ("num_negatives", "epochs", "warm_epochs", "batch_size", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("hard_warmup", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be above 0 and finite, got {self.learning_rate}")
        for name in ("weight_decay", "popularity_power"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        if not self.most_weight >= 1:
            raise ValueError(f"most_weight must be at least 1, got {self.most_weight}")
        if not 0 < self.hard_share <= 1:
            raise ValueError(f"hard_share must be in (0, 1], got {self.hard_share}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be in [0, 1), got {self.validation}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in [0, 2^63), got {self.seed}")
        for name, known in (
            ("target", ("catalogue", "impressions")),
            ("negatives", ("uniform", "popularity", "in-batch", "mixed", "hard")),
            ("position", ("ignored", "feature", "weight")),
            ("examination", ("rates", "propensities", "repeats")),
            ("weighting", ("none", "ips", "snips")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        self._check_combination()

    def _check_combination(self) -> None:
        """Refuse combinations that mean nothing."""
        if self.loss not in ("ce", "gbce"):  # no loss of lists, and one whose rate only the log tells
            make_loss(self.loss)
        if self.target == "impressions":
            if self.negatives != "uniform":
                raise ValueError(
                    f"negatives must be left out where target='impressions', whose negatives are what was shown and "
                    f"not clicked, got {self.negatives!r}"
                )
            if self.loss in ("ce", "gbce"):
                raise ValueError(
                    f"loss must be one of slates, such as 'softmax', where target='impressions', got {self.loss!r}, "
                    "which is about the whole catalogue"
                )
        elif self.position == "weight":
            raise ValueError("position must be left out where target='catalogue', which knows no slots, got 'weight'")
        if self.examination != "rates" and self.position != "weight":
            raise ValueError(
                f"examination must be left out unless position='weight', which it is for, got {self.examination!r} "
                f"and position={self.position!r}"
            )
        if self.loss in ("ce", "gbce") and self.negatives != "uniform":
            raise ValueError(
                f"negatives must be left out where loss={self.loss!r}, which is about all items alike, "
                f"got {self.negatives!r}"
            )
        if self.loss == "ce" and not self.compares_all:
            raise ValueError(
                f"loss must be 'softmax' rather than 'ce', which scores all items for every click: {self.family} "
                "cannot do that fast"
            )
        if self.logq and self.negatives == "hard":
            raise ValueError("logq must be false where negatives='hard': how often the hardest are drawn is not known")
        if self.logq and (self.loss not in ("softmax", "listnet") or self.target != "catalogue"):
            raise ValueError(
                "logq corrects a sampled softmax: it must go with loss='softmax' and target='catalogue', "
                f"got loss={self.loss!r} and target={self.target!r}"
            )

    # Serving

    def scores(
        self,
        observation: Observation,
        items: Int[A, "rows candidates"] | None = None,
        crosses: Float32[A, "rows candidates crosses"] | None = None,
    ) -> Float32[A, "rows candidates"]:
        """Scores; `crosses` are what each request and candidate have together, where the network has learned to read
        such.

        Raises:
            ValueError: if requests are of another catalogue, or crosses are not as many as were learned from.
        """
        if self.network is None:
            return indifferent(observation, items)
        check_catalogue(self.network.schema.num_items, observation)
        num_crosses = 0 if crosses is None else crosses.shape[2]
        if num_crosses != self.network.schema.num_crosses:
            raise ValueError(
                f"crosses must be the {self.network.schema.num_crosses} that were learned from, got {num_crosses}"
            )
        network, kept = self.network, self._keep(observation.features)
        requests = Requests.of(observation, kept.table, self.device, self.num_recent)
        num_candidates = observation.features.num_items if items is None else items.shape[1]
        chunk = max(1, self.pairs_at_once // max(num_candidates, 1)) if not isinstance(network, DotNetwork) else 4096
        scores = np.empty((len(observation), num_candidates), np.float32)
        with torch.no_grad():
            for start in range(0, len(observation), chunk):
                rows = slice(start, start + chunk)
                encoded = network.encode(requests.take(rows))
                if items is None:
                    embedded = kept.embedded
                else:
                    embedded = network.embed(torch.as_tensor(items[rows], device=self.device).long(), kept.table)
                if crosses is not None:
                    embedded = network.crossed(embedded, torch.as_tensor(crosses[rows], device=self.device))
                scores[rows] = network.score(encoded, embedded).cpu().numpy()
        if not network.judges_unknown and (unknown := ~network.known_items[1:].cpu().numpy()).any():
            if items is None:
                scores[:, unknown] = LOWEST
            else:
                scores[unknown[items]] = LOWEST
        return scores

    def request_vectors(self, observation: Observation) -> Float32[A, "rows dim"]:
        """The vectors whose dot products with those of items are the scores, where the network is a `DotNetwork`."""
        network = self._dot_network()
        check_catalogue(network.schema.num_items, observation)
        table, chunk = self._keep(observation.features).table, 4096
        with torch.no_grad():
            encoded = [
                network.encode(Requests.of(observation.take(rows), table, self.device, self.num_recent))
                for rows in (slice(start, start + chunk) for start in range(0, max(len(observation), 1), chunk))
            ]
        return torch.cat(encoded).cpu().numpy()

    def item_vectors(self, features: FeatureTable) -> Float32[A, "items dim"]:
        """The vectors of all items, of which those that the network can't judge are to be left alone."""
        self._dot_network()
        return self._keep(features).embedded.cpu().numpy()

    def judged_items(self) -> Bool[A, " items"]:
        """Which items the network has ground to judge."""
        network = self._dot_network()
        known = network.known_items[1:].cpu().numpy()
        return np.ones_like(known) if network.judges_unknown else known

    def _dot_network(self) -> DotNetwork:
        if not isinstance(self.network, DotNetwork):
            raise ValueError(
                f"vectors must be asked of a network of dot products that has learned, got {self.name!r} "
                + ("untaught" if self.network is None else "of another kind")
            )
        return self.network

    @property
    def num_recent(self) -> int | None:
        """How many of a request's clicks the network reads (None: all)."""
        return None

    @property
    def reads_fields(self) -> bool:
        """Whether the network reads the declared fields of users and items."""
        return False

    def _keep(self, features: FeatureTable) -> "_Kept":
        """The tensors of a feature table and the embedded catalogue, kept as long as neither changes."""
        assert self.network is not None
        if self._kept is None or self._kept.features is not features:
            table = self.network.schema.table(features, self.device)
            with torch.no_grad():
                embedded = self.network.embed(torch.arange(features.num_items, device=self.device), table)
            self._kept = _Kept(features, table, embedded)
        return self._kept

    # Learning

    @property
    def reads_crosses(self) -> bool:
        """Whether it can be told what requests and items have together: it learns from impressions, and their
        features meet in its network."""
        return not self.compares_all and self.target == "impressions"

    def learn(self, log: InteractionLog, crosses: Crosses | None = None) -> None:
        """Go on learning from this log, or from those of its slates that `crosses` tell about; none with a click
        teach nothing.

        Raises:
            ValueError: if the log is of another catalogue, crosses can't be read or are other than before, or training
                diverges (then nothing was learned).
        """
        if crosses is not None and not self.reads_crosses:
            raise ValueError(
                "crosses must go with target='impressions' and a network in which features meet (mlp, dlrm, dcn), "
                f"got {self.name!r}"
            )
        if not (log.clicks if crosses is None else log.clicks[crosses.rows]).any():
            return
        with seeded(self.seed, self.num_learned):
            first = self.network is None
            network, optimizer, slot_bias = self._make_room(log, 0 if crosses is None else crosses.values.shape[2])
            network.known_items[1 + torch.as_tensor(np.unique(log.slate[log.slate >= 0])).long()] = True
            examples = self._examples(log, network.schema.table(log.features, self.device), crosses)
            objective = self._objective(log, network, slot_bias)
            validate = None
            if self.validation:
                examples, held_out = examples.split(self.validation)
                validate = held_out_loss(network, held_out, objective, self.batch_size, self.seed)
            network.known_users[1 + examples.users] = True
            if self.judged_by is not None:
                validate = partial(self._judged, network)
            schedule = Schedule(
                self.epochs if first else self.warm_epochs,
                self.batch_size,
                self.patience if validate is not None else None,
                judge_from=self.hard_warmup if first else 0,
                validate_every=self.validate_every,
            )
            self.curve = fit(network, optimizer, examples, objective, schedule, validate, self.report)
            with torch.no_grad():
                network.settle()
        self.network, self.optimizer, self.slot_bias, self._kept = network, optimizer, slot_bias, None
        self.num_learned += 1

    def _judged(self, network: Network) -> float:
        """What `judged_by` says while the network that is being trained takes this agent's place."""
        assert self.judged_by is not None
        before, self.network, self._kept = self.network, network, None
        try:
            return self.judged_by(self)
        finally:
            self.network, self._kept = before, None

    def _examples(self, log: InteractionLog, table: Table, crosses: Crosses | None) -> Examples:
        # Pairs and lists are of documents that were shown together.
        together = self.target == "impressions" and make_loss(self.loss).kind != "pointwise"
        selection = slot_weights = None
        if self.weighting != "none":
            selection = Selection.of(log, self.weighting, self.most_weight, self.device, whole=together)
        if self.target == "catalogue":
            return self.catalogue_examples(log, table, selection)
        if self.position == "weight":
            slot_weights = examine(log, self.examination, self.most_weight).weights()
        return slates_of(
            log,
            table,
            self.device,
            self.num_recent,
            only_clicked=together,
            slot_weights=slot_weights,
            selection=selection,
            crosses=crosses,
        )

    def catalogue_examples(self, log: InteractionLog, table: Table, selection: Selection | None) -> Examples:
        """An example for each click, weighted by `selection`; sequence models read whole sequences instead."""
        return clicks_of(log, table, self.device, self.num_recent, selection)

    def _objective(self, log: InteractionLog, network: Network, slot_bias: T | None) -> Objective:
        if self.target == "impressions":
            return Impressions(make_loss(self.loss), slot_bias, self.weight_decay)
        pool = network.known_items[1:]
        if self.loss == "ce":
            return WholeCatalogue(pool.nonzero()[:, 0], pool.cumsum(0) - 1, self.weight_decay)
        parameters = {}
        if self.loss == "gbce":
            parameters["sampling_rate"] = min(self.num_negatives / max(int(pool.sum()) - 1, 1), 1.0)
        criterion = make_loss(self.loss, **parameters)
        return Catalogue(
            criterion, self._negatives(log, pool), self.num_negatives, self.shared, self.logq, self.weight_decay
        )

    def _negatives(self, log: InteractionLog, pool: T) -> Negatives:
        clicks = torch.tensor(
            np.bincount(log.slate[log.clicks], minlength=log.features.num_items),
            dtype=torch.float32,
            device=self.device,
        )
        even = uniform(pool)
        in_batch = InBatch((clicks / clicks.sum()).log())
        return {
            "uniform": even,
            "popularity": popularity(pool, clicks, self.popularity_power),
            "in-batch": in_batch,
            "mixed": Mixed(in_batch, even),
            "hard": Hard(even, self.hard_share),
        }[self.negatives]

    def _make_room(self, log: InteractionLog, num_crosses: int = 0) -> "_Learner":
        """New ones, or copies with rows for users who are new."""
        num_users, num_devices = int(log.user.max()) + 1, int(log.device.max()) + 1
        if self.network is None:
            schema = replace(
                Schema.of(log.features, num_users, num_devices, self.reads_fields), num_crosses=num_crosses
            )
            bias = torch.zeros(log.num_slots) if self._has_slot_bias else None
            return self._made(schema, {}, {}, bias)
        schema = self.network.schema
        if log.features.num_items != schema.num_items:
            raise ValueError(
                f"the log must be of the catalogue of {schema.num_items} items, got one of {log.features.num_items}"
            )
        if num_crosses != schema.num_crosses:
            raise ValueError(f"crosses must be the {schema.num_crosses} that were learned from, got {num_crosses}")
        assert self.optimizer is not None
        bias = None if self.slot_bias is None else self.slot_bias.detach().clone()
        if bias is not None and log.num_slots != len(bias):
            raise ValueError(
                f"the log must have slates of {len(bias)} slots, whose offsets were learned, got {log.num_slots}"
            )
        larger = schema.with_users(max(schema.num_users, num_users))
        return self._made(larger, self.network.state_dict(), self.optimizer.state_dict()["state"], bias)

    @property
    def _has_slot_bias(self) -> bool:
        return self.target == "impressions" and self.position == "feature"

    def _made(
        self, schema: Schema, weights: Mapping[str, T], moments: Mapping[int, Mapping[str, T]], bias: T | None
    ) -> "_Learner":
        """A network with these weights and an optimiser with these moments, both padded for users who are new."""
        network = self.build(schema).to(self.device)
        own = network.state_dict()
        network.load_state_dict({name: _padded(weights[name], own[name], own=True) for name in own} if weights else own)
        slot_bias = None if bias is None else torch.nn.Parameter(bias.to(self.device))
        parameters = [*network.parameters(), *([] if slot_bias is None else [slot_bias])]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate, fused=True)
        for place, parameter in enumerate(parameters):
            if place in moments:
                optimizer.state[parameter] = {
                    name: value.clone() if value.ndim == 0 else _padded(value, parameter.detach(), own=False)
                    for name, value in moments[place].items()
                }
        return network, optimizer, slot_bias

    # Keeping

    def state(self) -> dict[str, A]:
        if self.network is None or self.optimizer is None:
            return {}
        arrays = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        for place, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{place}/{name}": value for name, value in moments.items()}
        if self.slot_bias is not None:
            arrays["slot_bias"] = self.slot_bias.detach()
        schema = json.dumps(self.network.schema.describe()).encode()
        return {name: value.cpu().numpy() for name, value in arrays.items()} | {
            "schema": np.frombuffer(schema, np.uint8),
            "num_learned": np.array(self.num_learned),
        }

    def restore(self, state: Mapping[str, A]) -> None:
        self._kept = None
        if "schema" not in state:
            self.network, self.optimizer, self.slot_bias, self.num_learned = None, None, None, 0
            return
        tensors = {n: torch.tensor(value, device=self.device) for n, value in state.items()}
        weights = {n.removeprefix("network/"): value for n, value in tensors.items() if n.startswith("network/")}
        moments: dict[int, dict[str, T]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                _, place, key = name.split("/")
                moments.setdefault(int(place), {})[key] = value
        schema = Schema.parse(json.loads(state["schema"].tobytes()))
        with seeded(self.seed):
            learner = self._made(schema, weights, moments, tensors.get("slot_bias"))
        self.network, self.optimizer, self.slot_bias = learner
        self.network.eval()
        self.num_learned = int(state["num_learned"])


_Learner = tuple[Network, torch.optim.Optimizer, torch.nn.Parameter | None]
"""A network, its optimiser, and the offsets of slots, where there are any."""


@dataclass(frozen=True)
class _Kept:
    features: FeatureTable
    table: Table
    embedded: Any


def _padded(value: T, like: T, own: bool) -> T:
    """The tensor with as many rows as `like`: those of new users are as its newcomer's, row 0, or zero."""
    num_new = len(like) - len(value) if value.ndim else 0
    if num_new == 0:
        return value.clone()
    if value.dtype == torch.bool or not own:
        return torch.cat([value, torch.zeros_like(like[:num_new])])
    return torch.cat([value, value[:1].expand(num_new, *value.shape[1:])])
