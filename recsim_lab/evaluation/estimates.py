"""What off-policy estimators say an agent would earn at the requests of a log's last days, beside what it would."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from recsim_lab.evaluation.off_policy import (
    Additive,
    Cascade,
    CascadeDoublyRobust,
    Clip,
    Direct,
    DoublyRobust,
    Estimator,
    Grouped,
    InversePropensity,
    Question,
    Replay,
    SelfNormalised,
    Shrink,
    Switch,
    WholeSlate,
    assess,
    logged_slates,
)
from recsim_lab.evaluation.offline import Restrict
from recsim_lab.evaluation.truth import Moments
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import FeatureTable, Policy
from recsim_lab.probabilities import redraw

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

ESTIMATORS: tuple[Estimator, ...] = (
    Replay(),
    Direct(),
    InversePropensity(),
    InversePropensity(change=Clip()),
    SelfNormalised(),
    DoublyRobust(),
    DoublyRobust(change=Switch()),
    DoublyRobust(change=Shrink()),
    InversePropensity(Cascade()),
    CascadeDoublyRobust(),
    InversePropensity(Additive()),
    SelfNormalised(Additive()),
    InversePropensity(WholeSlate()),
    InversePropensity(Grouped()),
)
NUM_REDRAWS = 100
"""Answers of a random target from which a probability is estimated; a study asks of many targets."""
PROTOCOL = "off-policy"
"""The protocol that estimates stand under."""


def estimates_of(
    policy: Policy,
    log: InteractionLog,
    rows: Int[A, " some"],
    restrict: Restrict,
    logging: Policy | None = None,
    moments: Moments | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """A row of a table for each of the `ESTIMATORS`, refusals with their reasons among them.

    All estimate the expected clicks per slate of `policy`, which has its rules, at these rows of the log. `truth` is
    that number itself, where the moments of the log are at hand: the expected clicks of the policy's own slates, had
    they been shown to the users as they were. `logging` is the policy that served the rows, unless it learned
    meanwhile; `restrict` applies its rules to requests.
    """
    question = Question(
        groups=_groups(log.features), restrict=restrict, own_slates=10, num_redraws=NUM_REDRAWS, seed=seed
    )
    logged = logged_slates(log, policy, logging, question, rows)
    truth = float("nan")
    if moments is not None and len(rows):
        observation = log.observations(rows)
        slates = policy.recommend(observation, log.num_slots, redraw(observation, 0)).items
        truth = float(moments.expected_clicks(rows, slates).mean())
    return [estimate.row() | {"truth": truth} for estimate in assess(logged, ESTIMATORS)]


def estimators_table(estimates: "pd.DataFrame") -> "pd.DataFrame":
    """How each estimator did in each world and log: the share of agents and seeds of which it refused to tell, and of
    the others the mean relative error, its absolute size, and how often the 95% interval held the truth."""
    import pandas as pd

    rows = []
    keys = ["world", "logging_policy", "estimator"]
    for key, group in estimates.groupby(keys, sort=False):
        told = group[group["reason"] == ""]
        error = told["value"] / told["truth"] - 1
        held = (told["low"] <= told["truth"]) & (told["truth"] <= told["high"])
        refused = group["reason"][group["reason"] != ""]
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "refused": len(refused) / len(group),
                "mean_error": error.mean(),
                "mean_absolute_error": error.abs().mean(),
                "coverage": held.mean() if len(told) else float("nan"),
                "effective_sample_size": told["effective_sample_size"].median(),
                "usual_reason": refused.mode().iloc[0] if len(refused) else "",
            }
        )
    return pd.DataFrame(rows)


def _groups(features: FeatureTable) -> Int[A, " items"] | None:
    """The codes of the first categorical field of items."""
    name = next((field.name for field in features.item_fields if field.kind == "categorical"), None)
    return None if name is None else features.items[name]
