"""A view of an environment is a law on batches; two coats put it around one user, a batch of one, or around many."""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, overload

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from jaxtyping import Int

from recsim_lab.envs.seats import Seats
from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.policy import HISTORY_FIELDS, REQUEST_FIELDS, Observation
from recsim_lab.streams import Draws

A = np.ndarray


@dataclass(frozen=True)
class Requests:
    """What some seats ask, one row each.

    `fields` are those of the environment's observation, also the ones that `Observation` does not have; `choices` the
    items that the view lets the client choose from; `draws` the randomness of the users as of now.
    """

    observation: Observation
    fields: Mapping[str, A]
    draws: Draws
    choices: Int[A, "rows choices"]

    def __len__(self) -> int:
        return len(self.observation)


@dataclass(frozen=True)
class View(ABC):
    """How a client sees requests and answers them; its other fields are its parameters.

    A hook that a member does not give passes on what there is. What a row becomes depends on that row alone.
    """

    seats: Seats
    inner_observations: gymnasium.Space
    inner_actions: gymnasium.Space

    @property
    def observation_space(self) -> gymnasium.Space:
        """Of one seat."""
        return self.inner_observations

    @property
    def action_space(self) -> gymnasium.Space:
        """Of one seat."""
        return self.inner_actions

    def choices(self, observation: Observation, draws: Draws) -> Int[A, "rows choices"]:
        """The items that the client chooses from, where they are not the whole catalogue."""
        return np.zeros((len(observation), 0), np.int32)

    def observe(self, requests: Requests) -> Any:
        """A batch of the observation space."""
        return requests.fields

    def translate(self, actions: A, requests: Requests) -> A:
        """A batch of the inner action space, from one of the action space.

        Raises:
            ValueError: if an action is none.
        """
        return actions


class Viewed(gymnasium.Wrapper, RecordConstructorArgs):
    """A `SlateEnv`, also within other wrappers, seen through `view(..., **parameters)`; `requests` holds the latest."""

    def __init__(self, env: gymnasium.Env, view: type[View], **parameters: Any) -> None:
        RecordConstructorArgs.__init__(self, view=view, **parameters)
        gymnasium.Wrapper.__init__(self, env)
        seats = _seats(env.unwrapped, env.observation_space, view)
        self.view = view(seats, env.observation_space, env.action_space, **parameters)
        self.observation_space = self.view.observation_space
        self.action_space = self.view.action_space
        self.requests: Requests | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        fields, info = self.env.reset(seed=seed, options=options)
        return self._observe(fields), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        inner = self.view.translate(np.asarray(action)[None], _known(self.requests))[0]
        fields, reward, terminated, truncated, info = self.env.step(inner)
        return self._observe(fields), reward, terminated, truncated, info

    def _observe(self, fields: Mapping[str, A]) -> Any:
        batch = {name: values[None] for name, values in fields.items()}
        self.requests = _requests(self.view, batch, self.view.seats.sessions.draws(np.arange(1)))
        return _row(self.view.observe(self.requests), 0)


class VectorViewed(VectorWrapper, RecordConstructorArgs):
    """A `SlateVectorEnv`, also within other wrappers, seen through `view(..., **parameters)`, in any mode of autoreset.

    Seat i under seed s is `Viewed` of the single environment under seed s + i.
    """

    def __init__(self, env: VectorEnv, view: type[View], **parameters: Any) -> None:
        RecordConstructorArgs.__init__(self, view=view, **parameters)
        VectorWrapper.__init__(self, env)
        spaces = env.single_observation_space, env.single_action_space
        self.view = view(_seats(env.unwrapped, spaces[0], view), *spaces, **parameters)
        self.single_observation_space = self.view.observation_space
        self.single_action_space = self.view.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.requests: Requests | None = None

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        fields, info = self.env.reset(seed=seed, options=options)
        return self._observe(fields), info

    def step(self, actions: Any) -> tuple[Any, A, A, A, dict[str, Any]]:
        before = _known(self.requests)
        inner = self.view.translate(np.asarray(actions), before)
        fields, rewards, terminated, truncated, info = self.env.step(inner)
        if "final_obs" in info:
            info = info | {"final_obs": self._final(info["final_obs"], np.flatnonzero(info["_final_obs"]), before)}
        return self._observe(fields), rewards, terminated, truncated, info

    def state(self) -> dict[str, A]:
        """As of `SlateVectorEnv`: a view has no state of its own. Wrappers of others in between must have none either,
        or this and `restore` of theirs."""
        return self.env.state()  # type: ignore[attr-defined]

    def restore(self, state: Mapping[str, A]) -> Any:
        """Go on from a `state`, as `SlateVectorEnv`; returns the observations as of then."""
        return self._observe(self.env.restore(state))  # type: ignore[attr-defined]

    def _observe(self, fields: Mapping[str, A]) -> Any:
        seats = self.view.seats
        self.requests = _requests(self.view, fields, seats.sessions.draws(seats.rows))
        return self.view.observe(self.requests)

    def _final(self, told: A, seats: Int[A, " ended"], before: Requests) -> A:
        """The last observations of the seats that ended, whose users are no longer there: who they were is known from
        the requests before, and how far they had come from what they were told."""
        batch = {name: np.stack([told[seat][name] for seat in seats]) for name in told[seats[0]]}
        user = before.draws.take(seats)
        draws = Draws(user.seed, user.user, batch["session"][:, 0], batch["step"][:, 0])
        observation = self.view.observe(_requests(self.view, batch, draws))
        final = np.full(self.num_envs, None, object)
        for row, seat in enumerate(seats):
            final[seat] = _row(observation, row)
        return final


@overload
def wrap(env: VectorEnv, view: type[View], **parameters: Any) -> VectorViewed: ...
@overload
def wrap(env: gymnasium.Env, view: type[View], **parameters: Any) -> Viewed: ...
def wrap(env: gymnasium.Env | VectorEnv, view: type[View], **parameters: Any) -> Viewed | VectorViewed:
    """The environment seen through a view, e.g. `wrap(env, CandidateSets, num_candidates=20)`.

    Raises:
        TypeError: if the environment is none of the lab's, or no longer gives the lab's own observations.
    """
    return VectorViewed(env, view, **parameters) if isinstance(env, VectorEnv) else Viewed(env, view, **parameters)


def _seats(env: Any, space: gymnasium.Space, view: type[View]) -> Seats:
    if not isinstance(env, (SlateEnv, SlateVectorEnv)):
        raise TypeError(f"{view.__name__} must be put around a SlateEnv or a SlateVectorEnv, got {type(env).__name__}")
    if not (isinstance(space, gymnasium.spaces.Dict) and {*REQUEST_FIELDS, *HISTORY_FIELDS} <= set(space)):
        raise TypeError(f"{view.__name__} must be put inside wrappers that replace the observation, got {space}")
    return env.seats


def _requests(view: View, fields: Mapping[str, A], draws: Draws) -> Requests:
    observation = Observation.of(fields, view.seats.world.features)
    return Requests(observation, fields, draws, view.choices(observation, draws))


def _known(requests: Requests | None) -> Requests:
    if requests is None:
        raise gymnasium.error.ResetNeeded("reset must be called before step")
    return requests


def _row(batch: Any, row: int) -> Any:
    return {name: values[row] for name, values in batch.items()} if isinstance(batch, Mapping) else batch[row]
