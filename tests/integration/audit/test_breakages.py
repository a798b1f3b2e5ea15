import platform
import re
from pathlib import Path

import pytest
from layersmith.assemble.tree import Bytes, Entry
from layersmith.audit.judge import Declared, audit
from layersmith.base import architectures, runtimes
from layersmith.errors import AuditError

from tests.integration.audit import host
from tests.support.breakages import BREAKAGES, Breakage, Wheelhouse, whole

PILLOW = Declared(requirements=["pillow"])
IDS = [breakage.name for breakage in BREAKAGES]


def entries(files: dict[str, bytes]) -> list[Entry]:
    return [Entry(path, Bytes(content), "") for path, content in files.items()]


def needed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files that `from PIL import _imaging` looks for."""
    kept = ("python/PIL/__init__.", "python/PIL/_version.", "python/PIL/_imaging.")
    return {
        path: content
        for path, content in files.items()
        if path.startswith((*kept, "python/pillow.libs/"))
    }


@pytest.mark.parametrize("architecture", architectures.NAMES)
def test_a_whole_layer_passes(house: Wheelhouse, architecture: str) -> None:
    files = whole(house, "python3.13", architecture)
    runtime = runtimes.get("python3.13")
    report = audit(entries(files), runtime, architecture, declared=PILLOW)
    assert report.findings == []
    assert report.machines == [architectures.get(architecture).wheel]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=IDS)
def test_the_audit_names_the_cause(house: Wheelhouse, breakage: Breakage) -> None:
    report = audit(
        entries(breakage.files(house)),
        runtimes.get("python3.13"),
        "arm64",
        declared=PILLOW,
    )
    assert {one.code for one in report.errors} == breakage.codes
    with pytest.raises(AuditError, match=breakage.cause) as raised:
        report.raise_for_errors()
    assert "_imaging" in str(raised.value) or "pillow.libs" in str(raised.value)


@pytest.mark.skipif(host.UNFIT is not None, reason=str(host.UNFIT))
@pytest.mark.parametrize("breakage", BREAKAGES, ids=IDS)
def test_python_says_what_the_breakage_claims(
    house: Wheelhouse, breakage: Breakage, tmp_path: Path
) -> None:
    """The fixtures break for real: without this, the audit could refuse what works."""
    if breakage.newer_glibc and platform.libc_ver()[1] >= "2.38":
        pytest.skip("this machine's C library has GLIBC_2.38")
    if breakage.name == "executable-stack" and platform.libc_ver()[1] >= "2.41":
        pytest.skip("since glibc 2.41 no library that is loaded later gets an executable stack")
    files = breakage.files(house, host.RUNTIME, host.ARCHITECTURE)
    done = host.python("from PIL import _imaging", host.unpack(needed(files), tmp_path))
    if breakage.symptom is not None:
        assert done.returncode == 1
        assert re.search(breakage.symptom, done.stderr), done.stderr
    else:
        assert done.returncode == -(breakage.signal or 0), done.stderr


@pytest.mark.skipif(host.UNFIT is not None, reason=str(host.UNFIT))
def test_python_loads_the_whole_layer(house: Wheelhouse, tmp_path: Path) -> None:
    files = whole(house, host.RUNTIME, host.ARCHITECTURE)
    done = host.python("from PIL import _imaging", host.unpack(needed(files), tmp_path))
    assert done.returncode == 0, done.stderr
