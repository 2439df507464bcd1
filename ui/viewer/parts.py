"""The files of the browser's side: parts of one module, put together without a build step."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def script(*parts: str) -> str:
    """The JavaScript of these parts, in their order; each may use what stands before it."""
    return "\n".join((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in parts) + "\n"


def style() -> str:
    """The style sheet that all components share."""
    return (_HERE / "viewer.css").read_text(encoding="utf-8") + "\n"
