"""What an acting agent sees of a request, by hand and from logs; and the state that a network makes of it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.acting.state import NUM_SLATES_BACK, RECENT_SLATES, StateNetwork, States
from agents.fields import Schema
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.interaction_log import InteractionLog, concatenate, record
from recsim_lab.policy import Observation, deterministic

A = np.ndarray
Requests = Callable[..., Observation]
NOW = 100_000
UNKNOWN = 1 + NUM_SLATES_BACK
"""The age of a click so and so long ago is this and a power of two."""
COLUMNS = ("tick", "item", "age", "numbers")


def _recent(states: States) -> tuple[A, A]:
    """How many of the last slates, newest first, were clicked how often, and which there were."""
    return states.numbers[:, 5 : 5 + RECENT_SLATES], states.numbers[:, 5 + RECENT_SLATES :]


def test_the_newest_clicks_are_seen(requests: Requests) -> None:
    request = requests([3, 1, 0], 9, clicked=[[1, 2, 3], [], [5]])
    states = States.of(request, 2, 2)
    assert states.user.tolist() == [3, 1, 0]
    assert states.item.tolist() == [[2, 3], [-1, -1], [-1, 5]]
    assert (states.age[states.item < 0] == 0).all() and (states.age[states.item >= 0] > 0).all()
    assert States.of(request, 5, 2).item.tolist() == [[-1, -1, 1, 2, 3], [-1] * 5, [-1, -1, -1, -1, 5]]
    assert states.numbers[:, 4].tolist() == [1.0, 0.0, 0.5]


def test_clicks_of_this_visit_are_as_old_as_their_slates(requests: Requests) -> None:
    """Three slates of two; 4 and 5 were clicked in the second, 7 in the third, 0 and 1 an hour and a day ago."""
    request = requests(
        [0],
        9,
        clicked=[[0, 1, 4, 5, 7]],
        clicked_tick=[[NOW - 1440, NOW - 60, NOW, NOW, NOW]],
        shown=[[2, 3, 4, 5, 6, 7]],
        tick=NOW,
    )
    states = States.of(request, 5, 2)
    # 1441 and 61 are in [2^10, 2^11) and [2^5, 2^6), the 11th and 6th powers.
    assert states.age.tolist() == [[UNKNOWN + 11, UNKNOWN + 6, 2, 2, 1]]
    num_clicks, is_known = _recent(states)
    assert num_clicks.tolist() == [[0.5, 1.0, 0.0, 0.0, 0.0]]
    assert is_known.tolist() == [[1.0, 1.0, 1.0, 0.0, 0.0]]


def test_of_two_showings_the_last_counts(requests: Requests) -> None:
    request = requests([0], 9, clicked=[[3, 3]], clicked_tick=[[NOW, NOW]], shown=[[3, 1, 4, 3, 5, 6]], tick=NOW)
    states = States.of(request, 2, 2)
    assert states.age.tolist() == [[2, 2]]
    assert _recent(states)[0].tolist() == [[0.0, 1.0, 0.0, 0.0, 0.0]]


def test_an_old_click_of_an_item_shown_now_is_old(requests: Requests) -> None:
    states = States.of(requests([0], 9, clicked=[[3]], clicked_tick=[[NOW - 60]], shown=[[3, 1]], tick=NOW), 1, 2)
    assert states.age.tolist() == [[UNKNOWN + 6]]
    assert not _recent(states)[0].any()


def test_a_click_whose_slate_dropped_out_was_just_now(requests: Requests) -> None:
    states = States.of(requests([0], 9, clicked=[[3]], clicked_tick=[[NOW]], shown=[[0, 1]], tick=NOW), 1, 2)
    assert states.age.tolist() == [[UNKNOWN + 1]]


def test_numbers_by_hand(requests: Requests) -> None:
    request = requests([0], 9, tick=1440 * 3 + 360)
    request = replace(request, step=np.array([2], np.int32), session=np.array([6], np.int32))
    expected = [np.log(3), np.log(7), 1.0, 0.0, 0.0]
    assert States.of(request, 4, 2).numbers[0, :5] == pytest.approx(expected, abs=1e-6)


def _live(env: SlateVectorEnv, num_steps: int) -> tuple[list[Observation], InteractionLog, A]:
    """Requests as they were served, the log of them in which each life is a user, and the seats' lives by step."""
    generator = np.random.default_rng(0)
    life, lives, served, logs = np.arange(env.num_envs), [], [], []
    fields, _ = env.reset(seed=3)
    for _ in range(num_steps):
        observation = Observation.of(fields, env.features)
        offered = observation.eligible()
        slates = (offered * generator.random(offered.shape)).argsort(axis=1)[:, -3:].astype(np.int32)
        fields, reward, ended, cut, info = env.step(slates)
        outcome = {name: info[name] for name in ("clicks", "dwell", "likes", "left")}
        answer = deterministic(slates, "random")
        known = replace(observation, user=life.astype(np.int32))
        logs.append(record(known, answer, outcome | {"reward": reward.astype(np.float32)}))
        served.append(observation)
        lives.append(life)
        gone = ended | cut
        if gone.any():
            fields, _ = env.reset(options={"reset_mask": gone})
            life = np.where(gone, life + env.num_envs, life)
    return served, concatenate(logs), np.array(lives)


