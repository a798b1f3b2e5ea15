"""Makes a base image out of Debian packages, for where no container registry can be reached.

Nothing of the target's architecture is run: mmdebstrap unpacks packages, uv unpacks wheels, and
bytecode is compiled by an interpreter of this machine. The image has Lambda's layout (/var/task,
/var/runtime, /var/lang/bin, /opt) and AWS's runtime interface client, so one harness drives it
and AWS's own image. Its C library is Debian's, which is newer than Lambda's: that a layer needs
no newer symbols than Lambda has is for the audit to say.

It is written in the format that ``docker save`` writes and every engine loads. ``docker import``
of older engines records the architecture of the host; here it is written into the image's
configuration, as the image specification of Docker (v1.2) has it.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from layersmith import cache, process
from layersmith.base import architectures, damage, debian, runtimes, uv
from layersmith.errors import ProofError
from layersmith.prove import sites

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.base.runtimes import Runtime

RECIPE = 1
"""Raised when the way an image is made changes, so that older images are not taken for it."""

PACKAGES = (
    *("base-files", "bash", "ca-certificates", "coreutils"),
    *("libgcc-s1", "libstdc++6", "zlib1g"),
)
"""Debian packages beside the runtime's own Python, of which a release can have several."""

SANDBOX_UID, SANDBOX_GID = 993, 990
"""User and group under which Lambda runs functions (sbx_user1051)."""

