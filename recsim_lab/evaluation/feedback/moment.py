"""What the bubble of a running loop is measured against, and its state at the end of a day."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int

from recsim_lab.evaluation.bubble.ground import Ground, mainstream_users
from recsim_lab.evaluation.bubble.interactions import Interactions
from recsim_lab.evaluation.bubble.opportunity import top_likes
from recsim_lab.evaluation.bubble.pairs import nearest_pairs, random_pairs
from recsim_lab.evaluation.bubble.preference import taste_shares
from recsim_lab.platform import Platform
from recsim_lab.policy import NEVER, TICKS_PER_DAY, Policy
from recsim_lab.simulation.sessions import Sessions

A = np.ndarray

NUM_LIKES = 20
"""Items that count as liked by a user whose opportunities are looked at: the best by taste when the loop begins."""
NUM_EXAMPLES = 4


@dataclass(frozen=True)
class Start:
    """The moment at which arms part.

    `sample` are the users who are compared in pairs, `examples` a few whose days are told one by one: of the mainstream
    and of the niche users in turn, those of most clicks before the loop who have not left.
    """

    platform: Platform
    ground: Ground
    sample: Int[A, " sample"]
    pairs: dict[str, Int[A, "pairs 2"]]
    likes: Interactions
    examples: Int[A, " examples"]

    @staticmethod
    def of(platform: Platform, seed: int, sample: int) -> "Start":
        catalogue, log = platform.world.catalogue, platform.log()
        preference = preferences_at(platform.service.sessions, platform.service.day)
        mainstream = mainstream_users(preference)
        ground = Ground(
            catalogue.topic,
            catalogue.num_topics,
            catalogue.latent,
            catalogue.creator,
            np.bincount(log.slate[log.clicks], minlength=catalogue.num_items),
            preference,
            mainstream,
        )
        rng = np.random.default_rng(seed)
        some = np.sort(rng.permutation(ground.num_users)[:sample])
        pairs = {
            "random": random_pairs(ground.num_users, sample, rng),
            "true_nearest": nearest_pairs(preference, some),
        }
        likes = top_likes(preference, catalogue.latent, some[:300], min(NUM_LIKES, catalogue.num_items))
        clicks = np.bincount(log.user, log.clicks.sum(axis=1), ground.num_users)
        clicks[platform.service.due == NEVER] = -1  # who has left will never be shown anything
        most = [np.flatnonzero(group)[np.argsort(-clicks[group], kind="stable")] for group in (mainstream, ~mainstream)]
        examples = np.concatenate([users[: NUM_EXAMPLES // 2] for users in most])
        return Start(platform, ground, some, pairs, likes, examples)

    def tastes(self, preference: Float32[A, "users dims"]) -> Float64[A, "examples topics"]:
        """How the tastes of the example users spread over topics."""
        ground = self.ground
        return taste_shares(preference[self.examples], ground.latent, ground.topic, ground.num_topics)


def preferences_at(sessions: Sessions, day: int) -> Float32[A, "users dims"]:
    """Everybody's preference when this day begins, with the natural drift since their last visit."""
    return _opened(sessions, day).state["preference"]


def natural_preferences(start: Start, luck: str, day: int) -> Float32[A, "users dims"]:
    """What preferences would be had nobody been shown anything since the loop began."""
    untouched = start.platform.fork(start.platform.service.policy, luck=luck or None)
    return preferences_at(untouched.service.sessions, day)


def model_nearest(start: Start, sessions: Sessions, policy: Policy, day: int) -> Int[A, "pairs 2"] | None:
    """Users of the sample and those whom the policy's own scores, above each item's mean, make most similar.

    None for policies that score nothing.
    """
    if policy.ranker is None:
        return None
    users = start.sample
    scores = policy.ranker.scores(_opened(sessions, day).observe(users))
    return users[nearest_pairs(scores - scores.mean(axis=0), np.arange(len(users)))]


def _opened(sessions: Sessions, day: int) -> Sessions:
    """A copy in which everybody has just come."""
    copy = sessions.copy()
    rows = np.arange(len(copy))
    copy.open(rows, np.full(len(rows), day * TICKS_PER_DAY, np.int64))
    return copy
