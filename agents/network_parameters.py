"""What an agent around a network may be told about what it learns from and how, and what makes no sense together."""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import torch

from agents.base import NamedAgent
from agents.losses import make_loss
from agents.weighting import Weighting
from recsim_lab.propensities import MOST_WEIGHT

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
class NetworkParameters(NamedAgent):
    """The parameters of every agent around a network.

    `target="catalogue"` trains every click against `num_negatives` drawn items (`loss="ce"`: against all items),
    `target="impressions"` the clicks of a slate against the rest of it. Negatives are drawn from all items shown so
    far: `uniform`; by `popularity`, clicks to the power `popularity_power`; `in-batch`, the other clicks of the
    batch; `mixed`, in-batch and uniform ones; `hard`, of which `hard_share` are those that the previous epoch's
    network scores highest among what the user did not click in what is being learned from. What was not on offer when
    the click was made does not count. With `shared`, one draw serves a whole batch. `logq` corrects the sampled softmax
    for how often each negative is drawn.

    What the log shows was chosen by a policy. `weighting="ips"` makes up for it by the propensities that the log holds:
    of an impression for pointwise losses of slates, of a whole slate for the other losses of slates, which are about
    documents that were shown together, and for `target="catalogue"` of the click's impression, so that clicks count as
    if items had been shown by chance. `"snips"` divides the weights of a batch by their mean. See `agents.weighting`
    for what weights mean, what a log without choice does, and which logs are refused. Slates of many slots are rare
    each: their weights leave little of a log, or are mostly cut off at `most_weight`.

    With `validation` above 0, that share of the examples, the newest, is held out and training stops after
    `patience` epochs without a better loss on it; where negatives are hard, without a better rank of the clicks.
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
    """How `position="weight"` tells from a log how rarely a slot is looked at: see `recsim_lab.examination`. Rates are
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

    compares_all: ClassVar[bool] = True
    """Whether a request meets all items in one product, as a `DotNetwork` does it."""

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
        _check_device(self.device)
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

    @property
    def needs_known(self) -> bool:
        """Whether examples must tell what else their users clicked: hard negatives are none of it."""
        return self.negatives == "hard"

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
        if self.negatives == "hard" and self.hard_warmup >= self.epochs:
            raise ValueError(
                f"hard_warmup must be below the {self.epochs} epochs, or no negative is hard, got {self.hard_warmup}"
            )
        if self.logq and self.negatives == "hard":
            raise ValueError("logq must be false where negatives='hard': how often the hardest are drawn is not known")
        if self.logq and (self.loss != "softmax" or self.target != "catalogue"):
            raise ValueError(
                "logq corrects a sampled softmax: it must go with loss='softmax' and target='catalogue', "
                f"got loss={self.loss!r} and target={self.target!r}"
            )
        drawn = self.target == "catalogue" and self.loss != "ce"
        self.check_unread(
            drawn, "negatives are drawn: target='catalogue', a loss other than 'ce'", "num_negatives", "shared"
        )
        whole_batch = self.negatives == "in-batch" and self.shared
        self.check_unread(
            not whole_batch, "negatives are counted: in-batch ones that are shared are the whole batch", "num_negatives"
        )
        if self.negatives == "mixed" and not self.shared and self.num_negatives < 2:
            raise ValueError(f"num_negatives must be at least 2 where negatives are mixed, got {self.num_negatives}")
        self.check_unread(self.negatives == "popularity", "negatives='popularity'", "popularity_power")
        self.check_unread(self.negatives == "hard", "negatives='hard'", "hard_share", "hard_warmup")
        self.check_unread(self.target == "impressions", "target='impressions', which knows slots", "position")
        self.check_unread(self.position == "weight", "position='weight'", "examination")
        weighs = (self.position == "weight" and self.examination == "propensities") or self.weighting != "none"
        self.check_unread(
            weighs, "there is a weighting, or position='weight' with examination='propensities'", "most_weight"
        )

    def check_unread(self, read: bool, where: str, *names: str) -> None:
        """Refuse values of parameters that nothing reads: agents of other names would be the same."""
        for name in names:
            default = next(f.default for f in fields(self) if f.name == name)
            if not read and getattr(self, name) != default:
                raise ValueError(f"{name} must be left out unless {where}; got {getattr(self, name)!r}")


def _check_device(device: str) -> None:
    """Raises ValueError for a device that torch does not know, or that is not there."""
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"device must be one that torch knows, such as 'cpu' or 'cuda:0', got {device!r}") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device must be there, got {device!r}, and torch finds no GPU")
