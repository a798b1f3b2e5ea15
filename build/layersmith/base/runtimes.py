"""The Lambda runtimes that a layer can be built for, as one table.

Sources: the glibc floors are those of the operating systems that AWS documents for each runtime
(Amazon Linux 2: 2.26, Amazon Linux 2023: 2.34) and that aws-lambda-builders uses; what a runtime
already provides was read from AWS's base images.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from layersmith.errors import ConfigError

UNZIPPED_LIMIT = 262_144_000
"""Bytes of a function's code and all its layers, unpacked (AWS Lambda quota, 250 MiB)."""

DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
"""Bytes of a zip that can be sent in the request itself; larger ones go through S3 (AWS quota)."""

LAYERS_PER_FUNCTION = 5
"""Layers that one function can use (AWS Lambda quota)."""

ARCHITECTURES = ("arm64", "x86_64")
"""Architectures as AWS spells them."""

PROVIDED = frozenset(
    {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
)
"""Distributions (normalized names) that every Python runtime brings along."""

WHEEL_MACHINE = {"arm64": "aarch64", "x86_64": "x86_64"}
"""Architecture to the machine in a wheel's platform tag (PEP 600)."""

DOCKER_PLATFORM = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}
"""Architecture to the platform in Docker's spelling."""


BYTECODE_MAGIC = {10: 3439, 11: 3495, 12: 3531, 13: 3571, 14: 3627}
"""Minor version of CPython to its bytecode's magic number (CPython, Lib/importlib and
Include/internal/pycore_magic_number.h of the final releases)."""


@dataclass(frozen=True)
class Runtime:
    """One Lambda runtime.

    Attributes:
        name: As AWS spells it, ``python3.13``.
        minor: Minor version of CPython, 13.
        glibc: Version of the C library as (major, minor).
        os: ``al2`` or ``al2023``.
    """

    name: str
    minor: int
    glibc: tuple[int, int]
    os: str

    @property
    def python_version(self) -> str:
        """Version of Python as resolvers take it, ``3.13``."""
        return f"3.{self.minor}"

    @property
    def tag(self) -> str:
        """Interpreter tag of wheels (PEP 425), ``cp313``."""
        return f"cp3{self.minor}"

    @property
    def bytecode_tag(self) -> str:
        """Tag in the names of .pyc files (PEP 3147), ``cpython-313``."""
        return f"cpython-3{self.minor}"

    @property
    def bytecode_magic(self) -> int:
        """Magic number of .pyc files, the first two bytes of a file, little-endian."""
        return BYTECODE_MAGIC[self.minor]

    @property
    def image(self) -> str:
        """AWS's base image, without its digest."""
        return f"public.ecr.aws/lambda/python:{self.python_version}"

    def uv_platform(self, architecture: str) -> str:
        """Return the platform of wheel tags (PEP 600), ``aarch64-manylinux_2_34``."""
        major, minor = self.glibc
        return f"{WHEEL_MACHINE[architecture]}-manylinux_{major}_{minor}"


_AL2 = ((2, 26), "al2")
_AL2023 = ((2, 34), "al2023")

RUNTIMES = {
    f"python3.{minor}": Runtime(f"python3.{minor}", minor, glibc, os)
    for minor, (glibc, os) in {
        10: _AL2,
        11: _AL2,
        12: _AL2023,
        13: _AL2023,
        14: _AL2023,
    }.items()
}


def get(name: str) -> Runtime:
    """Return the runtime called ``name``.

    Raises:
        ConfigError: There is no such runtime; the closest names are suggested.
    """
    try:
        return RUNTIMES[name]
    except KeyError:
        close = difflib.get_close_matches(name, RUNTIMES, n=1, cutoff=0.5)
        raise ConfigError(
            f"unknown runtime {name!r}",
            hint=f"did you mean {close[0]}?" if close else f"known: {', '.join(RUNTIMES)}",
        ) from None


def marker_environment(runtime: Runtime, architecture: str) -> dict[str, str]:
    """Return the environment in which a target's markers are judged (PEP 508), never the host's.

    The micro version and the kernel are those that AWS may change under a layer, so they are
    given their lowest values: a marker that depends on them is a mistake.
    """
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{runtime.python_version}.0",
        "os_name": "posix",
        "platform_machine": WHEEL_MACHINE[architecture],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{runtime.python_version}.0",
        "python_version": runtime.python_version,
        "sys_platform": "linux",
    }
