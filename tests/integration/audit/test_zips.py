import json
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest
from layersmith.audit.judge import audit_zip
from layersmith.base import runtimes
from layersmith.errors import AuditError, BuildError

from tests.support import cli, zips
from tests.support.breakages import write_wheel
from tests.support.envelopes import data_of
from tests.support.tiny_elf import EM_X86_64, TinyElf

NAME = "sample-1.0.0-python3.13-arm64.zip"
GOOD = {"python/sample.py": b"value = 1\n"}
FOREIGN = TinyElf(machine=EM_X86_64, debug=b"").build()


def write(path: Path, members: dict[str, tuple[int, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, (mode, content) in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def codes(path: Path) -> list[str]:
    return [one.code for one in audit_zip(path, runtimes.get("python3.13"), "arm64").errors]


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_modes_that_lambda_reads(tmp_path: Path, mode: int) -> None:
    assert codes(write(tmp_path / NAME, {"python/a.py": (stat.S_IFREG | mode, b"")})) == []


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o4755, 0])
def test_modes_that_it_does_not(tmp_path: Path, mode: int) -> None:
    assert codes(write(tmp_path / NAME, {"python/a.py": (mode, b"")})) == ["MODE"]


def test_links(tmp_path: Path) -> None:
    link = {"python/a.so": (stat.S_IFLNK | 0o777, b"b.so")}
    assert codes(write(tmp_path / NAME, link)) == ["SYMLINK"]


@pytest.mark.parametrize("name", ["/python/a.py", "python/../a.txt", "python\\a.py"])
def test_paths_that_leave_the_layer(tmp_path: Path, name: str) -> None:
    assert "PATH-UNSAFE" in codes(write(tmp_path / NAME, {name: (0o644, b"")}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_path_twice(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w") as archive:
        for content in (b"1", b"2"):
            info = zipfile.ZipInfo("python/a.py")
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    assert codes(path) == ["PATH-TWICE"]


def test_what_is_no_zip(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with pytest.raises(BuildError, match="does not exist"):
        codes(path)
    path.write_bytes(b"PK\3\4 and nothing more")
    with pytest.raises(AuditError, match=r"sample-.* is not a readable zip"):
        codes(path)


def test_a_zip_that_was_cut_short(tmp_path: Path) -> None:
    path = zips.write(tmp_path / NAME, GOOD)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(AuditError, match=r"sample-.* is not a readable zip"):
        codes(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (6, b"\x5a\0"),  # the version that is needed: 9.0
        (8, b"\1\0"),  # encrypted
        (8, b"\0\x08"),  # names are UTF-8, and one is not
        (10, b"\x4d\0"),  # a method that nobody knows
        (10, b"\x08\0"),  # deflated, and the bytes are not
        (42, b"\xff\xff\xff\x00"),  # where the member lies: behind the end
    ],
)
def test_a_damaged_directory(tmp_path: Path, field: int, value: bytes) -> None:
    dist_info = "python/sample-1.0.dist-info"
    files = {**GOOD, f"{dist_info}/METADATA": b"x", f"{dist_info}/RECORD": b"\xff" * 9}
    path = zips.write(tmp_path / NAME, files)
    content = path.read_bytes()
    # The directory's entry of RECORD, whose name lies 46 bytes behind its start (APPNOTE 4.3.12).
    place = content.rindex(f"{dist_info}/RECORD".encode()) - 46
    damaged = content[: place + field] + value + content[place + field + len(value) :]
    path.write_bytes(damaged.replace(b"RECORD", b"R\xffCORD") if value == b"\0\x08" else damaged)
    with pytest.raises(AuditError, match=r"not a readable|encrypted or not deflated") as caught:
        codes(path)
    assert caught.value.hint == "build it again"


def test_a_wheel_with_a_false_tag(tmp_path: Path) -> None:
    """uv and pip install it: they read the tag, and never what is inside."""
    name = "sample/_fast.cpython-313-aarch64-linux-gnu.so"
    tag = "cp313-cp313-manylinux_2_28_aarch64"
    wheel = write_wheel(tmp_path, {"sample/__init__.py": b"", name: FOREIGN}, tag)
    target = tmp_path / "installed"
    subprocess.run(
        [
            *("uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-index"),
            *("--python-platform", "aarch64-manylinux_2_34", "--python-version", "3.13"),
            *("--target", str(target), str(wheel)),
        ],
        check=True,
    )
    files = {
        f"python/{path.relative_to(target).as_posix()}": path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    report = audit_zip(zips.write(tmp_path / NAME, files), runtimes.get("python3.13"), "arm64")
    assert [one.code for one in report.errors] == ["ELF-MACHINE"]
    assert f"has the tag {tag}, but what it holds is x86_64" in report.errors[0].cause


def audit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return cli.layers("audit", *arguments)


def test_the_verb_takes_the_target_from_the_name(tmp_path: Path) -> None:
    done = audit(zips.write(tmp_path / NAME, GOOD), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["format"] == 1
    assert [one["runtime"] for one in answer["data"]["reports"]] == ["python3.13"]


def test_the_verb_asks_for_the_target_where_the_name_says_nothing(tmp_path: Path) -> None:
    done = audit(zips.write(tmp_path / "layer.zip", GOOD))
    assert done.returncode == 2
    assert "--runtime python3.13 --arch arm64" in done.stderr


def test_the_verb_judges_all_and_exits_with_6(tmp_path: Path) -> None:
    bad = zips.write(tmp_path / f"bad-{NAME}", GOOD | {"python/lib.so": FOREIGN})
    good = zips.write(tmp_path / NAME, GOOD)
    done = audit(bad, good, "--json", "--forbid", "sample")
    assert done.returncode == 6
    reports = data_of(done.stdout)["reports"]
    found = [{one["code"] for one in report["findings"]} for report in reports]
    assert found == [{"ELF-MACHINE", "IMPORT-FORBIDDEN"}, {"IMPORT-FORBIDDEN"}]
    table = audit(bad)
    assert "ELF-MACHINE" in table.stdout
    assert "the audit rejected this layer: 1 error" in table.stderr


def test_the_verb_lists_its_codes() -> None:
    done = audit("--codes", "--json")
    assert "NEEDED-MISSING" in json.loads(done.stdout)["data"]["codes"]
