"""Parameters are chosen on training pairs alone, and both models see the same examples."""

import numpy as np
import pytest

from agents.registry import make_agent
from benchmarks.real_data import ncf, registry
from recsim_lab.datasets.ncf import HeldOutAmongNegatives

SAME = ("loss", "negatives", "num_negatives", "shared", "target", "validation")


def blocks(num_users=200, num_items=200, seed=0):
    """Users of two kinds choose from two halves of the catalogue; candidates hold the other half's items."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(num_users), 12)
    half = num_items // 2
    chosen = np.stack([rng.permutation(half)[:13] + half * (u % 2) for u in range(num_users)])
    others = np.stack([rng.permutation(half)[:99] + half * (1 - u % 2) for u in range(num_users)])
    candidates = np.column_stack([chosen[:, 12], others])
    return HeldOutAmongNegatives(
        user.astype(np.int32), chosen[:, :12].ravel().astype(np.int32), candidates.astype(np.int32), num_items
    )


def test_each_users_last_pair_is_held_out_among_items_without_a_pair():
    data = blocks()
    part = ncf.tuning_part(data)
    assert len(part.user) == len(data.user) - data.num_users
    for user in range(data.num_users):
        own = data.item[data.user == user]
        assert part.item[part.user == user].tolist() == own[:-1].tolist()
        assert part.candidates[user, 0] == own[-1]
        negatives = part.candidates[user, 1:]
        assert len(set(negatives.tolist())) == 99 and not set(negatives.tolist()) & set(own.tolist())


def test_negatives_follow_from_the_seed():
    data = blocks()
    first, again, other = (ncf.tuning_part(data, seed).candidates for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_too_few_pairs_or_items():
    data = blocks()
    with pytest.raises(ValueError, match="from 2 to"):
        ncf.tuning_part(HeldOutAmongNegatives(data.user[::12], data.item[::12], data.candidates, data.num_items))
    with pytest.raises(ValueError, match="from 2 to 11 pairs"):
        ncf.tuning_part(HeldOutAmongNegatives(data.user, data.item % 110, data.candidates, 110))


@pytest.mark.parametrize("size", ncf.SIZES.values(), ids=lambda size: str(size.dim))
def test_both_models_see_the_same_examples_and_only_ids(size):
    dot, layers = (make_agent(spec) for spec in size.specs.values())
    assert [getattr(dot, name) for name in SAME] == [getattr(layers, name) for name in SAME]
    assert dot.dim == layers.dim == size.dim
    assert (layers.history, layers.context, layers.id_dropout) == ("none", False, 0.0)


def test_a_learnable_pattern_is_learned_by_both():
    data = blocks()
    layers = f"mlp:dim=8,hidden=16-8,learning_rate=0.01,weight_decay=0,num_negatives=4,{ncf.IDS_ALONE}"
    for spec, epochs in (("mf:dim=8,learning_rate=0.02,weight_decay=0.02", 4), (layers, 10)):
        found = ncf.scores_of(f"{spec},epochs={epochs},batch_size=64,loss=bce", data, seed=0)
        assert found["HR@10"] > 0.8


def test_agents_that_are_no_networks_are_refused():
    with pytest.raises(ValueError, match="must be a network"):
        ncf.scores_of("popularity", blocks(), seed=0)


def test_rows_name_their_rivals():
    data, size = blocks(), ncf.Size(64, "epochs=1", "epochs=1", 3, 2)
    rows = {(row.name, row.metric): row for row in ncf.rows_of(size, data, lambda text: None)}
    assert rows["mlp-64-ncf", "NDCG@10"].num_seeds == 2
    assert rows["mf-64-ncf", "HR@10"].num_seeds == 3
    difference = rows["mf-64-ncf", "HR@10 less the MLP's"]
    first = [ncf.scores_of(spec, data, seed)["HR@10"] for spec in size.specs.values() for seed in (0, 1)]
    assert difference.num_seeds == 2 and np.isclose(difference.ours, np.mean(first[:2]) - np.mean(first[2:]))
    assert rows["mf-64-ncf", "HR@10 less the MLP's, at least"].ours < difference.ours


def test_gates_name_the_rivals():
    small, large = (registry.benchmarks()[name].gates for name in ("mf-mlp-16-ncf", "mf-mlp-ncf"))
    assert small["mf-16-ncf", "HR@10"] == "above mlp-16-ncf"
    assert large["mf-128-ncf", "HR@10"] == ">= .715 and above mlp-128-ncf"
    assert large["mf-128-ncf", "HR@10 less the MLP's, at least"] == "> 0"
