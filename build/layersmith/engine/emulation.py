"""Whether an architecture runs natively here, and if not, by which emulator."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from layersmith import process
from layersmith.base import architectures

BINFMT = Path("/proc/sys/fs/binfmt_misc")

SLOW_QEMU = 8
"""QEMU before this major version took four times as long for the same import, where both were
measured (7.2 against 10.0)."""

TIME_SCALE = 40.0
"""By how much limits are stretched under emulation: it was measured 10 to 40 times slower."""

MEMORY_ALLOWANCE = 512 * 1024 * 1024
"""Bytes added to a function's memory under emulation, for the emulator's translated code."""


REGISTER = "docker run --privileged --rm tonistiigi/binfmt --install arm64"
"""What registers an emulator of arm64, for all who may use the engine."""


@dataclass(frozen=True)
class Emulation:
    """How programs of an architecture run.

    Attributes:
        native: Whether the processor runs them itself.
        emulator: Name and version of the emulator, ``QEMU 10.0.2``; None where it is native, or
            where the engine runs in a virtual machine that does not tell.
        warning: What people should know before they trust a time.
    """

    native: bool
    emulator: str | None = None
    warning: str | None = None

    @property
    def time_scale(self) -> float:
        """Factor for limits on time."""
        return 1.0 if self.native else TIME_SCALE

    @property
    def memory_allowance(self) -> int:
        """Bytes to add to limits on memory."""
        return 0 if self.native else MEMORY_ALLOWANCE


def of(architecture: str, engine_architecture: str, binfmt: Path = BINFMT) -> Emulation:
    """Return how an engine of one architecture runs programs of another.

    Args:
        architecture: Of the programs.
        engine_architecture: Of the engine's machine.
        binfmt: Where the kernel lists its handlers.
    """
    if architecture == engine_architecture:
        return Emulation(native=True)
    interpreter = _interpreter(binfmt / f"qemu-{architectures.get(architecture).qemu}")
    if interpreter is None:
        return Emulation(native=False)
    version = _version(interpreter)
    if version is None:
        return Emulation(native=False, emulator=interpreter)
    return Emulation(native=False, emulator=f"QEMU {version}", warning=warning_for(version))


def warning_for(version: str) -> str | None:
    """Return what to say about a version of QEMU, or None."""
    if int(version.partition(".")[0]) >= SLOW_QEMU:
        return None
    return (
        f"QEMU {version} emulates: before {SLOW_QEMU}.0 it takes several times longer, and some"
        " proofs may run out of time; `python build/layers.py doctor` shows how to get a newer one"
    )


def host_architecture() -> str:
    """Return this machine's architecture as AWS spells it."""
    return architectures.named(platform.machine().lower())


def _interpreter(handler: Path) -> str | None:
    try:
        found = re.search(r"^interpreter (.+)$", handler.read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None


def _version(interpreter: str) -> str | None:
    try:
        said = process.run([interpreter, "--version"], timeout=10).stdout
    except process.CommandFailed:
        return None
    found = re.search(r"version (\d+(?:\.\d+)*)", said)
    return found[1] if found else None
