"""Each Requires-Dist of what is in a layer is met, or somebody says why not."""

from typing import Any

import pytest
from layersmith.audit.findings import Finding, Severity
from layersmith.base import runtimes

from tests.unit.audit.layers import judge

BOTO3 = next(one.version for one in runtimes.get("python3.13").provides if one.name == "boto3")


def distribution(name: str, *requires: str, version: str = "1.0") -> dict[str, bytes]:
    """Return the files of an installed distribution."""
    folder = f"python/{name}-{version}.dist-info"
    lines = "".join(f"Requires-Dist: {one}\n" for one in requires)
    return {
        f"python/{name}/__init__.py": b"",
        f"{folder}/METADATA": f"Name: {name}\nVersion: {version}\n{lines}\nÉ".encode("latin-1"),
        f"{folder}/RECORD": f"{name}/__init__.py,,\n".encode(),
    }


def unmet(*parts: dict[str, bytes], **declared: Any) -> list[Finding]:
    files = {path: content for part in parts for path, content in part.items()}
    report = judge(files, **declared)
    return [one for one in report.findings if one.code == "REQUIRES-UNMET"]


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("other", "app requires other, and nothing brings it"),
        ("Other_Thing>=2", "app requires Other_Thing >=2, and nothing brings it"),
        ("lib>=2", "app requires lib >=2, and the layer has lib 1.0"),
        ("lib (>=1.9.*)", "app requires lib >=1.9, and the layer has lib 1.0"),
        (f"boto3>{BOTO3}", f"and python3.13 provides boto3 {BOTO3}"),
        ("other; platform_machine == 'aarch64'", "nothing brings it"),
        ("other; python_version >= '3.13'", "nothing brings it"),
    ],
)
def test_a_requirement_that_nothing_meets(requirement: str, words: str) -> None:
    (finding,) = unmet(distribution("app", requirement), distribution("lib"))
    assert finding.severity is Severity.ERROR
    assert words in finding.what


@pytest.mark.parametrize(
    "requirement",
    [
        "lib",
        "Lib>=0.5,<2",
        "lib (>dev)",
        "lib==1.*",
        "boto3",
        f"boto3=={BOTO3}",
        "other; platform_machine == 'x86_64'",
        "other; sys_platform == 'win32'",
        "other; python_version < '3.13'",
        "other; extra == 'more'",
    ],
)
def test_a_requirement_that_is_met_or_does_not_hold_here(requirement: str) -> None:
    assert unmet(distribution("app", requirement), distribution("lib")) == []


def test_the_step_for_a_version_of_the_runtime_names_keep_provided() -> None:
    (finding,) = unmet(distribution("app", "boto3<1"))
    assert finding.next.endswith("keep-provided: [boto3]")


def test_a_copy_in_the_layer_counts_before_the_runtimes_own() -> None:
    kept = distribution("boto3", version="9999.1")
    assert unmet(distribution("app", f"boto3>{BOTO3}"), kept) == []


def test_extras_that_were_asked_for_are_followed() -> None:
    app = distribution("app", "lib[fast]; extra == 'all'")
    lib = distribution("lib", "speedup; extra == 'fast'")
    assert unmet(app, lib) == []
    (finding,) = unmet(app, lib, extras={"app": ["all"]})
    assert finding.what == "lib requires speedup, and nothing brings it"


def test_what_is_left_out_for_a_reason_and_what_a_managed_layer_brings() -> None:
    app = distribution("app", "grpcio", "pandas")
    assert unmet(app, left_out=["grpcio"], managed={"AWSSDKPandas": {"pandas": "3.1"}}) == []
    (finding,) = unmet(app, left_out=["grpcio"])
    assert finding.distribution == "pandas"
    (finding,) = unmet(distribution("app", "pandas<3"), managed={"theirs": {"pandas": "3.1"}})
    assert finding.what == "app requires pandas <3, and theirs provides pandas 3.1"


def test_a_stub_meets_what_its_distribution_would() -> None:
    stub = distribution("lib", version="7.7.0+stub")
    assert unmet(distribution("app", "lib<=7.7.0,>=7"), stub) == []


def test_prereleases_that_were_resolved_are_versions() -> None:
    assert unmet(distribution("app", "lib>=1"), distribution("lib", version="2.0rc1")) == []


def test_all_who_ask_are_named_in_one_finding() -> None:
    (finding,) = unmet(distribution("app", "gone>1"), distribution("lib", "gone"))
    assert finding.what == "app requires gone >1, lib requires gone, and nothing brings it"


def test_distributions_that_require_each_other() -> None:
    assert unmet(distribution("app", "lib[a]"), distribution("lib", "app[b]; extra == 'a'")) == []


def test_a_line_that_nobody_can_read_is_said() -> None:
    (finding,) = unmet(distribution("app", "what ever (this is"))
    assert finding.severity is Severity.WARNING
    assert "'what ever (this is'" in finding.what


@pytest.mark.parametrize(("count", "more"), [(4, ""), (5, " (and 1 more)")])
def test_the_first_of_many_that_require_something_are_named(count: int, more: str) -> None:
    (finding,) = unmet(*(distribution(f"app{number}", "other") for number in range(count)))
    assert f"app3 requires other{more}, and nothing brings it" in finding.what
    assert "app4" not in finding.what
