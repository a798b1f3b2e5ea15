from __future__ import annotations

import pytest
from layersmith.base import architectures
from layersmith.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "wheel", "docker", "debian", "others"),
    [
        ("arm64", "aarch64", "linux/arm64", "arm64", ("aarch64-linux-gnu", "ubuntu-24.04-arm")),
        ("x86_64", "x86_64", "linux/amd64", "amd64", ("x86_64-linux-gnu", "ubuntu-24.04")),
    ],
)
def test_the_names_in_each_vocabulary(
    name: str, wheel: str, docker: str, debian: str, others: tuple[str, str]
) -> None:
    machine = architectures.get(name)
    assert (machine.wheel, machine.docker, machine.debian) == (wheel, docker, debian)
    assert (machine.triplet, machine.runner) == others
    for spelling in (name, wheel, machine.oci, machine.elf_name, wheel.upper()):
        assert architectures.named(spelling) == name
    assert architectures.of_elf(machine.elf) == name


def test_numbers_of_elf_headers() -> None:
    assert architectures.of_elf(183) == "arm64"
    assert architectures.of_elf(62) == "x86_64"
    assert architectures.of_elf(8) == "machine 8"


def test_other_machines_keep_their_name() -> None:
    assert architectures.named("riscv64") == "riscv64"
    assert architectures.named("EM_386") == "EM_386"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("aarch64", "did you mean arm64?"),
        ("AMD64", "did you mean x86_64?"),
        ("arm46", "did you mean arm64?"),
        ("sparc", "known: arm64, x86_64"),
    ],
)
def test_an_unknown_architecture(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="unknown architecture") as caught:
        architectures.get(name)
    assert caught.value.hint == hint
