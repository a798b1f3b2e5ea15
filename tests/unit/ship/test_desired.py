"""What shall be published is checked against the bytes on disk before anything is sent."""

from __future__ import annotations

import base64
import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble import manifest as manifests
from layersmith.base.runtimes import UNZIPPED_LIMIT
from layersmith.config.models import StorageMode
from layersmith.errors import ManyErrors, ShipError
from layersmith.ship.aws.failures import AwsFailure
from layersmith.ship.publish import desired
from layersmith.ship.publish.site import RegionChoice

from tests.unit.ship.fakes import FakeAws, refusal
from tests.unit.ship.makers import PUBLIC

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.ship.publish.models import Desired

CONTENT = b"zip"
IDENTIFIER = "alpha-python3.13-arm64"


def target(**settings: Any) -> Any:
    said = {"license": None, "principals": ["public"], "align": True, "import_exceptions": []}
    said |= {"smoke": None, "beside": [], "storage": StorageMode.COPY} | settings
    return SimpleNamespace(
        identifier=IDENTIFIER, stem="alpha-1.2.0-python3.13-arm64", layer="alpha",
        runtime=SimpleNamespace(name="python3.13"), architecture="arm64", version="1.2.0",
        settings=SimpleNamespace(**said), beside=[],
    )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The manifest of a built zip."""
    (tmp_path / "alpha.zip").write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT)
    manifest = SimpleNamespace(
        identifier=IDENTIFIER,
        version="1.2.0",
        description="Alpha",
        artifact=SimpleNamespace(
            filename="alpha.zip",
            sha256=digest.hexdigest(),
            code_sha256=base64.b64encode(digest.digest()).decode(),
            zipped=len(CONTENT),
            unzipped=len(CONTENT),
        ),
        distributions=[
            SimpleNamespace(modules=["alpha", "_private"]),
            SimpleNamespace(modules=["alpha", "beta"]),
        ],
        dropped=[],
    )
    monkeypatch.setattr(manifests, "read", lambda _: manifest)
    return manifest


def one(tmp_path: Path, *regions: str, **settings: Any) -> Desired:
    return desired.one(target(**settings), tmp_path, tmp_path, regions)


def test_a_built_zip_becomes_what_every_region_shall_hold(made: Any, tmp_path: Path) -> None:
    found = one(tmp_path, "eu-west-1", "us-east-1", import_exceptions=["_*"], smoke="smoke.py")
    assert (found.name, found.version, found.size) == ("alpha-python3-13-arm64", "1.2.0", 3)
    assert (found.regions, found.modules) == (("eu-west-1", "us-east-1"), ("alpha", "beta"))
    assert (found.grants, found.align, found.license) == (PUBLIC, True, "")
    assert (found.smoke, found.sha256) == (tmp_path / "smoke.py", made.artifact.code_sha256)
    assert one(tmp_path, "eu-west-1").modules == ("_private", "alpha", "beta")
    assert one(tmp_path, "eu-west-1").smoke is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("version", "1.1.0", "was built as"),
        ("identifier", "beta-python3.13-arm64", "was built as"),
        ("sha256", "0" * 64, "is not the file"),
        ("code_sha256", "wrong", "is not the file"),
        ("filename", "other.zip", "is not in"),
    ],
)
def test_what_is_not_what_its_manifest_says_is_refused(
    made: Any, tmp_path: Path, name: str, value: str, said: str
) -> None:
    setattr(made if hasattr(made, name) else made.artifact, name, value)
    with pytest.raises(ShipError, match=said):
        one(tmp_path, "eu-west-1")


def test_every_target_that_is_wrong_is_named(made: Any, tmp_path: Path) -> None:
    with pytest.raises(ShipError, match="region to publish to"):
        one(tmp_path)
    with pytest.raises(ManyErrors) as many:
        desired.from_dist([target(), target()], tmp_path, tmp_path, {IDENTIFIER: ()})
    assert len(many.value.errors) == 2
    where = {IDENTIFIER: ("eu-west-1",)}
    assert len(desired.from_dist([target()], tmp_path, tmp_path, where)) == 1


def test_a_layer_by_reference_is_for_its_own_account(tmp_path: Path, made: Any) -> None:
    assert not one(tmp_path, "eu-west-1").reference
    by_reference: dict[str, Any] = {"storage": StorageMode.REFERENCE}
    assert one(tmp_path, "eu-west-1", principals=[], **by_reference).reference
    with pytest.raises(ShipError, match="exclude each other"):
        one(tmp_path, "eu-west-1", **by_reference)


def released(tmp_path: Path, aws: FakeAws, **changes: Any) -> desired.Releases:
    access: Any = SimpleNamespace(clients=lambda regions: dict.fromkeys(regions, aws))
    said: dict[str, Any] = {"dist": tmp_path, "root": tmp_path, "stack": "s", "access": access,
                            "regions": RegionChoice()}  # fmt: skip
    return desired.Releases(**(said | changes))


NOWHERE = FakeAws(list_objects_v2=[refusal("NoSuchBucket")])


def test_a_zip_that_is_there_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "alpha-1.2.0-python3.13-arm64.zip").write_bytes(CONTENT)
    one = released(tmp_path, FakeAws())
    assert one.fetch([target(regions=["eu-west-1"])]) == 0


def test_a_version_in_no_bucket_ends_a_fetch_or_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = released(tmp_path, NOWHERE)
    assert one.fetch([target(regions=["eu-west-1"])], skip_unreleased=True) == 0
    assert f"{IDENTIFIER} 1.2.0 was never released" in capsys.readouterr().err
    with pytest.raises(ShipError, match="released nowhere"):
        one.fetch([target(regions=["eu-west-1"])])
    denied = released(tmp_path, FakeAws(list_objects_v2=[refusal("AccessDenied")]))
    with pytest.raises(AwsFailure):
        denied.fetch([target(regions=["eu-west-1"])])


def test_a_target_without_a_region_in_the_partition_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    china = released(tmp_path, FakeAws(), regions=RegionChoice(partition="aws-cn"))
    assert china.fetch([target(regions=["eu-west-1"])]) == 0
    assert f"{IDENTIFIER} has no region in aws-cn" in capsys.readouterr().err


def test_an_account_is_reached_once_a_partition(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def clients(regions: list[str]) -> dict[str, Any]:
        asked.append(regions)
        return dict.fromkeys(regions, NOWHERE)

    access: Any = SimpleNamespace(clients=clients)
    one = released(tmp_path, NOWHERE, access=access)
    one.fetch([target(regions=["eu-west-1", "us-east-1", "cn-north-1"])], skip_unreleased=True)
    assert asked == [["eu-west-1"], ["cn-north-1"]]


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_a_layer_may_fill_lambdas_limit_to_the_byte(
    made: Any, tmp_path: Path, more: int, fits: bool
) -> None:
    made.artifact.unzipped = UNZIPPED_LIMIT + more
    if fits:
        assert one(tmp_path, "eu-west-1").unzipped == UNZIPPED_LIMIT
    else:
        with pytest.raises(ShipError, match="bytes of files"):
            one(tmp_path, "eu-west-1")
