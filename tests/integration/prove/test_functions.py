"""Functions that work and functions that do not, under AWS's own runtime client.

Each runs on both runners, and what comes back is what Lambda would say.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ProofError
from layersmith.prove.runners import instance as instances
from layersmith.prove.runners.runtime_api import REQUEST_LIMIT

from tests.support import clocks

from .conftest import HERE

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.prove.runners import Runner

    from .conftest import Call, MakeFunction


def test_an_answer_with_its_times(runner: Runner, function: MakeFunction) -> None:
    spec = function(
        """
        import time

        def handler(event, context):
            time.sleep(event["sleep"])
            return {"got": event, "left": context.get_remaining_time_in_millis(),
                    "name": context.function_name, "memory": context.memory_limit_in_mb}
        """,
        memory=256,
        timeout=20,
    )
    with runner.start(spec) as running:
        slow = running.invoke({"sleep": 0.3})
        quick = running.invoke({"sleep": 0, "text": "ä"})
        assert running.init.ok
        assert running.init.duration_ms > 10
        assert slow.ok
        assert slow.duration_ms >= 300
        assert quick.duration_ms < slow.duration_ms
        assert quick.payload["got"] == {"sleep": 0, "text": "ä"}
        assert quick.payload["name"] == "function"
        assert quick.payload["memory"] == "256"
        assert 0 < quick.payload["left"] <= 20_000 * runner.emulation.time_scale
        assert slow.request_id != quick.request_id
        assert quick.peak_memory is not None
        assert quick.peak_memory > 5_000_000


def test_programs_and_libraries_of_layers_are_found(
    runner: Runner, function: MakeFunction, tmp_path: Path
) -> None:
    layers = []
    for name in ("below", "above"):
        for folder in ("bin", "lib"):
            path = tmp_path / name / folder / name
            path.parent.mkdir(parents=True)
            path.touch()
        layers.append(tmp_path / name)
    spec = function(
        """
        import os

        def found(variable, name):
            folders = os.environ[variable].split(":")
            return any(os.path.exists(os.path.join(folder, name)) for folder in folders)

        def handler(event, context):
            return [found(v, n) for v in ("PATH", "LD_LIBRARY_PATH") for n in ("below", "above")]
        """,
        layers=tuple(layers),
    )
    with runner.start(spec) as running:
        assert running.invoke({}).payload == [True] * 4


def test_one_process_answers_all_events(runner: Runner, function: MakeFunction) -> None:
    spec = function(
        """
        count = 0

        def handler(event, context):
            global count
            count += 1
            return count
        """
    )
    with runner.start(spec) as running:
        assert [running.invoke({}).payload for _ in range(3)] == [1, 2, 3]


def test_peak_memory_grows_with_what_is_used(runner: Runner, function: MakeFunction) -> None:
    spec = function("def handler(event, context):\n    return len(bytearray(event['bytes']))")
    with runner.start(spec) as running:
        before = running.invoke({"bytes": 1}).peak_memory
        after = running.invoke({"bytes": 80_000_000}).peak_memory
        assert before is not None
        assert after is not None
        assert after - before > 70_000_000


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("raise RuntimeError('not today')", "RuntimeError", "not today"),
        ("import nothing_like_this", "Runtime.ImportModuleError", "nothing_like_this"),
        ("def broken(:", "Runtime.UserCodeSyntaxError", "handler"),
        ("import sys; sys.exit(3)", "Runtime.ExitError", "exit status 3"),
        ("import os; os._exit(0)", "Runtime.ExitError", "without providing a reason"),
    ],
)
def test_failures_at_import(
    runner: Runner, function: MakeFunction, line: str, kind: str, message: str
) -> None:
    with runner.start(function(line)) as running:
        assert running.init.error is not None
        assert running.init.error.type == kind
        assert message in running.init.error.message
        again = running.invoke({})
        assert again.error == running.init.error


def test_a_module_without_the_handler(runner: Runner, function: MakeFunction) -> None:
    with runner.start(function("def other(event, context): ...")) as running:
        assert running.init.error is not None
        assert running.init.error.type == "Runtime.HandlerNotFound"


def test_an_exception_is_data_and_the_runtime_goes_on(
    runner: Runner, function: MakeFunction
) -> None:
    spec = function(
        """
        def handler(event, context):
            if event["fail"]:
                raise KeyError("missing")
            return "fine"
        """
    )
    with runner.start(spec) as running:
        failed = running.invoke({"fail": True})
        assert failed.error is not None
        assert failed.error.type == "KeyError"
        assert any("raise KeyError" in line for line in failed.error.trace)
        assert failed.payload is None
        assert running.invoke({"fail": False}).payload == "fine"


def test_an_exit_in_the_middle_of_an_invocation(runner: Runner, function: MakeFunction) -> None:
    spec = function("import os\n\ndef handler(event, context):\n    os._exit(5)")
    with runner.start(spec) as running:
        answer = running.invoke({})
        assert answer.error is not None
        assert answer.error.type == "Runtime.ExitError"
        assert "exit status 5" in answer.error.message
        assert not running.alive


def test_a_crash_in_native_code(runner: Runner, function: MakeFunction) -> None:
    spec = function("import ctypes\n\ndef handler(event, context):\n    ctypes.string_at(0)")
    with runner.start(spec) as running:
        answer = running.invoke({})
        assert answer.error is not None
        assert answer.error.type == "Runtime.ExitError"
        assert "signal: segmentation fault" in answer.error.message


def test_a_runtime_that_dies_while_it_is_waited_for(runner: Runner, function: MakeFunction) -> None:
    spec = function("import time\n\ndef handler(event, context):\n    time.sleep(600)")
    with runner.start(spec) as running:
        threading.Timer(0.5, running.kill).start()
        answer = running.invoke({})
        assert answer.error is not None
        assert answer.error.type == "Runtime.ExitError"
        assert "signal: killed" in answer.error.message


def test_a_handler_that_hangs_is_ended(runner: Runner, function: MakeFunction) -> None:
    spec = function(
        "import time\n\ndef handler(event, context):\n    time.sleep(600)", timeout=0.05
    )
    with runner.start(spec) as running:
        began = time.monotonic()
        answer = running.invoke({})
        took = time.monotonic() - began
        assert answer.error is not None
        assert answer.error.type == "Sandbox.Timedout"
        assert took < clocks.seconds(60)
        assert not running.alive


def test_an_initialization_that_hangs_is_ended(
    runner: Runner, function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "INIT_LIMIT", 0.05)
    with runner.start(function("import time\ntime.sleep(600)")) as running:
        assert running.init.error is not None
        assert running.init.error.type == "Sandbox.Timedout"
        assert "Init timed out" in running.init.error.message
        assert not running.alive


def test_seven_megabytes_are_too_many(runner: Runner, function: MakeFunction) -> None:
    spec = function("def handler(event, context):\n    return 'x' * event['size']")
    with runner.start(spec) as running:
        fits = running.invoke({"size": 6_000_000})
        assert len(fits.payload) == 6_000_000
        large = running.invoke({"size": 7_000_000})
        assert large.error is not None
        assert large.error.type == "Function.ResponseSizeTooLarge"
        assert "7000002 bytes" in large.error.message


def test_an_event_that_is_too_large_is_not_sent(runner: Runner, function: MakeFunction) -> None:
    with runner.start(function("def handler(event, context):\n    return 1")) as running:
        with pytest.raises(ProofError, match="Lambda takes 6291456 at most"):
            running.invoke("x" * REQUEST_LIMIT)
        assert running.invoke({}).payload == 1


def test_an_answer_that_is_no_json(runner: Runner, function: MakeFunction) -> None:
    with runner.start(function("def handler(event, context):\n    return object()")) as running:
        answer = running.invoke({})
        assert answer.error is not None
        assert answer.error.type == "Runtime.MarshalError"


def test_binary_output_does_no_harm(runner: Runner, function: MakeFunction) -> None:
    spec = function(
        r"""
        import os, sys

        def handler(event, context):
            os.write(1, bytes(range(256)) * 40)
            os.write(2, b"\x1b[31m\xff\xfe\x00" * 1000)
            print("after all")
            return "fine"
        """
    )
    with runner.start(spec) as running:
        assert running.invoke({}).payload == "fine"
        assert "after all" in running.logs()


def test_the_environment_is_that_of_lambda(
    runner: Runner, function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "must not arrive")
    spec = function(
        "import os\n\ndef handler(event, context):\n    return dict(os.environ)",
        environment={"TABLE": "vectors", "TZ": "Europe/Berlin"},
        name="search",
    )
    with runner.start(spec) as running:
        found = running.invoke({}).payload
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "search"
    assert found["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{runner.runtime.name}"
    assert found["TABLE"] == "vectors"
    assert found["TZ"] == "Europe/Berlin"
    assert found["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert "AWS_SECRET_ACCESS_KEY" not in found
    assert "VIRTUAL_ENV" not in found


def test_the_runtime_brings_boto3(runner: Runner, function: MakeFunction) -> None:
    spec = function("import boto3\n\ndef handler(event, context):\n    return boto3.__file__")
    with runner.start(spec) as running:
        assert "/site-packages/" not in running.invoke({}).payload


def test_functions_start_by_their_own_handlers(call: Call, tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")

    write("shared.py", "def greeting():\n    return 'hello'\n")
    write("event.json", '{"name": "ada"}')
    body = "    return greeting() + ' ' + event['name']\n"
    write(
        "orders/app.py",
        f"from shared import greeting\ndef lambda_handler(event, context):\n{body}",
    )
    write("deep/src/orders/app.py", "from .work import main\n")
    write("deep/src/orders/work.py", "def main(event, context):\n    return event['nobody']\n")
    functions = """\
functions:
  orders: {layers: [shared], code: orders, handler: app.lambda_handler, event: event.json}
  deep: {layers: [shared], code: deep, handler: src/orders.app.main, event: event.json}
  default: {layers: [shared], code: orders, event: event.json}
"""
    write(
        "layers.yaml",
        f"layers:\n  shared: {{description: d, version: 1.0.0, runtimes: ['{HERE}'],"
        f" files: {{python/shared.py: shared.py}}}}\n{functions}",
    )
    paths = ["--config", str(tmp_path / "layers.yaml"), "--dist", str(tmp_path / "dist")]
    for words in (["lock"], ["build", "--quiet"]):
        done = call(words[0], *paths[: 2 if words == ["lock"] else None], *words[1:])
        assert done.returncode == 0, done.stderr
    done = call("smoke", *paths, "--runner", "host")
    assert done.returncode == 8
    assert "function orders: answers" in done.stdout
    assert "function deep: FAILED" in done.stdout
    assert "KeyError: 'nobody'" in done.stderr
    assert "layers.yaml:6:3: functions.default.handler: there is no handler.py in orders" in (
        done.stderr
    )
    assert "`handler` may be app.lambda_handler" in done.stderr
