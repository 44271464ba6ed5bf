"""All metrics are told by the functions of their level, and do not depend on how users, items or rows are named."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsim_lab.evaluation.bubble import (
    METRICS,
    PAIR_KINDS,
    RAREFIED,
    Window,
    clicks_of,
    consumption_metrics,
    exposure_metrics,
    measure,
    preference_metrics,
    random_pairs,
    top_likes,
)
from tests.evaluation.bubble.made_by_hand import random_clicks, random_ground, random_window

LEVELS = ("exposure", "consumption", "preference")


def everything(seed, num_users=9, num_items=14):
    """Arguments of `measure` with nothing left out."""
    rng = np.random.default_rng(seed)
    ground = random_ground(rng, num_users, num_items)
    now, natural = ground.preference + rng.normal(0, 0.3, (2, *ground.preference.shape))
    return {
        "window": random_window(rng, ground, num_slates=40),
        "history": random_clicks(rng, ground, 40),
        "preference": now,
        "natural": natural,
        "ground": ground,
        "pairs": {kind: random_pairs(num_users, 12, rng) for kind in PAIR_KINDS},
        "on_offer": rng.random(num_items) < 0.8,
        "new": rng.random(num_items) < 0.3,
        "likes": top_likes(now, ground.latent, np.arange(num_users - 2), 3),
    }


def values(rows):
    return np.array([row.value for row in rows])


def test_names_agree_with_what_the_functions_return():
    some = everything(0)
    common = {name: some[name] for name in ("on_offer", "new")}
    told = {
        "exposure": exposure_metrics(
            some["window"],
            some["ground"],
            some["pairs"],
            history=some["history"],
            likes=some["likes"],
            **common,
        ),
        "consumption": consumption_metrics(some["window"], some["history"], some["ground"], some["pairs"], **common),
        "preference": preference_metrics(some["preference"], some["natural"], some["ground"], some["pairs"]),
    }
    for level in LEVELS:
        assert sorted(told[level]) == sorted(metric.name for metric in METRICS if metric.level == level)
        assert all(isinstance(value, float) and np.isfinite(value) for value in told[level].values())
    rows = measure(**some)
    assert [(row.level, row.direction, row.metric) for row in rows] == [(m.level, m.direction, m.name) for m in METRICS]
    assert values(rows).tolist() == [told[m.level][m.name] for m in METRICS]
    assert list(pd.DataFrame(rows).columns) == ["level", "direction", "metric", "value"]


def test_each_metric_is_listed_once_and_says_what_it_means():
    for metrics in (METRICS, RAREFIED):
        keys = [(metric.level, metric.name) for metric in metrics]
        assert len(set(keys)) == len(keys)
        assert [LEVELS.index(metric.level) for metric in metrics] == sorted(LEVELS.index(m.level) for m in metrics)
    for metric in METRICS + RAREFIED:
        assert metric.meaning.endswith(".") and metric.meaning.count(".") <= 1 and "{" not in metric.meaning
        assert ("clicked by" in metric.meaning) <= (metric.level == "consumption")
    assert {metric.direction for metric in METRICS if metric.level == "exposure"} == {"within", "between"}


def test_nothing_tells_nothing():
    some = everything(1)
    window = some["window"]
    some["window"] = Window(window.user[:0], window.slate[:0], window.clicks[:0])
    rows = [row for row in measure(**some) if row.level != "preference" and row.metric != "history_diversity"]
    assert len(rows) > 30 and np.isnan(values(rows)).all()
    some["window"] = replace(window, clicks=np.zeros_like(window.clicks))
    told = {(row.level, row.metric): row.value for row in measure(**some)}
    assert all(
        np.isnan(value) == (level == "consumption" and name != "history_diversity")
        for (level, name), value in told.items()
    )


def test_what_is_not_given_is_not_known():
    some = everything(2)
    for name in ("history", "natural", "on_offer", "new", "likes"):
        some[name] = None
    some["pairs"] = {}
    unknown = {row.metric for row in measure(**some) if np.isnan(row.value)}
    assert unknown == {
        "popularity_lift",
        "calibration_kl",
        "calibration_js",
        "calibration_kl_gap",
        "new_item_share",
        "opportunity_gini",
        "caused_drift",
        "caused_drift_gap",
        *(f"jaccard_{kind}" for kind in PAIR_KINDS),
        "cosine_true_nearest",
        "cosine_model_nearest",
    }


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_names_and_order_do_not_matter(seed):
    some = everything(seed)
    rng = np.random.default_rng(seed)
    ground, window = some["ground"], some["window"]
    user, item = rng.permutation(ground.num_users), rng.permutation(ground.num_items)
    back_user, back_item = np.argsort(user), np.argsort(item)
    rows, slots = rng.permutation(len(window.user)), rng.permutation(window.slate.shape[1])
    slate, clicked = (part[rows][:, slots] for part in (window.slate, window.clicks))
    renamed = {
        "window": Window(user[window.user[rows]], np.where(slate >= 0, item[slate], -1), clicked),
        **{name: clicks_of(user[some[name].user], item[some[name].item[:, 0]]) for name in ("history", "likes")},
        **{name: some[name][back_user] for name in ("preference", "natural")},
        **{name: some[name][back_item] for name in ("on_offer", "new")},
        "pairs": {kind: user[pairs][:, ::-1] for kind, pairs in some["pairs"].items()},
        "ground": replace(
            ground,
            **{name: getattr(ground, name)[back_item] for name in ("topic", "latent", "audience")},
            **{name: getattr(ground, name)[back_user] for name in ("preference", "mainstream")},
            creator=ground.creator[back_item] * 3 + 1,
        ),
    }
    np.testing.assert_allclose(values(measure(**renamed)), values(measure(**some)), rtol=1e-9, atol=1e-9)


def test_users_who_did_not_come_change_nothing_but_preferences():
    some = everything(3)
    ground = some["ground"]
    more = replace(
        ground,
        preference=np.concatenate([ground.preference, ground.preference[:3]]),
        mainstream=np.concatenate([ground.mainstream, [True, False, True]]),
    )
    grown = some | {"ground": more}
    grown |= {name: np.concatenate([some[name], some[name][:3]]) for name in ("preference", "natural")}
    of_preference = np.array([metric.level == "preference" for metric in METRICS])
    np.testing.assert_allclose(values(measure(**grown))[~of_preference], values(measure(**some))[~of_preference])


def test_gaps_are_niche_minus_mainstream():
    some = everything(4, num_users=4)
    ground = replace(some["ground"], mainstream=np.array([True, False, True, False]), topic=np.arange(14) % 3)
    # Niche users see one topic, mainstream users two and three, in equal shares.
    user = np.array([0, 1, 2, 3])
    slate = np.array([[0, 1, -1], [0, 3, 6], [0, 1, 2], [1, 4, -1]])
    window = Window(user, slate, slate >= 0)
    expected = 0 - (np.log(2) + np.log(3)) / 2
    for level in (exposure_metrics(window, ground, {}), consumption_metrics(window, None, ground, {})):
        assert level["topic_entropy_gap"] == pytest.approx(expected)
    moved = ground.preference * np.array([[2.0], [3.0], [1.0], [5.0]])
    told = preference_metrics(moved, ground.preference * np.array([[2.0], [1.0], [1.0], [5.0]]), ground, {})
    assert told["drift"] == pytest.approx((1 + 2 + 0 + 4) / 4) and told["drift_gap"] == pytest.approx(3 - 0.5)
    assert told["caused_drift"] == pytest.approx(0.5) and told["caused_drift_gap"] == pytest.approx(1.0)


def test_items_off_offer_count_as_shown_but_not_as_offered():
    some = everything(6)
    ground = replace(some["ground"], creator=np.arange(14) // 4, audience=np.array([8, 2, *[0] * 12]))
    slate = np.array([[0, 1, 5], [0, 1, -1], [0, -1, -1]])
    window = Window(np.array([0, 1, 2]), slate, slate >= 0)
    offered = np.isin(np.arange(14), [1, 4, 5, 6, 7])
    told = exposure_metrics(window, ground, {}, on_offer=offered, new=np.arange(14) == 5)
    # On offer are item 1, shown twice, item 5, shown once, and three others; creators 0 and 1 have 2 and 1.
    assert told["coverage"] == pytest.approx(2 / 5) and told["top_share"] == pytest.approx(2 / 3)
    assert told["gini"] == pytest.approx(2 * (4 * 1 + 5 * 2) / (5 * 3) - 6 / 5)
    assert told["creator_gini"] == pytest.approx(1 / 6)
    # Shown were items 0, 1 and 5 three, two and one times; the head is item 0 alone.
    assert told["long_tail_share"] == pytest.approx(3 / 6) and told["new_item_share"] == pytest.approx(1 / 6)
    assert told["effective_catalogue"] == pytest.approx(1 / (0.5**0.5 * (1 / 3) ** (1 / 3) * (1 / 6) ** (1 / 6)))


def test_tastes_that_draw_together():
    ground = everything(7)["ground"]
    together = ground.preference.mean(axis=0) + (ground.preference - ground.preference.mean(axis=0)) / 4
    told = preference_metrics(together, None, ground, {})
    assert told["inter_user_distance"] == pytest.approx(1 / 4)
    same = replace(ground, preference=np.ones_like(ground.preference))
    assert np.isnan(preference_metrics(together, None, same, {})["inter_user_distance"])


def test_others_users_or_items_are_refused():
    some = everything(5)
    with pytest.raises(ValueError, match="item must be below 14, got 14"):
        measure(**some | {"history": clicks_of(np.array([0]), np.array([14]))})
    window = replace(some["window"], user=some["window"].user + 9)
    with pytest.raises(ValueError, match="user must be below 9, got"):
        measure(**some | {"window": window})
