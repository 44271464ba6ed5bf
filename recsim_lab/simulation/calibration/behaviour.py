"""How strongly what was learnt from ratings acts on choices, and which of the reasons to change are on."""

from dataclasses import dataclass

_WEIGHTS = ("stars", "match", "leniency", "popularity", "activity", "intent", "boredom", "satisfaction")


@dataclass(frozen=True)
class Behaviour:
    """Weights of a calibrated world; zero switches a component off.

    utility = stars (match p.q + item bias + leniency user bias) + popularity log(n / geometric mean of n)

    Fields:
        stars: logits of choice to a star of rating.
        match: gain on the personal part, which the penalty of the fit has shrunk. Up to 1.5 it costs next to
            nothing in held-out AUC (.001 on MovieLens-1M); at 2 it costs .007.
        popularity: logits to a unit of the logarithm of an item's number of ratings.
        activity: how far users who rated more come back sooner (logits of the daily hazard to a unit of the
            logarithm of their number of ratings) and stay longer (half of that).
        intent, boredom: weights of `SessionIntent` and `TopicBoredom` over genres; below those of `everyday`, as
            matches spread less here.
        drift, daily_drift: as `rate` and `daily` of `PreferenceDrift`.
        satisfaction: how far satisfaction acts on patience and return, 1 as in `everyday`.
        leaving, returning: whether users lose patience, and whether they take their time to come back or never do;
            otherwise visits last until the limit, and everybody comes every day.
        random_click_rate: clicks that slates of random items get at first; it sets the utility of no click.
    """

    stars: float = 3.0
    match: float = 1.5
    leniency: float = 1.0
    popularity: float = 0.2
    activity: float = 0.5
    intent: float = 1.5
    boredom: float = 0.1
    drift: float = 0.03
    daily_drift: float = 0.01
    satisfaction: float = 1.0
    leaving: bool = True
    returning: bool = True
    num_slots: int = 10
    random_click_rate: float = 0.15

    def __post_init__(self) -> None:
        for name in _WEIGHTS:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not 0 < self.random_click_rate < 1:
            raise ValueError(f"random_click_rate must be in (0, 1), got {self.random_click_rate}")
