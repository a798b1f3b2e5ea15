"""An AWS to test against: moto's server, closer to AWS where publishing depends on it, with faults.

What is added to moto, each because AWS behaves so and a test would otherwise prove nothing:

* ListLayerVersions has pages and returns no digests.
* S3 refuses an object whose SHA-256 is not the one that was announced.
* GetAccountSettings is answered.
* What unpacks to more than 262,144,000 bytes is refused: layers, and functions with their layers.
* A second permission with a statement's id is refused; principals are spelled as AWS does.
* Invoke runs the function's code with its layers: in a Python process of this machine or, with
  --runner docker, in the ARM64 runtime of the proofs. moto would download an image for it.
* A request whose signature is more than five minutes off the server's clock is refused.
* Requests change state one after the other, so that conditional writes are atomic.
* moto judges bucket policies without their conditions; one that asks for TLS counts as met, for
  there is no TLS on loopback.

Faults are rules, posted as JSON to /_test/faults; every request is recorded in /_test/calls. What a
rule of the kind ``hold`` meets waits until there are other rules.
Run as a script, it prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import botocore.session
from botocore.validate import ParamValidator
from layersmith.base import runtimes
from layersmith.prove import runners
from layersmith.prove.models import FunctionSpec
from moto.awslambda.models import lambda_backends
from moto.iam.access_control import PermissionResult
from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import FakeBucket, s3_backends
from moto.signer.models import signer_backends
from werkzeug.serving import WSGIRequestHandler, make_server

Answer = tuple[int, list[tuple[str, str]], bytes]

BOOTSTRAP = """
import importlib, json, sys
module, _, function = sys.argv[1].partition('.')
event = json.load(sys.stdin)
answer = getattr(importlib.import_module(module), function)(event, None)
sys.stdout.write('\\n' + json.dumps(answer))
"""
PAGE = b"<!DOCTYPE html><html><body><h1>Please sign in to the network</h1></body></html>"
"""What a proxy answers instead of AWS, to a rule of the kind ``page``."""

HOLD_SECONDS = 120.0
"""The longest that a request is held, so that a test that fails does not hang."""

SIGNING: Any = (
    botocore.session.Session().get_service_model("signer").operation_model("StartSigningJob")
)
"""What a request to sign has to hold."""

EMPTY_ZIP = base64.b64encode(b"PK\x05\x06" + b"\0" * 18).decode()
LAYERS = re.compile(
    r"^/\d{4}-\d\d-\d\d/layers/([^/]+)/versions(?:/(\d+))?(/policy)?(?:/([^/]+))?/?$"
)
FUNCTIONS = re.compile(r"^/\d{4}-\d\d-\d\d/functions(?:/([^/]+))?(?:/(.+?))?/?$")


def _layer_version(arn: str) -> Any:
    region, account = arn.split(":")[3:5]
    return lambda_backends[account][region].layers_versions_by_arn(arn)


def _by_arn(environ: dict[str, Any], call: Call) -> Answer:
    """Answer GetLayerVersionByArn, which moto does not know, with an address that has the zip."""
    arn = parse_qs(call.query)["Arn"][0]
    found = _layer_version(arn)
    if found is None:
        return _json_error(404, "ResourceNotFoundException", f"{arn} does not exist")
    said = found.get_layer_version()
    said["Content"]["Location"] = f"http://{environ['HTTP_HOST']}/_test/content/{arn}"
    return 200, [("Content-Type", "application/json")], json.dumps(said).encode()


class Call:
    """One request: which service, action and region it is for."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.method = environ["REQUEST_METHOD"]
        self.path = environ["PATH_INFO"]
        self.query = environ.get("QUERY_STRING", "")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        self.body = environ["wsgi.input"].read(length) if length else b""
        scope = re.search(
            r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", environ.get("HTTP_AUTHORIZATION", "")
        )
        self.key, self.region, self.service = scope.groups() if scope else ("", "", "")
        self.signed = environ.get("HTTP_X_AMZ_DATE", "")
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        self.action = target.partition(".")[2] or self._action()

    @property
    def account(self) -> str:
        """The account that the access key belongs to, as moto sees it."""
        return str(get_account_id_from(self.key))

    def _action(self) -> str:
        if self.service == "sts":
            return str(parse_qs(self.body.decode()).get("Action", ["?"])[0])
        if self.service == "lambda":
            return self._lambda()
        return f"{self.method} {'/'.join(self.path.split('/')[2:]) or 'bucket'}?{self.query}"

    def _lambda(self) -> str:
        layer = LAYERS.match(self.path)
        if layer:
            _, number, policy, _ = layer.groups()
            kind = "policy" if policy else "version" if number else "versions"
            return {
                ("GET", "versions"): "ListLayerVersions",
                ("POST", "versions"): "PublishLayerVersion",
                ("GET", "version"): "GetLayerVersion",
                ("DELETE", "version"): "DeleteLayerVersion",
                ("GET", "policy"): "GetLayerVersionPolicy",
                ("POST", "policy"): "AddLayerVersionPermission",
                ("DELETE", "policy"): "RemoveLayerVersionPermission",
            }.get((self.method, kind), "?")
        function = FUNCTIONS.match(self.path)
        if function and function[2] == "invocations":
            return "Invoke"
        name = "Function" if function and function[1] else "Functions"
        return f"{self.method.title()}{name}"

    def record(self) -> dict[str, Any]:
        return {"service": self.service, "action": self.action, "region": self.region}


