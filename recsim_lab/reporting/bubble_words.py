"""How the metrics of a feedback loop are called, scaled and explained in front of people."""

from recsim_lab.evaluation.bubble.metrics import METRICS, RAREFIED, BubbleMetric
from recsim_lab.evaluation.feedback.days import EARNED
from recsim_lab.evaluation.feedback.study import STABILITY
from recsim_lab.reporting.words import Estimate

SHORT_LEVELS = {"exposure": "shown", "consumption": "clicked", "preference": "tastes"}
LEVELS = {"exposure": "what was shown", "consumption": "what was clicked", "preference": "tastes"}
DIRECTIONS = {"within": "within users", "between": "between users"}
HEADLINES = {
    "exposure": ("topic_entropy", "coverage", "effective_catalogue", "jaccard_random", "long_tail_share", "novelty"),
    "consumption": (
        *("topic_entropy", "coverage", "effective_catalogue"),
        *("jaccard_random", "user_diversity", "inter_user_diversity"),
    ),
    "preference": (
        *("drift", "caused_drift", "taste_entropy"),
        *("inter_user_distance", "mean_cosine", "first_component_share"),
    ),
}
"""The metrics that stand in the open; all others are folded away beside them."""
MAIN = ("coverage", "effective_catalogue", "jaccard_random")
"""Of what was shown: the three numbers by which a report is summed up."""
SHARES = frozenset(
    {
        *("coverage", "rarefied_coverage", "top_share", "long_tail_share", "new_item_share", "first_component_share"),
        *(f"{kind}jaccard_{who}" for kind in ("", "rarefied_") for who in ("random", "true_nearest", "model_nearest")),
        *("num_users", "num_churned"),
    }
)
"""Metrics that are told in percent."""
_NAMES = {
    "calibration_js": "miscalibration (JS)",
    "calibration_kl": "miscalibration (KL)",
    "calibration_kl_gap": "miscalibration gap of niche users",
    "caused_drift_gap": "caused drift gap of niche users",
    "clicks_per_user": "clicks per user and day",
    EARNED: "clicks per user so far",
    "cosine_model_nearest": "cosine (nearest by the model)",
    "cosine_true_nearest": "cosine (nearest at the start)",
    "creator_gini": "Gini index of creators",
    "drift_gap": "drift gap of niche users",
    "dwell_per_user": "minutes per user and day",
    "first_component_share": "share of first component",
    "gini": "Gini index of items",
    "jaccard_model_nearest": "Jaccard (nearest by the model)",
    "jaccard_random": "Jaccard of two users",
    "jaccard_true_nearest": "Jaccard (nearest at the start)",
    "mean_cosine": "cosine of two users",
    "num_topics": "number of topics",
    "niche_clicks_gap": "clicks of niche users above others'",
    "num_churned": "left for good so far",
    "num_users": "came that day",
    "opportunity_gini": "Gini index of opportunity",
    "regret": "regret, clicks per slate",
    "return_days": "days until return",
    STABILITY: "stability of popularity",
    "top_share": "share of the top 1%",
    "topic_entropy_gap": "topic entropy gap of niche users",
}
_FORMS = {"effective_catalogue": ",.0f", "inter_user_distance": ".4f", "mean_cosine": ".4f"}
"""How metrics are written of which other decimals matter."""
_KNOWN: dict[tuple[str, str, str], BubbleMetric] = {
    (metric.level, metric.direction, metric.name): metric for metric in (*METRICS, *RAREFIED)
}
_STABILITY_MEANING = "How alike items' clicks are without a remedy and under its null twin, which differ in luck alone."


def bubble_metric(level: str, direction: str, metric: str) -> BubbleMetric | None:
    """What a metric says, if it is one of the bubble's."""
    return _KNOWN.get((level, direction, metric))


def turned(level: str, direction: str, metric: str) -> bool:
    """Whether more of it is narrower, so that its axis is turned for down to be narrower."""
    known = bubble_metric(level, direction, metric)
    return known is not None and known.narrower == "higher"


def bubble_name(metric: str) -> str:
    """`effective_catalogue` as `effective catalogue`, without a unit; `rarefied_coverage` as `coverage`."""
    metric = metric.removeprefix("rarefied_")
    return _NAMES.get(metric, metric.replace("_", " "))


def name_with_unit(metric: str) -> str:
    return bubble_name(metric) + (", %" if metric in SHARES else "")


def meaning(level: str, direction: str, metric: str) -> str:
    """A sentence on what a metric says, and one on where the bubble lies; empty for metrics that need none."""
    if metric == STABILITY:
        return _STABILITY_MEANING
    known = bubble_metric(level, direction, metric)
    return "" if known is None else f"{known.meaning} Narrower: {known.narrower}."


def scale_of(metric: str) -> float:
    """By what values are multiplied before they are written."""
    return 100.0 if metric in SHARES else 1.0


def estimate(metric: str, value: float, low: float, high: float, *, difference: bool = False) -> Estimate:
    """A value of a metric as it is written: shares in percent, their differences in points, else by `_FORMS` or with
    three decimals."""
    form, scale = _FORMS.get(metric, ".1f" if metric in SHARES else ".3f"), scale_of(metric)
    if difference and metric == "effective_catalogue":
        form = ",.1f"
    return Estimate(scale * value, scale * low, scale * high, ("+" if difference else "") + form)
