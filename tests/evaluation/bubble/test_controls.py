"""Policies made to tighten the bubble move each metric that names them, the way it says, far beyond luck."""

import numpy as np
import pytest

from recsim_lab.evaluation.bubble import METRICS, RAREFIED
from tests.evaluation.bubble.planted import NUM_ITEMS, NUM_SLOTS, bubble, world

SEEDS = (1, 2, 3)
NAMED = [metric for metric in METRICS + RAREFIED if metric.control]


@pytest.mark.parametrize("metric", NAMED, ids=lambda metric: f"{metric.level}-{metric.name}")
def test_its_control_moves_it(metric):
    key = metric.level, metric.name
    by_taste = np.array([bubble("taste", seed)[key] for seed in SEEDS])
    control = np.array([bubble(metric.control, seed)[key] for seed in SEEDS])
    moved = (control - by_taste) * (1 if metric.narrower == "higher" else -1)
    assert moved.min() > 3 * np.ptp(by_taste)
    assert moved.min() > 0.02 * np.abs(by_taste).mean()


def test_every_level_has_controls_of_either_kind():
    assert {metric.control for metric in METRICS} == {"popularity", "top-topic", None}
    for metric in METRICS:
        if metric.control is None:
            assert metric.name.endswith("_gap") or metric.name in ("first_component_share", "bimodality")


def test_the_same_for_all_in_numbers():
    told = bubble("popularity", 1)
    assert told["exposure", "effective_catalogue"] == pytest.approx(NUM_SLOTS)
    assert told["exposure", "coverage"] == pytest.approx(NUM_SLOTS / NUM_ITEMS)
    assert told["exposure", "gini"] == pytest.approx(1 - NUM_SLOTS / NUM_ITEMS)
    assert told["exposure", "jaccard_random"] == 1 and told["exposure", "long_tail_share"] == 0
    assert told["exposure", "topic_entropy"] == pytest.approx(told["exposure", "platform_topic_entropy"])
    assert told["exposure", "topic_entropy_gap"] == pytest.approx(0)
    # Niche users, whose tastes are farther from what most like, are served farther from what they had clicked.
    assert told["exposure", "calibration_kl_gap"] > bubble("taste", 1)["exposure", "calibration_kl_gap"]


def test_one_topic_each_in_numbers():
    told = bubble("top-topic", 1)
    for level in ("exposure", "consumption"):
        assert told[level, "topic_entropy"] == 0 and told[level, "rarefied_num_topics"] == pytest.approx(1)
        assert told[level, "platform_topic_entropy"] > 1
    # It narrows users and sets them apart: the two directions are not one.
    assert told["consumption", "inter_user_diversity"] > bubble("taste", 1)["consumption", "inter_user_diversity"]


def test_the_world_is_as_it_should_be():
    here = world()
    assert here.ground.mainstream.mean() == 0.5 and 0 < here.ground.tail[~here.new].mean() < 1
    assert (here.ground.audience[here.new] == 0).all() and here.ground.tail[here.new].all()
