"""Unit tests start no process and open no connection: what they test is pure."""

from __future__ import annotations

import socket
import subprocess
from typing import Any, NoReturn

import pytest


class Forbidden(BaseException):
    """A unit test reached outside; no `except Exception` may hide it."""


@pytest.fixture(autouse=True)
def no_process_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise Forbidden("unit tests start no process and open no connection")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
