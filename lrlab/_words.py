"""Numbers as a page writes them: in few digits, with the signs that belong to print."""

from __future__ import annotations

import math

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def short(value: float, digits: int = 3) -> str:
    """A number in a few digits, with a power of ten as it is written by hand.

    >>> short(0.05), short(2e-7), short(-1e30), short(float("inf"))
    ('0.05', '2·10⁻⁷', '−10³⁰', 'not finite')
    """
    if not math.isfinite(value):
        return "not finite"
    mantissa, _, power = f"{value:.{digits}g}".partition("e")
    mantissa = mantissa.replace("-", "\N{MINUS SIGN}")
    if not power:
        return mantissa
    ten = f"10{str(int(power)).translate(_RAISED)}"
    return mantissa.removesuffix("1") + ten if mantissa in ("1", "\N{MINUS SIGN}1") else f"{mantissa}·{ten}"


def percent(share: float) -> str:
    """A share of 1 in per cent; a dash where it is not known (NaN).

    >>> percent(0.965), percent(float("nan"))
    ('96.5 %', '–')
    """
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def count(number: int, thing: str) -> str:
    """So many of a thing.

    >>> count(1, "step"), count(1200, "step")
    ('1 step', '1,200 steps')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
