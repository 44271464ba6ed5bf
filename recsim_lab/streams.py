"""Counter-based randomness: a draw depends on who draws it, when and what for, never on what was drawn before.

The generator is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). Its key is
the seed; its counter is (block of four lanes, user, session, step and purpose). So the same user gets the same
draws alone, in a batch of any order, on any shard, and whatever another policy did before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from jaxtyping import Float32, Int64, Integer, UInt64

from recsim_lab.compile import compiled, kernel

A = np.ndarray

MAX_STEP = 2**16 - 1
MAX_PURPOSE = 2**16 - 1

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_STEP_SHIFT, _MANTISSA_SHIFT = np.uint64(16), np.uint64(9)
_SPACING, _CENTRE = np.float32(2.0**-23), np.float32(2.0**-24)
_MINUS_TWO, _TWO_PI = np.float32(-2.0), np.float32(2.0 * np.pi)


@compiled
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Ten rounds of Philox4x32: four 32-bit words (held in uint64) from a counter and a key."""
    for _ in range(10):
        p0, p1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@compiled
def _block(seed, user, session, step, purpose, block):  # type: ignore[no-untyped-def]
    return philox(
        np.uint64(block) & _LOW,
        np.uint64(user) & _LOW,
        np.uint64(session) & _LOW,
        (np.uint64(step) << _STEP_SHIFT) | np.uint64(purpose),
        np.uint64(seed) & _LOW,
        np.uint64(seed) >> _HALF,
    )


@compiled
def _unit(word):  # type: ignore[no-untyped-def]
    """The open unit interval in 2^23 steps: neither 0 nor 1, so that logarithms are finite."""
    return np.float32(word >> _MANTISSA_SHIFT) * _SPACING + _CENTRE


