from __future__ import annotations

import pytest
from layersmith import process


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_RUNTIME_TOKEN",
        "GITHUB_TOKEN",
        "GITHUB_ENV",
        "GITHUB_PATH",
        "GH_TOKEN",
        "NPM_TOKEN",
        "DATABASE_PASSWORD",
        "UV_INDEX_CORP_PASSWORD",
        "my_api_key",
    ],
)
def test_secrets_are_not_passed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")
    assert name not in process.scrubbed_environment()


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LANG", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "UV_INDEX_URL", "TMPDIR"]
)
def test_what_a_build_needs_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "value")
    assert process.scrubbed_environment()[name] == "value"


def test_additions_are_passed_as_they_are() -> None:
    assert process.scrubbed_environment({"SOURCE_DATE_EPOCH": "0"})["SOURCE_DATE_EPOCH"] == "0"
