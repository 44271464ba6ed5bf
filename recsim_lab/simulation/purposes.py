"""What each draw of a world is for. Numbers are part of a world's results: they are never given to another use."""

from enum import IntEnum


class Purpose(IntEnum):
    """Purposes of draws; the choice model has 1, feedback 2 to 4. From 1,000 on they are for parts made elsewhere."""

    PROFILE = 10
    DEVICE = 11
    PART_OF_DAY = 12
    LEAVE = 13
    PROBE = 14
    INTENT_START = 20
    INTENT_CARRY = 21
    INTENT_MOVE = 22
    NATURAL_DRIFT = 23
    RETURN = 24
    CHURN = 25
    RETURN_CHANCE = 26
    INTEREST_DIRECTION = 27
    INTEREST_START = 40
    INTEREST_CHANGE = 41
    EXPOSURE_START = 42
    EXPOSURE_CHANGE = 43
    CANDIDATES = 50
