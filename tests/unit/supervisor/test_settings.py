"""The task's environment becomes settings, or one message with everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from chroma_supervisor.settings import from_environment, process_start
from vector_common.errors import SettingsError

GOOD = {
    "DATABASE": "receipts",
    "STORAGE_URL": "s3://bucket/vectors",
    "SESSION_ID": "run-1",
    "TOKEN_REFERENCE": "ssm:/layersmith/dev/sessions/run-1",
}


def test_defaults_are_those_of_a_served_session() -> None:
    settings = from_environment(GOOD)
    assert settings.mode == "serve"
    assert settings.database_dir == Path("/data/database")
    assert settings.limits.max_body_bytes == 40 * 1024 * 1024
    assert settings.effective_token_lifetime == 3600 + 120


def test_every_problem_is_in_one_message() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment(
            {
                "DATABASE": "../other",
                "STORAGE_URL": "https://bucket",
                "SESSION_ID": "",
                "TOKEN_REFERENCE": "plain-text-token",
                "IDLE_TIMEOUT": "soon",
                "LISTEN_PORT": "70000",
                "BUDGET_POLICY": "maybe",
            }
        )
    message = str(caught.value)
    for name in (
        "DATABASE", "STORAGE_URL", "SESSION_ID", "TOKEN_REFERENCE", "IDLE_TIMEOUT", "LISTEN_PORT",
        "BUDGET_POLICY",
    ):  # fmt: skip
        assert name in message
    assert caught.value.exit_code == 2


def test_a_compaction_needs_no_token() -> None:
    settings = from_environment({**GOOD, "MODE": "compact", "TOKEN_REFERENCE": ""})
    assert settings.mode == "compact"


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e99"])
def test_numbers_have_bounds(value: str) -> None:
    with pytest.raises(SettingsError, match="SESSION_DEADLINE"):
        from_environment({**GOOD, "SESSION_DEADLINE": value})


def test_the_task_token_is_not_printed() -> None:
    settings = from_environment({**GOOD, "TASK_TOKEN": "AQCEAAAA-secret"})
    assert settings.task_token == "AQCEAAAA-secret"
    assert "secret" not in repr(settings)


def test_the_process_started_before_this_test() -> None:
    import time

    assert 0 <= time.monotonic() - process_start() < 3600
