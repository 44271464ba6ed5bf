"""The secondary reading: only users who are still there at the end, in every arm.

Which users leave depends on the arm, so these are no random sample, and what is said of them is not what an arm does to
a population. It tells whether the primary reading, in which those who left count with nothing, rests on who left.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsim_lab.evaluation.bubble.measure import preference_metrics
from recsim_lab.evaluation.feedback.loop import start_of_loop
from recsim_lab.evaluation.feedback.plan import FeedbackPlan
from recsim_lab.evaluation.feedback.study import Outcome
from recsim_lab.evaluation.plan import Factories

if TYPE_CHECKING:
    import pandas as pd


def present_table(outcomes: list[Outcome], plan: FeedbackPlan, factories: Factories, folder: Path) -> "pd.DataFrame":
    """`arm, seed, num_users, metric, value`: clicks per user and day of the loop, and the metrics of preferences at its
    end, of the same `num_users` in all arms of a seed. NaN where nobody is left, and for metrics of pairs of users."""
    import pandas as pd

    rows = []
    for seed in plan.seeds:
        ground = start_of_loop(seed, plan, factories, folder).ground
        arms = {outcome.unit.arm: outcome.users for outcome in outcomes if outcome.unit.seed == seed}
        here = np.all([users["here"] for users in arms.values()], axis=0)
        num_users = int(here.sum())
        for arm, users in arms.items():
            clicks = here[users["user"]].sum() / (num_users * plan.loop_days) if num_users else float("nan")
            values = {"clicks_per_user": float(clicks)}
            if num_users:
                those = replace(ground, preference=ground.preference[here], mainstream=ground.mainstream[here])
                values |= preference_metrics(users["preference"][here], users["natural"][here], those, {})
            rows += [(arm, seed, num_users, metric, value) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["arm", "seed", "num_users", "metric", "value"])
