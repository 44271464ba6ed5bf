"""The report of a feedback loop says what its tables say, and bears runs of every size."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation.feedback.frontier import NOT_REACHABLE
from recsim_lab.evaluation.feedback.plan import ALL_DATA, Arm
from recsim_lab.reporting.bubble_words import meaning
from recsim_lab.reporting.feedback_loop import write_feedback_loop_report
from recsim_lab.reporting.feedback_loop.answer import (
    answer,
    what_is_open,
    what_narrowed,
    what_paid,
    what_remedies_cost,
)
from recsim_lab.reporting.feedback_loop.bubble import bubble, bubble_differences
from recsim_lab.reporting.feedback_loop.equal_price import equal_price
from recsim_lab.reporting.feedback_loop.lives import lives, users
from recsim_lab.reporting.feedback_loop.method import arms, how
from recsim_lab.reporting.feedback_loop.narrowing import narrowing
from recsim_lab.reporting.feedback_loop.prices import prices_table, trades
from recsim_lab.reporting.feedback_loop.readings import other_readings
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.feedback_loop.trust import controls, trust
from recsim_lab.reporting.feedback_loop.welfare import welfare_differences
from recsim_lab.reporting.figures.pareto import front_of

MINUS = "\N{MINUS SIGN}"
PROVENANCE = {
    "config": {"seeds": 3},
    "command": "python -m scenarios.feedback_loop",
    "commit": "0123abc",
    "versions": {"python": "3"},
}
REMEDIES = ("wide", "dear")
DIALS = tuple(Arm(f"epsilon {e:g}", f"mf:epsilon={e:g}", dial="epsilon", setting=e) for e in (0.1, 0.2, 0.4))


class Page(HTMLParser):
    """The text of a page as a reader sees it, and how many elements of each kind it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self._hidden = "", [], 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data):
        self.text += "" if self._hidden else data


def written(folder, plan, tables, remedies=REMEDIES) -> Page:
    path = write_feedback_loop_report(folder, tables, plan, PROVENANCE, remedies)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(planted_loop) -> LoopRun:
    """Without a remedy fewer items are shown than by the frozen twin, in all seeds; `wide` shows more, `dear` costs."""
    moved = {("frozen", "coverage"): 0.2, ("frozen", "effective_catalogue"): 100.0, ("frozen", "jaccard_random"): -0.1}
    moved |= {("wide", "coverage"): 0.3, ("wide", "clicks_per_user"): 0.1, ("dear", "clicks_per_user"): -0.2}
    return LoopRun(*planted_loop(moved=moved), REMEDIES)


def test_the_answer_is_what_the_tables_say(run):
    told = what_narrowed(run)
    assert "narrowed what the model shows to all users together, beyond chance on all three counts" in told
    (coverage,) = run.tables["differences"].query("arm == 'frozen' and metric == 'coverage' and level == 'exposure'")[
        "difference"
    ]
    assert f": {MINUS}{100 * coverage:.1f} points" in told
    assert re.search(r"Of the items that either of two users was shown, [\d.]+% were shown to both, against", told)
    paid = what_paid(run)
    assert "wide (+10" in paid and f"%) earned more clicks than {run.baseline}, beyond chance; dear ({MINUS}20" in paid
    assert "%) lost clicks, beyond chance. Of those that lost, none had paid for itself by any day; " in paid
    assert f"in the last 2 days dear ({MINUS}20" in paid and paid.endswith("%) lost clicks.")
    cost = what_remedies_cost(run)
    assert f"dear ({MINUS}20" in cost and "lost clicks" in cost and "wide (+10" in cost and "earned more" in cost
    assert "1 of 2 break even beyond chance, looked for on every day: wide (from day 1)" in cost
    assert "at its end, 1 of them still lies above zero" in cost
    assert "1 of 2 raised the share of items on offer" in answer(run)
    assert "with 3 seeds an interval reaches 4.3 standard errors" in what_is_open(run)
    assert f"Of {2 * 52} comparisons" in what_is_open(run)


def test_inverse_propensities_are_no_evidence_against_themselves(planted_loop):
    arm = Arm("inverse", "mf:weighting=ips,epsilon=0.05")
    told = what_is_open(LoopRun(*planted_loop(arms=(arm,)), ("inverse",)))
    assert "Inverse propensities (inverse) weigh clicks" in told and "no evidence for or against such training" in told
    assert "Inverse propensities" not in what_is_open(LoopRun(*planted_loop(), REMEDIES))


def test_new_items_are_said_to_be_left_out_by_construction(run):
    (new,) = (meaning(*key) for key in run.metrics("exposure") if key[2] == "new_item_share")
    assert "0 where a model places what it never met last" in new
    assert "the share of new items is 0 by construction, and coverage falls with each release" in how(run).text


