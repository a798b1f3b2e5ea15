"""Chroma's server as a child that is warmed up before there is a folder to serve."""

from __future__ import annotations

import socket
from pathlib import Path

from chroma_store.server.process import ChromaProcess, collections


def test_a_warm_server_serves_nothing_until_it_is_started(tmp_path: Path) -> None:
    server = ChromaProcess(tmp_path / "data")
    server.warm_up()
    warm = server.pid
    try:
        assert server.poll() is None
        assert server.port == 0
        (tmp_path / "data").mkdir()
        server.start()
        server.wait_ready()
        assert server.pid == warm
        assert collections(server.base_url) == []
    finally:
        server.stop()


def test_a_warm_server_that_is_never_started_ends(tmp_path: Path) -> None:
    server = ChromaProcess(tmp_path / "data")
    server.warm_up()
    warm = Path(f"/proc/{server.pid}")
    server.stop()
    assert not warm.exists()
    assert not (tmp_path / "data").exists()


def test_a_warm_server_that_died_says_so(tmp_path: Path) -> None:
    server = ChromaProcess(tmp_path / "data")
    server.warm_up()
    assert server._process
    server._process.kill()
    server._process.wait()
    server.start()
    assert server.poll() == -9
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0
    server.stop()
