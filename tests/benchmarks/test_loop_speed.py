"""The benchmarks of combinators, of the feedback loop and of acting run, and say what they measured."""

import pytest

from benchmarks import acting, combinators, feedback


def test_every_combinator_is_compared_with_the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combinators, "REPETITIONS", 1)
    alone, *others = combinators.overheads(num_users=40, num_items=80)
    assert alone["name"] == "recommend[alone]" and alone["value"] > 0
    assert [told["name"] for told in others] == [f"recommend[{name}]" for name in (*combinators.AROUND, "repeat rules")]
    assert all(told["ratio_to"]["time of recommend[alone]"] > 0 and told["value"] > 0 for told in others)


def test_the_loop_is_timed_by_users_items_and_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "SIZES", ((30, 60, 2), (60, 60, 2)))
    first, second = feedback.growth()
    assert first["name"] == "feedback_loop_30_users_60_items_2_days" and "ratio_to" not in first
    assert first["value"] > 0 and second["ratio_to"]["the smallest"] > 0
    assert "30 users" in first["work"] and first["unit"] == "s"


def test_the_environment_has_its_share_of_each_acting_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "NUM_SEATS", 8)
    monkeypatch.setattr(acting, "NUM_STEPS", 3)
    told = list(acting.loops())
    assert [one["name"] for one in told] == [f"learn_by_acting[{spec}]" for spec in acting.SPECS]
    assert all(one["value"] > 0 and 0 < one["ratio_to"]["time in the environment"] < 1 for one in told)
