"""The seed of a run by chance: printed, to be had again."""

import os
import random

SEED = "RATER_CHAOS_SEED"


def fresh_seed() -> int:
    """What RATER_CHAOS_SEED says, or a new seed."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**31))
    print(f"{SEED}={seed}")
    return seed