def test_states_of_a_log_are_those_that_were_served(seats: Callable[..., SlateVectorEnv]) -> None:
    served, log, lives = _live(seats(12, max_steps=30), 40)
    assert log.clicks.any() and (lives[-1] >= 12).any() and log.session.max() > 2 and log.step.max() > 3
    as_served = States.joined([States.of(observation, 10, 3) for observation in served])
    rebuilt = States.of(log.observations(), 10, 3)
    assert (as_served.item >= 0).any(axis=1).mean() > 0.5 and (as_served.item < 0).any()
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(rebuilt, name), getattr(as_served, name), err_msg=name)


def test_each_row_stands_alone(seats: Callable[..., SlateVectorEnv]) -> None:
    served, _, _ = _live(seats(12), 8)
    observation = served[-1]
    whole = States.of(observation, 6, 3)
    parts = States.joined([States.of(observation.take(slice(row, row + 1)), 6, 3) for row in range(12)])
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), values)
        assert getattr(parts, name).dtype == values.dtype
        np.testing.assert_array_equal(getattr(whole.take(np.array([4, 2])), name), values[[4, 2]])
    assert len(whole) == 12 and len(States.of(observation.take(slice(0, 0)), 6, 3)) == 0


def test_rows_are_written_over(requests: Requests) -> None:
    kept = States.of(requests([0, 1, 2], 9, clicked=[[1], [2], [3]]), 1, 2)
    kept.put(np.array([2, 0]), States.of(requests([5, 6], 9, clicked=[[7], []]), 1, 2))
    assert kept.user.tolist() == [6, 1, 5]
    assert kept.item.tolist() == [[-1], [2], [7]]


# ---- the network ------------------------------------------------------------------------------------------------


@pytest.fixture
def network(featured_log: InteractionLog) -> Callable[..., torch.Tensor]:
    """States that one network makes of requests about items and users with fields of every kind."""
    torch.manual_seed(0)
    schema = Schema.of(featured_log.features, 0, 1)
    made, table = StateNetwork(schema, 16, 2, 6, ids=True), schema.table(featured_log.features, "cpu")
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))  # far from the small weights that training starts from

    def states(observation: Observation, newest: int = 6) -> torch.Tensor:
        with torch.no_grad():
            return made(States.of(observation, newest, 2), made.items(table), table)

    return states


CLICKED = [[1, 2, 3, 4, 5, 6], [7], [], [3, 1], [2, 2, 9]]


def test_no_padding_leaks_into_a_state(network: Callable[..., torch.Tensor], requests: Requests) -> None:
    """The same request beside longer histories, beside shorter ones, and alone."""
    whole = network(requests([0, 1, 2, 3, 4], 40, clicked=CLICKED))
    for row, clicked in enumerate(CLICKED):
        alone = network(requests([row], 40, clicked=[clicked]))
        torch.testing.assert_close(alone[0], whole[row], atol=1e-5, rtol=0)
    backwards = network(requests([4, 3, 2, 1, 0], 40, clicked=CLICKED[::-1]))
    torch.testing.assert_close(backwards, whole.flip(0), atol=1e-5, rtol=0)
    assert network(requests([], 40)).shape == (0, 16)


@pytest.mark.parametrize(
    "other",
    [
        {"clicked": [[2, 1, 3]]},
        {"clicked": [[1, 2, 4]]},
        {"clicked": [[1, 2]]},
        {"clicked_tick": [[0, 0, NOW - 60]]},
        {"tick": NOW + 400},
        {"user": [1]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_state_tells_requests_apart(
    network: Callable[..., torch.Tensor], requests: Requests, other: dict[str, object]
) -> None:
    told: dict[str, object] = {"user": [0], "num_items": 40, "clicked": [[1, 2, 3]], "tick": NOW}
    difference = network(requests(**told)) - network(requests(**told | other))
    assert difference.abs().max() > 1e-2


def test_clicks_beyond_the_newest_are_not_read(network: Callable[..., torch.Tensor], requests: Requests) -> None:
    long = requests([0, 0], 40, clicked=[[8, 1, 2, 3, 4, 5, 6], [9, 1, 2, 3, 4, 5, 6]])
    one, other = network(long)
    torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
