"""Debian's packages, unpacked by mmdebstrap from the mirror that this machine's apt uses."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from layersmith import console, process
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


STALE = ['--aptopt=Acquire::Check-Valid-Until "false"']
"""Takes package lists after their Valid-Until date (apt.conf(5)); signatures are checked all the
same."""


def bootstrap(
    suite: str,
    target: Path,
    packages: Sequence[str],
    *,
    architecture: str,
    options: Sequence[str],
    timeout: float,
) -> None:
    """Make the file system of a Debian release.

    Args:
        suite: Name of the release, ``trixie``.
        target: Folder or .tar to make.
        packages: What it has beside what the options bring along.
        architecture: As dpkg spells it, ``arm64``.
        options: For mmdebstrap, ``--variant`` above all.
        timeout: Seconds.

    Raises:
        ProofError: mmdebstrap is missing or failed, or there is no mirror.
    """
    if shutil.which("mmdebstrap") is None:
        raise ProofError(
            "a base image cannot be made here",
            cause="mmdebstrap is not installed",
            hint="run `.ci/machine` as root on Debian, or name an image with --image",
        )
    words = [f"--arch={architecture}", f"--include={','.join(packages)}", *options]
    rest: list[str | Path] = [suite, target, mirror()]
    try:
        try:
            process.run(["mmdebstrap", *words, *rest], timeout=timeout)
        except process.CommandFailed as failed:
            # A frozen mirror, or one that stopped: only testing and unstable have such a date.
            if "is expired" not in failed.output:
                raise
            console.warn(
                f"the mirror's package lists of Debian {suite} are past their date; taking them"
            )
            process.run(["mmdebstrap", *words, *STALE, *rest], timeout=timeout)
    except process.CommandFailed as failed:
        complaints = [line for line in failed.output.splitlines() if line.startswith("E:")]
        raise ProofError(
            f"mmdebstrap could not unpack Debian {suite} for {architecture}",
            cause="\n".join(complaints) or failed.output[-1000:],
            hint="check that the Debian mirror in the machine's apt sources answers",
        ) from failed


def mirror() -> str:
    """Return the Debian mirror that the machine's own apt uses.

    Raises:
        ProofError: There is no apt, or its package lists name none.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)"]
    try:
        listed = process.run([*command, "Created-By: Packages"], timeout=30).stdout
    except process.CommandFailed as failed:
        raise ProofError(
            "the machine's Debian mirror is not known",
            cause=failed.output,
            hint="a stand-in image can be made on Debian; elsewhere name an image with --image",
        ) from failed
    for line in listed.splitlines():
        address, _, label = line.partition(" ")
        if label == "Debian":
            return address
    raise ProofError(
        "apt lists no Debian mirror",
        cause="the machine's package lists are empty, or it is not Debian",
        hint="run `apt-get update`",
    )
