"""What goes to a Docker engine and what it says, as data; its refusals as errors with a cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from layersmith.engine.emulation import REGISTER
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class EngineFacts:
    """What an engine says about itself.

    Attributes:
        version: Of the engine.
        architecture: ``arm64``, ``x86_64`` or another machine's name.
        system: Its operating system, as it calls it.
    """

    version: str
    architecture: str
    system: str


@dataclass(frozen=True)
class ImageFacts:
    """What an engine knows of an image.

    Attributes:
        name: As it was asked for.
        id: Digest of its configuration.
        digest: Digest in its registry, ``sha256:...``; None for one that was never there.
        architecture: ``arm64``, ``x86_64`` or another machine's name.
        labels: Its labels.
    """

    name: str
    id: str
    digest: str | None
    architecture: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Sandbox:
    """What a Lambda function may use; its files are read-only, but for /tmp.

    Attributes:
        memory: Bytes of memory, swap included.
        temporary: Bytes of /tmp.
    """

    memory: int
    temporary: int


@dataclass(frozen=True)
class ContainerSpec:
    """How a container is started.

    Attributes:
        image: Id of the image.
        called: What people call it.
        command: Arguments for the entry point.
        environment: Its environment variables, beside those of the image.
        mounts: Folder on the host by path in the container, all read-only.
        network: Name of the network, or None for none at all.
        uid, gid: Who runs it.
        sandbox: Limits as on Lambda; None for a container that has none.
        outputs: Folder on the host by path in the container, which it writes to.
        entrypoint: Program instead of the image's entry point.
        cpus: Processors it may use; None for all.
        architecture: ``arm64`` or ``x86_64``; None leaves it to the image.
        extra_hosts: Names to addresses.
        longest: Seconds after which nobody waits for its end any more.
    """

    image: str
    called: str
    command: list[str]
    environment: dict[str, str]
    mounts: dict[str, Path]
    network: str | None
    uid: int
    gid: int
    sandbox: Sandbox | None = None
    outputs: dict[str, Path] = field(default_factory=dict)
    entrypoint: list[str] | None = None
    cpus: float | None = None
    architecture: str | None = None
    extra_hosts: dict[str, str] = field(default_factory=dict)
    longest: float = 3600.0


@dataclass(frozen=True)
class Exit:
    """How a process ended.

    Attributes:
        code: Exit code; 128 + signal where a signal ended it.
        out_of_memory: Whether the kernel ended it for want of memory.
    """

    code: int
    out_of_memory: bool = False


def seconds(stamp: str) -> float:
    """Return an engine's time stamp, which has nanoseconds, as seconds since the epoch."""
    whole, _, rest = stamp.partition(".")
    fraction = rest.rstrip("Z") or "0"
    return datetime.fromisoformat(f"{whole.rstrip('Z')}+00:00").timestamp() + float(f"0.{fraction}")


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
