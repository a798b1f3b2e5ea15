"""What an engine says becomes a message with a cause and a next step."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from layersmith.engine import emulation, processes
from layersmith.engine.client import arguments
from layersmith.engine.models import ContainerSpec, Sandbox, refusal, seconds

if TYPE_CHECKING:
    from pathlib import Path

SPEC = ContainerSpec(
    image="sha256:0123",
    called="some/image:1",
    command=[],
    environment={},
    mounts={},
    network=None,
    uid=1,
    gid=1,
    sandbox=Sandbox(memory=1, temporary=1),
    architecture="arm64",
)


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("No such image: some/image:1", "has no image some/image:1", "nox -s image"),
        (
            (
                "image with reference some/image:1 was found but does not match the specified"
                " platform: wanted linux/arm64, actual: linux/amd64"
            ),
            "refuses to run some/image:1 as arm64",
            "--image",
        ),
        (
            "failed to create shim task: exec: /lambda-entrypoint.sh: exec format error",
            "cannot run programs of some/image:1 (arm64)",
            "--runner host",
        ),
        (
            'exec: "/lambda-entrypoint.sh": stat: no such file or directory: unknown',
            "has no /lambda-entrypoint.sh",
            "nox -s image",
        ),
    ],
)
def test_refusals(said: str, message: str, hint: str) -> None:
    error = refusal(SPEC, said)
    assert error.exit_code == 8
    assert message in error.message
    assert hint in str(error.hint)


def test_a_function_is_limited_as_on_lambda() -> None:
    told = arguments(SPEC, {})
    assert told["read_only"] is True
    assert (told["mem_limit"], told["memswap_limit"]) == (1, 1)
    assert told["tmpfs"] == {"/tmp": "size=1,mode=1777"}
    assert (told["ipc_mode"], told["pids_limit"]) == ("none", 1024)
    assert told["network_mode"] == "none"
    assert "entrypoint" not in told
    assert "nano_cpus" not in told


def test_what_a_container_is_asked_for_is_told() -> None:
    spec = dataclasses.replace(SPEC, network="net", cpus=1.5, architecture=None, mounts={})
    told = arguments(spec, {})
    assert told["network"] == "net"
    assert "network_mode" not in told
    assert told["nano_cpus"] == 1_500_000_000
    assert "platform" not in told


def test_an_unknown_refusal_keeps_the_words_of_the_engine() -> None:
    assert refusal(SPEC, "quota exceeded").cause == "quota exceeded"


def test_time_stamps_have_nanoseconds() -> None:
    assert seconds("2026-11-21T19:44:56.123456789Z") == pytest.approx(1795290296.123456789)
    assert seconds("2026-11-21T19:44:56Z") == 1795290296.0


def test_native_needs_no_emulator(tmp_path: Path) -> None:
    found = emulation.of("arm64", "arm64", tmp_path)
    assert found == emulation.Emulation(native=True)
    assert found.time_scale == 1
    assert found.memory_allowance == 0


def test_emulated_limits_are_stretched(tmp_path: Path) -> None:
    found = emulation.of("arm64", "x86_64", tmp_path)
    assert not found.native
    assert found.emulator is None
    assert found.time_scale > 10
    assert found.memory_allowance > 0


@pytest.mark.parametrize("version", ["7.2.22", "7", "5.2"])
def test_old_emulators_are_warned_of_with_the_reason(version: str) -> None:
    assert "several times longer" in str(emulation.warning_for(version))


@pytest.mark.parametrize("version", ["8.0", "10.0.2"])
def test_new_emulators_are_not(version: str) -> None:
    assert emulation.warning_for(version) is None


def test_peak_memory_is_read_from_the_status_of_a_process() -> None:
    assert (
        processes.high_water_mark("Name:\tpython\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n") == 2 << 20
    )
    assert processes.high_water_mark("Name:\tkthreadd\n") is None


def test_this_process_is_alive() -> None:
    assert not processes.is_dead(processes.this_process())


def test_a_process_that_started_at_another_time_is_another_process() -> None:
    host, pid, _ = processes.this_process().split(":")
    assert processes.is_dead(f"{host}:{pid}:1")


@pytest.mark.parametrize("name", ["other-host:1:1", "nonsense", "", ":::"])
def test_what_cannot_be_judged_is_left_alone(name: str) -> None:
    assert not processes.is_dead(name)


def test_containers_of_other_machines_have_no_process_here() -> None:
    assert processes.peak_memory_of_container(1, "f" * 64) is None
    assert processes.peak_memory_of_container(0, "x") is None