class Faults:
    """Rules; the first that fits a request decides what goes wrong with it."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []
        self._released = threading.Event()

    def replace(self, rules: list[dict[str, Any]]) -> None:
        """Take other rules, and let go whatever the old ones hold."""
        self.rules = rules
        self._released.set()
        self._released = threading.Event()

    def hold(self) -> None:
        """Wait until the rules are replaced."""
        self._released.wait(HOLD_SECONDS)

    def find(self, call: Call) -> dict[str, Any] | None:
        for rule in self.rules:
            wanted = (("service", call.service), ("action", call.action), ("region", call.region))
            if any(not re.fullmatch(rule.get(key, ".*"), value) for key, value in wanted):
                continue
            rule["seen"] = rule.get("seen", 0) + 1
            if rule["seen"] % rule.get("every", 1) or rule["seen"] <= rule.get("after", 0):
                continue
            if rule.get("times") is not None:
                if rule["times"] <= 0:
                    continue
                rule["times"] -= 1
            return rule
        return None


class Application:
    """The WSGI application: moto, and what is added to it."""

    def __init__(self, page: int, runner: str) -> None:
        self.start = _in_runtime if runner == "docker" else _run
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.page = page
        self.faults = Faults()
        self.calls: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.skew = timedelta()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.invoked: dict[str, Answer] = {}
        self.busy = 0
        self.peak = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.busy += 1
        self.peak = max(self.peak, self.busy)
        try:
            return self.respond(environ, start_response)
        finally:
            self.busy -= 1

    def respond(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"].startswith("/_test/"):
            status, headers, body = self.control(environ)
        elif environ["PATH_INFO"].startswith("/moto-api/"):
            with self.lock:
                status, headers, body = self.forward(environ, None)
        else:
            status, headers, body = self.aws(environ)
        now = datetime.now(UTC) + self.skew
        headers = [(k, v) for k, v in headers if k.lower() not in {"content-length", "date"}]
        headers += [("Content-Length", str(len(body))), ("Date", format_datetime(now, usegmt=True))]
        start_response(f"{status} X", headers)
        return [body]

    def control(self, environ: dict[str, Any]) -> Answer:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = json.loads(environ["wsgi.input"].read(length) or b"null")
        answer: Any = None
        match environ["PATH_INFO"].removeprefix("/_test/"):
            case "faults":
                self.faults.replace(body or [])
            case "calls":
                answer = list(self.calls)
            case "peak":
                answer = self.peak
            case "reset":
                self.calls.clear()
                self.peak = 0
                self.faults.replace([])
                self.skew = timedelta()
            case "skew":
                self.skew = timedelta(seconds=body)
            case content if content.startswith("content/"):
                version = _layer_version(content.removeprefix("content/"))
                return 200, [("Content-Type", "application/zip")], version.code_bytes
        return 200, [("Content-Type", "application/json")], json.dumps(answer).encode()

    def aws(self, environ: dict[str, Any]) -> Answer:
        call = Call(environ)
        late = self._wrong_clock(call)
        rule = None if late else self.faults.find(call)
        record = call.record() | {"at": time.monotonic()}
        self.calls.append(record)
        if late or (rule and rule["kind"] == "error"):
            answer = late or _error(call, rule or {})
        elif rule and rule["kind"] == "page":
            answer = rule["status"], [("Content-Type", "text/html")], PAGE
        else:
            if rule and rule["kind"] == "delay":
                time.sleep(rule["seconds"])
            if rule and rule["kind"] == "hold":
                self.faults.hold()
            if rule and rule["kind"] == "corrupt":
                call.body = _corrupted(call)
            if rule and rule["kind"] == "intrude":
                self.intrude(call)
            answer = _bad_digest(environ, call) or self.answer(environ, call)
        record["status"] = answer[0]
        return answer

    def intrude(self, call: Call) -> None:
        """Publish a version of the same layer a moment before the caller does."""
        found = LAYERS.match(call.path)
        assert found
        spec = {"LayerName": unquote(found[1]), "Content": {"ZipFile": EMPTY_ZIP}}
        with self.lock:
            lambda_backends[call.account][call.region].publish_layer_version(spec)

    def account_settings(self, call: Call) -> Answer:
        """Answer GetAccountSettings, which moto does not know."""
        backend: Any = lambda_backends[call.account][call.region]
        layers = [
            v for layer in backend._layers._layers.values() for v in layer.layer_versions.values()
        ]
        used = sum(one.code_size for one in [*layers, *backend.list_functions()])
        said = {
            "AccountLimit": {"TotalCodeSize": 300 * 1024**3},
            "AccountUsage": {"TotalCodeSize": used},
        }
        return 200, [("Content-Type", "application/json")], json.dumps(said).encode()

    def answer(self, environ: dict[str, Any], call: Call) -> Answer:
        if call.path.rstrip("/").endswith("/account-settings"):
            return self.account_settings(call)
        if call.action == "Invoke":
            return self.invoke(call)
        if call.service == "signer" and call.path.startswith("/signing-jobs"):
            return self.sign(call)
        if "find=LayerVersion" in call.query:
            return _by_arn(environ, call)
        with self.lock:
            if full := self._too_large(call):
                return full
            if call.action == "AddLayerVersionPermission":
                return self._permit(environ, call)
            status, headers, body = self.forward(environ, call.body)
        if call.action == "ListLayerVersions" and status == 200:
            body = self._page(call, body)
        return status, headers, body

    def sign(self, call: Call) -> Answer:
        """Do the work of AWS Signer's jobs, which moto does not know.

        A job adds a file to the zip, as the service does, and never writes the same bytes twice.
        """
        if call.method == "GET":
            job = self.jobs.get(call.path.rpartition("/")[2])
            found = _json_error(404, "ResourceNotFoundException", "no such job")
            return found if job is None else (200, [], json.dumps(job).encode())
        said = json.loads(call.body)
        report = ParamValidator().validate(said, SIGNING.input_shape)
        if report.has_errors():
            return _json_error(400, "ValidationException", report.generate_report())
        number = hashlib.sha256(said["clientRequestToken"].encode()).hexdigest()[:36]
        if number not in self.jobs:
            self.jobs[number] = self._signed(call, number, said)
        return 200, [], json.dumps({"jobId": number, "jobOwner": call.account}).encode()

    def _signed(self, call: Call, number: str, said: dict[str, Any]) -> dict[str, Any]:
        profiles = signer_backends[call.account][call.region].signing_profiles
        profile = profiles.get(said["profileName"])
        if profile is None or profile.status != "Active":
            return {"jobId": number, "status": "Failed", "statusReason": "no such profile"}
        source, target = said["source"]["s3"], said["destination"]["s3"]
        store = s3_backends[call.account]["aws"]
        key = store.get_object(source["bucketName"], source["key"], version_id=source["version"])
        assert key is not None
        content = io.BytesIO(key.value)
        with zipfile.ZipFile(content, "a") as archive:
            archive.writestr("META-INF/aws_signer_signature_v1.0.SF", os.urandom(9).hex())
        made = f"{target['prefix']}{number}.zip"
        store.put_object(target["bucketName"], made, content.getvalue())
        place = {"bucketName": target["bucketName"], "key": made}
        return {"jobId": number, "status": "Succeeded", "signedObject": {"s3": place}}

    def _too_large(self, call: Call) -> Answer | None:
        """Refuse what unpacks to more than Lambda takes; moto takes all."""
        if call.action not in {"PublishLayerVersion", "PostFunctions"}:
            return None
        said = json.loads(call.body)
        code = said.get("Content", said.get("Code", {})).get("ZipFile")
        parts = [base64.b64decode(code)] if code else []
        backend: Any = lambda_backends[call.account][call.region]
        parts += [backend.layers_versions_by_arn(arn).code_bytes for arn in said.get("Layers", ())]
        # Tests publish other bytes where only versions matter; moto takes these, too.
        zips = [io.BytesIO(part) for part in parts]
        whole = [zipfile.ZipFile(one) for one in zips if zipfile.is_zipfile(one)]
        size = sum(member.file_size for one in whole for member in one.infolist())
        if size <= runtimes.UNZIPPED_LIMIT:
            return None
        what = (
            "Unzipped size must be smaller than"
            if "Content" in said
            else ("Function code combined with layers exceeds the maximum allowed size of")
        )
        message = f"{what} {runtimes.UNZIPPED_LIMIT} bytes. The actual size is {size} bytes."
        return _json_error(400, "InvalidParameterValueException", message)

    def forward(self, environ: dict[str, Any], body: bytes | None) -> Answer:
        taken: list[Any] = []
        if body is not None:
            environ = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            taken[:] = [int(status.split(maxsplit=1)[0]), headers]

        app: Any = self.moto.get_application(environ)
        content = b"".join(app(environ, start_response))
        return taken[0], taken[1], content

    def _page(self, call: Call, body: bytes) -> bytes:
        """Cut the list to a page without digests, as AWS does."""
        versions = json.loads(body)["LayerVersions"]
        for version in versions:
            version.pop("Content", None)
        start = int(parse_qs(call.query).get("Marker", ["0"])[0])
        end = start + self.page
        page = {"LayerVersions": versions[start:end]}
        if end < len(versions):
            page["NextMarker"] = str(end)
        return json.dumps(page).encode()

    def _permit(self, environ: dict[str, Any], call: Call) -> Answer:
        found = LAYERS.match(call.path)
        assert found
        backend = lambda_backends[call.account][call.region]
        statement = json.loads(call.body)
        sid, organization = statement["StatementId"], statement.pop("OrganizationId", None)
        statements = backend.get_layer_version(unquote(found[1]), found[2]).policy.statements
        if any(one["Sid"] == sid for one in statements):
            return _json_error(409, "ResourceConflictException", "The statement id exists")
        if re.fullmatch(r"\d{12}", statement["Principal"]):
            statement["Principal"] = f"arn:aws:iam::{statement['Principal']}:root"
        answer = self.forward(environ, json.dumps(statement).encode())
        if organization:
            statements[-1]["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": organization}}
        return answer

    def _wrong_clock(self, call: Call) -> Answer | None:
        if not call.signed:
            return None
        signed = datetime.strptime(call.signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        now = datetime.now(UTC) + self.skew
        if abs(now - signed) <= timedelta(minutes=5):
            return None
        if call.service == "s3":
            return _xml_error(403, "RequestTimeTooSkewed", "The difference is too large")
        said = f"Signature expired: {call.signed} is now earlier than {now:%Y%m%dT%H%M%SZ}"
        if call.service == "sts":
            return _query_error(403, "SignatureDoesNotMatch", said)
        return _json_error(403, "InvalidSignatureException", said)

    def invoke(self, call: Call) -> Answer:
        """Run the function's code with its layers, once for the same bytes."""
        found = FUNCTIONS.match(call.path)
        assert found
        backend: Any = lambda_backends[call.account][call.region]
        with self.lock:
            function = backend.get_function(unquote(found[1]))
            zips = [
                backend.layers_versions_by_arn(one["Arn"]).code_bytes for one in function.layers
            ]
            code, handler = function.code_bytes, function.handler
            runtime = f"{function.run_time} {function.architectures[0]}"
        parts = [code, *zips, call.body, handler.encode(), runtime.encode()]
        digest = hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()
        if digest not in self.invoked:
            self.invoked[digest] = self.start(code, zips, handler, call.body, runtime)
        return self.invoked[digest]