def test_forgetting_is_told_apart_from_the_feedback(run, planted_loop):
    long = narrowing(replace(run, plan=replace(run.plan, window_days=run.plan.end_day)))
    assert long.text.endswith("The feedback is in the last alone."), "such a window holds all days"
    short = replace(run.plan, window_days=3)
    text = narrowing(replace(run, plan=short)).text
    assert "and so is forgetting: the frozen model has learned from all 45 days" in text
    assert "the loop's own learns from the newest 3" in text
    told = what_narrowed(replace(run, plan=short))
    assert "The twin keeps what it learned before the loop" in told and "forgets nothing" not in told
    arm = Arm(ALL_DATA, "mf", forgets=False, role="control")
    plan, tables = planted_loop(arms=(arm,), moved={(ALL_DATA, "coverage"): 0.1})
    told = what_narrowed(LoopRun(replace(plan, window_days=3), tables, ()))
    assert "Against the loop, a twin that learns from all days and forgets nothing shows +1" in told
    assert dict(arms(LoopRun(plan, tables, ())).frame[["arm", "learns"]].to_numpy())[ALL_DATA] == "from all days"


def test_an_early_loss_that_turns_into_a_late_gain_is_told_as_both(planted_loop):
    course = {("dear", "clicks_per_user"): (-0.4, -0.4, -0.4, 0.0, 0.2, 0.2)}
    told = what_paid(LoopRun(*planted_loop(moved=course), REMEDIES))
    assert f"dear ({MINUS}13" in told and "%) lost clicks, beyond chance" in told
    late = told[told.index("Of those that lost, none had paid for itself by any day") :]
    assert "in the last 2 days dear (+2" in late and late.endswith("%) earned more.") and "paid back" not in told


def test_an_arm_that_was_ahead_and_lost_it_again_is_named(planted_loop):
    course = {("dear", "clicks_per_user"): (-0.1, 0.4, 0.0, 0.0, -0.6, -0.6)}
    told = what_paid(LoopRun(*planted_loop(moved=course), REMEDIES))
    assert "Of those that lost, some were ahead for a while (dear from day 2); in the last 2 days dear" in told
    assert f"in the last 2 days dear ({MINUS}6" in told and told.endswith("%) lost clicks.")


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ({"coverage": -0.2, "effective_catalogue": -90.0, "jaccard_random": 0.2}, "widened what the model shows"),
        ({"coverage": 0.2}, "beyond chance on 1 of 3 counts"),
        ({}, "this run can't tell"),
    ],
)
def test_the_verdict_follows_the_frozen_twin(planted_loop, moved, words):
    plan, tables = planted_loop(moved={("frozen", metric): value for metric, value in moved.items()}, noise=0.3)
    # The rest is pinned to differences that mean nothing.
    rest = (tables["differences"]["arm"] == "frozen") & ~tables["differences"]["metric"].isin(list(moved))
    tables["differences"].loc[rest, ["difference", "low", "high"]] = [0.001, -1.0, 1.0]
    assert words in what_narrowed(LoopRun(plan, tables, ()))


def test_chance_alone_is_named(planted_loop):
    plan, tables = planted_loop()
    frozen = tables["differences"]["arm"] == "frozen"
    tables["differences"].loc[frozen, ["difference", "low", "high"]] = [0.1, -0.1, 0.3]
    jaccard = frozen & (tables["differences"]["metric"] == "jaccard_random")
    tables["differences"].loc[jaccard, ["difference", "low", "high"]] = [-0.1, -0.3, 0.1]
    told = what_narrowed(LoopRun(plan, tables, ()))
    assert "seems to narrow" in told and told.count("could be chance") == 5
    tables["differences"] = tables["differences"][~frozen]
    assert "can't be told" in what_narrowed(LoopRun(plan, tables, ()))


def test_the_report_holds_every_part(tmp_path, run):
    page = written(tmp_path, run.plan, dict(run.tables))
    for title in ("In short", "What happened", "what was shown", "what was clicked", "tastes", "What remedies cost"):
        assert title in page.text
    assert "nan" not in page.text.lower().replace("nance", "")
    assert "At equal price" not in page.text and "Other readings" not in page.text
    assert page.tags.count("details") >= 8
    files = sorted((tmp_path / "figures").iterdir())
    assert len(files) == page.tags.count("figure") and all(file.read_text().startswith("<svg") for file in files)
    # Each metric has a panel of its own.
    shown = [block for level in ("exposure", "consumption", "preference") for block in bubble(run, level).blocks]
    panels = [figure for block in shown for figure in getattr(block, "blocks", (block,)) if hasattr(figure, "panels")]
    assert sum(len(figure.panels) for figure in panels) == 52
    assert all(note for figure in panels for note in figure.notes)


