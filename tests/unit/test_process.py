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
        "NPM_AUTH",
        "PIP_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
        "GIT_CONFIG_VALUE_0",
        "SSH_AUTH_SOCK",
        "ANYTHING",
    ],
)
def test_secrets_are_not_passed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")
    assert name not in process.scrubbed_environment()


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "https_proxy", "TMPDIR"],
)
def test_what_a_build_needs_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "value")
    assert process.scrubbed_environment()[name] == "value"


@pytest.mark.parametrize(
    "value", ["http://a:b@proxy.test:1", "socks5://token@proxy.test", "x http://a:p/w@h y"]
)
def test_a_login_is_not_passed_on_whatever_the_name(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert "HTTPS_PROXY" not in process.scrubbed_environment()


def test_what_processes_say_holds_no_login() -> None:
    said = "could not fetch https://me:hidden@index.test/simple/a@1 (see https://docs.test/@a)"
    failed = process.CommandFailed(process.Completed(("uv",), 1, "", said))
    expected = "could not fetch https://index.test/simple/a@1 (see https://docs.test/@a)"
    assert failed.output == expected


def test_additions_are_passed_as_they_are() -> None:
    assert process.scrubbed_environment({"SOURCE_DATE_EPOCH": "0"})["SOURCE_DATE_EPOCH"] == "0"
