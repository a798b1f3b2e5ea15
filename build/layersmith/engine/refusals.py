"""Turns what an engine says when it cannot start a container into a message with a cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layersmith.engine.emulation import REGISTER
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from layersmith.engine.models import ContainerSpec

NO_HANDLER = "exec format error"
"""What the kernel says of a file for another architecture, or of one that is not a program."""


def refusal(spec: ContainerSpec, said: str) -> ProofError:
    """Return the error for a container that did not start.

    Args:
        spec: What was to be started.
        said: The engine's own words.
    """
    lowered = said.lower()
    if "no such image" in lowered:
        return ProofError(
            f"the engine has no image {spec.called}",
            cause=said,
            hint="run `nox -s image`, or name an image with --image",
        )
    if "does not match the specified platform" in lowered or "no matching manifest" in lowered:
        return ProofError(
            f"the engine refuses to run {spec.called} as {spec.architecture}",
            cause=said,
            hint="the image is for another architecture: name another one with --image",
        )
    if NO_HANDLER in lowered:
        return no_handler(spec.called, spec.architecture)
    if "no such file or directory" in lowered or "executable file not found" in lowered:
        return ProofError(
            f"{spec.called} has no /lambda-entrypoint.sh, or not the interpreter that it names",
            cause=said,
            hint="name a base image of AWS Lambda, or a stand-in made by `nox -s image`",
        )
    return ProofError(f"the engine did not start {spec.called}", cause=said)


def no_handler(image: str, architecture: str | None) -> ProofError:
    """Return the error for an image whose programs this machine cannot run."""
    return ProofError(
        f"this machine cannot run programs of {image} ({architecture or 'its architecture'})",
        cause="no QEMU is registered for the architecture, or not with the flag F, without which"
        " containers do not see it",
        hint=f"register one: `{REGISTER}`, or docker/setup-qemu-action on GitHub;"
        " or use the host runner with --runner host",
    )
