"""chromadb's client with an HTTP session that gives up; imported when a client is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from chromadb.api.client import Client
from chromadb.auth import UserIdentity
from overrides import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from chromadb.config import Settings

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 20.0
"""For one answer. The first query after a start reads the index: 0.3 s for 100,000 vectors."""

CONNECT_RETRIES = 3


class _TimedClient(Client):
    """A client whose making sends nothing: tenant and database are Chroma's defaults."""

    @override
    def get_user_identity(self) -> UserIdentity:
        return UserIdentity(user_id="")

    @override
    def _validate_tenant_database(self, tenant: str, database: str) -> None:
        """Nothing: the first real call finds out, and it has a timeout."""


def timed_client(settings: Settings, *, on_answer: Callable[[httpx.Response], None]) -> Client:
    """Make a client.

    Args:
        settings: With ``chroma_api_impl`` of the HTTP client.
        on_answer: Called with every answer before chromadb sees it; may raise.
    """
    client = _TimedClient(settings=settings)
    server: Any = client._server
    former: httpx.Client = server._session
    verify = settings.chroma_server_ssl_verify
    server._session = httpx.Client(
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        transport=httpx.HTTPTransport(
            retries=CONNECT_RETRIES, verify=True if verify is None else verify
        ),
        headers=former.headers,
        event_hooks={"response": [on_answer]},
    )
    former.close()
    return client
