"""The vector that an event asks with: its ``embedding``, or that of its ``text``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vector_common.embedding import configured, embed, is_configured, text_problem
from vector_common.errors import BadRequest
from vector_common.records import parse_embedding

if TYPE_CHECKING:
    import array

    from vector_common.embedding import Embedder
    from vector_common.events import Fields
    from vector_common.records import EmbeddingModel


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A checked ``embedding`` or ``text``, whose vector is made when it is called for.

    To be called after ``fields.check()``: an embedder may be slow, and is not asked for an event
    that is refused anyway.
    """

    _vector: array.array[float] | None = None
    _text: str = ""

    @property
    def model(self) -> EmbeddingModel | None:
        """What the vector comes from; None for an ``embedding``, of which nobody knows.

        Raises:
            EmbedderFailed: The embedder of the deployment cannot be made.
        """
        return None if self._vector is not None else _embedder().model

    def __call__(self) -> array.array[float]:
        """The vector.

        Raises:
            BadRequest, EmbedderFailed, PayloadTooLarge, Unavailable: As
                `vector_common.embedding.embed`.
        """
        if self._vector is not None:
            return self._vector
        [vector] = embed(_embedder(), [self._text], "query")
        return vector


def read_embedding(fields: Fields) -> QueryVector:
    """Read ``embedding`` or ``text`` of an event."""
    vector, text = fields.raw("embedding"), fields.raw("text")
    if (vector is None) == (text is None):
        fields.problem("embedding", "give either embedding or text")
    elif vector is not None:
        try:
            return QueryVector(parse_embedding(vector, None))
        except BadRequest as error:
            fields.problem("embedding", str(error).partition(": ")[2])
    elif problem := text_problem(text):
        fields.problem("text", problem)
    elif not is_configured():
        fields.problem("text", "needs an embedder, and EMBEDDER is not set; send embedding")
    return QueryVector(_text=str(text))


def _embedder() -> Embedder:
    embedder = configured()
    assert embedder  # checked with the event
    return embedder
