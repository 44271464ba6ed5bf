"""The preset `movielens` is what its sample says, and calibration passes its gate on MovieLens-1M."""

import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from recsim_lab.datasets import dataset_path, load_movielens, load_sample
from recsim_lab.simulation.calibration import FactorSettings, calibrate, fit_factors
from recsim_lab.simulation.calibration.fidelity import fidelity
from recsim_lab.simulation.calibration.held_out import LIKED, auc, auc_gain, clear_ratings, lasting_utility
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.presets.movielens import MIN_RATINGS, refit, shipped_estimates
from recsim_lab.simulation.sessions import population_sessions


@pytest.fixture(scope="module")
def sample():
    return load_sample().with_min_ratings(per_item=MIN_RATINGS, per_user=0)


def test_the_preset_has_the_users_and_films_of_the_sample(sample):
    world = make_world("movielens")
    assert world.name == "movielens"
    assert (world.population.num_users, world.catalogue.num_items) == (671, 2245)
    assert world.features.titles == sample.titles
    assert "Toy Story (1995)" in world.catalogue.titles
    estimates = shipped_estimates()
    np.testing.assert_array_equal(estimates.item_ids, sample.item_ids)
    np.testing.assert_array_equal(estimates.user_ids, sample.user_ids)
    np.testing.assert_array_equal(estimates.ratings_per_item, sample.ratings_per_item())
    # A film is of the topic that its genre names.
    western = world.catalogue.topic == estimates.topic_names.index("Western")
    assert sample.item_genres[western, sample.genres.index("Western")].all() and western.sum() > 20


def test_the_shipped_file_equals_a_refit():
    shipped, fresh = shipped_estimates(), refit()
    user, item = np.divmod(np.arange(671 * 2245), 2245)
    # Half precision costs .001 of a match; another machine's last bits cost less.
    np.testing.assert_allclose(shipped.factors.predict(user, item), fresh.factors.predict(user, item), atol=0.01)
    for name in ("user_topics", "part_of_day", "age", "topic", "ratings_per_user"):
        np.testing.assert_array_equal(getattr(shipped, name), getattr(fresh, name))
    assert shipped.topic_names == fresh.topic_names and shipped.titles == fresh.titles


def test_equal_seeds_give_equal_lives():
    items = np.random.default_rng(0).permuted(np.tile(np.arange(2245, dtype=np.int32), (671, 1)), axis=1)
    clicks = []
    for _ in range(2):
        sessions = population_sessions(make_world("movielens", seed=3), seed=8)
        rows = np.arange(671)
        sessions.open(rows, sessions.first_visit(rows))
        clicks.append([sessions.answer(rows, items[:, step * 10 : step * 10 + 10]).clicks for step in range(5)])
    np.testing.assert_array_equal(*clicks)
    assert 0.05 < np.mean(clicks[0]) * 10 < 0.3


def test_parameters_reach_the_world_and_unknown_ones_are_named():
    assert make_world("movielens", num_slots=4, intent=0.0).num_slots == 4
    with pytest.raises(ValueError, match="preset 'movielens' has no parameter 'clickbait'"):
        make_world("movielens", clickbait=1.0)
    with pytest.raises(ValueError, match=r"^boredom must be at least 0, got -0.1$"):
        make_world("movielens", boredom=-0.1)


def test_the_preset_loads_without_what_it_does_not_need():
    code = "import sys; from recsim_lab.simulation.presets.movielens import movielens; movielens(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "torch", "seaborn"} & set(loaded)


def test_the_world_looks_like_its_sample(sample):
    table = fidelity(sample, make_world("movielens"))
    plain = table[table.topic == ""].set_index("measure")
    # The gain on tastes that halves the gap in topic spread (.33 to .50 of the real one) costs .05 of Gini.
    assert plain.simulated["popularity_gini"] == pytest.approx(plain.real["popularity_gini"], abs=0.07)
    assert plain.simulated["activity_quantile_0.5"] == pytest.approx(plain.real["activity_quantile_0.5"], abs=0.15)
    assert plain.simulated["activity_quantile_0.9"] == pytest.approx(plain.real["activity_quantile_0.9"], rel=0.2)
    by_topic = table[table.topic != ""].groupby("measure")[["real", "simulated"]]
    # Users differ less in their topics than real ones, but in the same topics.
    shares, spreads = (by_topic.get_group(f"topic_share_{kind}") for kind in ("mean", "spread"))
    assert np.corrcoef(shares.real, shares.simulated)[0, 1] > 0.95
    assert np.corrcoef(spreads.real, spreads.simulated)[0, 1] > 0.5
    assert 0.4 < spreads.simulated.mean() / spreads.real.mean() < 1


@pytest.mark.slow
def test_held_out_auc_on_movielens_1m(record_property):
    path = dataset_path("ml-1m/ml-1m.zip")
    if path is None:
        pytest.skip("RECSIM_DATA names no folder with ml-1m/ml-1m.zip")
    train, test = load_movielens(path).split_by_time(0.1)

    def tuned() -> FactorSettings:
        """Rank and penalties that are best on the newest tenth of the training part."""
        older, newer = train.split_by_time(0.1)
        newer = clear_ratings(newer)

        def validation_auc(settings):
            return auc(newer.rating >= LIKED, fit_factors(older, settings).predict(newer.user, newer.item))

        grid = product((8, 16, 24), (10.0, 20.0), (0.0, 0.03))
        return max((FactorSettings(rank, base, each, num_sweeps=8) for rank, base, each in grid), key=validation_auc)

    held_out = clear_ratings(test)
    liked, user, item = held_out.rating >= LIKED, held_out.user, held_out.item
    best = replace(tuned(), num_sweeps=FactorSettings().num_sweeps)  # chosen with fewer, fitted like the world
    world = lasting_utility(calibrate(train), user, item)
    biases = fit_factors(train, FactorSettings(rank=0)).predict(user, item)
    factors = fit_factors(train, best).predict(user, item)
    rng = np.random.default_rng(0)
    over_biases, over_factors = (auc_gain(held_out, world, other, rng) for other in (biases, factors))
    record_property(
        "measured",
        f"held-out AUC on MovieLens-1M: world {auc(liked, world):.4f}, user and item biases "
        f"{auc(liked, biases):.4f}, best matrix factorisation {auc(liked, factors):.4f} ({best})\n"
        f"world - biases {over_biases[0]:+.4f} [{over_biases[1]:+.4f}, {over_biases[2]:+.4f}], "
        f"world - factorisation {over_factors[0]:+.4f} [{over_factors[1]:+.4f}, {over_factors[2]:+.4f}]",
    )
    assert auc(liked, biases) == pytest.approx(0.84, abs=0.01)
    assert over_biases[0] >= 0.01 and over_biases[1] > 0
    assert over_factors[0] >= -0.01


def test_a_part_of_the_sample_keeps_its_estimates():
    whole, part = make_world("movielens"), make_world("movielens", num_users=100, num_items=300, seed=3)
    assert (part.population.num_users, part.catalogue.num_items) == (100, 300)
    of_whole = {tuple(row) for row in np.round(whole.population.latent, 5).tolist()}
    assert {tuple(row) for row in np.round(part.population.latent, 5).tolist()} <= of_whole
    assert set(part.catalogue.titles) < set(whole.catalogue.titles)
    other = make_world("movielens", num_users=100, num_items=300, seed=4)
    assert other.catalogue.titles == part.catalogue.titles
    assert not np.array_equal(other.population.latent, part.population.latent)
    with pytest.raises(ValueError, match=r"num_users must be in \[0, 671\], got 700"):
        make_world("movielens", num_users=700)