def _run(code: bytes, layers: list[bytes], handler: str, event: bytes, _: str) -> Answer:
    """Run the function in a process of this machine, whatever runtime it asks for."""
    with tempfile.TemporaryDirectory() as folder:
        task, opt = Path(folder, "task"), Path(folder, "opt")
        for content, place in [(code, task), *((layer, opt) for layer in layers)]:
            zipfile.ZipFile(io.BytesIO(content)).extractall(place)
        done = subprocess.run(
            [sys.executable, "-c", BOOTSTRAP, handler],
            input=event,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=task,
            env={"PYTHONPATH": f"{task}:{opt / 'python'}", "PATH": os.environ["PATH"]},
        )
    if done.returncode:
        return _unhandled(done.stderr.decode().strip().splitlines()[-1])
    return 200, [("Content-Type", "application/json")], done.stdout.splitlines()[-1]


def _in_runtime(
    code: bytes, layers: list[bytes], handler: str, event: bytes, runtime: str
) -> Answer:
    """Run the function in the runtime and on the architecture it asks for."""
    name, architecture = runtime.split()
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder, "task")
        zipfile.ZipFile(io.BytesIO(code)).extractall(task)
        paths = [Path(folder, f"layer-{number}.zip") for number, _ in enumerate(layers)]
        for path, content in zip(paths, layers, strict=True):
            path.write_bytes(content)
        spec = FunctionSpec(handler, task, tuple(paths), memory=1024, timeout=300)
        with (
            runners.make("docker", runtimes.get(name), architecture) as runner,
            runner.start(spec) as instance,
        ):
            result = instance.invoke(json.loads(event), timeout=300)
    if result.error:
        return _unhandled(str(result.error))
    return 200, [("Content-Type", "application/json")], json.dumps(result.payload).encode()


