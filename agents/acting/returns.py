"""What followed a slate, as far as it was seen and beyond that as it is expected."""

import numpy as np
from jaxtyping import Bool, Float

from agents.acting.experience import Course

A = np.ndarray


def futures(
    reward: Float[A, " rows"],
    ended: Bool[A, " rows"],
    value: Float[A, " rows"],
    value_after: Float[A, " rows"],
    course: Course,
    discount: float,
    trace: float,
) -> Float[A, " rows"]:
    """What each slate's user earned after it, discounted to the next slate: TD(`trace`) (Sutton 1988).

    `value` is what is expected from each slate on, itself included. Where the next slate is not among the rows,
    `value_after` is what is expected from it on; nothing, where the user is gone for good.
    """
    future = np.where(ended, 0.0, value_after)
    gain = np.empty(len(reward))
    order = np.argsort(course.time, kind="stable")
    bounds = np.flatnonzero(np.diff(course.time[order])) + 1
    for rows in reversed(np.split(order, bounds)):
        going = rows[course.following[rows] >= 0]
        following = course.following[going]
        future[going] = (1 - trace) * value[following] + trace * gain[following]
        gain[rows] = reward[rows] + discount * future[rows]
    return future
