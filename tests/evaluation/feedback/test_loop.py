"""Arms meet the same users; what is told of them is what their logs say; a run that stops anywhere goes on."""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from agents.business_rules import RepeatRules
from agents.registry import family_of, make_agent, target_of
from recsim_lab.evaluation.bubble.concentration import coverage, gini
from recsim_lab.evaluation.bubble.diversity import entropy
from recsim_lab.evaluation.bubble.interactions import Interactions, topic_counts
from recsim_lab.evaluation.bubble.metrics import RAREFIED
from recsim_lab.evaluation.bubble.rarefaction import rarefied_metrics
from recsim_lab.evaluation.feedback import worth
from recsim_lab.evaluation.feedback.equal_clicks import equal_clicks_table
from recsim_lab.evaluation.feedback.moment import Start, model_nearest, natural_preferences, preferences_at
from recsim_lab.evaluation.feedback.plan import ALL_DATA, NOBODY, NULL_TWIN, START, Arm, FeedbackPlan, LoopUnit
from recsim_lab.evaluation.feedback.present import present_table
from recsim_lab.evaluation.feedback.study import STABILITY, Outcome, examples_table, run_feedback, timeline_table
from recsim_lab.evaluation.off_policy import LoggedSlates, Question, logged_slates
from recsim_lab.evaluation.plan import Factories
from recsim_lab.evaluation.truth import Recorder
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import NEVER, TICKS_PER_DAY, Observation, Policy
from recsim_lab.probabilities import redraw
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World
from tests.killed import interrupted_at

ROOT = Path(__file__).parents[3]
EASE = "ease:regularization=20"


def _tiny_world(name: str, seed: int) -> World:
    everyday = make_world(name, seed=seed, num_users=30, num_items=60, num_topics=4, num_slots=5, days=10)
    return replace(everyday, session_steps=3)


def _with_rules(policy: Policy) -> RepeatRules:
    return RepeatRules(policy)


def _restricted(observation: Observation, num_slots: int) -> Observation:
    return RepeatRules(make_agent("random")).apply(observation, num_slots)


