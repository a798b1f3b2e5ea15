from __future__ import annotations

from typing import Any

import pytest
from layersmith.config.models import Config, Function, Layer, LayerDefaults
from layersmith.errors import ConfigError
from layersmith.plan import matrix, plan, rows


def layer(**settings: object) -> Layer:
    values = {"description": "x", "version": "1.2.0", "requirements": ["x"], **settings}
    return Layer.model_validate(values)


@pytest.fixture
def config() -> Config:
    return Config(
        layers={
            "vector": layer(runtimes=["python3.13", "python3.12"], architectures=["arm64"]),
            "imaging": layer(runtimes=["python3.12"], architectures=["arm64", "x86_64"]),
        }
    )


def test_targets_come_in_the_order_of_the_file(config: Config) -> None:
    assert [target.identifier for target in plan(config)] == [
        "vector-python3.13-arm64",
        "vector-python3.12-arm64",
        "imaging-python3.12-arm64",
        "imaging-python3.12-x86_64",
    ]


def test_budgets_may_differ_between_architectures() -> None:
    budgets = {"zipped": "8MB", "unzipped": "20MB", "x86_64": {"unzipped": "25MB"}}
    both = {"runtimes": ["python3.13"], "architectures": ["arm64", "x86_64"]}
    config = Config(layers={"vector": layer(**both, budgets=budgets)})
    found = [(t.settings.budgets.zipped, t.settings.budgets.unzipped) for t in plan(config)]
    assert found == [(8_000_000, 20_000_000), (8_000_000, 25_000_000)]


def test_the_stem_carries_the_version(config: Config) -> None:
    assert plan(config)[0].stem == "vector-1.2.0-python3.13-arm64"


def test_filters_combine(config: Config) -> None:
    found = plan(config, only_runtimes=["python3.12"], architectures=["arm64"])
    assert [target.layer for target in found] == ["vector", "imaging"]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"layers": ["vektor"]}, "did you mean vector"),
        ({"only_runtimes": ["python3.21"]}, "unknown runtime"),
        ({"architectures": ["arm46"]}, "did you mean arm64"),
        ({"layers": ["vector"], "architectures": ["x86_64"]}, "no target matches the filters"),
    ],
)
def test_a_filter_that_matches_nothing_is_refused(
    config: Config, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(config, **filters)
    assert message in str(refused.value)


def test_the_matrix_puts_arm64_on_arm_runners_unless_emulated(config: Config) -> None:
    native = {job["target"]: job["runner"] for job in matrix(plan(config))["include"]}
    assert native["imaging-python3.12-arm64"] == "ubuntu-24.04-arm"
    assert native["imaging-python3.12-x86_64"] == "ubuntu-24.04"
    emulated = matrix(plan(config), emulate=True)["include"]
    assert {job["runner"] for job in emulated} == {"ubuntu-24.04"}


def test_a_matrix_that_github_would_refuse_is_refused() -> None:
    runtimes, machines = ["python3.12", "python3.13"], ["arm64", "x86_64"]
    settings = {"runtimes": runtimes, "architectures": machines}
    fits = Config(layers={f"layer-{n}": layer(**settings) for n in range(64)})
    assert len(matrix(plan(fits))["include"]) == 256

    targets = plan(Config(layers={**fits.layers, "one-more": layer(runtimes=["python3.12"])}))

    with pytest.raises(ConfigError, match="would have 257 jobs; GitHub runs at most 256") as said:
        matrix(targets)
    assert "--runtime" in str(said.value)
    assert len(rows(targets)) == 257


@pytest.mark.parametrize(
    ("runtime", "platform"),
    [("python3.11", "aarch64-manylinux_2_26"), ("python3.12", "aarch64-manylinux_2_34")],
)
def test_the_platform_follows_the_glibc_of_the_runtime(runtime: str, platform: str) -> None:
    config = Config(layers={"x": layer(runtimes=[runtime])})
    assert plan(config)[0].uv_platform == platform


@pytest.mark.parametrize(
    ("own", "targets"),
    [
        ({"layers": ["vector", "imaging"]}, ["python3.12-arm64"]),
        ({"layers": ["imaging"]}, ["python3.12-arm64", "python3.12-x86_64"]),
        ({"layers": ["vector"], "runtimes": ["python3.13"]}, ["python3.13-arm64"]),
        ({"layers": [], "architectures": ["x86_64"]}, ["python3.14-x86_64"]),
    ],
)
def test_a_package_is_planned_for_what_its_layers_have_in_common(
    config: Config, own: dict[str, Any], targets: list[str]
) -> None:
    work = Function.model_construct(code="src/work", package=True, **own)
    defaults = LayerDefaults(runtimes=["python3.14"])
    config = config.model_copy(update={"functions": {"work": work}, "defaults": defaults})
    found = plan(config, layers=["work"], packages=True)
    assert [one.identifier for one in found] == [f"work-{name}" for name in targets]
    assert {one.stem for one in found} == {one.identifier for one in found}
    assert all([*one.others] == own["layers"] for one in found)
    assert found[0].settings.files == {"python": "src/work"}
    assert all(one.function is None for one in plan(config))
    with pytest.raises(ConfigError, match="unknown layer 'work'"):
        plan(config, layers=["work"])