def test_one_seed_has_values_without_intervals(tmp_path, planted_loop):
    """And no remedy but a dial's settings."""
    plan, tables = planted_loop(arms=DIALS, num_seeds=1, control_seeds=1)
    page = written(tmp_path, plan, tables, None)
    assert "one seed gives no intervals" in page.text and "can't be told" in page.text and "At equal price" in page.text
    assert "no interval" in page.text and "nan" not in page.text.lower().replace("nance", "")


@pytest.mark.slow
def test_many_arms_with_controls_in_one_of_two_seeds(tmp_path, planted_loop):
    """Named remedies are shown everywhere, settings of dials in their own section alone."""
    remedies = tuple(Arm(f"remedy {place}", f"mf:mmr=0.{place + 1}") for place in range(13))
    more = tuple(
        Arm(f"{dial} 0.{s}5", f"mf:{dial}=0.{s}5", dial=dial, setting=s / 10 + 0.05)
        for dial in ("mmr", "calibrated")
        for s in range(1, 4)
    )
    plan, tables = planted_loop(arms=(*remedies, *DIALS, *more), num_seeds=2, control_seeds=1)
    assert len(plan.arms) == 30
    page = written(tmp_path, plan, tables, None)
    assert "12.7 standard errors" in page.text and "The twin ran in 1 of 2 seeds" in page.text
    assert "it takes controls in two seeds or more" in page.text and "At equal price" in page.text
    run = LoopRun(plan, tables, tuple(arm.name for arm in remedies))
    figure = bubble(run, "preference").blocks[0]
    assert [key.name for key in figure.legend][:14] == ["no remedy", *run.remedies]
    assert not any(dial.name in figure.alt for dial in DIALS)


def test_metrics_that_nobody_knows_are_dashes(tmp_path, planted_loop):
    unknown = tuple(
        (arm, metric)
        for arm in ("organic", "random", "start", "nobody served", "wide")
        for metric in ("jaccard_model_nearest", "cosine_model_nearest")
    )
    unknown += tuple((arm, "regret") for arm in ("no remedy", "wide", "dear", "frozen"))
    plan, tables = planted_loop(unknown=unknown)
    page = written(tmp_path, plan, tables)
    assert "not known" in page.text and "nan" not in page.text.lower().replace("nance", "")
    rows = bubble_differences(LoopRun(plan, tables, REMEDIES), "exposure").frame.set_index("metric")
    assert rows.loc["Jaccard (nearest by the model), %", "wide"].text == "\N{EN DASH}"


def test_dials_show_what_is_not_reachable(planted_loop):
    moved = {(arm.name, "clicks_per_user"): -0.03 * place for place, arm in enumerate(DIALS, 1)}
    plan, tables = planted_loop(arms=DIALS, moved=moved)
    section = equal_price(LoopRun(plan, tables, ()))
    prices = section.blocks[1].frame
    assert list(prices["clicks lost, %"]) == ["1", "2", "5"] and NOT_REACHABLE not in set(prices["setting"])
    # 3% are lost at .1, none at 0: 1% at a third of it.
    assert float(prices["setting"].iloc[0]) == pytest.approx(0.1 / 3, rel=0.02)
    assert len(section.blocks[0].panels) == 3 and list(section.blocks[2].frame["setting"]) == ["0.1", "0.2", "0.4"]
    plan, tables = planted_loop(arms=DIALS)
    assert set(equal_price(LoopRun(plan, tables, ())).blocks[1].frame["setting"]) == {NOT_REACHABLE}
    plan, tables = planted_loop(arms=DIALS[:1])
    assert equal_price(LoopRun(plan, tables, ())) is None


def test_signs_of_prices(run):
    """A cost is a loss: dear lies left of no remedy, wide right of it, and so does the front."""
    for trade in trades(run)[:2]:
        points = trade.points.set_index("arm")
        assert points.loc["dear", "x"] == pytest.approx(-20, abs=0.5) and points.loc["wide", "x"] > 9
        assert points.loc["dear", "x_low"] < points.loc["dear", "x"] < points.loc["dear", "x_high"]
        assert "dear" not in front_of(trade, ("no remedy", *REMEDIES)) or points.loc["dear", "y"] > 0
    lost = run.price("dear", "cost", "+.3f", -1.0)
    assert lost.low < lost.value < lost.high < 0 and lost.sure


def test_dividends_say_of_how_many_seeds_they_are(planted_loop):
    plan, tables = planted_loop(arms=DIALS, num_seeds=3, control_seeds=2)
    told = prices_table(LoopRun(plan, tables, ("epsilon 0.1",)), ["epsilon 0.1", "frozen"]).frame.set_index("arm")
    assert told.loc["epsilon 0.1", "seeds of D"] == "2" and told.loc["frozen", "seeds of D"] == "\N{EN DASH}"
    assert told.loc["epsilon 0.1", "seeds of dividend"] == "\N{EN DASH}", "nobody has measured any"