_LEFT_OUT = ("dev", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/dpkg")


@dataclass(frozen=True)
class StandIn:
    """An image as it was made, before an engine has it.

    Attributes:
        tag: Name of the image.
        recipe: Digest over everything that went into it.
        archive: Path of the image in the format of ``docker save``.
    """

    tag: str
    recipe: str
    archive: Path


def tag(runtime: Runtime, architecture: str) -> str:
    """Return the name of the stand-in's image."""
    return f"layersmith/lambda-python:{runtime.python_version}-{architecture}"


def recipe(runtime: Runtime, architecture: str) -> str:
    """Return the digest over what decides a stand-in's content, Debian's updates left out."""
    scripts = [_script(name) for name in ("lambda-entrypoint.sh", "bootstrap")]
    said = [str(RECIPE), runtime.name, architecture, suite(runtime), *packages(runtime)]
    return cache.sha256_bytes(
        "\0".join(said + scripts + sites.runtime_requirements(runtime)).encode()
    )


def packages(runtime: Runtime) -> list[str]:
    """Return the Debian packages that a runtime's stand-in is made of."""
    return [*PACKAGES, f"python{runtime.python_version}"]


def suite(runtime: Runtime) -> str:
    """Return the Debian release that has this runtime's Python.

    Raises:
        ProofError: No release of Debian has it.
    """
    if runtime.suite is None:
        made = ", ".join(one.name for one in runtimes.RUNTIMES.values() if one.suite)
        raise ProofError(
            f"no stand-in for {runtime.name}",
            cause=f"no release of Debian has Python {runtime.python_version}",
            hint=f"prove it in {runtime.image}-arm64 (`smoke --image`), or on `--runner host`;"
            f" stand-ins can be made for {made}",
        )
    return runtime.suite


def make(runtime: Runtime, architecture: str, folder: Path) -> StandIn:
    """Make the image's archive in ``folder``; takes seconds.

    Raises:
        ProofError: mmdebstrap is missing or failed, or a package could not be fetched.
    """
    root = folder / "root"
    base = folder / "base.tar"
    debian.bootstrap(
        suite(runtime),
        base,
        packages(runtime),
        architecture=architectures.get(architecture).debian,
        options=["--variant=extract"],
        timeout=300,
    )
    _unpack(base, root)
    base.unlink()
    _lay_out(root, runtime, architecture)
    _compile(root, runtime)
    label = recipe(runtime, architecture)
    archive = folder / "image.tar"
    write_archive(
        archive,
        root,
        tag=tag(runtime, architecture),
        architecture=architecture,
        config={
            "Entrypoint": ["/lambda-entrypoint.sh"],
            "WorkingDir": "/var/task",
            "Env": ["PATH=/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin", "LANG=C.UTF-8"],
            "Labels": {"layersmith.image": "stand-in", "layersmith.recipe": label},
        },
    )
    return StandIn(tag(runtime, architecture), label, archive)


def _unpack(base: Path, root: Path) -> None:
    root.mkdir()
    with damage.told(base.name, ProofError), tarfile.open(base) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if not name or any(name == out or name.startswith(f"{out}/") for out in _LEFT_OUT):
                continue
            member.mode |= 0o700 if member.isdir() else 0o400
            tar.extract(member, root, set_attrs=not member.issym(), filter="tar")


def _lay_out(root: Path, runtime: Runtime, architecture: str) -> None:
    for folder in ("dev", "opt", "proc", "sys", "tmp", "var/lang/bin", "var/task"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copytree(sites.runtime_packages(runtime, architecture), root / "var/runtime")
    _write_script(root / "lambda-entrypoint.sh", "lambda-entrypoint.sh")
    _write_script(root / "var/runtime/bootstrap", "bootstrap")
    for name in (f"python{runtime.python_version}", "python3", "python"):
        (root / "var/lang/bin" / name).symlink_to(f"/usr/bin/python{runtime.python_version}")
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("bash")
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/usr/bin/bash\n"
        f"sbx_user1051:x:{SANDBOX_UID}:{SANDBOX_GID}::/home/sbx_user1051:/sbin/nologin\n"
    )
    (root / "etc/group").write_text(f"root:x:0:\nsbx_group1051:x:{SANDBOX_GID}:\n")
    _bundle_certificates(root)


def _bundle_certificates(root: Path) -> None:
    # Debian's package makes the bundle in a script that nothing has run.
    found = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = "".join(path.read_text() for path in found)
    for place in ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(bundle)


def _compile(root: Path, runtime: Runtime) -> None:
    # Bytecode depends on the minor version alone, and AWS's image has it: without, every start
    # would compile the standard library, which takes most of a start under emulation.
    interpreter = uv.interpreter(runtime.minor)
    if interpreter is None:
        return
    folders = [root / f"usr/lib/python{runtime.python_version}", root / "var/runtime"]
    arguments = ["-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    # Sources of another Python version lie among the tests of some packages.
    process.run(
        [interpreter, "-I", *arguments, "-s", root, "-p", "/", *folders], check=False, timeout=300
    )


def _script(name: str) -> str:
    return (
        resources.files("layersmith.prove.base_images")
        .joinpath("standin_files", name)
        .read_text("utf-8")
    )


def _write_script(path: Path, name: str) -> None:
    path.write_text(_script(name))
    path.chmod(0o755)


ARCHIVE_DATE = "2020-01-01T00:00:00Z"
"""Date of every image, so that the same content has the same digest."""


def write_archive(
    path: Path, root: Path, *, tag: str, architecture: str, config: dict[str, Any]
) -> None:
    """Write the tree below ``root`` as an image of one layer, everything owned by root.

    Args:
        path: The archive to write.
        root: The file system of the image.
        tag: Name and tag.
        architecture: ``arm64`` or ``x86_64``.
        config: Entrypoint, Env, Labels and the like.
    """
    layer = path.with_suffix(".layer.tar")
    _write_layer(layer, root)
    described = {
        "architecture": architectures.get(architecture).oci,
        "config": config,
        "created": ARCHIVE_DATE,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{cache.sha256_file(layer)}"]},
    }
    if architecture == "arm64":
        described["variant"] = "v8"
    content = json.dumps(described, sort_keys=True).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _add_bytes(archive, name, content)
        archive.add(layer, "layer.tar")
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()


def _write_layer(layer: Path, root: Path) -> None:
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=_as_root)


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = 0
    if member.name == "tmp":
        member.mode = 0o1777
    elif member.isdir():
        member.mode = 0o755
    return member


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
