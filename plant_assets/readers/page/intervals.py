"""95 % intervals of rates and of their differences, as plain arithmetic."""

from math import sqrt

# The normal distribution's 97.5 % quantile.
Z = 1.959963984540054
# A rate of fewer entries is shown and not ranked.
FEWEST = 30

Interval = tuple[float, float]


def wilson(part: int, whole: int) -> Interval | None:
    """Wilson's interval of a share; None for one of nothing, or above 1 as an open funnel can have."""
    if whole <= 0 or part > whole:
        return None
    share, spread = part / whole, Z * Z / whole
    center = (share + spread / 2) / (1 + spread)
    reach = Z * sqrt(share * (1 - share) / whole + spread / (4 * whole)) / (1 + spread)
    # At its ends rounding would pass 0 and 1 by a hair.
    return max(0.0, center - reach), min(1.0, center + reach)


def newcombe(part: int, whole: int, part_before: int, whole_before: int) -> Interval | None:
    """Newcombe's interval of the difference of two shares, by Wilson's of each; None where one has none."""
    now, before = wilson(part, whole), wilson(part_before, whole_before)
    if now is None or before is None:
        return None
    share, share_before = part / whole, part_before / whole_before
    difference = share - share_before
    return (
        difference - sqrt((share - now[0]) ** 2 + (before[1] - share_before) ** 2),
        difference + sqrt((now[1] - share) ** 2 + (share_before - before[0]) ** 2),
    )
