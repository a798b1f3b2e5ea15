"""Texts instead of vectors among the changes that a function writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vector_common.embedding import configured, embed, text_problem
from vector_common.errors import BadRequest, ModelMismatch
from vector_common.records import parse_records, parse_spec

if TYPE_CHECKING:
    from vector_common.embedding import Embedder
    from vector_common.records import CollectionSpec

_STAND_IN = 1.0
"""Every number of the vector with which a change is checked before its text is embedded."""


def with_vectors(
    records: Sequence[Any], collection: object
) -> tuple[list[Mapping[str, Any]], CollectionSpec]:
    """Replace each change's ``text`` by its vector, and keep it as the document.

    The embedder is asked once everything else is checked. A change with a ``document`` beside its
    ``text`` keeps that.

    Args:
        records: Changes as `parse_records` takes them, some with ``text`` for ``embedding``.
        collection: As `parse_spec` takes it; ``dimension`` may be left to the embedder.

    Returns:
        What `DeltaWriter.append` takes. Without any text nothing is changed.

    Raises:
        BadRequest: A change or the collection is not allowed, or EMBEDDER is not set.
        ModelMismatch: The event names another model or dimension than the embedder's.
        EmbedderFailed, PayloadTooLarge, Unavailable: As `embed`.
    """
    checked, spec, texts = check_texts(records, collection)
    if texts:
        embedder = configured()
        assert embedder  # or the check had refused
        vectors = embed(embedder, list(texts.values()), "document")
        for number, vector in zip(texts, vectors, strict=True):
            checked[number] = {**checked[number], "embedding": vector}
    return checked, spec


def check_texts(
    records: Sequence[Any], collection: object
) -> tuple[list[Mapping[str, Any]], CollectionSpec, dict[int, str]]:
    """Check changes as `with_vectors` does, and ask no embedder for a vector.

    Returns:
        The changes, with a stand-in for each vector that a text will have; the collection; and
        the texts by the number of their change.
    """
    texts = {
        number: item["text"]
        for number, item in enumerate(records)
        if isinstance(item, Mapping) and item.get("text") is not None
    }
    if not texts:
        return list(records), parse_spec(collection), {}
    embedder = configured()
    if embedder is None:
        first = f"records[{next(iter(texts))}].text"
        raise BadRequest(f"{first}: needs an embedder, and EMBEDDER is not set; send embedding")
    spec = _spec(collection, embedder)
    stand_in = [_STAND_IN] * spec.dimension
    checked = list(records)
    for number, text in texts.items():
        if problem := text_problem(text, embedder):
            raise BadRequest(f"records[{number}].text: {problem}")
        checked[number] = _without_text(number, records[number], text, stand_in)
    parse_records(checked, spec)
    return checked, spec, texts


def _spec(collection: object, embedder: Embedder) -> CollectionSpec:
    given = dict(collection) if isinstance(collection, Mapping) else collection
    if isinstance(given, dict) and given.get("dimension") is None and embedder.dimension:
        given["dimension"] = embedder.dimension
    spec = parse_spec(given)
    if embedder.dimension not in {None, spec.dimension}:
        raise ModelMismatch(
            f"collection {spec.name}: has {spec.dimension} dimensions, the embedder's model "
            f"{embedder.model} gives {embedder.dimension}; set EMBEDDER_DIMENSION or leave the "
            "dimension out"
        )
    spec.check_model(embedder.model)
    return replace(spec, model=embedder.model)


def _without_text(
    number: int, item: Mapping[str, Any], text: object, stand_in: list[float]
) -> dict[str, Any]:
    if item.get("embedding") is not None:
        raise BadRequest(f"records[{number}].embedding: give either embedding or text")
    if item.get("op") == "delete":
        raise BadRequest(f"records[{number}]: a delete takes an id and nothing else")
    kept = {key: value for key, value in item.items() if key != "text"}
    return {"document": text, **kept, "embedding": stand_in}
