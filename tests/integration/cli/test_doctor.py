"""What `doctor` says of machines that lack something."""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import cli
from layersmith.base import uv
from layersmith.verbs import doctor

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in doctor.CREDENTIAL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "LAYERSMITH_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def look(monkeypatch: pytest.MonkeyPatch, name: str) -> list[doctor.Diagnosis]:
    return list(getattr(doctor, f"_{name}")())


def test_credentials_are_named_by_their_place_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (none,) = look(monkeypatch, "credentials")
    assert (none.state, none.detail) == ("warn", "none here")
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(f"[x]\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    (found,) = look(monkeypatch, "credentials")
    assert found.state == "ok"
    assert "AWS_ACCESS_KEY_ID" in found.detail
    assert str(home / ".aws" / "credentials") in found.detail
    assert not {SECRET, "AKIAIOSFODNN7EXAMPLE"} & set(found.detail.split())


@pytest.mark.parametrize(
    ("platform", "said", "advice"),
    [
        ("darwin", "connection refused", "colima start"),
        ("linux", "Permission denied", "usermod -aG docker"),
        ("linux", "connection refused", "systemctl start docker"),
    ],
)
def test_an_engine_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, platform: str, said: str, advice: str
) -> None:
    importlib.import_module("docker")  # which looks for modules of the platform
    monkeypatch.setattr(sys, "platform", platform)
    assert advice in doctor._engine_advice(said)
    assert "--runner host" in doctor._engine_advice(said)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    (line,) = look(monkeypatch, "engine")
    assert line.state == "missing"
    assert line.next and ".ci/machine" not in line.next


def test_an_index_that_does_not_answer_is_said_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://user:{SECRET}@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    (line,) = look(monkeypatch, "index")
    assert line.state == "missing"
    assert "UV_DEFAULT_INDEX" in (line.next or "")
    assert SECRET not in line.detail


def test_an_interpreter_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv, "interpreter", lambda minor, *, install: None)
    lines = look(monkeypatch, "interpreters")
    assert {line.state for line in lines} == {"warn"}
    assert lines[0].next == "uv python install 3.10"


def test_the_runtimes_are_those_of_layers_yaml(home: Path) -> None:
    (home / "layers.yaml").write_text(
        "layers:\n  demo: {description: d, version: 1.0.0, license: MIT, requirements: [a],"
        " runtimes: [python3.13], architectures: [arm64]}\n"
    )
    assert doctor._runtimes() == ["python3.13"]


def test_the_cache_has_a_size_or_advice(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (made,) = look(monkeypatch, "cache")
    assert "not made yet" in made.detail
    (home / "cache" / "wheels").mkdir(parents=True)
    (home / "cache" / "wheels" / "a").write_bytes(bytes(3_000_000))
    (full,) = look(monkeypatch, "cache")
    assert f"{home / 'cache'}, 3 MB" in full.detail
    monkeypatch.setattr("os.access", lambda path, mode: False)
    (closed,) = look(monkeypatch, "cache")
    assert (closed.state, closed.needed) == ("missing", True)
    assert "LAYERSMITH_CACHE" in (closed.next or "")


def test_a_need_of_build_is_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = doctor.Diagnosis("one", "ok", "1.0", needed=True)
    optional = doctor.Diagnosis("two", "missing", "none", "get it")
    monkeypatch.setattr(doctor, "LOOKS", [lambda: iter([fine, optional])])
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok       one: 1.0",
        "missing  two: none",
        "         next: get it",
    ]
    needed = doctor.Diagnosis("three", "missing", "none", "get three", needed=True)
    monkeypatch.setattr(doctor, "LOOKS", [lambda: iter([fine, needed])])
    assert cli.main(["doctor", "--json"]) == 3
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["data"]["checks"]] == ["one", "three"]
    assert found["errors"][0]["next"] == "get three"
