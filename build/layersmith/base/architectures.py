"""The architectures of Lambda, and what each vocabulary calls them.

AWS says ``arm64``, wheels say ``aarch64``, Docker says ``linux/arm64``: this is the one place where
a name of one is turned into that of another.
"""

from __future__ import annotations

from dataclasses import dataclass

from layersmith.errors import ConfigError, closest


@dataclass(frozen=True)
class Machine:
    """One architecture.

    Attributes:
        name: As AWS and layers.yaml spell it, ``arm64``.
        title: Whose processors these are.
        wheel: As wheel tags (PEP 600), uname, zig and Meson spell it, ``aarch64``.
        oci: As Docker and OCI images spell it (GOARCH), ``arm64``.
        debian: As dpkg spells it, ``arm64``.
        qemu: As QEMU and its handlers in binfmt_misc spell it, ``aarch64``.
        elf: e_machine in ELF headers (System V gABI), 0xB7.
        elf_name: pyelftools' name of that number, ``EM_AARCH64``.
        runner: Label of GitHub's hosted runner.
        oldest_glibc: Lowest glibc 2.x that a manylinux tag exists for (PEP 599, PEP 513).
        long_double: Meson's name of the format of ``long double``.
    """

    name: str
    title: str
    wheel: str
    oci: str
    debian: str
    qemu: str
    elf: int
    elf_name: str
    runner: str
    oldest_glibc: int
    long_double: str

    @property
    def docker(self) -> str:
        """Platform as Docker spells it, ``linux/arm64``."""
        return f"linux/{self.oci}"

    @property
    def triplet(self) -> str:
        """Platform in suffixes of extension modules (PEP 3149), ``aarch64-linux-gnu``."""
        return f"{self.wheel}-linux-gnu"


MACHINES = {
    machine.name: machine
    for machine in (
        Machine(
            name="arm64",
            title="64-bit Arm: AWS Graviton",
            wheel="aarch64",
            oci="arm64",
            debian="arm64",
            qemu="aarch64",
            elf=0xB7,
            elf_name="EM_AARCH64",
            runner="ubuntu-24.04-arm",
            oldest_glibc=17,
            long_double="IEEE_QUAD_LE",
        ),
        Machine(
            name="x86_64",
            title="64-bit x86: Intel and AMD",
            wheel="x86_64",
            oci="amd64",
            debian="amd64",
            qemu="x86_64",
            elf=0x3E,
            elf_name="EM_X86_64",
            runner="ubuntu-24.04",
            oldest_glibc=5,
            long_double="INTEL_EXTENDED_16_BYTES_LE",
        ),
    )
}

NAMES = tuple(MACHINES)
"""Architectures as AWS spells them."""

_SPELLINGS = {
    spelling: machine.name
    for machine in MACHINES.values()
    for spelling in (machine.name, machine.wheel, machine.oci, machine.elf_name)
}
_NUMBERS = {machine.elf: machine.name for machine in MACHINES.values()}


def get(name: str) -> Machine:
    """Return the architecture that AWS calls ``name``.

    Raises:
        ConfigError: Lambda has no such architecture.
    """
    try:
        return MACHINES[name]
    except KeyError:
        close = closest(name, NAMES)
        known = _SPELLINGS.get(name.lower()) or close
        raise ConfigError(
            f"unknown architecture {name!r}",
            hint=f"did you mean {known}?" if known else f"known: {', '.join(NAMES)}",
        ) from None


def named(spelling: str) -> str:
    """Return AWS's name for what uname, Docker, a wheel tag or pyelftools says.

    Returns:
        ``spelling`` itself where it is that of no architecture of Lambda.
    """
    return _SPELLINGS.get(spelling) or _SPELLINGS.get(spelling.lower(), spelling)


def of_elf(number: int) -> str:
    """Return AWS's name for the e_machine of an ELF header, else ``machine 8``."""
    return _NUMBERS.get(number, f"machine {number}")