@kernel
def _uniform(seed, user, session, step, purpose, first, out):  # type: ignore[no-untyped-def]
    for row in numba.prange(len(seed)):
        for start in range(0, out.shape[1], 4):
            words = _block(seed[row], user[row], session[row], step[row], purpose, first + start // 4)
            for lane in range(min(4, out.shape[1] - start)):
                out[row, start + lane] = _unit(words[lane])


@kernel
def _uniform_at(seed, user, session, step, purpose, lanes, out):  # type: ignore[no-untyped-def]
    for row in numba.prange(len(seed)):
        words = _block(seed[row], user[row], session[row], step[row], purpose, lanes[row] // 4)
        out[row] = _unit(words[lanes[row] % 4])


@kernel
def _normal(seed, user, session, step, purpose, out):  # type: ignore[no-untyped-def]
    for row in numba.prange(len(seed)):
        for start in range(0, out.shape[1], 4):
            words = _block(seed[row], user[row], session[row], step[row], purpose, start // 4)
            for pair in range(0, min(4, out.shape[1] - start), 2):
                radius = np.sqrt(_MINUS_TWO * np.log(_unit(words[pair])))
                angle = _TWO_PI * _unit(words[pair + 1])
                out[row, start + pair] = radius * np.cos(angle)
                if start + pair + 1 < out.shape[1]:
                    out[row, start + pair + 1] = radius * np.sin(angle)


@kernel
def _normal_at(seed, user, session, step, purpose, lanes, out):  # type: ignore[no-untyped-def]
    for row in numba.prange(len(seed)):
        lane = lanes[row] % 4
        words = _block(seed[row], user[row], session[row], step[row], purpose, lanes[row] // 4)
        radius = np.sqrt(_MINUS_TWO * np.log(_unit(words[lane - lane % 2])))
        angle = _TWO_PI * _unit(words[lane - lane % 2 + 1])
        out[row] = radius * (np.cos(angle) if lane % 2 == 0 else np.sin(angle))


@dataclass(frozen=True)
class Draws:
    """The randomness of a batch: one identity a row, and as many lanes for each purpose as are asked for.

    `session` counts the user's visits and `step` the slates of a visit, from 0 to 65,535. Draws that answer no
    slate (arrivals, natural drift) put the day in the place of the session, see `on_day`. Purposes are constants of
    the program, from 0 to `MAX_PURPOSE`, and are not checked.
    """

    seed: UInt64[A, " rows"]
    user: Integer[A, " rows"]
    session: Integer[A, " rows"]
    step: Integer[A, " rows"]

    def __len__(self) -> int:
        return len(self.seed)

    def uniform(self, purpose: int, num_lanes: int = 1) -> Float32[A, "rows lanes"]:
        """Uniform on the open interval (0, 1), in steps of 2^-23."""
        out = np.empty((len(self), num_lanes), np.float32)
        _uniform(self.seed, self.user, self.session, self.step, int(purpose), 0, out)
        return out

    def uniform_at(self, purpose: int, lanes: Integer[A, " rows"]) -> Float32[A, " rows"]:
        """One lane of each row: equal to `uniform(purpose, n)[row, lanes[row]]` for any n above the lane."""
        out = np.empty(len(self), np.float32)
        _uniform_at(self.seed, self.user, self.session, self.step, int(purpose), lanes, out)
        return out

    def normal(self, purpose: int, num_lanes: int = 1) -> Float32[A, "rows lanes"]:
        """Standard normal, by Box and Muller; lanes 2i and 2i + 1 share two words."""
        out = np.empty((len(self), num_lanes), np.float32)
        _normal(self.seed, self.user, self.session, self.step, int(purpose), out)
        return out

    def normal_at(self, purpose: int, lanes: Integer[A, " rows"]) -> Float32[A, " rows"]:
        """One lane of each row, as `uniform_at`."""
        out = np.empty(len(self), np.float32)
        _normal_at(self.seed, self.user, self.session, self.step, int(purpose), lanes, out)
        return out

    def take(self, rows: Integer[A, " taken"]) -> "Draws":
        """The identities of some rows; a row may be taken more than once."""
        return Draws(self.seed[rows], self.user[rows], self.session[rows], self.step[rows])

    def on_day(self, day: Integer[A, " rows"]) -> "Draws":
        """Draws keyed by user and day: equal between runs in which the user's visits differ."""
        return replace(self, session=day, step=np.zeros_like(self.step))

    def at_step(self, step: int) -> "Draws":
        """Draws keyed by user and session, whatever step the session has reached."""
        return replace(self, step=np.full_like(self.step, step))

    def fork(self, name: str) -> "Draws":
        """Independent draws of the same users for a part that chooses its own purposes (a policy in a policy)."""
        salt = np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))
        return replace(self, seed=_mix(self.seed ^ salt))


def draws_of(seed: int, users: Integer[A, " rows"], session: int = 0, step: int = 0) -> Draws:
    """Draws of `users` under one seed, all in the same session and step.

    Raises:
        ValueError: if the seed is outside [0, 2^64).
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in [0, 2^64), got {seed}")
    shape = len(users)
    return Draws(
        np.full(shape, seed, np.uint64),
        users.astype(np.int32),
        np.full(shape, session, np.int32),
        np.full(shape, step, np.int32),
    )


def groups_of(users: Integer[A, " users"], salt: str, shares: Sequence[float]) -> Int64[A, " users"]:
    """Divides users into groups for good: `shares[i]` of them belong to group i, by a hash of the user under `salt`.

    Groups under different salts are independent. Of two groups, the one whose share grows keeps all its users.
    """
    check_shares(shares)
    # The key is a hash of the salt, so the luck that users have in a run does not decide where they belong.
    luck = draws_of(0, users).fork(f"groups/{salt}").uniform(0)[:, 0]
    return np.searchsorted(np.cumsum(shares)[:-1], luck.astype(np.float64), side="right")


def check_shares(shares: Sequence[float]) -> None:
    """Raise ValueError unless the shares are at least 0 and add up to 1."""
    if not len(shares) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be at least 0 and add up to 1, got {tuple(shares)}")


def _mix(seed: UInt64[A, " rows"]) -> UInt64[A, " rows"]:
    """The finaliser of SplitMix64 (Steele et al. 2014): a bijection that spreads every bit."""
    seed = (seed ^ (seed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    seed = (seed ^ (seed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return seed ^ (seed >> np.uint64(31))
