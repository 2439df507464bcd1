"""Large numbers as people read them."""

from __future__ import annotations


def compact(count: float) -> str:
    """Three figures and a letter: 31.0 M, 1.42 G."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            scaled = count / factor
            return f"{scaled:.{max(0, 2 - len(str(int(scaled))) + 1)}f} {letter}"
    return f"{count:.0f}"


def memory(count: float) -> str:
    """Bytes as MB or GB, of 1000 each."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