def _unhandled(message: str) -> Answer:
    headers = [("Content-Type", "application/json"), ("X-Amz-Function-Error", "Unhandled")]
    body = {"errorMessage": message, "errorType": "Unhandled"}
    return 200, headers, json.dumps(body).encode()


def _corrupted(call: Call) -> bytes:
    """Return the body with one byte of the zip in it changed."""
    if call.service == "s3":
        return call.body[:-1] + bytes([call.body[-1] ^ 1])
    body = json.loads(call.body)
    content = bytearray(base64.b64decode(body["Content"]["ZipFile"]))
    content[-1] ^= 1
    body["Content"]["ZipFile"] = base64.b64encode(content).decode()
    return json.dumps(body).encode()


def _bad_digest(environ: dict[str, Any], call: Call) -> Answer | None:
    """Refuse an object whose bytes are not those of its checksum, as S3 does and moto does not."""
    said = environ.get("HTTP_X_AMZ_CHECKSUM_SHA256")
    if not said or base64.b64encode(hashlib.sha256(call.body).digest()).decode() == said:
        return None
    return _xml_error(400, "BadDigest", "The SHA256 you specified did not match")


def _error(call: Call, rule: dict[str, Any]) -> Answer:
    status, code = rule.get("status", 500), rule.get("code", "InternalFailure")
    message = rule.get("message", "made for a test")
    kinds = {"s3": _xml_error, "sts": _query_error, "iam": _query_error}
    status, headers, body = kinds.get(call.service, _json_error)(status, code, message)
    return status, [*headers, *rule.get("headers", {}).items()], body


def _json_error(status: int, code: str, message: str) -> Answer:
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)]
    body = {"Type": "User", "message": message, "Message": message, "__type": code}
    return status, headers, json.dumps(body).encode()


def _xml_error(status: int, code: str, message: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, [("Content-Type", "application/xml")], body.encode()


def _query_error(status: int, code: str, message: str) -> Answer:
    status, headers, body = _xml_error(status, code, message)
    return status, headers, b"<ErrorResponse>" + body + b"</ErrorResponse>"


def _permission(bucket: Any, action: str, resource: str) -> Any:
    """Judge by the bucket's policy, a condition on TLS taken as met."""
    if b"aws:SecureTransport" in (bucket.policy or b""):
        return PermissionResult.NEUTRAL
    return JUDGE(bucket, action, resource)


JUDGE = FakeBucket.get_permission
FakeBucket.get_permission = _permission  # type: ignore[method-assign,assignment]


class Handler(WSGIRequestHandler):
    """Keeps connections, as AWS does, and says nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", type=int, default=3, help="versions on a page of a list")
    parser.add_argument("--runner", choices=["process", "docker"], default="process")
    args = parser.parse_args()
    application = Application(args.page, args.runner)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
