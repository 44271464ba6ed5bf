"""How it was done, and who served."""

import pandas as pd

from recsim_lab.evaluation.feedback.plan import Arm
from recsim_lab.reporting.blocks import Section, Table
from recsim_lab.reporting.feedback_loop.run import LoopRun


def how(run: LoopRun) -> Section:
    return Section("How it was done", _HOW.format(**vars(run.plan)), (arms(run),))


_HOW = (
    "Slates of `{logging}` were logged for {log_days} days. Then each arm served twins of the same users for "
    "{loop_days} days; agents learned again and again (days between: {retrain_every}) from the last {window_days} days "
    "of what they had shown, and of the log before. A model that places what it never met last, as `mf` does, shows no "
    "item released after that log unless a remedy shows it first: without one, the share of new items is 0 by "
    "construction, and coverage falls with each release. The bubble is measured over the last {recent_days} days (days "
    "from one measurement to the next: {measure_every}); at most {sample} users are compared in pairs. The learning "
    "dividend is that of {dividend_days} days after the loop.\n\n"
    "Intervals are Student's at 95% over seeds. Differences are paired: both arms meet the same users and the same "
    "luck, so that they are known better than either level. Every number is in a table of the run's folder, as CSV: "
    "`timeline.csv` has each seed's value of each metric on each day, `days.csv` and `welfare.csv` their means, "
    "differences and intervals."
)


def arms(run: LoopRun) -> Table:
    """Who served."""
    frame = pd.DataFrame(
        {
            "arm": [arm.name for arm in run.plan.arms],
            "policy": [arm.policy for arm in run.plan.arms],
            "role": ["no remedy" if arm == run.plan.baseline else arm.role for arm in run.plan.arms],
            "learns": [_learns(arm) for arm in run.plan.arms],
            "seeds": [run.num_seeds if arm.role != "control" else run.control_seeds for arm in run.plan.arms],
        }
    )
    return Table(frame, "All arms. References such as the oracle read the hidden truth.")


def _learns(arm: Arm) -> str:
    if arm.is_reference or not arm.learns:
        return "no"
    return "yes" if arm.forgets else "from all days"
