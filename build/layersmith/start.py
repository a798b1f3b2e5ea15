"""The first thing that runs: what needs nothing of the rest is answered before it is imported."""

from __future__ import annotations

import sys

from layersmith import __version__


def program() -> int:
    """Run the command ``layersmith``."""
    words = sys.argv[1:]
    if words[:1] in (["--version"], ["-V"]):
        sys.stdout.write(f"layersmith {__version__}\n")
        return 0
    from layersmith import repeats  # noqa: PLC0415 -- start-up time

    record = repeats.place(words)
    if record and repeats.told(record):
        return 0
    from layersmith import cli  # noqa: PLC0415 -- start-up time

    return repeats.watched(record, lambda: cli.main(words)) if record else cli.main(words)
