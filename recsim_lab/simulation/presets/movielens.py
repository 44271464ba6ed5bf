"""MovieLens users and films: a world fitted to the ratings that ship with the library.

`python -m recsim_lab.simulation.presets.movielens` fits the shipped parameters anew.
"""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from recsim_lab.datasets import load_sample
from recsim_lab.simulation.calibration import Behaviour, Estimates, calibrated_world, estimate
from recsim_lab.simulation.world import World

MIN_RATINGS = 10
"""Films with fewer ratings in the sample are left out."""
_FILE = "movielens.npz"


def movielens(
    seed: int = 0,
    num_users: int = 0,
    num_items: int = 0,
    num_slots: int = 10,
    stars: float = 3.0,
    match: float = 3.0,
    leniency: float = 1.0,
    popularity: float = 0.2,
    activity: float = 0.5,
    intent: float = 1.5,
    boredom: float = 0.1,
    drift: float = 0.03,
    daily_drift: float = 0.01,
    satisfaction: float = 1.0,
    leaving: bool = True,
    returning: bool = True,
    random_click_rate: float = 0.15,
) -> World:
    """The 671 users of MovieLens latest-small (2016) and its 2,245 films with ten ratings or more; or `num_users` of
    them, drawn by the seed, and the `num_items` films that were rated most (0: all).

    Low-rank by construction: tastes are fitted vectors of 16 dimensions that meet in a dot product, so a factor
    model has the right form here; compare models in `everyday` too. `Behaviour` explains the parameters; `seed`
    draws what the ratings do not tell. Topics are genres; `shipped_estimates` names them and holds the data set's own
    ids. `match` is 3 because the penalty of the fit shrinks tastes more where ratings are few: it brings their spread
    (.10 stars in this sample) to that of MovieLens-1M (.19 stars) at its gain of 1.5.
    """
    estimates = shipped_estimates()
    for name, asked, most in (
        ("num_users", num_users, len(estimates.user_ids)),
        ("num_items", num_items, len(estimates.item_ids)),
    ):
        if not 0 <= asked <= most:
            raise ValueError(f"{name} must be in [0, {most}], got {asked}")
    if num_users or num_items:
        users = np.random.default_rng(seed).permutation(len(estimates.user_ids))[: num_users or None]
        items = np.argsort(-estimates.ratings_per_item, kind="stable")[: num_items or None]
        estimates = estimates.take(np.sort(users), np.sort(items))
    behaviour = Behaviour(
        stars=stars,
        match=match,
        leniency=leniency,
        popularity=popularity,
        activity=activity,
        intent=intent,
        boredom=boredom,
        drift=drift,
        daily_drift=daily_drift,
        satisfaction=satisfaction,
        leaving=leaving,
        returning=returning,
        num_slots=num_slots,
        random_click_rate=random_click_rate,
    )
    return calibrated_world(estimates, behaviour, seed, name="movielens")


def shipped_estimates() -> Estimates:
    """What was estimated from the sample."""
    with as_file(files("recsim_lab.simulation.presets") / "data" / _FILE) as path:
        return Estimates.load(path)


def refit() -> Estimates:
    """Estimate from the sample anew, as was done for the shipped file."""
    return estimate(load_sample().with_min_ratings(per_item=MIN_RATINGS, per_user=0))


def main() -> None:
    path = Path(__file__).parent / "data" / _FILE
    refit().save(path)
    print(f"wrote {path} ({path.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
