"""Runs in the Lambda runtime, with the layer at /opt."""

import os
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer

LAYER = Path(os.environ.get("LAYERSMITH_LAYER", "/opt")) / "embedding"


def embed(text: str) -> numpy.ndarray:
    session = onnxruntime.InferenceSession(str(LAYER / "model.onnx"))
    coded = Tokenizer.from_file(str(LAYER / "tokenizer.json")).encode(text)
    given = {
        "input_ids": coded.ids,
        "attention_mask": coded.attention_mask,
        "token_type_ids": coded.type_ids,
    }
    wanted = {one.name for one in session.get_inputs()}
    feed = {k: numpy.array([v], numpy.int64) for k, v in given.items() if k in wanted}
    mean = session.run(None, feed)[0][0].mean(axis=0)
    return mean / numpy.linalg.norm(mean)


def test_texts_that_mean_the_same_are_near() -> None:
    tea, near, far = embed("tea"), embed("green tea"), embed("car")
    assert tea @ near > tea @ far
