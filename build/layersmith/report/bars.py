"""Bars and widths for terminals of any width and encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

EIGHTHS = " ▏▎▍▌▋▊▉"
"""Parts of a full block, in eighths (Unicode, Block Elements)."""


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """Return a bar of ``width`` columns.

    Args:
        share: What is full of it, 0 to 1; more is shown as full.
        width: Columns.
        ascii_only: Draw it with characters that every terminal has.
    """
    share = min(1.0, max(0.0, share))
    if ascii_only:
        full = round(share * width)
        return "#" * full + "." * (width - full)
    eighths = round(share * width * 8)
    if share and not eighths:
        eighths = 1
    full, rest = divmod(eighths, 8)
    text = "█" * full + (EIGHTHS[rest] if rest else "")
    return text.ljust(width)


def is_ascii(console: Console) -> bool:
    """Whether the console cannot show block characters."""
    return not (console.encoding or "").lower().startswith("utf")
