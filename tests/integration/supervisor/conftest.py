"""Real supervisors as child processes, with moto's server as AWS."""

from __future__ import annotations

import logging
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import chroma_sessions
from tests.support.chroma_sessions import AWS_KEYS, Launcher, Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty storage in a folder."""
    folder = tmp_path / "store"
    folder.mkdir()
    return folder.as_uri()


@pytest.fixture
def start(tmp_path: Path, store: str) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path, store)
    yield launcher
    launcher.close()


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, which only root can mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def shared_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """For supervisors that the tests of a module share."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "store").mkdir()
    launcher = Launcher(folder, (folder / "store").as_uri())
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The URL of a moto server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        # Where moto's Step Functions look for moto's SQS.
        patch.setenv("MOTO_PORT", str(port))
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws_environment(aws: str) -> dict[str, str]:
    """What a supervisor needs to find moto instead of AWS."""
    return {"AWS_ENDPOINT_URL": aws, **AWS_KEYS}


@pytest.fixture
def client(aws: str) -> Callable[[str], Any]:
    """Makes botocore clients of the moto server."""
    return lambda service: chroma_sessions.client(aws, service)


@pytest.fixture(scope="session")
def words() -> type[Words]:
    return Words
