"""How rarely a policy showed what it showed: weights that make a log count as if slates had been random.

Each term of a mean over the log that counts 1 / (the chance of being shown) makes its expectation that of the mean over
all that could have been shown (Schnabel et al., "Recommendations as Treatments", ICML 2016).
"""

import numpy as np
from jaxtyping import Float

from recsim_lab.interaction_log import InteractionLog

A = np.ndarray

MOST_WEIGHT = 100.0
"""What was shown more than this many times more rarely than by chance counts no more, unless another bound is given."""


def inverse_propensities(
    log: InteractionLog, *, whole: bool, most_weight: float = MOST_WEIGHT
) -> Float[A, "rows counted"]:
    """1 / propensity of each slot (`whole`: of each slate), over what that is on average, at most `most_weight`.

    The average is the number of items on offer (of slates made of them), which is what the mean of 1 / propensity is
    expected to be for any policy that might show each of them. So 1 means shown as often as by chance, and the mean of
    weighted losses estimates, without bias but for the bound, the mean over all that could have been shown. Where a
    policy can show one thing only, its propensity is 1 and so is the number. A log without any choice thus has weights
    of exactly 1, which correct nothing; in one with some choice, what was certain counts as little as it should.

    Rules that forbid items make the number too high, by one factor for the whole log. Estimated propensities are taken
    as they are. Hidden slots, which are examples of nothing, have weight 0; a slate of which a part is hidden has no
    weight as a whole.

    Raises:
        ValueError: if a propensity is not known, or is not in (0, 1], or if slates are to be weighted as a whole and
            the log hides some of their slots.
    """
    seen = log.slate >= 0
    if whole:
        if num_parts := int((seen.any(axis=1) & ~seen.all(axis=1)).sum()):
            raise ValueError(
                f"slates must be whole to be weighted as a whole, got {num_parts} of {len(log)} with slots that the "
                "log hides from who learns (InteractionLog.only, as data='own' does): learn with a pointwise loss "
                "(bce, mse), whose weights are those of slots, with target='catalogue', or with weighting='none'"
            )
        seen = seen.max(axis=1, keepdims=True)
    chance = np.where(seen, log.prefix_propensity[:, -1:] if whole else log.propensity, 1.0)
    chance = _checked(chance.astype(np.float64), "prefix_propensity" if whole else "propensity")
    if not len(log):
        return chance
    num_items = np.maximum(log.features.num_on_offer(log.tick), 1)[:, None]
    if whole:
        before = np.concatenate([np.ones((len(log), 1)), log.prefix_propensity[:, :-1]], axis=1)
        left = np.maximum(num_items - np.arange(log.num_slots), 1).astype(np.float64)
        num_possible = np.where(log.prefix_propensity >= before, 1.0, left).prod(axis=1)
    else:
        num_possible = np.where(chance >= 1, 1, num_items)
    average = num_possible.mean(where=seen.reshape(num_possible.shape)) if seen.any() else 1.0
    return np.where(seen, np.minimum(1 / chance / average, most_weight), 0.0)


def _checked(chance: Float[A, "rows counted"], name: str) -> Float[A, "rows counted"]:
    if num_unknown := int(np.isnan(chance).sum()):
        raise ValueError(
            f"{name} must be known to weight by it, got NaN in {num_unknown} of {chance.size}: put estimates in its "
            "place, by probabilities() of the policy that served, or learn with weighting='none'"
        )
    if (wrong := (chance <= 0) | (chance > 1 + 1e-6)).any():
        raise ValueError(f"{name} of what was shown must be in (0, 1], got {chance[wrong][0]}")
    return chance
