"""The likely cause of what uv says when it finds no solution, and what to do about it."""

from __future__ import annotations

import re
from typing import NamedTuple


class LikelyCause(NamedTuple):
    """What a text of uv means."""

    cause: str | None
    hint: str


NO_SOLUTION = "No solution found"
"""How uv begins where versions, names or files are at fault rather than a machine."""

_CAUSES = (
    (
        r"lack of valid authentication|\b401\b|\b403\b",
        "the package index asks for a login, or refuses the one that it was given",
        "correct it in the index URL, UV_INDEX_<NAME>_USERNAME and _PASSWORD, a keyring or netrc",
    ),
    (
        r"was not found in the package registry|not found in the provided package",
        "a name is misspelt, or the configured index does not have it",
        "check the name; a private index is configured in uv's configuration",
    ),
    (
        r"`exclude-newer`",
        "what fits was uploaded within the `cool-down`, or the index gives no time of upload",
        "request an older version, or list it under `cool-down-exceptions` with the reason",
    ),
    (
        r"[Ff]ailed to parse:? `?\S*(?:uv|pyproject)\.toml",
        "uv's configuration cannot be read",
        "correct the file that uv names",
    ),
    (
        r"No space left on device",
        "the disk of uv's cache or of the temporary folder is full",
        "free some space, or set UV_CACHE_DIR or TMPDIR to a larger disk",
    ),
    (
        r"no answer within \d+ s",
        "an sdist takes that long to build its metadata, or the index does not answer",
        "request versions that have wheels, or run the command again with -v to see what uv does",
    ),
    (
        r"invalid peer certificate|UnknownIssuer|certificate (?:verify|has expired)",
        "the certificate of the package index is not trusted here",
        "name the bundle with the issuer in SSL_CERT_FILE, or set `system-certs = true` for uv",
    ),
    (
        r"error sending request|dns error|[Cc]onnection|timed out|Failed to fetch",
        "the package index cannot be reached",
        "check the network and uv's index configuration, then run the command again",
    ),
    (
        r"Failed to build `[^`]*\s@\s+file:",
        "the metadata of a local package is only known after running its build, which fails",
        "declare its dependencies statically under [project] (PEP 621), or repair its build",
    ),
    (
        r"Failed to build|build backend",
        "no wheel of a distribution fits, and its sdist does not build",
        "request a version that has a wheel; uv shows what the build said",
    ),
    (
        r"requires Python|does not satisfy Python",
        "a requirement asks for another version of Python than the runtime's",
        "request a version that supports the runtime, or choose another runtime",
    ),
    (
        r"was yanked",
        "a version that would fit was yanked from the index",
        "request a version that was not yanked; `==` takes a yanked one all the same",
    ),
    (
        r"there is no version of|only .* available",
        "no version is within what is asked for",
        "relax the requirement or constraint that uv names",
    ),
    (
        r"depends? on|you require",
        "two requirements ask for versions that exclude each other",
        "relax one of the requirements or constraints that uv names",
    ),
)
"""What uv says, the likely cause and what to do; the first that matches."""

UNKNOWN = LikelyCause(None, "uv's own words are all that is known of it; -v shows more of them")


def of(explanation: str) -> LikelyCause:
    """Return the likely cause of what uv said; no cause where it is not known."""
    for pattern, cause, hint in _CAUSES:
        if re.search(pattern, explanation):
            return LikelyCause(cause, hint)
    return UNKNOWN
