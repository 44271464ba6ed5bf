"""Each kernel equals its NumPy twin, bit for bit but in the choice, on any number of threads, in any order of rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import pytest

from recsim_lab import compile
from recsim_lab.simulation import kernels

SLOTS, ITEMS, DIMS, TOPICS, HISTORY = 5, 300, 21, 7, 4
SHOWN = 3 * SLOTS
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A kernel and its twin, the names of their arguments in order, and of those arguments that the kernel writes."""

    kernel: Callable
    twin: Callable
    arguments: tuple[str, ...]
    written: tuple[str, ...]


# ---- the twins: arrays in, new arrays out ----------------------------------------------------------------------


def dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Dot products along the last axis in float32, in eight partial sums."""
    sums = [np.zeros(left.shape[:-1], np.float32) for _ in range(8)]
    whole = DIMS - DIMS % 8
    for k in range(DIMS):
        lane = k % 8 if k < whole else 0
        sums[lane] = sums[lane] + left[..., k] * right[..., k]
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))


def pair_dot_twin(items, rows, left, right, weight, out):
    return {"out": weight * dots(np.repeat(left[rows][:, None], SLOTS, axis=1), right[items])}


def add_pairs_twin(items, rows, table, column, weight, out):
    return {"out": out + weight * table[rows[:, None], column[items]]}


def add_crosses_twin(
    items, age, part, device, genre, length, language, age_genre, part_length, age_part_language, device_length,
    weight, out,
):  # fmt: skip
    age, part, device = age[:, None], part[:, None], device[:, None]
    first_two = age_genre[age, genre[items]] + part_length[part, length[items]]
    three = first_two + age_part_language[age, part, language[items]]
    return {"out": out + weight * (three + device_length[device, length[items]])}


def mark_void_twin(items, rows, tick, release, void, num_void):
    repeated = np.array([[item in slate[:k] for k, item in enumerate(slate)] for slate in items.tolist()])
    void = repeated | (release[items] > tick[rows][:, None])
    return {"void": void, "num_void": void.sum(axis=1)}


def add_intent_twin(
    items, rows, intent, last_item, topic, continues, topic_weight, series_weight, out
):  # fmt: skip
    wanted, last = intent[rows][:, None], last_item[rows][:, None]
    out = np.where(topic[items] == wanted, out + topic_weight, out)
    return {"out": np.where((last >= 0) & (continues[items] == last), out + series_weight, out)}


def pull_twin(rows, clicks, slate, vectors, targets, rate):
    vectors = vectors.copy()
    for k in range(SLOTS):
        clicked = rows[clicks[:, k]]
        old, target = vectors[clicked], targets[slate[clicks[:, k], k]]
        new = old + rate * (target - old)
        before, after = np.sqrt(dots(old, old)), np.sqrt(dots(new, new))
        vectors[clicked] = new * (before / after)[:, None]
    return {"vectors": vectors}


def decay_and_count_twin(rows, clicks, slate, table, column, decay):
    table = table.copy()
    table[rows] *= decay
    request, slot = np.nonzero(clicks)
    np.add.at(table, (rows[request], column[slate[request, slot]]), np.float32(1))
    return {"table": table}


def remember_twin(rows, clicks, slate, tick, step, clicked, clicked_tick, shown):
    """Lists that grow on the right and lose what is too old on the left."""
    clicked, clicked_tick, shown, step = clicked.copy(), clicked_tick.copy(), shown.copy(), step.copy()
    for request, row in enumerate(rows):
        items = slate[request][clicks[request]].tolist()
        clicked[row] = (clicked[row].tolist() + items)[-HISTORY:]
        clicked_tick[row] = (clicked_tick[row].tolist() + [int(tick[row])] * len(items))[-HISTORY:]
        seen = shown[row, : step[row] * SLOTS].tolist() + slate[request].tolist()
        shown[row] = (seen + [-1] * SHOWN)[:SHOWN] if len(seen) <= SHOWN else seen[-SHOWN:]
        step[row] += 1
    return {"step": step, "clicked": clicked, "clicked_tick": clicked_tick, "shown": shown}


FEEDBACK = ("rows", "clicks", "slate")
FEATURES = ("genre", "length", "language", "age_genre", "part_length", "age_part_language", "device_length")
CASES = [
    Case(kernels.pair_dot, pair_dot_twin, ("slate", "rows", "vectors", "targets", "weight", "out"), ("out",)),
    Case(kernels.add_pairs, add_pairs_twin, ("slate", "rows", "table", "topic", "weight", "out"), ("out",)),
    Case(
        kernels.add_crosses,
        add_crosses_twin,
        ("slate", "age", "part", "device", *FEATURES, "weight", "out"),
        ("out",),
    ),
    Case(
        kernels.add_intent,
        add_intent_twin,
        ("slate", "rows", "intent", "last_item", "topic", "continues", "weight", "rate", "out"),
        ("out",),
    ),
    Case(
        kernels.mark_void,
        mark_void_twin,
        ("slate", "rows", "tick", "release", "void", "num_void"),
        ("void", "num_void"),
    ),
    Case(kernels.pull, pull_twin, (*FEEDBACK, "vectors", "targets", "rate"), ("vectors",)),
    Case(kernels.decay_and_count, decay_and_count_twin, (*FEEDBACK, "table", "topic", "decay"), ("table",)),
    Case(
        kernels.remember,
        remember_twin,
        (*FEEDBACK, "tick", "step", "clicked", "clicked_tick", "shown"),
        ("step", "clicked", "clicked_tick", "shown"),
    ),
]
IDS = [case.kernel.__name__ for case in CASES]
# These have a row for each request, all other arrays one for each user or item.
BY_REQUEST = ("slate", "rows", "clicks", "age", "part", "device", "out", "void", "num_void")


def world(num_rows: int, seed: int = 0) -> Arrays:
    """Requests of `num_rows` of twice as many users, some of whose slates repeat items."""
    rng = np.random.default_rng(seed)
    num_users = 2 * num_rows

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def code(high: int, *shape: int) -> np.ndarray:
        return rng.integers(0, high, shape).astype(np.int32)

    rows = rng.permutation(num_users)[:num_rows]
    step = code(6, num_users)
    shown = code(ITEMS, num_users, SHOWN)
    filled = np.zeros(num_users, int)
    filled[rows] = np.minimum(step[rows] * SLOTS, SHOWN)
    shown[np.arange(SHOWN) >= filled[:, None]] = -1
    slate = code(ITEMS, num_rows, SLOTS)
    slate[rng.random(num_rows) < 0.3, 3] = slate[0, 1]
    slate[::4, 4] = slate[::4, 2]
    topic, intent = code(TOPICS, ITEMS), code(TOPICS, num_users)
    intent[rows[0]] = topic[slate[0, 0]]  # at least one request meets its intent
    return {
        "slate": slate,
        "rows": rows,
        "clicks": rng.random((num_rows, SLOTS)) < 0.4,
        "tick": rng.integers(0, 10**6, num_users),
        "step": step,
        "age": code(6, num_rows),
        "part": code(8, num_rows),
        "device": code(3, num_rows),
        "vectors": normal(num_users, DIMS),
        "targets": normal(ITEMS, DIMS),
        "table": normal(num_users, TOPICS),
        "intent": intent,
        "last_item": code(20, num_users) - 1,
        "topic": topic,
        "continues": code(20, ITEMS) - 1,
        "genre": code(TOPICS, ITEMS),
        "length": code(4, ITEMS),
        "language": code(5, ITEMS),
        "release": rng.integers(0, 10**6, ITEMS) // 2,
        "age_genre": normal(6, TOPICS),
        "part_length": normal(8, 4),
        "age_part_language": normal(6, 8, 5),
        "device_length": normal(3, 4),
        "weight": np.float32(0.7),
        "rate": np.float32(0.05),
        "decay": np.float32(0.95),
        "clicked": code(ITEMS, num_users, HISTORY),
        "clicked_tick": rng.integers(0, 10**6, (num_users, HISTORY)),
        "shown": shown,
        "out": normal(num_rows, SLOTS),
        "void": np.zeros((num_rows, SLOTS), bool),
        "num_void": np.full(num_rows, -1),
    }


def run(case: Case, arrays: Arrays) -> Arrays:
    """What the kernel writes, on copies."""
    arguments = {name: arrays[name].copy() for name in case.arguments}
    case.kernel(*arguments.values())
    return {name: arguments[name] for name in case.written}


@pytest.fixture(params=[3, 5000])
def num_rows(request) -> int:
    return request.param


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_kernel_equals_its_twin(case, num_rows):
    arrays = world(num_rows)
    expected = case.twin(*(arrays[name] for name in case.arguments))
    for name, written in run(case, arrays).items():
        assert written.dtype == arrays[name].dtype
        assert not np.array_equal(written, arrays[name])  # otherwise the case shows nothing
        np.testing.assert_array_equal(written, expected[name])


def on_all_roads(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list:
    """What the call gives by the serial kernel, the parallel one on one thread, and the parallel one on all threads."""
    several = numba.get_num_threads()
    if several < 2:
        pytest.skip("needs two threads: the machine or NUMBA_NUM_THREADS has one")
    monkeypatch.setattr(compile, "PARALLEL_ROWS", 10**9)
    results = [call()]
    monkeypatch.setattr(compile, "PARALLEL_ROWS", 0)
    try:
        numba.set_num_threads(1)
        results.append(call())
    finally:
        numba.set_num_threads(several)
    return [*results, call()]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_serial_and_parallel_write_the_same_bits(case, num_rows, monkeypatch):
    arrays = world(num_rows, seed=1)
    serial, *others = on_all_roads(lambda: run(case, arrays), monkeypatch)
    for other in others:
        for name, written in other.items():
            np.testing.assert_array_equal(written, serial[name])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_order_and_company_of_rows_do_not_matter(case, num_rows):
    arrays = world(num_rows, seed=2)
    whole = run(case, arrays)
    order = np.random.default_rng(3).permutation(num_rows)
    for chosen in (order, order[: num_rows // 2], order[:1]):
        part = run(case, {name: v[chosen] if name in BY_REQUEST else v for name, v in arrays.items()})
        for name, written in part.items():
            if name in BY_REQUEST:
                np.testing.assert_array_equal(written, whole[name][chosen])
            else:
                users = arrays["rows"][chosen]
                np.testing.assert_array_equal(written[users], whole[name][users])


def test_rows_that_are_not_named_stay_as_they_were():
    arrays = world(50)
    others = np.setdiff1d(np.arange(100), arrays["rows"])
    for case in CASES:
        for name, written in run(case, arrays).items():
            if name not in BY_REQUEST:
                np.testing.assert_array_equal(written[others], arrays[name][others])


def test_pull_keeps_the_length_and_leaves_nothing_at_rest_undefined():
    arrays = world(400)
    before, after = arrays["vectors"], run(CASES[IDS.index("pull")], arrays)["vectors"]
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), rtol=1e-5)
    arrays["vectors"] = np.zeros_like(before)
    assert not run(CASES[IDS.index("pull")], arrays)["vectors"].any()


# ---- the choice ------------------------------------------------------------------------------------------------


def choices(num_rows: int, no_click: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(4)
    utility = rng.normal(0, 2, (num_rows, SLOTS)).astype(np.float32)
    utility[rng.random(utility.shape) < 0.2] = -np.inf
    utility[::50] = -np.inf
    utility[1::50, 2] = 50
    utility[2::50, 1:4] = -50
    examination = rng.uniform(0.1, 1, (8, SLOTS)).astype(np.float32)
    habit = rng.integers(0, 8, num_rows).astype(np.int32)
    uniform = ((rng.integers(0, 2**23, num_rows) + 0.5) / 2**23).astype(np.float32)
    return utility, examination, habit, np.float32(no_click), uniform


def choose(utility, examination, habit, no_click, uniform):
    clicks = np.zeros(utility.shape, bool)
    kernels.choose_one(utility, examination, habit, no_click, uniform, np.empty_like(utility), clicks)
    assert (clicks.sum(axis=1) <= 1).all()
    return np.where(clicks.any(axis=1), clicks.argmax(axis=1), -1)


def choose_twin(utility, examination, habit, no_click, uniform):
    """The chosen slots, and how far each uniform number lies from the next boundary between two answers."""
    weights = examination[habit] * np.exp(utility.astype(np.float64))
    upper = np.cumsum(weights, axis=1)
    total = upper[:, -1] + np.exp(np.float64(no_click))
    bounds = np.divide(upper, total[:, None], out=np.zeros_like(upper), where=total[:, None] > 0)
    chosen = (bounds <= uniform[:, None]).sum(axis=1)
    chosen[chosen == SLOTS] = -1
    return chosen, np.abs(bounds - uniform[:, None]).min(axis=1)


@pytest.mark.parametrize("no_click", [0.0, 1.5, -np.inf])
def test_choose_one_equals_its_twin(no_click, num_rows):
    arguments = choices(num_rows, no_click)
    chosen, (expected, margin) = choose(*arguments), choose_twin(*arguments)
    # A float32 sum is right to some 1e-7, so nearer to a boundary than 1e-5 the answer may differ.
    clear = margin > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(chosen[clear], expected[clear])
    utility = arguments[0]
    assert (utility[chosen >= 0, chosen[chosen >= 0]] > -np.inf).all()
    if no_click == -np.inf:
        assert ((chosen >= 0) == (utility > -np.inf).any(axis=1)).all()


def test_choose_one_is_the_same_in_any_batch():
    utility, examination, habit, no_click, uniform = choices(5000, 0.5)
    whole = choose(utility, examination, habit, no_click, uniform)
    order = np.random.default_rng(5).permutation(5000)
    for chosen in (order, order[:700], order[:1]):
        part = choose(utility[chosen], examination, habit[chosen], no_click, uniform[chosen])
        np.testing.assert_array_equal(part, whole[chosen])


def test_choose_one_is_the_same_on_any_number_of_threads(num_rows, monkeypatch):
    arguments = choices(num_rows, 0.5)
    serial, *others = on_all_roads(lambda: choose(*arguments), monkeypatch)
    for other in others:
        np.testing.assert_array_equal(other, serial)
