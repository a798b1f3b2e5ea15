from __future__ import annotations

import os
from typing import Any

from layersmith.ship import lease


def owner(**changes: Any) -> lease.Owner:
    said: dict[str, Any] = {"run": "a", "host": "here", "pid": os.getpid(), "boot": "one"}
    return lease.Owner(**(said | changes))


def test_only_an_owner_that_is_known_to_be_gone_gives_way() -> None:
    other = owner(run="b")
    assert not owner().gives_way_to(other)
    assert owner(pid=2**22 + 1).gives_way_to(other)
    assert owner(run="b", host="elsewhere").gives_way_to(other)
    assert not owner(pid=2**22 + 1, host="elsewhere").gives_way_to(other)
    assert not owner(pid=2**22 + 1, boot="two").gives_way_to(other)
