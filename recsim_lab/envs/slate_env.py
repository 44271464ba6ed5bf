"""One user at a time behind `gymnasium.Env`."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from recsim_lab.envs.seats import Seats, as_slates, event_info
from recsim_lab.policy import FeatureTable
from recsim_lab.simulation.sessions import HISTORY
from recsim_lab.simulation.world import World

A = np.ndarray


class SlateEnv(gymnasium.Env):
    """Recommend slates to a user through their life on the site.

    Description:
        A user visits, sees slates of `num_slots` items, clicks or not, leaves, and comes back some days later. The
        next step after the end of a visit is the first slate of the next visit. Who the user is, and all that
        happens to them, follows from the seed of `reset`.

    Action space: `MultiDiscrete([num_items] * num_slots)`, the item of each slot from the top. A slot that repeats
        an item, or holds one that is not yet on offer, is void: nobody can click it; `info["num_void"]` counts.

    Observation space: `Dict` with the fields of `recsim_lab.policy.Observation`: `user` (row of the feature
        table), `session`, `step` in the session, `tick` (minutes), `device`, each an array of one number; `clicked`
        and `clicked_tick` (newest last, padded with -1 on the left), `shown` (this session's slates, padded with -1
        on the right). The public features stand in `env.unwrapped.features`. With `recent_slates=k` also
        `recent_slates`, the user's last k slates of any visit, newest last, and `recent_clicks`, 1 where the slot was
        clicked, both padded with -1. With `hidden` also the HIDDEN TRUTH, for privileged baselines alone: each named
        array of the user's state (`preference`, `satisfaction`, ...; "all" for all there are) as `hidden_<name>`.

    Reward: `reward="world"` (the default: clicks; the rating in worlds of ratings), `"clicks"`, `"dwell"`
        (minutes), `"satisfaction"`, or `"return"`: at the slate that ends a visit, 1 if the user is back within
        seven days, else 0.

    Episode end: `terminated` when the user leaves for good, `truncated` after `max_steps` slates. `reset` without
        a seed goes on with the next user.

    Info: `clicks`, `dwell`, `likes` per slot, `left` (the visit ended after this slate), `num_void`.

    Arguments: `world`, a preset's name or a `World`; `num_slots`, `max_steps`, `reward`, `history`, `recent_slates`,
        `hidden`; any other goes to the preset, e.g. `gymnasium.make("recsim_lab/Everyday-v0", num_items=500,
        new_items_a_day=0)`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (Gymnasium's own attribute)

    def __init__(
        self,
        world: World | str = "everyday",
        num_slots: int | None = None,
        max_steps: int = 500,
        reward: str = "world",
        history: int = HISTORY,
        recent_slates: int = 0,
        hidden: Sequence[str] = (),
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode must be None, got {render_mode!r}")
        self.render_mode = None
        self.seats = Seats(world, num_slots, max_steps, reward, history, recent_slates, hidden, parameters)
        self.observation_space = self.seats.observation_space()
        self.action_space = self.seats.action_space()
        self._fresh = True

    @property
    def features(self) -> FeatureTable:
        """The public features of users and items."""
        return self.seats.world.features

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, A], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._fresh:
            key = seed if seed is not None else int(self.np_random.integers(2**31))
            self.seats.sit(np.array([key], np.uint64))
            self._fresh = False
        else:
            self.seats.next_life(self.seats.rows)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[dict[str, A], float, bool, bool, dict[str, Any]]:
        slate = as_slates(action, (self.seats.num_slots,))
        outcome = self.seats.step(self.seats.rows, slate[None])
        info: dict[str, Any] = {name: values[0] for name, values in event_info(outcome.response).items()}
        # Gymnasium's vector environments collect Python's own numbers into arrays, NumPy's truth values not.
        info |= {"left": bool(info["left"]), "num_void": int(info["num_void"])}
        reward = float(outcome.reward[0])
        return self._observe(), reward, bool(outcome.terminated[0]), bool(outcome.truncated[0]), info

    def _observe(self) -> dict[str, A]:
        return {name: values[0] for name, values in self.seats.observe(self.seats.rows).items()}
