"""How long a call is billed: the minute rule and its general form, increments."""


def billed_seconds(seconds: int, *, first: int = 60, following: int = 60, minimum: int = 0) -> int:
    """Seconds charged for a duration in whole seconds, counted in increments.

    The first increment is charged as soon as the call is engaged, then every started following
    one, and never less than the minimum. With the default, 60/60: 0 s is 60, 61 s is 120. With
    30/6: 10 s is 30, 31 s is 36. Raises ValueError if the duration is negative.
    Source: docs/rules.md, Billable minutes ("1'1'' will be counted as 2 minutes").
    """
    if seconds < 0:
        raise ValueError(f"a duration of {seconds} s is negative")
    billed = first
    if seconds > first:
        billed += -(-(seconds - first) // following) * following
    return max(billed, minimum)


def billed_minutes(seconds: int) -> int:
    """Whole minutes charged for a call under the default rule; a started minute counts.

    61 s is 2, 60 s is 1, 0 s is 1. Source: docs/rules.md, Billable minutes.
    """
    return billed_seconds(seconds) // 60
