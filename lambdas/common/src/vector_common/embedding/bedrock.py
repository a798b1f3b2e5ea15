"""Embedding models of Amazon Bedrock: Titan and Cohere.

The bodies are those of the model pages of Bedrock's user guide ("Amazon Titan Text Embeddings
models", "Cohere Embed models").
"""

from __future__ import annotations

import functools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from vector_common.embedding import MAX_TEXT, is_about_length, number_setting, text_setting
from vector_common.errors import EmbedderFailed, PayloadTooLarge, Unavailable
from vector_common.records import EmbeddingModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vector_common.embedding import Kind

_CONFIG = {
    "connect_timeout": 3,
    "read_timeout": 20,
    "retries": {"mode": "standard", "total_max_attempts": 3},
    "max_pool_connections": 8,
}
_THREADS = 8
"""Calls at once, for Titan takes one text per call."""

_TITAN_TEXTS = 64
_COHERE_TEXTS = 96
"""Most texts in a request, of all versions."""

_COHERE3_CHARACTERS = 2048
"""Of a text; Bedrock refuses a longer one before the model could truncate it."""

_PASSING = frozenset(
    {
        "ThrottlingException",
        "ServiceUnavailableException",
        "ModelTimeoutException",
        "ModelNotReadyException",
        "InternalServerException",
    }
)
_COHERE_KINDS = {"query": "search_query", "document": "search_document"}


class Bedrock:
    """EMBEDDER=bedrock.

    EMBEDDER_MODEL is a model id, an inference profile of one (``eu.cohere.embed-v4:0``), or the
    ARN of either. EMBEDDER_DIMENSION chooses among the dimensions of a model that has several.
    """

    def __init__(self) -> None:
        self._id = text_setting("EMBEDDER_MODEL")
        # A profile only says where a model is run.
        name = _model_name(self._id)
        self.model = EmbeddingModel(name, os.environ.get("EMBEDDER_VERSION", ""))
        self._family = _family(name)
        self.dimension = number_setting("EMBEDDER_DIMENSION", _DIMENSIONS[self._family])
        if self._family in _FIXED and self.dimension != _DIMENSIONS[self._family]:
            raise EmbedderFailed(
                f"EMBEDDER_DIMENSION: {name} always gives {_DIMENSIONS[self._family]} dimensions"
            )
        self.characters = _COHERE3_CHARACTERS if self._family == "cohere3" else MAX_TEXT
        self.batch = _COHERE_TEXTS if self._family.startswith("cohere") else _TITAN_TEXTS

    def embed(self, texts: Sequence[str], kind: Kind) -> list[list[float]]:
        """One vector per text.

        Raises:
            Unavailable: Bedrock asks to slow down, or did not answer.
            PayloadTooLarge: A text has more tokens than the model takes.
            EmbedderFailed: It refuses the call.
        """
        if self._family.startswith("titan"):
            with ThreadPoolExecutor(min(_THREADS, len(texts))) as pool:
                return list(pool.map(self._titan, texts))
        body: dict[str, Any] = {"texts": list(texts), "input_type": _COHERE_KINDS[kind]}
        if self._family == "cohere3":
            # It reads 512 tokens and without this refuses a text that has more.
            body["truncate"] = "END"
        if self._family == "cohere4":
            body |= {"output_dimension": self.dimension, "embedding_types": ["float"]}
        found = self._invoke(body)["embeddings"]
        vectors: list[list[float]] = found["float"] if isinstance(found, dict) else found
        return vectors

    def _titan(self, text: str) -> list[float]:
        body: dict[str, Any] = {"inputText": text}
        if self._family == "titan2":
            body |= {"dimensions": self.dimension, "normalize": True}
        vector: list[float] = self._invoke(body)["embedding"]
        return vector

    def _invoke(self, body: dict[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import (  # noqa: PLC0415 -- slow to start
            BotoCoreError,
            ClientError,
            HTTPClientError,
        )

        try:
            answer = _client().invoke_model(
                modelId=self._id,
                body=json.dumps(body).encode(),
                contentType="application/json",
                accept="application/json",
            )
            found: dict[str, Any] = json.loads(answer["body"].read())
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _PASSING:
                raise Unavailable(f"embedder {self.model}: Bedrock answers {code}") from None
            if code == "ValidationException" and is_about_length(str(error)):
                raise PayloadTooLarge(f"embedder {self.model}: {error}") from None
            raise EmbedderFailed(str(error)) from None
        except HTTPClientError as error:
            raise Unavailable(f"embedder {self.model}: {error}") from None
        except BotoCoreError as error:
            raise EmbedderFailed(str(error)) from None
        return found


_DIMENSIONS = {"titan1": 1536, "titan2": 1024, "cohere3": 1024, "cohere4": 1536}
"""By the models' pages; what a request without a dimension gives."""

_FIXED = frozenset({"titan1", "cohere3"})


def _model_name(identifier: str) -> str:
    name = identifier.rpartition("/")[2]
    return name[max(name.find("amazon."), name.find("cohere."), 0) :]


def _family(name: str) -> str:
    if name.startswith("amazon.titan-embed-text-v2"):
        return "titan2"
    if name.startswith(("amazon.titan-embed-text-v1", "amazon.titan-embed-g1-text")):
        return "titan1"
    if name.startswith("cohere.embed-v4"):
        return "cohere4"
    if name.startswith("cohere.embed-"):
        return "cohere3"
    raise EmbedderFailed(
        f"EMBEDDER_MODEL: {name} is neither a text model of Titan nor one of Cohere; give EMBEDDER "
        "a module of your own for others"
    )


@functools.cache
def _client() -> Any:
    from vector_common import aws  # noqa: PLC0415 -- slow to start

    return aws.client("bedrock-runtime", _CONFIG)
