"""Every preset as a Gymnasium id, e.g. `recsim_lab/SardineTopkBored-v0`; nothing heavy is imported before `make`."""

import gymnasium

MAX_STEPS = {
    "everyday": 500,
    "static": 500,
    "movielens": 500,
    "reclab-topics-static": 500,
    "reclab-topics-dynamic": 500,
    "recsim-interest-evolution": 1000,
    "lts": 1000,
    "lts-dilemma": 1000,
    "sardine-topk-bored": 100,
}
"""After how many slates an episode of each preset is truncated."""


def environment_id(preset: str) -> str:
    """The Gymnasium id of a preset: `sardine-topk-bored` is `recsim_lab/SardineTopkBored-v0`."""
    return f"recsim_lab/{''.join(word.capitalize() for word in preset.split('-'))}-v0"


def register_presets() -> None:
    """Make every preset known to `gymnasium.make` and `gymnasium.make_vec`."""
    for preset, max_steps in MAX_STEPS.items():
        gymnasium.register(
            environment_id(preset),
            entry_point="recsim_lab.envs.slate_env:SlateEnv",
            vector_entry_point="recsim_lab.envs.slate_vector_env:SlateVectorEnv",
            kwargs={"world": preset, "max_steps": max_steps},
        )
