"""A Debian disk for virtual machines that are servers and clients of NFS."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from layersmith.base import debian, uv
from layersmith.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCES = [
    ROOT / "lambdas/delta_writer",
    ROOT / "lambdas/compaction_trigger",
    ROOT / "fargate/chroma/chroma_store",
    ROOT / "fargate/chroma/chroma_supervisor",
    ROOT / "lambdas/common/src/vector_common",
]
STORAGE = SOURCES[-1] / "storage/folder.py"
SUITE, PYTHON = "bookworm", "3.11"
"""A release of Debian and its Python, for which the wheels are chosen."""

PACKAGES = (
    *("linux-image-cloud-amd64", "initramfs-tools", "udev", "kmod", "iproute2"),
    *("nfs-kernel-server", "nfs-common", "python3"),
)
UNUSED = ("doc", "man", "locale", "info")
PROGRAMS = ("qemu-system-x86_64", "mmdebstrap", "mkfs.ext4", "apt-get", "setpriv")

# The first disk is the system's, the second one a bare tar with what the test brings along.
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t tmpfs tmpfs /tmp
mkdir /tmp/lab
tar -x -C /tmp/lab </dev/vdb
modprobe virtio_console
while ! port=$(ls /dev/vport*p1 2>/dev/null); do sleep 0.05; done
exec /usr/bin/python3 -B /tmp/lab/nfs_guest.py "$port"
"""


class NoPackages(Exception):
    """The machine's Debian mirror does not give what a system needs."""


@dataclass(frozen=True)
class Image:
    """What a machine boots from; machines write to private layers over the disk."""

    kernel: Path
    initrd: Path
    disk: Path
    brought: Path
    accelerator: str = "tcg,tb-size=256"


def missing() -> str | None:
    """Why no machine can be made here, or None."""
    if os.uname().machine != "x86_64":
        return "the machines are x86_64 ones"
    if os.geteuid() != 0:
        return "needs root to make a disk with a system"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"needs {', '.join(absent)} (Debian: qemu-system-x86, mmdebstrap, e2fsprogs)"
    try:
        debian.mirror()
    except ProofError as problem:
        return str(problem)
    return None


def make(folder: Path) -> Image:
    """Make the disk; takes a minute."""
    root = folder / "root"
    exclude = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNUSED]
    options = ["--quiet", "--variant=minbase", *exclude]
    try:
        debian.bootstrap(SUITE, root, PACKAGES, architecture="amd64", options=options, timeout=600)
    except ProofError as error:
        raise NoPackages(f"no Debian {SUITE} from apt's mirror: {error}") from error
    _install(root / "opt/packages")
    init = root / "sbin/lab"
    init.write_text(_INIT)
    init.chmod(0o755)
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(3 << 30)
    _run(["/sbin/mkfs.ext4", "-q", "-d", root, disk])
    [kernel], [initrd] = (
        list((root / "boot").glob(f"{name}-*")) for name in ("vmlinuz", "initrd.img")
    )
    image = Image(folder / "kernel", folder / "initrd", disk, folder / "brought")
    kernel.replace(image.kernel)
    initrd.replace(image.initrd)
    shutil.rmtree(root)
    with_kvm = replace(image, accelerator="kvm")
    return with_kvm if Path("/dev/kvm").exists() and _boots(with_kvm) else image


def _boots(image: Image) -> bool:
    """Whether a machine starts and ends; some machines have a /dev/kvm that runs no kernel."""
    command = qemu(image, image.disk.with_name("console-trial"), 512, init="/bin/true")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=15, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _install(target: Path) -> None:
    """The packages of the server image, for the machine's Python."""
    server = ROOT / "fargate/chroma"
    platform = ["--python-platform", "x86_64-manylinux_2_28", "--python-version", PYTHON]
    command: list[str | Path] = [uv.program(), "pip", "install", "--quiet"]
    command += ["--target", target]
    command += [*platform, "--only-binary", ":all:", "--link-mode", "copy"]
    names = ("aiohttp", "aiolimiter", "botocore", "urllib3", "zstandard")
    _run([*command, *names, "--constraint", server / "requirements.txt"])
    _run([*command, "--no-deps", "--requirements", server / "server.txt"])


def bring(tar: Path, breakages: Mapping[str, tuple[str, str]]) -> None:
    """Write the second disk: the programs, the project, and copies with a broken FileStorage.

    Args:
        tar: The disk.
        breakages: By the name of a copy, a passage of STORAGE and what replaces it.
    """
    with tarfile.open(tar, "w") as archive:
        for name in ("nfs_guest.py", "nfs_actions.py"):
            archive.add(HERE / name, name)
        for name in ("", *breakages):
            _add_project(archive, f"project-{name}" if name else "project", breakages.get(name))


def _add_project(archive: tarfile.TarFile, folder: str, breakage: tuple[str, str] | None) -> None:
    for package in SOURCES:
        for path in sorted(package.rglob("*.py")):
            text = path.read_text()
            if breakage and path == STORAGE:
                assert breakage[0] in text, f"{breakage[0]!r} is no longer in {STORAGE}"
                text = text.replace(*breakage)
            _add(archive, f"{folder}/{path.relative_to(package.parent)}", text.encode())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command[0]}: {(done.stderr or done.stdout)[-2000:]}"


def qemu(image: Image, console: Path, megabytes: int, init: str = "/sbin/lab") -> list[str]:
    """The command that boots a machine; without a network, and with the host at its pipes."""
    # no_timer_check: on a busy host an emulated timer is late, and the kernel would panic.
    kernel = f"root=/dev/vda rw init={init} console=ttyS0 quiet panic=-1 net.ifnames=0"
    kernel += " no_timer_check"
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"),
        *("-accel", image.accelerator, "-cpu", "max,arch-capabilities=off"),
        *("-smp", "1", "-m", str(megabytes)),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", kernel),
        *("-drive", f"file={image.disk},format=raw,if=virtio,snapshot=on"),
        *("-drive", f"file={image.brought},format=raw,if=virtio,readonly=on"),
        *("-serial", f"file:{console}", "-device", "virtio-rng-pci"),
        # Commands and answers go through QEMU's own pipes, whose end is the machine's end.
        *("-chardev", "stdio,id=host,signal=off", "-device", "virtio-serial-pci"),
        *("-device", "virtserialport,chardev=host"),
    ]
