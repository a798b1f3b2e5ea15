from __future__ import annotations

import datetime
import sys
from typing import TYPE_CHECKING

import pytest
from layersmith.base import architectures, runtimes
from layersmith.errors import ConfigError
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path

DAY = datetime.timedelta(days=1)
SINCE = datetime.date(2026, 10, 31)


def table(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """Return a copy of the table with a text replaced."""
    text = runtimes.TABLE.read_text("utf-8")
    assert old in text
    path = tmp_path / "table.toml"
    path.write_text(text.replace(old, new) if old else text + new, encoding="utf-8")
    return path


def test_runtimes_are_listed_by_age() -> None:
    minors = [one.minor for one in runtimes.RUNTIMES.values()]
    assert minors == sorted(minors)
    assert minors[0] == 10
    assert runtimes.DEFAULT in runtimes.RUNTIMES


@pytest.mark.parametrize("name", list(runtimes.RUNTIMES))
def test_every_entry_is_whole(name: str) -> None:
    runtime = runtimes.get(name)
    assert name == f"python{runtime.python_version}"
    assert runtime.image == f"public.ecr.aws/lambda/python:{runtime.python_version}"
    # Since 3.11 the numbers of 3.X begin at 2900 + 50 * X (pycore_magic_number.h).
    assert runtime.minor == 10 or 0 <= runtime.bytecode_magic - 2900 - 50 * runtime.minor < 50
    days = [one for one in (runtime.deprecated, runtime.no_create, runtime.no_update) if one]
    assert days == sorted(days)
    assert bool(days) != runtime.preview
    for architecture in architectures.NAMES:
        major, minor = runtime.glibc
        wheel = architectures.get(architecture).wheel
        assert runtime.uv_platform(architecture) == f"{wheel}-manylinux_{major}_{minor}"


def test_what_a_runtime_provides_says_whether_its_versions_were_verified() -> None:
    provides = {one.name: one for one in runtimes.get("python3.13").provides}
    assert provides["boto3"].sdk
    assert not provides["awslambdaric"].sdk
    assert not provides["simplejson"].sdk
    assert {one.verified for one in provides.values()} == {False}
    assert min(one.read for one in provides.values()) > datetime.date(2026, 11, 1)


@pytest.mark.parametrize(
    ("day", "phase"),
    [(SINCE - DAY, "general"), (SINCE, "deprecated"), (SINCE + DAY, "deprecated")],
)
def test_a_runtime_is_deprecated_from_its_day_on(day: datetime.date, phase: str) -> None:
    assert runtimes.get("python3.10").phase(day) == phase
    assert bool(runtimes.notices(["python3.10"], day)) == (phase == "deprecated")


def test_a_preview() -> None:
    assert runtimes.get("python3.15").phase(SINCE) == "preview"
    assert runtimes.notices(["python3.15"], datetime.date.max) == []


def test_one_notice_for_each_deprecated_runtime_with_its_dates() -> None:
    asked = ["python3.11", "python3.10", "python3.10", "python3.13"]
    (notice,) = runtimes.notices(asked, datetime.date(2027, 6, 29))
    assert notice == (
        "AWS has deprecated python3.10 since 2026-10-31: no function can be created from"
        " 2027-02-01 and none can be updated from 2027-03-03 on"
    )
    assert len(runtimes.notices(asked, datetime.date(2027, 6, 30))) == 2
    # Without a day, it is judged by the present one, which is past the first of the dates.
    assert len(runtimes.notices(["python3.10"])) == 1


def test_a_notice_without_further_dates(tmp_path: Path) -> None:
    path = table(tmp_path, "no-create = 2027-02-01\nno-update = 2027-03-03\n")
    (first, *_) = runtimes.load(path).runtimes.values()
    assert runtimes._notice(first) == "AWS has deprecated python3.10 since 2026-10-31"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("python3.9", "python3.9 is not supported", "supported: python3.10, python3.11"),
        ("python3.7", "python3.7 is not supported", "supported: python3.10"),
        ("3.13", "unknown runtime '3.13'", "did you mean python3.13?"),
        ("pyhton3.14", "unknown runtime", "did you mean python3.14?"),
        ("python310", "unknown runtime", "did you mean python3.10?"),
        ("python3.31", "unknown runtime", "supported: python3.10"),
        ("nodejs22.x", "unknown runtime", "supported: python3.10"),
    ],
)
def test_an_unknown_runtime_leads_to_one_that_exists(name: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        runtimes.get(name)
    assert str(caught.value.hint).startswith(hint)
    old = "not supported" in message
    assert (caught.value.cause == "the oldest supported runtime is python3.10") == old


@pytest.mark.parametrize("asking", range(10, 16))
def test_modules_that_came_and_went(monkeypatch: pytest.MonkeyPatch, asking: int) -> None:
    """What a runtime has does not depend on the interpreter that layersmith runs on."""
    gone = {11: "binhex", 12: "distutils", 13: "cgi", 15: "sre_parse"}
    came = {11: "tomllib", 14: "compression", 15: "profiling"}
    host = {name for since, name in gone.items() if asking < since}
    host |= {name for since, name in came.items() if asking >= since}
    monkeypatch.setattr(sys, "stdlib_module_names", frozenset({"json", *host}))
    for runtime in runtimes.RUNTIMES.values():
        known = runtimes.stdlib(runtime)
        assert "json" in known
        for since, name in gone.items():
            assert (name in known) == (runtime.minor < since)
        for since, name in came.items():
            assert (name in known) == (runtime.minor >= since)


@pytest.mark.parametrize(
    "name",
    [
        "AWSSDKPandas-Python313-Arm64",
        "arn:aws:lambda:eu-west-1:336392948345:layer:AWSSDKPandas-Python313-Arm64:5",
        "awssdkpandas",
    ],
)
def test_managed_layers_are_found_by_name_and_arn(name: str) -> None:
    layer = runtimes.managed_layer(name)
    assert layer is not None
    assert layer.name == "AWSSDKPandas"
    assert runtimes.managed_layer("ours") is None


def test_managed_layers_hold_what_they_are_advised_for_and_not_what_their_build_removes() -> None:
    for layer in runtimes.MANAGED.values():
        assert layer.worth_it <= layer.contents
        assert layer.on("python3.10").keys() >= layer.contents
        assert "boto3" not in layer.contents
        assert layer.source
        assert datetime.date(2026, 1, 1) <= datetime.date.fromisoformat(layer.date)
        assert datetime.date.fromisoformat(layer.date) <= datetime.date(2030, 1, 1)
        assert all(name == canonicalize_name(name) for name in layer.contents)
    powertools = runtimes.MANAGED["AWSLambdaPowertoolsPythonV3"].contents
    assert {"pydantic-core", "cryptography", "wrapt", "aws-encryption-sdk"} <= powertools
    assert "jmespath" not in powertools


def test_bytecode_that_is_not_known_is_an_error_of_ours(tmp_path: Path) -> None:
    loaded = runtimes.load(table(tmp_path, "bytecode = 3666\n"))
    with pytest.raises(ConfigError, match=r"the bytecode of python3.15 is not known"):
        _ = loaded.runtimes["python3.15"].bytecode_magic


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('default = "python3.13"', 'default = "python3.9"', "the default python3.9 has no entry"),
        ('default = "python3.13"', "", "'default' is missing"),
        ('phase = "preview"', 'phase = "soon"', "neither preview nor general"),
        ('image = "public.ecr.aws/lambda/python:3.15"\n', "", "'image' is missing"),
        ('provided = "2026-11"', 'provided = "2020-01"', "'2020-01' is missing"),
        ('[runtimes."python3.15"]', '[runtimes."ruby3.4"]', "ruby3.4 is not the name"),
        ('glibc = "2.34"', 'glibc = "2"', "cannot be read"),
        ('glibc = "2.34"', "glibc = 2.34", "cannot be read"),
        ('glibc = "2.34"', "glibc = [", "cannot be read"),
    ],
)
def test_a_table_that_is_not_one(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        runtimes.load(table(tmp_path, old, new))
    assert said in str(caught.value)


def test_a_table_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        runtimes.load(tmp_path / "none.toml")
