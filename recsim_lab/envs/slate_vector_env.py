"""Many users at once behind `gymnasium.vector.VectorEnv`: one array operation for all, no loop over users."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from recsim_lab.envs.seats import Seats, as_slates, event_info
from recsim_lab.policy import FeatureTable
from recsim_lab.simulation.sessions import HISTORY
from recsim_lab.simulation.world import World

A = np.ndarray


class SlateVectorEnv(gymnasium.vector.VectorEnv):
    """`SlateEnv` for `num_envs` seats; seat i under seed s is the single environment under seed s + i.

    When an episode ends, the next user takes the seat: at the next step (`AutoresetMode.NEXT_STEP`, whose action
    for the seat is ignored and reward 0), in the same step (`SAME_STEP`, with `info["final_obs"]` and
    `info["final_info"]`), or when `reset(options={"reset_mask": ...})` says so (`DISABLED`). `info` has arrays with
    one row a seat and, as everywhere in Gymnasium, a mask of the seats that they speak of under the name with `_`
    before it. In the same-step mode it speaks of the step of every seat, also of those whose episode it ended.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        world: World | str = "everyday",
        num_slots: int | None = None,
        max_steps: int = 500,
        reward: str = "world",
        history: int = HISTORY,
        recent_slates: int = 0,
        hidden: Sequence[str] = (),
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if render_mode is not None:
            raise ValueError(f"render_mode must be None, got {render_mode!r}")
        self.num_envs = num_envs
        self.render_mode = None
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = self.metadata | {"autoreset_mode": self.autoreset_mode}
        self.seats = Seats(world, num_slots, max_steps, reward, history, recent_slates, hidden, parameters)
        self.seats.sit(np.zeros(num_envs, np.uint64))
        self.single_observation_space = self.seats.observation_space()
        self.single_action_space = self.seats.action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended = np.zeros(num_envs, bool)
        self._fresh = True

    @property
    def features(self) -> FeatureTable:
        """The public features of users and items."""
        return self.seats.world.features

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, A], dict[str, Any]]:
        super().reset(seed=seed if isinstance(seed, int) else None)
        resetting = self._reset_mask(options or {})
        keys, seeded = self._keys(seed)
        anew, on = np.flatnonzero(resetting & seeded), np.flatnonzero(resetting & ~seeded)
        self.seats.next_life(anew, keys[anew])
        self.seats.next_life(on)
        self._ended[resetting] = False
        self._fresh = False
        return self.seats.observe(self.seats.rows), {}

    def _reset_mask(self, options: dict[str, Any]) -> A:
        mask = options.get("reset_mask")
        if mask is None or self._fresh:
            return np.ones(self.num_envs, bool)
        if np.shape(mask) != (self.num_envs,) or np.asarray(mask).dtype != bool:
            raise ValueError(f"reset_mask must be {self.num_envs} truth values, got {mask!r}")
        return np.asarray(mask)

    def _keys(self, seed: int | list[int | None] | None) -> tuple[A, A]:
        """A key for each seat, and which seats start anew under theirs; the others go on with their next user."""
        every = np.ones(self.num_envs, bool)
        if isinstance(seed, (list, tuple, np.ndarray)):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed must be one number or {self.num_envs} of them, got {len(seed)}")
            drawn = self.np_random.integers(2**31, size=self.num_envs)
            keys = np.array([d if s is None else s for s, d in zip(seed, drawn, strict=True)], np.uint64)
            return keys, every if self._fresh else np.array([s is not None for s in seed])
        first = int(self.np_random.integers(2**31)) if seed is None else int(seed)
        keys = np.uint64(first) + np.arange(self.num_envs, dtype=np.uint64)
        return keys, every if self._fresh or seed is not None else ~every

    def state(self) -> dict[str, A]:
        """All that `restore` needs to go on exactly from here, as arrays of the caller's own."""
        generator = json.dumps(self.np_random.bit_generator.state).encode()
        return self._all_but_generator() | {"np_random": np.frombuffer(generator, np.uint8).copy()}

    def restore(self, state: Mapping[str, A]) -> dict[str, A]:
        """Go on from a `state` of an environment made with the same arguments; returns the observations as of then.

        Raises:
            ValueError: if an array is missing, unknown, or of another shape or type; then nothing has changed.
        """
        current = self._all_but_generator()
        if different := sorted({*current, "np_random"} ^ set(state)):
            raise ValueError(f"a state must hold the arrays that this environment has, they differ in {different}")
        for name, values in current.items():
            told, given = (f"{array.dtype} of shape {array.shape}" for array in (values, state[name]))
            if told != given:
                raise ValueError(f"{name} of a state must be {told}, got {given}")
        generator = np.random.Generator(np.random.PCG64())
        generator.bit_generator.state = json.loads(state["np_random"].tobytes())
        self.seats.restore(state)
        self._ended, self._fresh, self.np_random = state["ended"].copy(), bool(state["fresh"]), generator
        return self.seats.observe(self.seats.rows)

    def _all_but_generator(self) -> dict[str, A]:
        return self.seats.state() | {"ended": self._ended.copy(), "fresh": np.array(self._fresh)}

    def step(self, actions: Any) -> tuple[dict[str, A], A, A, A, dict[str, Any]]:
        slates = as_slates(actions, (self.num_envs, self.seats.num_slots))
        if self._ended.any():
            return self._step_some(slates)
        outcome = self.seats.step(self.seats.rows, slates)
        info = self._info(event_info(outcome.response), np.ones(self.num_envs, bool))
        self._ended = outcome.terminated | outcome.truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            info |= self._final(info, self._ended)
            self.seats.next_life(np.flatnonzero(self._ended))
            self._ended = np.zeros(self.num_envs, bool)
        return self.seats.observe(self.seats.rows), outcome.reward, outcome.terminated, outcome.truncated, info

    def _step_some(self, slates: A) -> tuple[dict[str, A], A, A, A, dict[str, Any]]:
        """Some seats' episodes ended at the step before: they reset now, the others go on."""
        if self.autoreset_mode == AutoresetMode.DISABLED:
            raise ValueError("episodes have ended: call reset(options={'reset_mask': ...}) before the next step")
        on = ~self._ended
        self.seats.next_life(np.flatnonzero(self._ended))
        going = np.flatnonzero(on)
        outcome = self.seats.step(going, slates[going])
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        reward[going], terminated[going], truncated[going] = outcome.reward, outcome.terminated, outcome.truncated
        events = {}
        for name, values in event_info(outcome.response).items():
            events[name] = np.zeros((self.num_envs, *values.shape[1:]), values.dtype)
            events[name][going] = values
        self._ended = terminated | truncated
        return self.seats.observe(self.seats.rows), reward, terminated, truncated, self._info(events, on)

    def _info(self, events: dict[str, A], mask: A) -> dict[str, Any]:
        return events | {f"_{name}": mask for name in events}

    def _final(self, info: dict[str, Any], ended: A) -> dict[str, Any]:
        """The last observation and info of the seats that ended, as Gymnasium's same-step mode gives them."""
        observed = self.seats.observe(self.seats.rows)
        observations = np.full(self.num_envs, None, object)
        for seat in np.flatnonzero(ended):
            observations[seat] = {name: values[seat] for name, values in observed.items()}
        final = {name: values & ended if name.startswith("_") else values for name, values in info.items()}
        return {
            "final_obs": observations,
            "_final_obs": ended.copy(),
            "final_info": final,
            "_final_info": ended.copy(),
        }
