"""Modules that may fail to import because of what recipes say."""

from __future__ import annotations

import pytest
from layersmith.prove.smoke import failures
from layersmith.recipes.models import RecipeUse

USE = RecipeUse(
    name="numbers",
    version="2.0",
    taken=True,
    prune={"numbers/fft/": "no fft", "numbers/_fast.*.so": "slower"},
    excludes={"grpcio": "no gRPC"},
    orphans={"opentelemetry-proto": "only the exporter needs it"},
    stubs={"pyyaml": "no YAML"},
)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("numbers.fft", "no fft"),
        ("numbers.fft.helper", "no fft"),
        ("numbers._fast", "slower"),
        ("grpc", "no gRPC"),
        ("opentelemetry.proto.common", "only the exporter needs it"),
        ("yaml.reader", "no YAML"),
    ],
)
def test_what_a_recipe_left_out_is_known(missing: str, reason: str) -> None:
    said = failures.lost([USE], [missing])
    assert said == f"{missing} is left out: {reason} (recipe of numbers)"


@pytest.mark.parametrize("missing", ["numbers.linalg", "numbers", "requests", "fft"])
def test_everything_else_is_a_problem(missing: str) -> None:
    assert failures.lost([USE], [missing]) is None
