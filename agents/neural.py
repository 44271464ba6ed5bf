"""The agent around a network: which examples, which objective, when to stop."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int

from agents.base import check_catalogue, indifferent
from agents.examples import Crosses, Examples, clicks_of, slates_of
from agents.fields import Schema, Table
from agents.learner import Learner, Moments, arrays_of, made, read
from agents.losses import make_loss
from agents.negatives import Hard, InBatch, Mixed, Negatives, popularity, uniform
from agents.network import DotNetwork, Network
from agents.network_parameters import NetworkParameters
from agents.objective import Catalogue, Impressions, Objective, WholeCatalogue
from agents.serving import Serving
from agents.training import Epoch, Report, Schedule, fit, held_out_loss, seeded
from agents.weighting import Selection
from recsim_lab.examination import examine
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import FeatureTable, Observation, Scorer

A = np.ndarray
T = torch.Tensor


@dataclass(eq=False)
class NetworkAgent(NetworkParameters, Scorer):
    """Learns a network from a log, with one of two targets, any loss and any kind of negatives.

    `learn` again goes on from the weights and the optimiser's state, for `warm_epochs` instead of `epochs`. `curve` is
    what the last `learn` brought, epoch by epoch; it is saved with the weights, but for its seconds.
    """

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
    _kept: Serving | None = field(init=False, repr=False, default=None)

    pairs_at_once: ClassVar[int] = 2**14
    """Scores computed in one piece, which bounds memory."""

    @abstractmethod
    def build(self, schema: Schema) -> Network:
        """A new network, its weights drawn by torch."""

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
        check_catalogue(self.network.schema.num_items, observation.features)
        num_crosses = 0 if crosses is None else crosses.shape[2]
        if num_crosses != self.network.schema.num_crosses:
            raise ValueError(
                f"crosses must be the {self.network.schema.num_crosses} that were learned from, got {num_crosses}"
            )
        return self._keep(observation.features).scores(observation, items, crosses)

    def request_vectors(self, observation: Observation) -> Float32[A, "rows dim"]:
        """The vectors whose dot products with those of items are the scores, where the network is a `DotNetwork`."""
        network = self._dot_network()
        check_catalogue(network.schema.num_items, observation.features)
        return self._keep(observation.features).request_vectors(observation)

    def item_vectors(self, features: FeatureTable) -> Float32[A, "items dim"]:
        """The vectors of all items, of which those that the network can't judge are to be left alone."""
        check_catalogue(self._dot_network().schema.num_items, features)
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

    def _keep(self, features: FeatureTable) -> Serving:
        """The network ready to serve a catalogue, kept as long as neither changes."""
        assert self.network is not None
        if self._kept is None or self._kept.features is not features:
            self._kept = Serving.of(self.network, features, self.device, self.num_recent, self.pairs_at_once)
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
            network.known_items[1 + torch.as_tensor(log.slate[log.slate >= 0]).long()] = True
            examples = self._examples(log, network.schema.table(log.features, self.device), crosses)
            held_out = None
            if self.validation:
                examples, held_out = examples.split(self.validation)
            objective = self._objective(log, network, slot_bias, examples)
            network.known_users[1 + examples.users] = True
            validate: Callable[[], float] | None = None
            if self.judged_by is not None:
                validate = partial(self._judged, network)
            elif held_out is not None and len(held_out):  # a few clicks have no tenth
                network.eval()
                validate = held_out_loss(network, held_out, objective.of_held_out, self.batch_size, self.seed)
                if not validate():  # no term at all, as of a click without a negative in its batch
                    validate = None
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
        return clicks_of(log, table, self.device, self.num_recent, selection, tells_known=self.needs_known)

    def _objective(self, log: InteractionLog, network: Network, slot_bias: T | None, examples: Examples) -> Objective:
        if self.target == "impressions":
            return Impressions(make_loss(self.loss), slot_bias, self.weight_decay)
        pool = network.known_items[1:]
        if self.loss == "ce":
            changes = not log.features.on_offer(log.tick[[log.tick.argmin(), log.tick.argmax()]]).all()
            return WholeCatalogue(pool.nonzero()[:, 0], pool.cumsum(0) - 1, changes, self.weight_decay)
        parameters = {}
        if self.loss == "gbce":
            parameters["sampling_rate"] = min(self.num_negatives / max(int(pool.sum()) - 1, 1), 1.0)
        criterion = make_loss(self.loss, **parameters)
        return Catalogue(
            criterion, self._negatives(examples, pool), self.num_negatives, self.shared, self.logq, self.weight_decay
        )

    def _negatives(self, examples: Examples, pool: Bool[T, " items"]) -> Negatives:
        clicks = torch.bincount(examples.clicked, minlength=len(pool)).float()
        even = uniform(pool)
        in_batch = InBatch((clicks / clicks.sum()).log())
        return {
            "uniform": even,
            "popularity": popularity(pool, clicks, self.popularity_power),
            "in-batch": in_batch,
            "mixed": Mixed(in_batch, even),
            "hard": Hard(even, self.hard_share),
        }[self.negatives]

    def _make_room(self, log: InteractionLog, num_crosses: int = 0) -> Learner:
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

    def _made(self, schema: Schema, weights: Mapping[str, T], moments: Moments, bias: T | None) -> Learner:
        """See `agents.learner.made`."""
        return made(self.build(schema).to(self.device), self.learning_rate, weights, moments, bias)

    # Keeping

    def state(self) -> dict[str, A]:
        if self.network is None or self.optimizer is None:
            return {}
        learner = self.network, self.optimizer, self.slot_bias
        losses = np.array([epoch.loss for epoch in self.curve])
        # No NaN, which equals nothing, where an epoch was not validated.
        validations = np.array([-np.inf if np.isnan(epoch.validation) else epoch.validation for epoch in self.curve])
        kept = {"num_learned": np.array(self.num_learned), "losses": losses, "validations": validations}
        return arrays_of(learner) | kept

    def restore(self, state: Mapping[str, A]) -> None:
        self._kept = None
        if "schema" not in state:
            self.network, self.optimizer, self.slot_bias, self.num_learned, self.curve = None, None, None, 0, []
            return
        schema, weights, moments, bias = read(state, self.device)
        with seeded(self.seed):
            learner = self._made(schema, weights, moments, bias)
        self.network, self.optimizer, self.slot_bias = learner
        self.network.eval()
        self.num_learned = int(state["num_learned"])
        self.curve = [
            Epoch(place, loss, np.nan if np.isneginf(validation) else validation, seconds=np.nan)
            for place, (loss, validation) in enumerate(zip(state["losses"], state["validations"], strict=True))
        ]
