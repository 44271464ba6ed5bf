"""Claims about models as paired comparisons: what was claimed, what was measured, and whether that confirms it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy import stats

from recsim_lab.evaluation.statistics import Interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray


@dataclass(frozen=True)
class Comparison:
    """One agent against another on one number, seed by seed in the same world.

    With `without`, the name of a second world, the claim is that the difference is larger in `world` than there: that
    it comes from what the second world lacks. `lower_is_better` turns a number round.
    """

    claim: str
    world: str
    better: str
    worse: str
    metric: str
    without: str | None = None
    lower_is_better: bool = False

    def differences(self, scores: "pd.DataFrame") -> Float[A, " seeds"]:
        """`better` minus `worse` for every seed that has both, in words of which more is better."""
        here = self._advantage(scores, self.world)
        return here if self.without is None else here - self._advantage(scores, self.without)

    def measure(self, scores: "pd.DataFrame") -> str:
        """What was subtracted from what; of a difference of leads, both of them."""
        pair = (self.worse, self.better) if self.lower_is_better else (self.better, self.worse)
        words = f"{pair[0]} minus {pair[1]}: {self.metric.partition('/')[2] or self.metric}"
        if self.without is None:
            return words
        leads = (self._advantage(scores, world).mean() for world in (self.world, self.without))
        return words + " ({:+.4f} here, {:+.4f} there)".format(*leads)

    def _advantage(self, scores: "pd.DataFrame", world: str) -> Float[A, " seeds"]:
        frozen = scores[(scores["world"] == world) & (scores["deployment"] == "frozen")]
        by_agent = frozen.pivot(index="seed", columns="agent", values=self.metric).sort_index()
        if missing := {self.better, self.worse} - set(by_agent.columns):
            raise ValueError(f"scores of {world!r} must hold {', '.join(sorted(missing))} to judge {self.claim!r}")
        sign = -1.0 if self.lower_is_better else 1.0
        return sign * (by_agent[self.better] - by_agent[self.worse]).to_numpy(np.float64)


def claims_table(scores: "pd.DataFrame", comparisons: Sequence[Comparison]) -> "pd.DataFrame":
    """A row for each comparison: its difference with a 95% interval over seeds, and the verdict."""
    import pandas as pd

    return pd.DataFrame([claim_row(c.claim, _where(c), c.measure(scores), c.differences(scores)) for c in comparisons])


def claim_row(
    claim: str, where: str, measure: str, differences: Float[A, " units"], unit: str = "seeds"
) -> dict[str, object]:
    """What was claimed, where, by which measure; the mean difference, positive if the claim holds, and the verdict.

    *confirmed*: the 95% interval is above zero; *contradicted*: it is below; *not confirmed*: it holds zero, or there
    are too few independent units (seeds, or the users of a data set) for an interval.
    """
    interval = mean_interval(differences)
    return {
        "claim": claim,
        "where": where,
        "measure": measure,
        "difference": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "p_value": _p_value(differences),
        "units": f"{len(differences)} {unit}",
        "verdict": verdict_of(interval),
    }


def verdict_of(interval: Interval) -> str:
    """What the interval of a difference that was claimed to be positive says of the claim; without ends, nothing."""
    return "confirmed" if interval.low > 0 else "contradicted" if interval.high < 0 else "not confirmed"


def _p_value(differences: Float[A, " units"]) -> float:
    """Of Student's paired test against zero, two-sided; NaN for fewer than two units, 1 where all differences are 0."""
    if len(differences) < 2:
        return float("nan")
    return 1.0 if (differences == 0).all() else float(stats.ttest_1samp(differences, 0.0).pvalue)


def _where(comparison: Comparison) -> str:
    return comparison.world if comparison.without is None else f"{comparison.world} against {comparison.without}"
