"""An HTTP endpoint that speaks OpenAI's ``POST /v1/embeddings``.

So do text-embeddings-inference, vLLM, Ollama, LiteLLM, llama.cpp's server and most vendors.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import urllib3

from vector_common.embedding import is_about_length, number_setting, prefixed, text_setting
from vector_common.errors import (
    BadRequest,
    EmbedderFailed,
    PayloadTooLarge,
    Unauthorized,
    Unavailable,
)
from vector_common.records import EmbeddingModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vector_common.embedding import Kind

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({400, 413, 422})
"""What vLLM, OpenAI and text-embeddings-inference answer to a text that is too long."""

_TIMEOUT = urllib3.Timeout(connect=3, read=20)


class EmbeddingEndpoint:
    """EMBEDDER=endpoint.

    EMBEDDER_URL is the whole address. EMBEDDER_MODEL goes into each request and names the model;
    EMBEDDER_DIMENSION, if set, too. EMBEDDER_KEY_REFERENCE says where a bearer key lies, as the
    references of session tokens do (``ssm:/name``). EMBEDDER_BATCH is the most texts per request
    (32, which is text-embeddings-inference's default).
    """

    def __init__(self) -> None:
        self._url = text_setting("EMBEDDER_URL")
        if not self._url.startswith(("https://", "http://")):
            raise EmbedderFailed("EMBEDDER_URL: must begin with https:// or http://")
        name = text_setting("EMBEDDER_MODEL")
        self.model = EmbeddingModel(name, os.environ.get("EMBEDDER_VERSION", ""))
        asked = os.environ.get("EMBEDDER_DIMENSION")
        self.dimension = number_setting("EMBEDDER_DIMENSION", 1) if asked else None
        self.batch = number_setting("EMBEDDER_BATCH", 32, high=2048)
        self._key: str | None = None
        # A POST is repeated too: it changes nothing there.
        retries = urllib3.Retry(2, backoff_factor=0.2, status=0, redirect=0, allowed_methods=None)
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=retries)

    def embed(self, texts: Sequence[str], kind: Kind) -> list[list[float]]:
        """One vector per text.

        Raises:
            Unavailable: The endpoint asks to slow down, or did not answer.
            PayloadTooLarge: A text is longer than its model takes.
            EmbedderFailed: It refuses the call, or answers something else.
        """
        body: dict[str, Any] = {"model": self.model.name, "input": prefixed(texts, kind)}
        if self.dimension:
            body["dimensions"] = self.dimension
        try:
            answer = self._http.request(
                "POST", self._url, body=json.dumps(body).encode(), headers=self._headers()
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(
                f"embedder {self.model}: the endpoint does not answer: {type(error).__name__}"
            ) from None
        if answer.status in _PASSING:
            raise Unavailable(f"embedder {self.model}: the endpoint answers {answer.status}")
        if answer.status != 200:
            # Another key may lie at the reference by now.
            self._key = None
            said = answer.data[:200].decode(errors="replace")
            if answer.status in _REFUSED and is_about_length(said):
                raise PayloadTooLarge(f"embedder {self.model}: the endpoint answers {said}")
            raise EmbedderFailed(f"the endpoint answers {answer.status}: {said}")
        return _vectors(answer.data)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if reference := os.environ.get("EMBEDDER_KEY_REFERENCE"):
            self._key = self._key or _read_key(reference)
            headers["Authorization"] = f"Bearer {self._key}"
        return headers


def _vectors(data: bytes) -> list[list[float]]:
    try:
        items = json.loads(data)["data"]
        ordered = sorted(items, key=lambda item: item.get("index", 0))
        return [item["embedding"] for item in ordered]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EmbedderFailed(
            f"the endpoint's answer is not one of /v1/embeddings: {type(error).__name__}: {error}"
        ) from None


def _read_key(reference: str) -> str:
    from vector_common.tokens import read_secret  # noqa: PLC0415 -- not every endpoint has one

    try:
        return read_secret(reference).strip()
    except (BadRequest, Unauthorized) as error:
        raise EmbedderFailed(f"EMBEDDER_KEY_REFERENCE: {error}") from None
