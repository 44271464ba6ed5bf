"""What is measured of two stages is said with it, and its log is random as it says."""

import numpy as np

from benchmarks import two_stage
from benchmarks.two_stage import Spread
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_policy, planted_log


def test_factors_are_measured_against_torch():
    measured = two_stage.factor_top_10(300, 400)
    assert measured["value"] > 0 and measured["ratio_to"]["torch product and topk"] > 0
    assert "300 users" in measured["work"]


def test_a_large_catalogue_is_measured_in_the_same_words():
    measured = two_stage.large_catalogue(2_000, 200, 1, 64)
    assert 0.9 < measured["recall"] <= 1 and measured["name"] == "two_stage_2000_items"
    assert {"two-tower", "merge", "rank", "select"} == set(measured["stage_seconds_per_1000"])
    assert measured["heavy_alone_users_per_s"] > 0 and measured["num_clicks"] > 0


def test_spread_slates_are_distinct_and_as_likely_as_told():
    observation = planted_log().observations(np.arange(200))
    check_policy(Spread(), observation, 5, draws_of(0, np.arange(200)))
    shown = Spread().recommend(observation, 5, draws_of(0, np.arange(200)))
    assert (shown.items // 8 == np.arange(5)).all() and np.allclose(shown.propensity, 1 / 8)
