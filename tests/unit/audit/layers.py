"""Layers made of a few files in memory, for the audit's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layersmith.assemble.tree import Bytes, Entry
from layersmith.audit.judge import Declared, audit
from layersmith.base import runtimes

from tests.support.tiny_elf import TinyElf

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from layersmith.audit.findings import AuditReport, Finding

GOOD = TinyElf(
    needed=("libc.so.6",),
    versions={"libc.so.6": ("GLIBC_2.17",)},
    exports=("PyInit__fast",),
    debug=b"",
)
EXTENSION = "python/fast/_fast.cpython-313-aarch64-linux-gnu.so"
RECORD = (
    "fast/__init__.py,,\nfast/_fast.cpython-313-aarch64-linux-gnu.so,,\n"
    "fast-1.0.dist-info/METADATA,,\nfast-1.0.dist-info/RECORD,,\n"
)


def layer(**changes: bytes | None) -> dict[str, bytes]:
    """Return a good layer with one distribution, ``fast``; None as content deletes a path."""
    files: dict[str, bytes | None] = {
        "python/fast/__init__.py": b"from ._fast import go\n",
        EXTENSION: GOOD.build(),
        "python/fast-1.0.dist-info/METADATA": b"Name: fast\nVersion: 1.0\n",
        "python/fast-1.0.dist-info/RECORD": RECORD.encode(),
        "python/fast-1.0.dist-info/WHEEL": b"Tag: cp313-cp313-manylinux_2_28_aarch64\n",
        **changes,
    }
    return {path: content for path, content in files.items() if content is not None}


def judge(
    files: Mapping[str, bytes],
    *,
    runtime: str = "python3.13",
    architecture: str = "arm64",
    removed: Mapping[str, str] | None = None,
    recorded: Mapping[str, list[str]] | None = None,
    executables: Collection[str] = (),
    accepted: Mapping[str, str] | None = None,
    **expected: Any,
) -> AuditReport:
    """Audit files for a runtime."""
    return audit(
        [Entry(path, Bytes(content), "", path in executables) for path, content in files.items()],
        runtimes.get(runtime),
        architecture,
        declared=Declared(**expected, accepted=accepted or {}),
        removed=removed,
        recorded=recorded,
    )


def judge_elf(spec: TinyElf, removed: Mapping[str, str] | None = None) -> AuditReport:
    """Audit the good layer with another extension module in it."""
    return judge(layer(**{EXTENSION: spec.build()}), removed=removed)


def only(report: AuditReport) -> Finding:
    """Return the one finding of a report."""
    assert len(report.findings) == 1, [f"{f.code}: {f.what}" for f in report.findings]
    return report.findings[0]
