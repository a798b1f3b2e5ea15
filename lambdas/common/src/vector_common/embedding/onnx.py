"""A model in ONNX's format in a layer of the function, run by onnxruntime.

The folder is what Hugging Face's exports and sentence-transformers write: ``model.onnx`` (or
``onnx/model.onnx``), ``tokenizer.json`` and, if pooling is not by the mean,
``1_Pooling/config.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vector_common.embedding import number_setting, prefixed
from vector_common.errors import EmbedderFailed
from vector_common.records import EmbeddingModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vector_common.embedding import Kind

_FOLDER = "/opt/embedding"
_TOKENS = 512
"""Most tokens of a text; what is beyond them does not count. The maximum of BERT's positions."""


class Onnx:
    """EMBEDDER=onnx.

    EMBEDDER_PATH is the folder (/opt/embedding). EMBEDDER_MODEL names the model (the folder's
    name); its version is EMBEDDER_VERSION or the beginning of the SHA-256 of its file.
    EMBEDDER_TOKENS is the most tokens of a text (512). Vectors have the length 1.
    """

    batch = 32

    def __init__(self) -> None:
        folder = Path(os.environ.get("EMBEDDER_PATH") or _FOLDER)
        model = next(
            (p for p in (folder / "model.onnx", folder / "onnx/model.onnx") if p.is_file()), None
        )
        if model is None or not (folder / "tokenizer.json").is_file():
            raise EmbedderFailed(
                f"{folder}: has no model.onnx and tokenizer.json; put the layer with the model "
                "beside the function, or set EMBEDDER_PATH"
            )
        # Both take half a second to load, and only this embedder needs them.
        import onnxruntime  # type: ignore[import-untyped] # noqa: PLC0415
        from tokenizers import Tokenizer  # noqa: PLC0415

        self._session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(number_setting("EMBEDDER_TOKENS", _TOKENS))
        self._tokenizer.enable_padding()
        self._first_token = _pools_first_token(folder)
        version = os.environ.get("EMBEDDER_VERSION") or _digest(model)
        self.model = EmbeddingModel(os.environ.get("EMBEDDER_MODEL") or folder.name, version)
        size = self._session.get_outputs()[0].shape[-1]
        self.dimension = size if isinstance(size, int) else None

    def embed(self, texts: Sequence[str], kind: Kind) -> Any:
        """One vector per text."""
        import numpy as np  # noqa: PLC0415 -- onnxruntime has loaded it

        coded = self._tokenizer.encode_batch(prefixed(texts, kind))
        mask = np.array([one.attention_mask for one in coded], np.int64)
        given = {
            "input_ids": np.array([one.ids for one in coded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([one.type_ids for one in coded], np.int64),
        }
        feed = {name: value for name, value in given.items() if name in self._inputs}
        found = self._session.run(None, feed)[0]
        if found.ndim == 3:
            found = found[:, 0] if self._first_token else _mean(found, mask)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(lengths == 0, 1, lengths)


def _mean(found: Any, mask: Any) -> Any:
    counted = mask[:, :, None].astype(found.dtype)
    return (found * counted).sum(axis=1) / counted.sum(axis=1).clip(min=1)


def _pools_first_token(folder: Path) -> bool:
    path = folder / "1_Pooling/config.json"
    return path.is_file() and bool(json.loads(path.read_bytes()).get("pooling_mode_cls_token"))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
