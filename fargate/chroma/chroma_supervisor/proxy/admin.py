"""What the session itself answers, below /_session/."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiohttp import web
from vector_common.errors import BadRequest, NotFound

from chroma_supervisor.proxy.answers import Refusal
from chroma_supervisor.proxy.bodies import RequestBody
from chroma_supervisor.session.state import Phase

if TYPE_CHECKING:
    from chroma_supervisor.session.state import Session

FINISH_BODY_BYTES = 8 * 1024
"""A task token has up to 2,048 characters (an AWS limit); the rest is room for its JSON."""


class Admin:
    """Health, status and the request to finish.

    Args:
        session: The state that is told and changed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def health(self) -> web.Response:
        """200 while the session serves, 503 otherwise; for load balancers and health checks."""
        ready = self._session.phase is Phase.SERVING
        return web.json_response(
            {"ready": ready, "phase": self._session.phase.value}, status=200 if ready else 503
        )

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer an authorised request.

        Raises:
            Refusal: 400 for a body that is not understood, 413, 404 for an unknown path, 405.
        """
        routes = {"/_session/status": "GET", "/_session/finish": "POST"}
        method = routes.get(request.path)
        if method is None:
            raise Refusal.of(NotFound, f"The session answers {', '.join(routes)}.")
        if request.method != method:
            raise Refusal(405, "MethodNotAllowed", f"Use {method}.", {"Allow": method})
        if method == "GET":
            return web.json_response(self._session.status())
        return await self._finish(request)

    async def _finish(self, request: web.BaseRequest) -> web.Response:
        """Accept the end of the session; asking twice is the same as asking once."""
        stall = self._session.settings.limits.body_stall_seconds
        body = await RequestBody(request, FINISH_BODY_BYTES, stall).whole()
        token = _task_token(body)
        if token is not None and self._session.finish_token is None:
            self._session.finish_token = token
        self._session.request_stop("finish")
        return web.json_response(self._session.status(), status=202)


def _task_token(body: bytes) -> str | None:
    """The task token in a finish request's body, which may be empty."""
    if not body.strip():
        return None
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    token = document.get("taskToken") if isinstance(document, dict) else None
    if document == {}:
        return None
    if not isinstance(token, str) or not token:
        raise Refusal.of(BadRequest, 'The body is either empty or {"taskToken": "..."}.')
    return token
