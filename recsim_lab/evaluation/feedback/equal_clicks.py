"""Arms at equal numbers of clicks: an arm that earns more clicks is not broader or narrower for that alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsim_lab.evaluation.bubble.interactions import clicks_of
from recsim_lab.evaluation.bubble.rarefaction import rarefied_metrics, with_enough
from recsim_lab.evaluation.feedback.loop import start_of_loop
from recsim_lab.evaluation.feedback.plan import FeedbackPlan
from recsim_lab.evaluation.feedback.study import Outcome
from recsim_lab.evaluation.plan import Factories

if TYPE_CHECKING:
    import pandas as pd


def equal_clicks_table(
    outcomes: list[Outcome], plan: FeedbackPlan, factories: Factories, folder: Path, num_clicks: int
) -> "pd.DataFrame":
    """`arm, seed, num_clicks, num_users, metric, value`: `RAREFIED` metrics of what was clicked in the whole loop.

    Of each user `num_clicks` clicks count, in expectation over which; of each seed the same `num_users` in all arms:
    those who clicked as often in every one of them. NaN where there is no such user, and of users nearest by the model
    where an arm has none.
    """
    import pandas as pd

    if num_clicks < 1:
        raise ValueError(f"num_clicks must be at least 1, got {num_clicks}")
    rows = []
    for seed in plan.seeds:
        start = start_of_loop(seed, plan, factories, folder)
        ground = start.ground
        arms = {outcome.unit.arm: outcome.users for outcome in outcomes if outcome.unit.seed == seed}
        clicked = {arm: clicks_of(told["user"], told["item"]) for arm, told in arms.items()}
        users = np.all([with_enough(met, num_clicks, ground.num_users) for met in clicked.values()], axis=0)
        for arm, met in clicked.items():
            pairs = start.pairs | {name: arms[arm][name] for name in ("model_nearest",) if name in arms[arm]}
            values = rarefied_metrics(met, num_clicks, users, ground, pairs)
            rows += [(arm, seed, num_clicks, int(users.sum()), metric, value) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["arm", "seed", "num_clicks", "num_users", "metric", "value"])
