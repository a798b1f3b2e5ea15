"""Servers that a smoke file asks for: it says ``SERVICES = ("chroma",)`` at its top level.

The servers run on this machine and are reached through the run's own network. A smoke file finds
them through variables: ``CHROMA_HOST`` and ``CHROMA_PORT``.
"""

from __future__ import annotations

import ast
import contextlib
import http.client
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from layersmith import cache
from layersmith.errors import ConfigError, ProofError
from layersmith.prove import sites
from layersmith.prove.runners.host import HostProcess
from layersmith.prove.runners.runtime_api import Closing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layersmith.assemble.manifest import Manifest

KNOWN = ("chroma",)

CLIENTS = ("chromadb-client", "chromadb")
"""Distributions whose versions are those of the server that they belong to."""

PROGRAM = """\
import ctypes, sys
import chromadb_rust_bindings
if sys.platform == "linux":
    # PR_SET_PDEATHSIG, SIGTERM (prctl(2)): a server must not outlive a run that was killed.
    ctypes.CDLL(None).prctl(1, 15)
chromadb_rust_bindings.cli(sys.argv[1:])
"""

START_LIMIT = 30.0
"""Seconds that a server may take; Chroma's takes far less than one."""


def wanted_by(file: Path) -> tuple[str, ...]:
    """Return the services that a smoke file names, without running it.

    Raises:
        ConfigError: It is no Python, or names a service that there is none of.
    """
    try:
        tree = ast.parse(file.read_text("utf-8"), filename=file.name)
    except FileNotFoundError:
        raise ConfigError(f"the smoke file {file} is not there") from None
    except (SyntaxError, UnicodeDecodeError) as problem:
        raise ConfigError(f"the smoke file {file.name} is no Python: {problem}") from problem
    names = tuple(_service_names(tree, file))
    for name in names:
        if name not in KNOWN:
            raise ConfigError(
                f"{file.name} asks for the service {name!r}", hint=f"known: {', '.join(KNOWN)}"
            )
    return names


def _service_names(tree: ast.Module, file: Path) -> Iterator[str]:
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        if any(isinstance(name, ast.Name) and name.id == "SERVICES" for name in node.targets):
            try:
                yield from map(str, ast.literal_eval(node.value))
            except (ValueError, TypeError) as problem:
                raise ConfigError(f"SERVICES in {file.name} is not a tuple of strings") from problem


@contextlib.contextmanager
def serve(
    names: Sequence[str], host: str, seen_as: str, manifest: Manifest | None = None
) -> Iterator[dict[str, str]]:
    """Run services while the block runs, and give the variables by which they are found.

    The variables that recipes want functions of the layer to set are among them.

    Args:
        names: Of :data:`KNOWN`.
        host: Address of this machine to listen on.
        seen_as: Name of this machine where the variables are read.
        manifest: Of the layer; a server has the version of the client in it.

    Raises:
        ProofError: A server does not start.
    """
    variables = manifest.variables if manifest else {}
    with contextlib.ExitStack() as stack:
        if "chroma" in names:
            server = stack.enter_context(ChromaService(host, _client_version(manifest)))
            variables |= {"CHROMA_HOST": seen_as, "CHROMA_PORT": str(server.port)}
        yield variables


def _client_version(manifest: Manifest | None) -> str | None:
    found = manifest.distributions if manifest else []
    return next((one.version for one in found if one.name in CLIENTS), None)


class ChromaService(Closing):
    """Chroma's own server, a Rust program within the chromadb wheel, with data of its own.

    A context manager that ends it and removes the data.

    Args:
        host: Address to listen on.
        version: Of Chroma; the one pinned in images.json where it is not given.
    """

    def __init__(self, host: str = "127.0.0.1", version: str | None = None) -> None:
        self.host = host
        self.version = version or str(sites.image_data()["chroma-server"])
        self.port = 0
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        bindings = chroma_bindings(self.version)
        try:
            made = tempfile.TemporaryDirectory(prefix="layersmith-chroma-")
            data = Path(self._opened.enter_context(made))
            self._start(bindings, data)
        except BaseException:
            self._opened.close()
            raise
        return self

    def close(self) -> None:
        """Stop the server and remove its data."""
        self._opened.close()

    def _start(self, bindings: Path, data: Path) -> None:
        self.port = _free_port(self.host)
        address = ["--host", self.host, "--port", str(self.port)]
        server = HostProcess(
            [sys.executable, "-c", PROGRAM, "chroma", "run", "--path", data, *address],
            environment={"PYTHONPATH": str(bindings), "PATH": "/usr/bin:/bin"},
            folder=data,
            on_exit=lambda: None,
        )
        self._opened.callback(server.remove)
        end = time.monotonic() + START_LIMIT
        while not self._answers():
            if server.exit is not None or time.monotonic() > end:
                said = server.logs().decode("utf-8", errors="replace").strip()
                raise ProofError(
                    f"the Chroma server {self.version} did not start on {self.host}",
                    cause=said[-1000:] or "it said nothing",
                )
            time.sleep(0.05)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", "/api/v2/heartbeat")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def chroma_bindings(version: str) -> Path:
    """Return a folder with the chromadb wheel for this machine, without what it requires.

    Its server is compiled Rust, so nothing else is needed.

    Raises:
        ProofError: There is no wheel for this machine, or the index does not answer.
    """
    final = cache.section("chroma-server") / f"{version}-3.{sys.version_info[1]}"
    wanted = [f"chromadb=={version}"]
    what = f"the Chroma server {version}"
    return sites.once(final, lambda folder: sites.install(folder, wanted, what=what))


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
