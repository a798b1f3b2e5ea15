"""Attestations are verified offline, against the identity in layers.yaml."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble.manifest import BuildCommit
from layersmith.config.trust import Attestations
from layersmith.errors import ConfigError, ShipError
from layersmith.ship.publish import attested
from layersmith.ship.publish.attested import AttestationCheck

from tests.integration.ship import releases
from tests.support.attestations import COMMIT, WORKFLOW, Sigstore

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.assemble.manifest import Manifest

WANTED = {"repository": "owner/name", "workflow": WORKFLOW, "trusted-root": "root.json"}


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture
def built(tmp_path: Path, sigstore: Sigstore) -> tuple[Manifest, list[Path]]:
    """A layer's manifest, its zip and manifest as files, and the trusted root beside them."""
    sigstore.write_root(tmp_path / "root.json")
    [target] = releases.write(tmp_path, [releases.LayerSpec()])
    files = [tmp_path / "dist" / f"{target.stem}.{end}" for end in ("zip", "json")]
    made = releases.manifest(target, releases.LayerSpec(), files[0].read_bytes())
    source = BuildCommit(repository=None, commit=COMMIT, config="layers.yaml")
    return made.model_copy(update={"source": source}), files


def checked(root: Path, manifest: Manifest, files: list[Path], *bundles: str, **more: Any) -> None:
    wanted = Attestations.model_validate({**WANTED, **more})
    AttestationCheck(wanted, root).check(manifest, files, bundles)


def test_the_workflow_that_layers_yaml_names(
    built: tuple[Manifest, list[Path]], sigstore: Sigstore, tmp_path: Path
) -> None:
    """One bundle for all files, one for each, another beside it; a reusable workflow; a branch."""
    manifest, files = built
    whole = sigstore.bundle(*files)
    checked(tmp_path, manifest, files, whole)
    checked(tmp_path, manifest, files, *(sigstore.bundle(path) for path in files))
    checked(tmp_path, manifest, files, sigstore.bundle(files[0], predicate="other"), whole)
    shared = sigstore.bundle(*files, workflow=f"other/tools/{WORKFLOW}", ref="refs/heads/main")
    more = {"workflow": f"other/tools/{WORKFLOW}", "refs": ["refs/heads/*"]}
    checked(tmp_path, manifest, files, shared, **more)


@pytest.mark.parametrize(
    ("change", "message_and_cause"),
    [
        ({"repository": "evil/name"}, ("is of another project: evil/name", "expects owner/name")),
        ({"workflow": "owner/name/.github/workflows/ci.yml"}, ("another workflow", WORKFLOW)),
        ({"ref": "refs/heads/evil"}, ("another ref: refs/heads/evil", "refs/tags/alpha-v1.0.0")),
        ({"ref": "refs/tags/alpha-v2.0.0"}, ("another ref", "refs/tags/alpha-v1.0.0")),
        ({"commit": "2" * 40}, ("another commit", COMMIT)),
        ({"predicate": "https://example.org/test"}, ("does not say how it was built", "SHA-256")),
        ({"late": timedelta(hours=1)}, ("an expired certificate", "the log took it at")),
    ],
)
def test_another_identity_or_time(
    built: tuple[Manifest, list[Path]],
    sigstore: Sigstore,
    tmp_path: Path,
    change: dict[str, Any],
    message_and_cause: tuple[str, str],
) -> None:
    manifest, files = built
    message, cause = message_and_cause
    with pytest.raises(ShipError, match=message) as caught:
        checked(tmp_path, manifest, files, sigstore.bundle(*files, **change))
    assert cause in str(caught.value.cause)
    assert caught.value.target == manifest.identifier


def test_another_file_or_none(
    built: tuple[Manifest, list[Path]], sigstore: Sigstore, tmp_path: Path
) -> None:
    """Every file has to be attested: the manifest of another build is not."""
    manifest, files = built
    with pytest.raises(ShipError, match=r"\.json is for another file"):
        checked(tmp_path, manifest, files, sigstore.bundle(files[0]))
    with pytest.raises(ShipError, match=r"\.zip has no attestation"):
        checked(tmp_path, manifest, files)


def test_bundles_that_do_not_verify(
    built: tuple[Manifest, list[Path]], sigstore: Sigstore, tmp_path: Path
) -> None:
    """Another authority, another statement under the signature, and no bundle at all."""
    manifest, files = built
    with pytest.raises(ShipError, match="an attestation does not verify"):
        checked(tmp_path, manifest, files, Sigstore().bundle(*files))

    mine, other = (json.loads(sigstore.bundle(path)) for path in files)
    mine["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    with pytest.raises(ShipError, match="an attestation does not verify"):
        checked(tmp_path, manifest, files, json.dumps(mine))

    del other["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    for text in ("{}", "[]", "null", "{", json.dumps(other), sigstore.bundle(*files)[:900]):
        with pytest.raises(ShipError, match="an attestation cannot be read"):
            checked(tmp_path, manifest, files, text)
    other["verificationMaterial"]["tlogEntries"] = []
    with pytest.raises(ShipError, match="no entry in a public transparency log"):
        checked(tmp_path, manifest, files, json.dumps(other))


def test_the_trusted_root_may_be_missing_or_damaged(
    built: tuple[Manifest, list[Path]], tmp_path: Path
) -> None:
    manifest, files = built
    for text in ("{}", "nothing"):
        (tmp_path / "root.json").write_text(text, "utf-8")
        with pytest.raises(ConfigError, match=r"root\.json is not a trusted root"):
            checked(tmp_path, manifest, files)
    (tmp_path / "root.json").unlink()
    with pytest.raises(ConfigError, match=r"root\.json is not a trusted root"):
        checked(tmp_path, manifest, files)


def test_bundles_beside_a_zip(tmp_path: Path) -> None:
    """One a line, as actions write them, or one spread over lines."""
    path = tmp_path / "alpha-1.0.0.zip"
    assert attested.beside(path) == []
    there = tmp_path / "alpha-1.0.0.sigstore.json"
    there.write_text('{"a": 1}\n{"b": 2}\n', "utf-8")
    assert attested.beside(path) == ['{"a": 1}', '{"b": 2}']
    there.unlink()
    (tmp_path / "attestations.sigstore.json").write_text('{\n "a": 1\n}\n', "utf-8")
    assert [json.loads(one) for one in attested.beside(path)] == [{"a": 1}]
