"""Words and numbers as reports show them; whatever a file holds becomes plain text or nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from segmodels import durations

#: What XML does not have, and what turns the direction of the text around it.
_UNSEEN = re.compile(
    "[^\t\n\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]|[\\u202a-\\u202e\\u2066-\\u2069]"
)
#: A number beyond this is no figure of a training: its span could not be computed.
LARGEST = 1e100
#: What stands where nothing is known.
NOTHING = "–"


def clean(text: object, most: int = 2000) -> str:
    """Text of any origin with only what a page can hold, `most` characters at most; its markup is not escaped yet."""
    try:
        whole = str(text)
    except RecursionError:  # of a document of lists in lists in lists
        return "…"
    plain = _UNSEEN.sub("\ufffd", whole[: most + 1].replace("\r\n", "\n").replace("\r", "\n"))
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def number(value: Any) -> float | None:
    """A value of a file as a number; None where it is none, not finite, or over `LARGEST`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) <= LARGEST else None  # NaN is not


def count(value: Any) -> int | None:
    """A value of a file as a whole number from 0 on that 64 bits hold; None where it is none."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def figure(value: Any, digits: int = 4) -> str:
    """A figure between 0 and 1 or near it to four places, any other to five significant digits."""
    found = number(value)
    if found is None:
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 2**63 else f"{found:.3g}"
    return f"{found:.{digits}f}" if found == 0 or 1e-3 <= abs(found) < 1000 else f"{found:.5g}"


def duration(seconds: Any) -> str:
    """Seconds in words, if it is a time."""
    found = number(seconds)
    if found is None or found < 0:
        return NOTHING
    return f"{found / 3600:.3g} h" if found > 1e9 else durations.duration(found)


def memory(count_of_bytes: Any) -> str:
    """Bytes in GB or MB, of 1024."""
    found = number(count_of_bytes)
    if found is None or found < 0:
        return NOTHING
    return f"{found / 2**30:,.2f} GB" if found >= 2**30 else f"{found / 2**20:,.0f} MB"


def energy(joules: Any) -> str:
    """Joules as watt-hours too, which are what is paid for."""
    found = number(joules)
    if found is None or found < 0:
        return "not known"
    return f"{found / 3600:,.2f} Wh ({found / 1000:,.1f} kJ)"


def moment(seconds: Any) -> str:
    """A time of `status.json`, in seconds since 1970, in UTC."""
    found = number(seconds)
    try:
        return NOTHING if found is None else datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return NOTHING
