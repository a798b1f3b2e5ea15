"""Identifiers that sort by the time of their making: UUID version 7, RFC 9562, section 5.7."""

from __future__ import annotations

import re
import secrets
import threading
import time
from datetime import UTC, datetime

_PATTERN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_lock = threading.Lock()
_last = 0


def new_id(now_ms: int | None = None) -> str:
    """Return a lower-case UUIDv7; by the clock, each of a process sorts after the one before.

    Args:
        now_ms: Milliseconds since the epoch; the clock's if None.
    """
    # 48 bits of milliseconds and 12 bits of counter: RFC 9562, section 6.2, method 1. The counter
    # runs over into the milliseconds when more than 4096 are made in one.
    global _last  # noqa: PLW0603 -- the order is the process's
    if now_ms is None:
        with _lock:
            _last = stamp = max(time.time_ns() // 1_000_000 << 12, _last + 1)
    else:
        stamp = now_ms << 12
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def is_id(text: str) -> bool:
    """Whether ``text`` is an identifier as `new_id` writes it."""
    return _PATTERN.fullmatch(text) is not None


def made_at(identifier: str) -> datetime:
    """When an identifier was made, by the clock of its maker, to the millisecond."""
    milliseconds = int(identifier[:8] + identifier[9:13], 16)
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
