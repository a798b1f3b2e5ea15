"""A model in ONNX's format of a few bytes: one vector per word, as static embeddings are.

The messages are those of onnx/onnx.proto: a Gather over a table of vectors, whose answer is
[texts, tokens, dimension] like a transformer's.
"""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FLOAT, INT64 = 1, 7


def write(folder: Path, words: Mapping[str, Sequence[float]]) -> None:
    """Write model.onnx and tokenizer.json of a model that knows these words, and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    (dimension,) = {len(vector) for vector in words.values()}
    table = [[0.0] * dimension, *words.values()]
    vocabulary = {"[UNK]": 0, **{word: number for number, word in enumerate(words, 1)}}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    node = _texts(1, "table", "input_ids") + _texts(2, "last_hidden_state") + _texts(4, "Gather")
    numbers = array.array("f", [value for vector in table for value in vector]).tobytes()
    shape = _number(1, len(table)) + _number(1, dimension)
    tensor = shape + _number(2, FLOAT) + _texts(8, "table") + _field(9, numbers)
    graph = (
        _field(1, node)
        + _texts(2, "tiny")
        + _field(5, tensor)
        + _field(11, _value("input_ids", INT64, "texts", "tokens"))
        + _field(12, _value("last_hidden_state", FLOAT, "texts", "tokens", dimension))
    )
    model = _number(1, 8) + _field(7, graph) + _field(8, _number(2, 13))
    (folder / "model.onnx").write_bytes(model)


def _value(name: str, kind: int, *shape: str | int) -> bytes:
    dims = b"".join(
        _field(1, _number(1, one) if isinstance(one, int) else _texts(2, one)) for one in shape
    )
    tensor = _number(1, kind) + _field(2, dims)
    return _texts(1, name) + _field(2, _field(1, tensor))


def _texts(number: int, *values: str) -> bytes:
    return b"".join(_field(number, value.encode()) for value in values)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
