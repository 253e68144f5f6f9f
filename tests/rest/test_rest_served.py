"""
A served process as clients meet it: its limits, its end, web pages of other origins, and HTTPS.
"""

from __future__ import annotations

import http.client
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import run_together
from tests.rest.limits_suite import LimitsSuite
from tests.rest.served import COMMAND, PASSWORD, SIGN_IN, WAIT_SECONDS, Served, serving
from tests.waiting import eventually

ORIGIN = "https://ops.example.org"
APP = """
from pathlib import Path
from threading import Event
from unomi_scheduler import Scheduler

scheduler = Scheduler()

@scheduler.executor("slow")
def slow(context):
    while not Path("go").exists():
        Event().wait(0.02)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """
    Return a server on SQLite.
    """
    with serving(tmp_path_factory.mktemp("served"), rest__cors_origins=f'["{ORIGIN}"]') as one:
        yield one


@pytest.mark.timeout(180)
class TestLimitsOnSqlite(LimitsSuite):
    """
    On the embedded store.
    """


def test_streams_end_before_the_runs_do(tmp_path: Path) -> None:
    """
    At SIGTERM who listens is told so while a run goes on; the process ends when the run has.
    """
    (tmp_path / "app.py").write_text(APP)
    with serving(tmp_path, "--app", "app:scheduler") as server:
        listener = server.listen()
        server.ask("POST", "/cxs/tasks", {"taskType": "slow", "itemId": "slow-1"})
        listener.wait_for(lambda _, data: data.get("status") == "RUNNING")
        server.process.terminate()
        kind, last, _, _ = listener.wait_for(lambda kind, _: kind == "bye")
        eventually(lambda: listener.ended, "the stream goes on", WAIT_SECONDS)
        listener.close()
        running = server.process.poll() is None
        (tmp_path / "go").touch()
        code = server.process.wait(WAIT_SECONDS)
    with serving(tmp_path, command="api") as second:
        missed = second.listen(f"?since={last}&timeout=5")
        ended = missed.wait_for(lambda _, data: data.get("status") == "COMPLETED")
        missed.close()

    assert (kind, running, code) == ("bye", True, 0)
    assert ended[2]["itemId"] == "slow-1"


def test_a_page_of_a_named_origin_may_ask(server: Served) -> None:
    """
    It is told what it may send, and its credentials go with it; never every origin at once.
    """
    asks = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    status, headers, _ = server.ask("OPTIONS", "/cxs/tasks/one", Origin=ORIGIN, Authorization="", **asks)
    _, plain, _ = server.ask("GET", "/cxs/tasks", Origin=ORIGIN)

    assert status == 204
    assert "DELETE" in headers["access-control-allow-methods"]
    assert "Authorization" in headers["access-control-allow-headers"]
    for answer in (headers, plain):
        assert answer["access-control-allow-origin"] == ORIGIN
        assert answer["access-control-allow-credentials"] == "true"
        assert answer["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["https://evil.example.org", f"{ORIGIN}.evil.org", "null", ORIGIN.replace("s:", ":")]
)
def test_a_page_of_another_origin_may_not(server: Served, origin: str) -> None:
    """
    Neither before the request nor after it is there a word that a browser would take for leave.
    """
    asks = {"Access-Control-Request-Method": "GET"}
    status, headers, _ = server.ask("OPTIONS", "/cxs/tasks", Origin=origin, Authorization="", **asks)
    _, plain, _ = server.ask("GET", "/cxs/tasks", Origin=origin)

    assert status == 401
    assert not [name for name in {*headers, *plain} if name.startswith("access-control-")]


def test_every_origin_at_once_is_refused(tmp_path: Path) -> None:
    """
    Before anything is served.
    """
    ended = _refused(tmp_path, rest__cors_origins='["*"]')

    assert '"*" is refused' in ended


def certificate(folder: Path, name: str, *options: str) -> tuple[str, str]:
    """
    Make a certificate of this machine and its key; return their files.
    """
    files = f"{folder}/{name}.crt", f"{folder}/{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]),
            *(options or ("-nodes",)),
        ],
        check=True,
        capture_output=True,
    )
    return files


def test_rest_is_served_by_https(tmp_path: Path) -> None:
    """
    To who trusts the certificate, events too; old protocols and plain HTTP are not answered.
    """
    crt, key = certificate(tmp_path, "one")
    with serving(tmp_path, rest__certificate=crt, rest__key=key) as server:
        trusting = ssl.create_default_context(cafile=crt)
        connection = http.client.HTTPSConnection(*server.place, context=trusting, timeout=WAIT_SECONDS)
        connection.request("GET", "/cxs/tasks", headers=SIGN_IN)
        listed = connection.getresponse()
        body = listed.read()
        connection.request("GET", "/cxs/tasks/events?timeout=0", headers=SIGN_IN)
        stream = connection.getresponse().read()
        connection.close()
        old = ssl.create_default_context(cafile=crt)
        with pytest.deprecated_call():
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with server.connect() as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain, server_hostname="127.0.0.1")
        with server.connect() as plain, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")
        with server.connect(b"GET /livez HTTP/1.0\r\n\r\n") as plain:
            answer = plain.recv(1_000)

    assert server.address.startswith("https://")
    assert listed.status == 200
    assert b'"totalSize"' in body
    assert stream.startswith(b"retry: ")
    assert b"200" not in answer.partition(b"\r\n")[0]


def test_what_is_no_pair_of_files_is_refused(tmp_path: Path) -> None:
    """
    One without the other, another's key, a key with a passphrase, no certificate at all, no file: each before anything
    is served, in one line that says what was expected.
    """
    crt, key = certificate(tmp_path, "one")
    _, other = certificate(tmp_path, "two")
    _, locked = certificate(tmp_path, "three", "-passout", "pass:secret")

    assert "go together" in _refused(tmp_path, rest__certificate=crt)
    assert "go together" in _refused(tmp_path, rest__key=key)
    for files in ((crt, other), (crt, locked), (key, key), (crt, f"{tmp_path}/none.key")):
        told = _refused(tmp_path, rest__certificate=files[0], rest__key=files[1])
        assert "expected a certificate and its own key without a passphrase" in told
        assert files[1] in told


def _refused(folder: Path, **settings: str) -> str:
    given = {"rest__admin_password": PASSWORD, "store": "sqlite:///tasks.db", **settings}
    ended = run_together(folder, {"serve": [*COMMAND, "serve", "--port", "0"]}, **given)["serve"]
    assert ended.code != 0
    assert "Traceback" not in ended.err
    return ended.err
