"""Tokens are told apart in constant time, expire, and go to the vault that is named."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from chroma_supervisor.session.tokens import (
    FileVault,
    ObjectVault,
    ParameterVault,
    SecretVault,
    TokenVerdict,
    mint,
    open_vault,
)
from vector_common.errors import SettingsError


def test_only_the_minted_token_is_accepted_and_only_until_it_expires() -> None:
    token, document = mint(60, now=1000.0)
    secret = json.loads(document)["token"]
    assert token.check(f"Bearer {secret}", 1059.9) is TokenVerdict.ACCEPTED
    assert token.check(f"bearer {secret}", 1059.9) is TokenVerdict.ACCEPTED
    assert token.check(f"Bearer {secret}", 1060.0) is TokenVerdict.EXPIRED
    assert json.loads(document)["expiresAt"] == 1060


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "token"])
def test_what_is_no_bearer_token_is_missing(header: str | None) -> None:
    token, _ = mint(60, now=1000.0)
    assert token.check(header, 1001.0) is TokenVerdict.MISSING


@pytest.mark.parametrize("change", ["{}x", "x{}", "{} {}", "\udc80{}"])
def test_a_changed_token_is_wrong_even_when_expired(change: str) -> None:
    token, document = mint(60, now=1000.0)
    secret = json.loads(document)["token"]
    wrong = change.format(*[secret] * change.count("{}"))
    assert token.check(f"Bearer {wrong}", 1001.0) is TokenVerdict.WRONG
    assert token.check(f"Bearer {wrong}", 9999.0) is TokenVerdict.WRONG


def test_two_sessions_never_share_a_token() -> None:
    first, _ = mint(60)
    _, document = mint(60)
    secret = json.loads(document)["token"]
    assert len(secret) >= 43
    assert first.check(f"Bearer {secret}", 0.0) is TokenVerdict.WRONG


def test_neither_the_token_nor_its_digest_is_kept_readable() -> None:
    token, document = mint(60)
    assert json.loads(document)["token"] not in repr(token)


def test_references_name_vaults() -> None:
    def client(service: str) -> str:
        return service

    assert open_vault("ssm:/a/b", client) == ParameterVault("ssm", "/a/b")
    assert open_vault("secretsmanager:a/b", client) == SecretVault("secretsmanager", "a/b")
    assert open_vault("s3://bucket/a/b", client) == ObjectVault("s3", "bucket", "a/b")
    assert open_vault("file:///run/token", client) == FileVault(Path("/run/token"))


@pytest.mark.parametrize("reference", ["", "ssm:", "s3://bucket", "file://relative", "plain"])
def test_other_references_are_refused(reference: str) -> None:
    with pytest.raises(SettingsError, match="names no vault"):
        open_vault(reference, lambda service: None)


def test_a_token_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "token")
    vault.write("first")
    vault.write("second")
    assert (tmp_path / "token").read_text() == "second"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
    vault.remove()
    vault.remove()
    assert not list(tmp_path.iterdir())
