"""Chroma's Rust server as a child process on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vector_common.errors import Unavailable, VectorError

from chroma_store.server.client import DEFAULT, ChromaHttp

if TYPE_CHECKING:
    from types import TracebackType

    from chroma_store.snapshots.manifest import CollectionInfo


_INHERITED = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "RUST_LOG"})


class ChromaProcess:
    """A server over a data folder, for the length of a ``with`` block.

    It ends with this process, however that ends, so that nothing writes to a folder unattended.

    Args:
        data_dir: Chroma's folder.
        port: On loopback; a free one if 0.
        log: Where its output goes; a file beside the folder if None.
    """

    def __init__(self, data_dir: Path, port: int = 0, *, log: Path | None = None) -> None:
        self.data_dir = data_dir
        self.port = port
        """Chosen by `start` if it was 0."""
        self._log = log or data_dir.with_name(f"{data_dir.name}.server.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where the started server answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the child process."""
        assert self._process, "the server was not started"
        return self._process.pid

    def warm_up(self) -> None:
        """Let the child load its library while the data folder is still being made."""
        child = Path(__file__).with_name("child.py")
        # -P: the script's own folder, with these modules' short names, is not for importing.
        command = [sys.executable, "-P", str(child), str(os.getpid())]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(),
                # Ctrl-C is for this process, which stops the server when it has been counted.
                process_group=0,
            )

    def start(self) -> None:
        """Start the child, or the one that was warmed up; `wait_ready` says when it answers."""
        if not self._process:
            self.warm_up()
        assert self._process
        assert self._process.stdin
        # Chosen now: the longer a free port is known, the likelier somebody else has it.
        self.port = self.port or _free_port()
        # A child that has ended has said why in its log, which `wait_ready` quotes.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as orders:
            orders.write(json.dumps([str(self.data_dir), self.port]).encode() + b"\n")

    def wait_ready(self, timeout: float = 30) -> None:
        """Return when the server answers.

        Raises:
            Unavailable: It ended, or did not answer within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        assert self._process, "the server was not started"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise Unavailable(f"Chroma ended with {self._process.returncode}; {self._tail()}")
            if _accepts(self.port):
                # A probe of a port on which nobody listens yet can connect to itself.
                with contextlib.suppress(Unavailable):
                    ChromaHttp(self.base_url, timeout=timeout).heartbeat()
                    return
            time.sleep(0.01)
        raise Unavailable(f"Chroma did not answer within {timeout} s; {self._tail()}")

    def poll(self) -> int | None:
        """The exit code of a server that ended by itself; None while it runs."""
        return self._process.poll() if self._process else None

    def answers(self, timeout: float) -> bool:
        """Whether it answers within so many seconds."""
        try:
            ChromaHttp(self.base_url, timeout=timeout).heartbeat()
        except VectorError:
            return False
        return True

    def kill(self) -> None:
        """End a server that does not answer; `poll` then tells so."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self, timeout: float = 30) -> None:
        """End the server so that its files are whole.

        SIGTERM lets it finish its writes. SQLite's journal makes SIGKILL safe too, which is sent
        when ``timeout`` seconds were not enough.
        """
        if not self._process:
            return
        if self._process.stdin:
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop(timeout=1)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _tail(self) -> str:
        lines = self._log.read_bytes().decode(errors="replace").splitlines()[-5:]
        return f"the end of its log: {' / '.join(lines) or '(none)'}"


def collections(
    base_url: str, data_dir: Path | None = None, *, timeout: float = 60
) -> list[CollectionInfo]:
    """What a server holds, for a manifest.

    Args:
        base_url: The server's address.
        data_dir: Its folder, which says what tenants there are; the default one only if None.
        timeout: For one answer, in seconds.
    """
    servers = [
        ChromaHttp(base_url, timeout=timeout, place=place)
        for place in dict.fromkeys([DEFAULT, *(places(data_dir) if data_dir else [])])
    ]
    found = [info for server in servers for info in server.collections()]
    return sorted(found, key=lambda info: info.name)


def places(data_dir: Path) -> list[tuple[str, str]]:
    """Tenant and name of every database of Chroma's that has a collection; no call lists them.

    Raises:
        Unavailable: Chroma's file cannot be read.
    """
    uri = f"{(data_dir / 'chroma.sqlite3').absolute().as_uri()}?mode=ro"
    query = (
        "SELECT DISTINCT d.tenant_id, d.name FROM databases d JOIN collections c "
        "ON c.database_id = d.id ORDER BY 1, 2"
    )
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as database:
            return [(str(tenant), str(name)) for tenant, name in database.execute(query)]
    except sqlite3.Error as error:
        raise Unavailable(f"the databases of Chroma cannot be listed: {error}") from error


def _environment() -> dict[str, str]:
    # The child finds these packages where this process found them, and sees no credentials, no
    # task token and no setting of its own (OTEL_*, CHROMA_*) that was not meant for it.
    kept = {key: value for key, value in os.environ.items() if key in _INHERITED}
    # At its default level Chroma logs 400 bytes a request, into a volume that holds the data.
    return {"RUST_LOG": "warn"} | kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
