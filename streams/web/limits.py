"""How often a token may ask the API: a bucket of requests each, that fills again evenly.

Time is an argument, in seconds of a steady clock.
"""

from collections import OrderedDict

REQUESTS_MOST = 200  # at once, of one token
REQUESTS_PER_S = 20  # from then on
BUCKETS_MOST = 10_000  # the one that was used longest ago goes first


class Buckets:
    """What is left to each token. One that was not heard of for a while has all of it."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now_s: float) -> int:
        """Takes a request; 0, or whole seconds until there is one again and none was taken."""
        left, at_s = self._left.pop(name, (float(REQUESTS_MOST), now_s))
        left = min(float(REQUESTS_MOST), left + (now_s - at_s) * REQUESTS_PER_S)
        wait_s = 0 if left >= 1 else int((1 - left) / REQUESTS_PER_S) + 1
        self._left[name] = (left if wait_s else left - 1), now_s
        if len(self._left) > BUCKETS_MOST:
            self._left.popitem(last=False)
        return wait_s
