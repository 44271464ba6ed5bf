"""Figures of speed say what they were asked to keep to, and whether they did."""

import json
import re

import pytest

from benchmarks import __main__ as command
from benchmarks import off_policy, ranking
from benchmarks.bounds import LIMITS, Bound, Limit, bounded


def figure(name, value=1.0, **more):
    return {"name": name, "value": value, "unit": "s", "work": "some"} | more


@pytest.mark.parametrize(
    "measured, limit, within",
    [
        (figure("sasrec_epoch", 24.9), "value <= 25", True),
        (figure("sasrec_epoch", 25.1), "value <= 25", False),
        (figure("top_100", ratio_to={"implicit": 2.1}), "implicit <= 2", False),
        (figure("top_100"), "implicit <= 2", None),  # which isn't installed
        (figure("off_policy[dr]", 1.2), "value < 1", False),
        (figure("off_policy[pi, pairs]", 1.2), "value <= 10", True),
        (figure("vector_env_step", 2e6, ratio_to={"fused_limit": 0.3}), "value >= 3e6 or fused_limit >= .2", True),
        (figure("vector_env_step", 2e6, ratio_to={"fused_limit": 0.1}), "value >= 3e6 or fused_limit >= .2", False),
        (figure("two_stage_million_items", 3000, recall=0.9), "value >= 2000 and recall >= .95", False),
        (figure("two_stage_million_items", 3000), "value >= 2000 and recall >= .95", None),
    ],
)
def test_limits(measured, limit, within):
    assert bounded(measured) == measured | {"limit": limit, "within": within}


def test_other_sizes_and_figures_have_no_limit():
    for name in ("vector_env_step_1000_users_10000_items", "two_stage_100000_items", "mf_epoch"):
        assert bounded(figure(name)) == figure(name)


def test_a_bound_that_is_no_gate_is_refused():
    with pytest.raises(ValueError, match="gate must join"):
        Limit((Bound("value", "under 1"),))


def test_limits_are_of_figures_that_there_are():
    pi = next(name for name in LIMITS if "pi" in name)
    names = [told["name"] for told in off_policy.pseudo_inverse(400)]
    assert len(names) == 2 and all(re.fullmatch(pi, name) for name in names)
    others = {estimator.name for estimator in off_policy.ESTIMATORS}
    assert not [name for name in others if re.fullmatch(pi, f"off_policy[{name}]")]
    assert "within" in bounded(ranking.full_ranking(40, 300))


def test_every_line_of_the_bench_goes_through_the_limits(monkeypatch, capsys):
    monkeypatch.setattr(command, "measurements", lambda: iter([figure("full_ranking", 0.5), figure("mf_epoch")]))
    command.main()
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["limit"], first["within"]) == ("value < 1", True) and "limit" not in second