def test_welfare_is_told_against_no_remedy(run):
    frame = welfare_differences(run).frame.set_index("arm")
    assert frame.loc["dear", "clicks per user and day"].value == pytest.approx(-0.2, abs=0.01)
    assert frame.loc["dear", "clicks per user and day"].sure
    assert "no remedy" not in frame.index and "oracle" in frame.index


def test_the_controls_say_what_failed(planted_loop):
    moved = {("popularity", "gini"): 0.3, ("null twin", "drift"): 0.5}
    plan, tables = planted_loop(moved=moved)
    run = LoopRun(plan, tables, ())
    told, table = trust(run).text, controls(run).frame
    gini = table[table["metric"] == "Gini index of items"]
    assert list(gini["saw it"]) == ["yes", "yes"]
    assert "The null twin is told apart, which it must not be: of tastes: drift." in told
    missed = told[told.index("Not so") : told.index("The null twin is told")]
    assert "No control is named of what was clicked: stability of popularity: it compares the loop with" in told
    assert set(table.loc[table["must see"] == "none", "saw it"]) == {"\N{EN DASH}"}
    assert "Gini index of items" not in missed and "coverage" in missed and "of what was clicked" in missed
    assert re.search(r"\d+ metrics failed a test with a known answer in the 3 seeds", what_is_open(run))


def test_lives_are_told_for_each_user_and_arm(run):
    section = lives(run)
    assert [block.title for block in section.blocks[:-1]] == ["User 7, mainstream", "User 8, niche"]
    assert all(block.unfolded for block in section.blocks[:-1])
    examples = run.tables["examples"].query("seed == 0")
    row = users(run, examples, ["dear"]).frame.iloc[0]
    assert row["shown, first"] == pytest.approx(4) and row["favourite, before"] == pytest.approx(0.6)
    taste = np.array([0.1, 0.2, 0.6, 0.1])
    assert row["taste, before"] == pytest.approx(np.exp(-(taste * np.log(taste)).sum())) and row["taste moved"] == 0
    nobody = LoopRun(run.plan, dict(run.tables) | {"examples": run.tables["examples"].iloc[:0]}, REMEDIES)
    assert lives(nobody) is None


def test_other_readings_are_paired(run):
    rows = [
        (arm, seed, 10, 5, "rarefied_coverage", 0.1 * seed + shift)
        for arm, shift in (("no remedy", 0.0), ("wide", 0.2), ("dear", 0.0))
        for seed in range(3)
    ]
    equal = pd.DataFrame(rows, columns=["arm", "seed", "num_clicks", "num_users", "metric", "value"])
    section = other_readings(LoopRun(run.plan, dict(run.tables) | {"equal_clicks": equal}, REMEDIES))
    (table,) = section.blocks
    frame = table.frame.set_index("arm")["coverage, %"]
    assert frame["no remedy"].value == pytest.approx(10) and "10 clicks" in table.caption
    assert frame["wide"].value == pytest.approx(20) and frame["wide"].low == pytest.approx(20) and frame["wide"].sure
    assert frame["frozen"].text == "\N{EN DASH}" and not frame["dear"].sure


def test_tests_say_how_long_they_are_and_whose_data_they_lack(run):
    keys = {"world": "planted", "control": "mf", "challenger": "mf:epsilon=0.2", "metric": "clicks_per_user"}
    numbers = {"truth": 0.1, "estimate": 0.3, "sampling": 0.0, "interference": 0.2, "low": 0.1, "high": 0.5}
    rows = [
        keys | numbers | {"seed": seed, "days": 4, "learning": learning, "variance_ratio": 0.9}
        for learning in ("frozen", "pooled", "diverted")
        for seed in range(3)
    ]
    section = other_readings(LoopRun(run.plan, dict(run.tables) | {"experiments": pd.DataFrame(rows)}, REMEDIES))
    (table,) = section.blocks
    assert "of 4 days from the loop's first (the loop goes on for 6)" in table.caption
    assert "both have half of the data that they would have after a launch" in table.caption
    assert list(table.frame["remedy"]) == 3 * ["wide"]


def test_what_is_missing_is_named(run):
    tables = {name: table for name, table in run.tables.items() if name != "days"}
    with pytest.raises(ValueError, match="tables must hold days"):
        LoopRun(run.plan, tables, REMEDIES)
    with pytest.raises(ValueError, match=r"remedies must be among the plan's \(wide, dear\), got 'frozen'"):
        LoopRun(run.plan, run.tables, ("frozen",))
