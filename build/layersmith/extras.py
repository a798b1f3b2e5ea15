"""Which packages come with which extra, and how somebody gets one that is missing.

It imports nothing but the standard library, so that it can speak where nothing is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from layersmith.errors import NotInstalledError

NAME = "layersmith"

MODULES = {
    "": (
        *("cvss", "deflate", "elftools", "httpx", "packaging", "pathspec", "pydantic"),
        *(
            "pyproject_hooks",
            "rich",
            "semver",
            "shtab",
            "socksio",
            "tenacity",
            "uv",
            "yaml",
            "ziglang",
        ),
    ),
    "prove": ("docker", "pytest"),
    "ship": ("boto3", "botocore", "github", "jinja2"),
    "report": ("jinja2",),
    "supply": ("pypi_attestations", "sigstore"),
    "vectors": (
        *("aiohttp", "aiolimiter", "boto3", "botocore", "chromadb", "pyarrow", "zstandard"),
    ),
}
"""Extra to the names of its modules; the extra without a name is what every verb needs."""

OF_VERB = {
    **dict.fromkeys(("image", "smoke", "coldstart", "lazy", "slim", "recipe"), "prove"),
    **dict.fromkeys(
        ("release", "publish", "reproduce", "verify", "arn", "promote", "rollback", "yank"), "ship"
    ),
    **dict.fromkeys(("gc", "cost", "deploy", "destroy", "stacks", "session"), "ship"),
    "report": "report",
    "vectors": "vectors",
}
"""Verb to the extra that it needs; the others need none."""

CHECKOUT = Path(__file__).parents[2]
"""The folder above build/ where this is a checkout; elsewhere some folder of the environment."""


def not_installed(module: str | None, verb: str) -> NotInstalledError | None:
    """Return what to tell a user whose machine lacks a module, or None where it is a bug.

    Args:
        module: The module that could not be imported.
        verb: The verb that needs it.
    """
    name = (module or "").partition(".")[0]
    extras = [extra for extra, modules in MODULES.items() if name in modules]
    if not extras:
        return None
    extra = OF_VERB.get(verb, extras[0])
    return NotInstalledError(
        f"`{verb}` needs the package {name}, which is not installed",
        cause=f"it belongs to the extra `{extra}`" if extra else None,
        hint=install_command(extra, verb),
    )


def install_command(extra: str, verb: str = "") -> str:
    """Return the command that gets an extra, for a checkout or for an installed tool."""
    wanted = f"[{extra}]" if extra else ""
    nox = CHECKOUT / "noxfile.py"
    if not nox.is_file():
        return _installed({extra} - {""})
    install = f'python3 -m pip install ".{wanted}"'
    if verb and re.search(rf"^def {verb}\(", nox.read_text("utf-8"), re.MULTILINE):
        return f"`nox -s {verb} -- OPTIONS`, or `{install}` and the same command again"
    return f"`{install}` in the checkout, and the same command again"


def _installed(wanted: set[str]) -> str:
    """Return the command for an installed tool: from where it came, by what installed it."""
    program = "pip"
    receipt = Path(sys.prefix) / "uv-receipt.toml"
    if receipt.is_file():
        import tomllib  # noqa: PLC0415 -- start-up time

        # `uv tool install` leaves out the extras of before that it is not told.
        program = "uv tool"
        asked = tomllib.loads(receipt.read_text("utf-8"))["tool"]["requirements"]
        wanted = wanted.union(*(one.get("extras", []) for one in asked if one["name"] == NAME))
    named = f"[{','.join(sorted(wanted))}]" if wanted else ""
    return f'{program} install "{NAME}{named}{_origin()}"'


def _origin() -> str:
    """Return where it was installed from, as a requirement says it; nothing for an index."""
    import json  # noqa: PLC0415 -- start-up time
    from importlib import metadata  # noqa: PLC0415 -- start-up time

    try:
        said = json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return ""
    if not said.get("url"):
        return ""
    vcs = said.get("vcs_info", {})
    revision = f"@{vcs['requested_revision']}" if "requested_revision" in vcs else ""
    return f" @ {vcs['vcs'] + '+' if vcs else ''}{said['url']}{revision}"