FACTORIES = Factories(_tiny_world, make_agent, family_of, target_of, _with_rules, _restricted)
PLAN = FeedbackPlan(
    world="everyday",
    seeds=(0, 1),
    arms=(
        Arm("no remedy", EASE),
        Arm("epsilon", f"{EASE},epsilon=0.3"),
        Arm("quota", f"quota(4 {EASE}; 1 item-knn)"),
        Arm("twin", EASE, role="control"),
        Arm("frozen", EASE, learns=False, role="control"),
        *(Arm(name, name, role="control") for name in ("random", "organic", "top-topic")),
        Arm("popularity", "popularity", role="control"),
        Arm(ALL_DATA, EASE, forgets=False, role="control"),
        Arm(NULL_TWIN, EASE, luck="null", role="control"),
    ),
    control_seeds=1,
    log_days=3,
    loop_days=4,
    window_days=3,
    measure_every=2,
    recent_days=2,
    price_days=2,
    dividend_days=1,
    student=EASE,
    target=f"{EASE},epsilon=0.5",
    probe_share=0.5,
    sample=10,
)
LAST = slice(5 * TICKS_PER_DAY, 7 * TICKS_PER_DAY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loops")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> list[Outcome]:
    return run_feedback(PLAN, FACTORIES, folder)


@pytest.fixture(scope="module")
def timeline(outcomes: list[Outcome]) -> pd.DataFrame:
    return timeline_table(outcomes, PLAN)


@pytest.fixture(scope="module")
def platform() -> Platform:
    """That of seed 0 when the loop begins, by hand."""
    platform = Platform(_tiny_world("everyday", 0), _with_rules(make_agent("random", 0)), seed=0, history=PLAN.history)
    platform.run(PLAN.log_days)
    return platform


@pytest.fixture(scope="module")
def looped(platform: Platform) -> Platform:
    """The baseline at the end of its loop, by hand."""
    agent = make_agent(EASE, 0)
    agent.learn(platform.log())
    twin = platform.fork(_with_rules(agent), Retraining(1, PLAN.window_days))
    twin.run(PLAN.end_day)
    return twin


def _last(log: InteractionLog) -> InteractionLog:
    return log.between(LAST.start, LAST.stop)


def _of(timeline: pd.DataFrame, arm: str, seed: int = 0) -> pd.Series:
    rows = timeline[(timeline["arm"] == arm) & (timeline["seed"] == seed)]
    return rows.set_index(["day", "level", "direction", "metric"])["value"]


def test_every_arm_runs_in_its_seeds(outcomes: list[Outcome], timeline: pd.DataFrame) -> None:
    controls = [arm.name for arm in PLAN.arms if arm.role == "control"]
    ran = [(outcome.unit.arm, outcome.unit.seed) for outcome in outcomes]
    assert sorted(ran) == sorted(
        [(name, 0) for name in controls] + [(a, s) for a in ("no remedy", "epsilon", "quota") for s in (0, 1)]
    )
    days = timeline.groupby("level")["day"].unique()
    assert all(sorted(days[level]) == [2, 4] for level in ("exposure", "consumption", "preference"))
    assert sorted(days["welfare"]) == [1, 2, 3, 4]
    assert not timeline.duplicated(["arm", "seed", "day", "level", "direction", "metric"]).any()


def test_what_is_told_is_what_the_log_says(timeline: pd.DataFrame, looped: Platform) -> None:
    told, log = _of(timeline, "no remedy"), _last(looped.log())
    catalogue, features = looped.world.catalogue, looped.features
    by_topic = topic_counts(Interactions(log.user, log.slate), catalogue.topic, 30, catalogue.num_topics)
    shown = np.bincount(log.slate.ravel(), minlength=catalogue.num_items)[features.release < LAST.stop]
    assert told[4, "exposure", "within", "topic_entropy"] == pytest.approx(np.nanmean(entropy(by_topic)))
    assert told[4, "exposure", "between", "gini"] == pytest.approx(gini(shown))
    assert told[4, "exposure", "between", "coverage"] == pytest.approx(coverage(shown))
    new = features.release[log.slate] >= PLAN.log_days * TICKS_PER_DAY
    assert told[4, "exposure", "between", "new_item_share"] == pytest.approx(new.mean())
    for day in range(1, 5):
        today = looped.log().take(looped.log().day == PLAN.log_days + day - 1)
        assert told[day, "welfare", "platform", "clicks_per_user"] == pytest.approx(today.clicks.sum() / 30)
        assert told[day, "welfare", "platform", "dwell_per_user"] == pytest.approx(today.dwell.sum() / 30)
        assert told[day, "welfare", "platform", "num_users"] == len(np.unique(today.user)) / 30


def test_preferences_are_read_with_the_drift_of_absence(
    outcomes: list[Outcome], timeline: pd.DataFrame, platform: Platform, looped: Platform
) -> None:
    (baseline,) = (o for o in outcomes if o.unit == LoopUnit(0, "no remedy"))
    now = preferences_at(looped.service.sessions, PLAN.end_day)
    np.testing.assert_array_equal(baseline.users["preference"], now)
    start = preferences_at(platform.service.sessions, PLAN.log_days)
    moved = np.linalg.norm(now - start, axis=1) / np.linalg.norm(start, axis=1)
    assert _of(timeline, "no remedy")[4, "preference", "within", "drift"] == pytest.approx(moved.mean(), rel=1e-5)
    # Who was not served in the loop has nothing but the natural drift.
    unserved = np.setdiff1d(np.arange(30), looped.log().between(3 * TICKS_PER_DAY, LAST.stop).user)
    assert len(unserved) and len(unserved) < 30
    natural = baseline.users["natural"]
    np.testing.assert_allclose(now[unserved], natural[unserved], atol=1e-6)
    assert (np.abs(now - natural).max(axis=1) > 1e-4).any()
    # Reading changes nothing.
    np.testing.assert_array_equal(now, preferences_at(looped.service.sessions, PLAN.end_day))


def test_natural_drift_is_the_same_in_all_arms(outcomes: list[Outcome], timeline: pd.DataFrame) -> None:
    natural = {o.unit.arm: o.users["natural"] for o in outcomes if o.unit.seed == 0}
    null = natural.pop(NULL_TWIN)
    assert all((drift == natural["no remedy"]).all() for drift in natural.values())
    assert (null != natural["no remedy"]).any()
    nobody = _of(timeline, NOBODY)
    assert nobody[4, "preference", "within", "caused_drift"] == 0
    assert nobody[4, "preference", "within", "drift"] > nobody[2, "preference", "within", "drift"] > 0
    assert (_of(timeline, START)[:, "preference", "within", "drift"] == 0).all()


def test_a_twin_is_the_same_and_another_luck_is_not(timeline: pd.DataFrame) -> None:
    baseline = _of(timeline, "no remedy")
    baseline = baseline[baseline.index.get_level_values("metric") != STABILITY]
    pd.testing.assert_series_equal(baseline, _of(timeline, "twin"))
    assert not baseline.equals(_of(timeline, NULL_TWIN))


def test_only_agents_that_learn_are_taught(outcomes: list[Outcome]) -> None:
    taught = {o.unit.arm: o.result["num_retrainings"] for o in outcomes}
    learn = ("no remedy", "epsilon", "quota", "twin", "random", "popularity", ALL_DATA, NULL_TWIN)
    assert taught == {arm.name: 4 * (arm.name in learn) for arm in PLAN.arms}


def test_an_arm_that_never_forgets_learns_from_all_days(
    outcomes: list[Outcome], timeline: pd.DataFrame, platform: Platform
) -> None:
    agent = make_agent(EASE, 0)
    agent.learn(platform.log())
    twin = platform.fork(_with_rules(agent), Retraining(1))
    twin.run(PLAN.end_day)
    (users,) = (o.users for o in outcomes if o.unit == LoopUnit(0, ALL_DATA))
    log = twin.log(PLAN.log_days)
    row, slot = np.nonzero(log.clicks)
    np.testing.assert_array_equal(users["item"], log.slate[row, slot])
    np.testing.assert_array_equal(users["preference"], preferences_at(twin.service.sessions, PLAN.end_day))
    shown = ["exposure", "between", "effective_catalogue"]
    assert _of(timeline, ALL_DATA)[4, *shown] != _of(timeline, "no remedy")[4, *shown]
    assert PLAN.window_of(PLAN.baseline) == PLAN.memory_of(PLAN.baseline) == 3
    assert PLAN.window_of(PLAN.by_name[ALL_DATA]) is None and PLAN.memory_of(PLAN.by_name[ALL_DATA]) is None


def test_the_dividend_is_of_what_both_models_earn_inside_the_same_exploration(
    outcomes: list[Outcome], platform: Platform, looped: Platform
) -> None:
    """Beside forks made by hand, in which one-shot models learn from what either loop has shown last."""
    spec = PLAN.by_name["epsilon"].policy
    agent = make_agent(spec, 0)
    agent.learn(platform.log())
    explored = platform.fork(_with_rules(agent), Retraining(1, PLAN.window_days))
    explored.run(PLAN.end_day)
    window = (PLAN.end_day - PLAN.window_days) * TICKS_PER_DAY, PLAN.end_day * TICKS_PER_DAY
    expected = {}
    for model, teacher in (("own", explored), ("greedy", looped)):
        learned = make_agent(spec, 0)
        learned.learn(teacher.log().between(*window))
        for among, users in (("", explored), ("_among_greedy_users", looped)):
            log = users.fork(_with_rules(learned)).run(PLAN.end_day + PLAN.dividend_days)
            expected[f"{model}_model{among}"] = log.clicks.sum() / len(log)
    told = {o.unit.arm: o.result["rewards"] for o in outcomes if o.unit.seed == 0}
    assert told["epsilon"] == pytest.approx(expected) and len(set(expected.values())) == 4
    # The baseline's file is none of a mix of two models; nobody else has a model of another log to be compared with.
    assert {arm for arm, rewards in told.items() if rewards} == {"epsilon"}


def test_what_a_log_is_worth(outcomes: list[Outcome]) -> None:
    told = {o.unit.arm: o.result["worth"] for o in outcomes if o.unit.seed == 0}
    # A deterministic policy's log can't tell of one that shows other items, a random one's can.
    assert told["no remedy"]["value_refused"] == 1 and np.isnan(told["no remedy"]["value_error"])
    assert told["random"]["value_refused"] == 0 and told["random"]["value_error"] > 0
    assert all(0 < one["refit_clicks"] < 1 and -1 < one["refit_rank_agreement"] < 1 for one in told.values())


def test_stability_is_told_of_the_baseline_and_its_null_twin(timeline: pd.DataFrame, outcomes: list[Outcome]) -> None:
    told = timeline[timeline["metric"] == STABILITY]
    assert set(told["arm"]) == {"no remedy"} and list(told["seed"]) == [0, 0] and list(told["day"]) == [2, 4]
    counts = []
    for name in ("no remedy", NULL_TWIN):
        (users,) = (o.users for o in outcomes if o.unit == LoopUnit(0, name))
        counts.append(np.bincount(users["item"][users["day"] > 2], minlength=70))
    # Items that nobody clicked in either run, at the end of the list, are not there to be compared.
    last = np.flatnonzero(counts[0] + counts[1]).max() + 1
    every = [
        np.bincount(o.users["item"]) for o in outcomes if o.unit in (LoopUnit(0, "no remedy"), LoopUnit(0, NULL_TWIN))
    ]
    num_items = max(map(len, every))
    assert last <= num_items
    expected = spearmanr(counts[0][:num_items], counts[1][:num_items]).statistic
    assert told["value"].iloc[1] == pytest.approx(expected)


def test_examples_are_told_by_their_topics(outcomes: list[Outcome]) -> None:
    table = examples_table(outcomes, PLAN)
    assert set(table["day"]) == {0, 2, 4} and set(table["group"]) == {"mainstream", "niche"}
    sums = table.groupby(["arm", "seed", "user", "day"])[["shown", "taste"]].sum(min_count=4)
    assert np.allclose(sums["taste"], 1)
    assert sums["shown"].dropna().between(1 - 1e-9, 1 + 1e-9).all() and sums.loc[:, "shown"].notna().any()
    start = table[table["day"] == 0].pivot(index=["seed", "user", "topic"], columns="arm", values="taste")
    first = start.loc[0]
    assert (first.sub(first["no remedy"], axis=0).abs().drop(columns=NULL_TWIN) < 1e-12).all(axis=None)


def test_arms_are_compared_on_users_who_clicked_enough_in_all_of_them(outcomes: list[Outcome], folder: Path) -> None:
    table = equal_clicks_table(outcomes, PLAN, FACTORIES, folder, 1)
    assert set(table["metric"]) == {metric.name for metric in RAREFIED}
    for seed in PLAN.seeds:
        clicked = [set(o.users["user"]) for o in outcomes if o.unit.seed == seed]
        assert (table.loc[table["seed"] == seed, "num_users"] == len(set.intersection(*clicked))).all()
    first = table[(table["seed"] == 0) & (table["metric"] == "rarefied_num_topics")]
    assert (first["value"] == 1).all() and first["num_users"].iloc[0] > 0, "one click has one topic"
    by_arm = table[table["seed"] == 0].pivot(index="metric", columns="arm", values="value")
    pd.testing.assert_series_equal(by_arm["no remedy"], by_arm["twin"], check_names=False)
    none = equal_clicks_table(outcomes, PLAN, FACTORIES, folder, 1000)
    assert (none["num_users"] == 0).all() and none["value"].isna().all()
    with pytest.raises(ValueError, match="num_clicks must be at least 1, got 0"):
        equal_clicks_table(outcomes, PLAN, FACTORIES, folder, 0)


def test_at_equal_clicks_the_models_nearest_users_are_those_at_the_end(
    outcomes: list[Outcome], folder: Path, platform: Platform, looped: Platform
) -> None:
    start = Start.of(platform, 0, PLAN.sample)
    pairs = model_nearest(start, looped.service.sessions, looped.service.policy, PLAN.end_day)
    (baseline,) = (o for o in outcomes if o.unit == LoopUnit(0, "no remedy"))
    np.testing.assert_array_equal(baseline.users["model_nearest"], pairs)
    # Hardly anybody has clicked in so small a loop: everybody is given two clicks.
    everybody = np.repeat(np.arange(30), 2)
    item = np.stack([np.arange(30) % 3, 3 + np.arange(30) % 4], axis=1).ravel()
    met = Interactions(everybody, item[:, None])
    expected = rarefied_metrics(met, 2, np.ones(30, bool), start.ground, start.pairs | {"model_nearest": pairs})
    planted = replace(baseline, users=baseline.users | {"user": everybody, "item": item})
    table = equal_clicks_table([planted], replace(PLAN, seeds=(0,)), FACTORIES, folder, 2)
    told = table.set_index("metric")["value"]
    assert told["rarefied_jaccard_model_nearest"] == pytest.approx(expected["rarefied_jaccard_model_nearest"])
    assert expected["rarefied_jaccard_model_nearest"] != expected["rarefied_jaccard_true_nearest"]
    assert all("model_nearest" not in o.users for o in outcomes if o.unit.arm in ("random", "organic")), "no scores"


def test_the_secondary_reading_is_of_users_who_are_there_in_every_arm(
    outcomes: list[Outcome], folder: Path, looped: Platform
) -> None:
    table = present_table(outcomes, PLAN, FACTORIES, folder)
    arms = {o.unit.arm: o.users for o in outcomes if o.unit.seed == 0}
    np.testing.assert_array_equal(arms["no remedy"]["here"], looped.service.due < NEVER)
    here = np.all([users["here"] for users in arms.values()], axis=0)
    assert 0 < here.sum() < 30
    told = table[(table["seed"] == 0) & (table["arm"] == "no remedy")].set_index("metric")
    assert (told["num_users"] == here.sum()).all()
    log = looped.log(PLAN.log_days)
    assert told.loc["clicks_per_user", "value"] == pytest.approx(log.clicks[here[log.user]].sum() / here.sum() / 4)
    users = arms["no remedy"]
    moved = np.linalg.norm(users["preference"] - users["natural"], axis=1)[here]
    start = np.linalg.norm(looped.world.population.latent, axis=1)[here]  # lengths are kept
    assert told.loc["caused_drift", "value"] == pytest.approx((moved / start).mean(), rel=1e-4)


def test_positive_controls_do_what_they_are_for(timeline: pd.DataFrame) -> None:
    def at(arm: str, metric: str, direction: str) -> float:
        return float(_of(timeline, arm)[4, "exposure", direction, metric])

    assert at("top-topic", "topic_entropy", "within") < at("organic", "topic_entropy", "within")
    assert at("popularity", "jaccard_random", "between") > at("organic", "jaccard_random", "between")


def test_the_organic_order_depends_on_nothing_that_was_shown(platform: Platform) -> None:
    from recsim_lab.evaluation.organic import Organic

    rows = np.arange(10)
    orders = []
    for steps in (0, 2):
        sessions = platform.fork(Organic(platform.world)).service.sessions
        sessions.open(rows, np.full(10, 5 * TICKS_PER_DAY, np.int64))
        for _ in range(steps):
            sessions.answer(rows, np.tile(np.arange(5, dtype=np.int32), (10, 1)))
        draws = sessions.draws(rows).fork("policy")
        orders.append(Organic(platform.world).recommend(sessions.observe(rows), 5, draws).items)
    np.testing.assert_array_equal(*orders)


def test_the_models_nearest_users_are_nearest_by_its_scores(platform: Platform) -> None:
    start = Start.of(platform, 0, 10)
    agent = make_agent("mf:dim=4,epochs=2")
    agent.learn(platform.log())
    pairs = model_nearest(start, platform.service.sessions, agent, 3)
    assert pairs is not None
    sessions = platform.service.sessions.copy()
    sessions.open(np.arange(30), np.full(30, 3 * TICKS_PER_DAY, np.int64))
    scores = agent.ranker.scores(sessions.observe(start.sample))  # type: ignore[union-attr]
    scores = (scores - scores.mean(axis=0)).astype(np.float64)
    units = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    likeness = units @ units.T - 9 * np.eye(10)
    np.testing.assert_array_equal(pairs[:, 0], start.sample)
    np.testing.assert_array_equal(pairs[:, 1], start.sample[likeness.argmax(axis=1)])
    assert model_nearest(start, platform.service.sessions, make_agent("random"), 3) is None


@pytest.mark.parametrize(
    ("num_moves", "arm"), [*((moves, "epsilon") for moves in (3, 9, 14, 21, 26, 29)), (26, ALL_DATA)]
)
def test_a_run_that_stops_anywhere_ends_the_same(
    tmp_path: Path, timeline: pd.DataFrame, outcomes: list[Outcome], num_moves: int, arm: str
) -> None:
    """Every file is moved to its place in the end; the run stops at such a move, and is begun again."""
    plan = replace(PLAN, seeds=(0,), arms=(PLAN.baseline, PLAN.by_name[arm]))
    with interrupted_at(num_moves), pytest.raises(KeyboardInterrupt):
        run_feedback(plan, FACTORIES, tmp_path)
    again = run_feedback(plan, FACTORIES, tmp_path)
    whole = {o.unit: o for o in outcomes}
    for outcome in again:
        assert json.dumps(outcome.result) == json.dumps(whole[outcome.unit].result)
        for name, values in whole[outcome.unit].users.items():
            np.testing.assert_array_equal(outcome.users[name], values)


def test_a_plan_is_the_same_in_every_process() -> None:
    # Workers keep what the arms of a seed share under the plan that they were sent.
    sent = [pickle.loads(pickle.dumps(PLAN)) for _ in range(2)]
    assert sent[0] == sent[1] and hash(sent[0]) == hash(sent[1])


def test_a_killed_run_goes_on_from_its_last_whole_day(tmp_path: Path, outcomes: list[Outcome]) -> None:
    script = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from recsim_lab.evaluation.feedback.study import run_feedback\n"
        "from tests.evaluation.feedback.test_loop import FACTORIES, PLAN\n"
        "from tests.killed import die_on_day\n"
        "die_on_day(5, 0.05)\n"
        "run_feedback(replace(PLAN, seeds=(0,), arms=PLAN.arms[:2]), FACTORIES, Path(sys.argv[1]))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment)
    assert run.returncode == -signal.SIGKILL
    latest = tmp_path / "units" / LoopUnit(0, PLAN.arms[0].name).folder / "platform" / "latest"
    assert latest.read_text() == "day=5"
    plan = replace(PLAN, seeds=(0,), arms=PLAN.arms[:2])
    again = {outcome.unit: outcome for outcome in run_feedback(plan, FACTORIES, tmp_path)}
    for whole in outcomes:
        if whole.unit in again:
            assert json.dumps(again[whole.unit].result) == json.dumps(whole.result)


def test_days_are_told_as_they_are_done(tmp_path: Path) -> None:
    plan = replace(PLAN, seeds=(0,), arms=PLAN.arms[:1])
    told: list[tuple[str, int, int]] = []
    run_feedback(plan, FACTORIES, tmp_path, each_day=lambda unit, done, total: told.append((unit.arm, done, total)))
    assert told == [("no remedy", done, 4) for done in range(5)]


def test_a_log_is_read_by_the_users_asked_about_alone(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the whole log, read in full."""
    monkeypatch.setattr(worth, "NUM_VALUED", 12)
    told: list[LoggedSlates] = []

    def assess(logged: LoggedSlates, estimators: object) -> list[SimpleNamespace]:
        told.append(logged)
        return [SimpleNamespace(value=2.0, reason="")]

    monkeypatch.setattr(worth, "assess", assess)
    target = make_agent(f"{EASE},epsilon=0.5")
    target.learn(platform.log())
    policy = platform.service.policy
    recorder = Recorder()
    twin = platform.fork(policy, probe=recorder)
    twin.run(PLAN.log_days + worth.VALUED_DAYS)
    log, past = twin.log(), len(platform.log())
    some = np.sort(np.random.default_rng(3).permutation(len(log) - past)[:12])
    assert len(np.unique(log.user[past + some])) < len(np.unique(log.user))
    value = worth.evaluability(platform, _with_rules(target), 3, _restricted)["value_error"]
    question = Question(model=None, cascade=False, additive=False, restrict=_restricted, own_slates=10, seed=3)
    expected = logged_slates(log, _with_rules(target), policy, question, past + some)
    for side in ("logging", "target"):
        for field in ("marginal", "prefix"):
            np.testing.assert_array_equal(*(getattr(getattr(one, side), field) for one in (told[0], expected)))
    np.testing.assert_array_equal(told[0].reward, expected.reward)
    observation = log.observations(past + some)
    slates = _with_rules(target).recommend(observation, log.num_slots, redraw(observation, 0)).items
    truth = recorder.moments(twin.world).expected_clicks(some, slates).mean()
    assert value == abs(2 / truth - 1)


def test_a_folder_of_another_plan_is_refused(tmp_path: Path) -> None:
    plan = replace(PLAN, seeds=(0,), arms=PLAN.arms[:1])
    run_feedback(plan, FACTORIES, tmp_path)
    with pytest.raises(ValueError, match=r"another plan \(different: loop_days"):
        run_feedback(replace(plan, loop_days=5), FACTORIES, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ()}, "arms must hold at least one, got none"),
        ({"seeds": (1, 1)}, "seeds must be distinct, got 1 more than once"),
        ({"arms": (Arm("a", EASE), Arm("a", "random"))}, "arms must be distinct, got 'a' more than once"),
        ({"arms": (Arm("a", "oracle"),)}, "the first arm must be an agent that learns and no control"),
        ({"measure_every": 5}, r"measure_every must be in \[1, loop_days\], got 5 of 4"),
        ({"log_days": 0}, "log_days must be at least 1, got 0"),
        ({"sample": 1}, "sample must be at least 2, got 1"),
    ],
)
def test_a_wrong_plan_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)


def test_a_wrong_arm_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dial must go with a setting, got dial 'epsilon' with setting None"):
        Arm("a", EASE, dial="epsilon")
    with pytest.raises(ValueError, match="agent must be one of"):
        run_feedback(replace(PLAN, arms=(Arm("a", "nonsense"),)), FACTORIES, tmp_path)
    assert not list(tmp_path.iterdir())


def test_natural_preferences_read_the_luck_of_the_arm(platform: Platform) -> None:
    start = Start.of(platform, 0, 10)
    same, other = (natural_preferences(start, luck, 9) for luck in ("", "null"))
    assert (same != other).any()
    np.testing.assert_array_equal(same, natural_preferences(start, "", 9))
