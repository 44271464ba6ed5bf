"""RecLab's experiment in small: who rates what, how agents are told, what gains are, and resuming a run."""

import sys

import numpy as np
import pandas as pd
import pytest

from recsim_lab.simulation.presets import make_world
from scenarios.replications import reclab
from scenarios.replications.rating_experiment import RatingExperiment
from scenarios.replications.reclab import AGENTS, RATED, RECOMMENDERS, Recommender, gains

SIZES = "--num-users 40 --num-items 60 --initial-ratings 600 --steps 6 --compared-steps 4 --refit-every 2 --seeds 1"


@pytest.fixture
def experiment():
    world = make_world("reclab-topics-static", seed=1, num_users=30, num_items=50)
    return RatingExperiment(world, 1, 500)


def test_nobody_rates_an_item_twice_and_each_day_a_user_rates_once(experiment):
    ratings = experiment.ratings
    assert len(ratings) == 500 and ratings.pairs(30, 50).sum() == 500
    assert len(np.unique(ratings.user.astype(np.int64) * 1000 + ratings.day)) == 500
    np.testing.assert_array_equal(np.isinf(experiment.barred), ratings.pairs(30, 50))
    with pytest.raises(ValueError, match="num_initial must be in"):
        RatingExperiment(experiment.world, 1, 1501)


def test_ratings_are_the_truth_and_noise(experiment):
    ratings = experiment.ratings
    truth = experiment.true_ratings(np.arange(30))[ratings.user, ratings.item]
    inner = (truth > 2.5) & (truth < 3.5)
    off = (ratings.rating - truth)[inner]
    assert abs(off.mean()) < 4.5 * 0.5 / np.sqrt(inner.sum()) and 0.35 < off.std() < 0.65


def test_stars_are_clicks_above_one_and_likes_are_four_or_more(experiment):
    ratings = experiment.ratings
    stars = ratings.log("stars", experiment.world.features)
    np.testing.assert_array_equal(1 + stars.clicks.sum(axis=1), np.floor(ratings.rating + 0.5))
    likes = ratings.log("likes", experiment.world.features)
    np.testing.assert_array_equal(likes.clicks[:, 0], ratings.rating >= 4)


def test_top_pop_is_the_mean_of_whole_stars(experiment):
    ratings = experiment.ratings
    scores = Recommender("TopPop", 0).learn(experiment, ratings)
    stars = 1 + ratings.log("stars", experiment.world.features).clicks.sum(axis=1)
    count, total = np.bincount(ratings.item, minlength=50), np.bincount(ratings.item, stars, minlength=50)
    rated = count > 0
    np.testing.assert_allclose(1 + 4 * scores[0, rated], (total / count.clip(1))[rated], atol=0.02)


def test_gains_are_read_off_straight_lines():
    points = np.array([[0.8, 2.0], [0.95, 4.0], [0.9, 3.0]])
    counts = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 2]])
    found = gains(points, counts, 0.85, 0.925)
    assert found[:2] == pytest.approx([1.0, 1.0]) and np.isnan(found[2])


def test_ten_predictors_of_the_lab_and_two_references():
    assert len(AGENTS) == 10 and len(RECOMMENDERS) == 12
    assert sum(RATED in spec for spec, _ in AGENTS.values()) == 5


def test_the_command_writes_what_it_found_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    few = {name: AGENTS[name] for name in ("TopPop", "EASE", "ItemKNN")}
    monkeypatch.setattr(reclab, "AGENTS", few)
    monkeypatch.setattr(reclab, "RECOMMENDERS", ("oracle", "random", *few))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["reclab", *SIZES.split()])
    with pytest.raises(SystemExit, match="1"):  # 40 users and 60 items are not the published world
        reclab.main()
    folder = tmp_path / "runs" / "replications.reclab" / "demo"
    table = pd.read_csv(folder / "recommenders.csv")
    assert len(table) == 2 * 5 and table["rating"].between(1, 5).all()
    static = table[table["world"] == "static"].set_index("recommender")
    assert static["ndcg@20"].idxmax() == static["rating"].idxmax() == "oracle"
    assert static["rmse"].idxmin() == "oracle" and static.loc["oracle", "rmse"] < 0.6
    findings = pd.read_csv(folder / "findings.csv")
    assert findings["gate"].sum() == 5 and len(findings) == 5 + 2 * 4 + 2

    monkeypatch.setattr(reclab, "cell", None)
    with pytest.raises(SystemExit, match="1"):
        reclab.main()
    assert pd.read_csv(folder / "recommenders.csv").equals(table)
    words = capsys.readouterr().out
    assert "verdict" in words and "gate not met: static: rating of oracle" in words
