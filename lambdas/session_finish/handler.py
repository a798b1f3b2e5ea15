"""session_finish: ask the server of a session to save and stop.

Event::

    {"session": {"address": ..., "tokenReference": ...}, "taskToken": "..."?}

Answer: ``{"accepted": true, "phase": ...}``. The server saves after the answer; with a task token
it reports the end to Step Functions itself. Asking twice is the same as asking once. It is a
function because only functions reach the server: a state machine is not in its network.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import urllib3
from vector_common.chroma import is_address
from vector_common.errors import BadRequest, ChromaFailed, ServerBusy, Unauthorized
from vector_common.events import Fields, entrypoint
from vector_common.tokens import read_token

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT = urllib3.Timeout(connect=3, read=15)
_http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)


@entrypoint
def handler(event: Mapping[str, Any]) -> dict[str, Any]:
    """Post the request to finish."""
    fields = Fields(event)
    session = fields.mapping("session") or {}
    task_token = fields.text("taskToken", "", limit=2048)
    address = session.get("address")
    reference = session.get("tokenReference")
    if not isinstance(address, str) or not is_address(address):
        fields.problem("session.address", "must be a plain http:// or https:// address")
    if not isinstance(reference, str):
        fields.problem("session.tokenReference", "must be a string")
    fields.check()
    token = read_token(str(reference))
    body = {"taskToken": task_token} if task_token else {}
    try:
        answer = _http.request(
            "POST",
            f"{str(address).rstrip('/')}/_session/finish",
            body=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token.value}",
                "Content-Type": "application/json",
            },
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServerBusy(f"the server does not answer: {type(error).__name__}") from None
    return _read(answer.status, answer.data)


def _read(status: int, data: bytes) -> dict[str, Any]:
    if status == 202:
        try:
            return {"accepted": True, "phase": json.loads(data).get("phase")}
        except (ValueError, AttributeError, RecursionError):
            raise ChromaFailed("the server's answer is not a session's") from None
    if status == 401:
        raise Unauthorized("the server refuses the session's token")
    if status in {429, 502, 503, 504}:
        raise ServerBusy(f"the server answers {status}")
    raise BadRequest(f"session: the server answers {status}: {data[:200].decode(errors='replace')}")
