"""Debian's mirror and packages: what is asked, and what is said where they are not to be had."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from layersmith import process
from layersmith.base import debian
from layersmith.errors import ProofError

LISTED = """\
http://a.test/security Debian-Security
http://b.test/debian Debian
http://c.test/debian Debian
"""


class Machine:
    """What programs are asked and answer."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.listed = LISTED
        self.complaint: str | None = None

    def run(self, argv: list[str | Path], **options: Any) -> process.Completed:
        words = [str(word) for word in argv]
        self.asked.append(words)
        if self.complaint is not None and words[0] == "mmdebstrap":
            raise process.CommandFailed(process.Completed(tuple(words), 1, "", self.complaint))
        return process.Completed(tuple(words), 0, self.listed, "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(process, "run", made.run)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return made


def bootstrap() -> None:
    options = ["--variant=extract"]
    debian.bootstrap(
        "trixie", Path("/x.tar"), ["a", "b"], architecture="arm64", options=options, timeout=1
    )


def test_packages_come_from_the_machines_own_mirror(machine: Machine) -> None:
    bootstrap()
    assert machine.asked[-1] == [
        *("mmdebstrap", "--arch=arm64", "--include=a,b", "--variant=extract"),
        *("trixie", "/x.tar", "http://b.test/debian"),
    ]


def test_without_a_mirror_nothing_is_unpacked(machine: Machine) -> None:
    machine.listed = "http://a.test/security Debian-Security\n"
    with pytest.raises(ProofError, match="apt lists no Debian mirror") as raised:
        bootstrap()
    assert raised.value.hint == "run `apt-get update`"
    assert [words[0] for words in machine.asked] == ["apt-get"]


def test_without_apt_the_mirror_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise process.CommandFailed(process.Completed(("apt-get",), 127, "", "no such file"))

    monkeypatch.setattr(process, "run", fail)
    with pytest.raises(ProofError, match="mirror is not known") as raised:
        debian.mirror()
    assert raised.value.cause == "no such file"


def test_without_mmdebstrap_nothing_is_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ProofError) as raised:
        bootstrap()
    assert raised.value.cause == "mmdebstrap is not installed"
    assert machine.asked == []


def test_lists_that_are_past_their_date_are_taken_and_it_is_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = machine.run

    def expired(argv: list[str | Path], **options: Any) -> process.Completed:
        late = argv[0] == "mmdebstrap" and debian.STALE[0] not in argv
        machine.complaint = "E: Release file is expired" if late else None
        return answer(argv, **options)

    monkeypatch.setattr(process, "run", expired)
    bootstrap()
    assert [debian.STALE[0] in words for words in machine.asked] == [False, False, True]
    assert "package lists of Debian trixie are past their date" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("complaint", "cause"),
    [
        ("I: fetching\nE: no such suite\nW: late\nE: gave up", "E: no such suite\nE: gave up"),
        ("killed", "killed"),
    ],
)
def test_the_complaints_of_mmdebstrap_are_told(
    machine: Machine, complaint: str, cause: str
) -> None:
    machine.complaint = complaint
    with pytest.raises(ProofError, match="could not unpack Debian trixie for arm64") as raised:
        bootstrap()
    assert raised.value.cause == cause
    assert [words[0] for words in machine.asked].count("mmdebstrap") == 1
