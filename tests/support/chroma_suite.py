"""A plugin of pytest for Chroma's own tests: the client is another installation's, here a layer's.

It runs in an interpreter without this project. CHROMA_SUITE is the folder of the whole package,
from which the client takes what it has not: the tests, and what they import.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from typing import Any

import chromadb
import chromadb.errors

# Chroma's server of Python, which its tests could start but do not; it needs FastAPI.
_server: Any = types.ModuleType("chromadb.server")
_server.fastapi = types.ModuleType("chromadb.server.fastapi")
_server.fastapi.FastAPI = None
sys.modules |= {"chromadb.server": _server, "chromadb.server.fastapi": _server.fastapi}
setattr(chromadb, "server", _server)  # noqa: B010 -- unknown to type checkers
chromadb.__path__.append(os.environ["CHROMA_SUITE"])

from chromadb.api.async_fastapi import AsyncFastAPI  # noqa: E402
from chromadb.api.fastapi import FastAPI  # noqa: E402

PLACE = {"tenant": "default_tenant", "database": "default_database"}
_made: list[tuple[str, str]] = []
"""Database and tenant of what tests have made."""

_create, _create_async = FastAPI.create_database, AsyncFastAPI.create_database


def _noting(self: Any, name: str, tenant: str = PLACE["tenant"]) -> Any:
    _made.append((name, tenant))
    return _create(self, name, tenant)


async def _noting_async(self: Any, name: str, tenant: str = PLACE["tenant"]) -> Any:
    _made.append((name, tenant))
    return await _create_async(self, name, tenant)


def _reset(self: Any) -> bool:
    """What a server without `allow_reset` permits: delete what is there."""
    while _made:
        with contextlib.suppress(chromadb.errors.ChromaError):
            self.delete_database(*_made.pop())
    for one in self.list_collections(**PLACE):
        self.delete_collection(one.name, **PLACE)
    return True


async def _reset_async(self: Any) -> bool:
    while _made:
        with contextlib.suppress(chromadb.errors.ChromaError):
            await self.delete_database(*_made.pop())
    for one in await self.list_collections(**PLACE):
        await self.delete_collection(one.name, **PLACE)
    return True


CHANGES: tuple[tuple[Any, Any, Any], ...] = (
    (FastAPI, _noting, _reset),
    (AsyncFastAPI, _noting_async, _reset_async),
)
for api, create, reset in CHANGES:
    api.create_database, api.reset = create, reset
