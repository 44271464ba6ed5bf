"""Users one by one: what a few were shown and became under each arm."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from recsim_lab.evaluation.bubble.diversity import entropy
from recsim_lab.evaluation.feedback.narrowing import FROZEN, ORGANIC
from recsim_lab.reporting.blocks import Block, Details, Section, Table
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.figures.user_topics import user_topics

LIFE_YARDSTICKS = (FROZEN, ORGANIC, "random")


def lives(run: LoopRun) -> Section | None:
    """A few users under every arm; None where nobody is told of."""
    seed = run.plan.seeds[0]
    examples = run.tables["examples"]
    examples = examples[examples["seed"] == seed]
    there = set(examples["arm"])
    if run.baseline not in there:
        return None
    arms = [arm for arm in (run.baseline, *run.remedies, *LIFE_YARDSTICKS) if arm in there]
    folded: list[Block] = []
    seen = set()
    for user, group in examples[["user", "group"]].drop_duplicates().itertuples(index=False, name=None):
        figure = user_topics(examples[examples["user"] == user], arms)
        title = f"User {user}, {group}"
        figure = replace(figure, alt=f"{title}. {figure.alt}")
        folded.append(Details(title, (figure,), unfolded=group not in seen))
        seen.add(group)
    return Section(
        "Users one by one",
        f"The same users in each arm, in seed {seed}: those with the most clicks before the loop of mainstream users "
        "(whose tastes lie near the average) and of niche users. They are examples: what holds of them need not hold "
        "of others. Other seeds are in `examples.csv`.",
        (*folded, users(run, examples, arms)),
    )


def users(run: LoopRun, examples: pd.DataFrame, arms: Sequence[str]) -> Table:
    """What the example users were shown and became, in numbers."""
    rows = []
    for user, group in examples[["user", "group"]].drop_duplicates().itertuples(index=False, name=None):
        for arm in arms:
            own = examples[(examples["user"] == user) & (examples["arm"] == arm)]
            shown, taste = (own.pivot(index="day", columns="topic", values=name) for name in ("shown", "taste"))
            seen = shown.dropna()
            before, after = taste.iloc[0].to_numpy(float), taste.iloc[-1].to_numpy(float)
            favourite = int(before.argmax())
            rows.append(
                {
                    "user": f"{user} ({group})",
                    "arm": arm,
                    "shown, first": _effective(seen.iloc[0]) if len(seen) else np.nan,
                    "shown, last": _effective(seen.iloc[-1]) if len(seen) else np.nan,
                    "taste, before": _effective(taste.iloc[0]),
                    "taste, after": _effective(taste.iloc[-1]),
                    "favourite, before": before[favourite],
                    "favourite, after": after[favourite],
                    "taste moved": float(np.abs(after - before).sum() / 2),
                }
            )
    caption = (
        "One life under each arm, so there are no intervals. Shown and taste: how many topics, all alike, would "
        "be as diverse (exponential of the entropy); shown on the first and the last measured day on which the user "
        "had come. Favourite: the share in taste of the topic liked most before the loop. Taste moved: the share of "
        "the taste that lies on other topics now."
    )
    topics = dict.fromkeys(("shown, first", "shown, last", "taste, before", "taste, after"), ".1f")
    shares = dict.fromkeys(("favourite, before", "favourite, after", "taste moved"), ".0%")
    return Table(pd.DataFrame(rows), caption, topics | shares)


def _effective(shares: pd.Series) -> float:
    return float(np.exp(entropy(shares.to_numpy(float)[None])[0]))
