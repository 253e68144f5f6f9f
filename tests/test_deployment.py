"""
What runs the scheduler elsewhere is in line with the code: settings, ports, paths, patience, rights and versions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from unomi_rest.routes import ROUTES
from unomi_scheduler import Settings
from unomi_scheduler.stores.elasticsearch import answers, doctor

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PREFIX = "UNOMI_SCHEDULER_"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = (DEPLOY / "systemd" / "unomi-scheduler@.service").read_text()
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]
WORKLOADS = [one for one in MANIFESTS if one["kind"] in ("Deployment", "StatefulSet")]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GRACE = 15
"""Seconds that a stop needs beyond the drain, for the last writes."""
PATHS = {route.path for route in ROUTES if route.public}
API_PORT = str(Settings().rest.port)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """
    An environment without our settings, in an empty folder.
    """
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def _settings(bare: pytest.MonkeyPatch, environment: dict[str, Any]) -> Settings:
    for name, value in environment.items():
        if name.startswith(PREFIX):
            bare.setenv(name, str(value))
    return Settings()


def _image_environment() -> dict[str, str]:
    return dict(re.findall(r"(UNOMI_SCHEDULER_\w+)=(\S+)", DOCKERFILE))


def _container(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def _environment(workload: dict[str, Any]) -> dict[str, str]:
    (common,) = [one["data"] for one in MANIFESTS if one["kind"] == "ConfigMap"]
    own = {one["name"]: one.get("value", "node-0") for one in _container(workload)["env"]}
    return {**_image_environment(), **common, **own}


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=int(text.removesuffix("s")))


# --- settings


@pytest.mark.parametrize("name", ["node-1", "node-2", "api"])
def test_the_settings_of_compose_are_ours(name: str, bare: pytest.MonkeyPatch) -> None:
    """
    Our own Settings takes every variable, and the values say what they should.
    """
    service = COMPOSE["services"][name]
    settings = _settings(bare, {**_image_environment(), **service["environment"]})

    assert settings.store == "https://elasticsearch:9200"
    assert settings.elasticsearch.user == "unomi-scheduler"
    assert settings.elasticsearch.verify_certs
    if name == "api":
        assert settings.rest.host == "0.0.0.0"
        assert service["ports"] == [f"127.0.0.1:8181:{settings.rest.port}"]
    else:
        assert settings.node_id == name


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: str(one["metadata"]["name"]))
def test_the_settings_of_the_manifests_are_ours(workload: dict[str, Any], bare: pytest.MonkeyPatch) -> None:
    """
    The same, and a node's id is its pod's name.
    """
    settings = _settings(bare, _environment(workload))

    assert settings.elasticsearch.ca_certs == "/certs/ca.crt"
    if workload["kind"] == "StatefulSet":
        (node_id,) = [one for one in _container(workload)["env"] if one["name"] == f"{PREFIX}NODE_ID"]
        assert node_id["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_the_settings_of_the_unit_and_of_the_image_are_ours(bare: pytest.MonkeyPatch) -> None:
    """
    What systemd replaces stands for a name.
    """
    unit = dict(line.split("=", 1) for line in re.findall(r"^Environment=(.*)$", UNIT, re.MULTILINE))

    assert _settings(bare, {name: value.replace("%l-%i", "host-1") for name, value in unit.items()}).node_id == "host-1"
    assert _settings(bare, _image_environment()).admin_port == 8182


def test_no_password_is_written_down() -> None:
    """
    Compose takes each from .env and refuses to start without; the manifests take them from a Secret.
    """
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert re.fullmatch(r"\$\{\w+:\?run deploy/make-env.sh first\}", value), name
    for workload in WORKLOADS:
        for one in _container(workload)["env"]:
            assert "PASSWORD" not in one["name"] or one["valueFrom"]["secretKeyRef"]["name"] == "unomi-scheduler"


def test_the_secrets_are_drawn_once(tmp_path: Path) -> None:
    """
    All that compose asks for, each another one, for the owner alone, and never a second time.
    """
    file = tmp_path / ".env"
    _make_env(file)
    drawn = file.read_text()
    _make_env(file)
    secrets = dict(line.split("=", 1) for line in drawn.splitlines())

    assert file.read_text() == drawn
    assert set(secrets) == set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text()))
    assert all(len(secret) == 48 for secret in secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _make_env(file: Path) -> None:
    subprocess.run(["sh", DEPLOY / "make-env.sh", file], check=True, capture_output=True, timeout=20)


# --- health and stops


def _probes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for workload in WORKLOADS:
        container = _container(workload)
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            yield workload["kind"], kind, container[kind]


@pytest.mark.parametrize(("workload", "kind", "probe"), list(_probes()))
def test_the_probes_ask_what_is_there(workload: str, kind: str, probe: dict[str, Any]) -> None:
    """
    A path among the public routes, on the port that the process listens on; liveness never asks for the store.
    """
    if workload == "StatefulSet":
        command, path, port = probe["exec"]["command"]
        assert (command, port) == ("unomi-health", _image_environment()[f"{PREFIX}ADMIN_PORT"])
    else:
        path = probe["httpGet"]["path"]
        (port,) = _container(WORKLOADS[0])["ports"]
        assert (probe["httpGet"]["port"], str(port["containerPort"])) == (port["name"], API_PORT)
    assert path in PATHS
    assert (path == "/readyz") == (kind == "readinessProbe")


def test_the_image_asks_for_its_health() -> None:
    """
    Without curl, by a script that knows both ports.
    """
    script = (DEPLOY / "docker" / "healthcheck.py").read_text()
    (path,) = re.findall(r'HEALTHCHECK .*CMD \["unomi-health", "(.*?)"\]', DOCKERFILE)

    assert path in PATHS
    assert f"PORTS = ({API_PORT}, {_image_environment()[f'{PREFIX}ADMIN_PORT']})" in script
    assert f"EXPOSE {API_PORT}" in DOCKERFILE
    assert "USER 10001:10001" in DOCKERFILE
    (folder,) = re.findall(r"python -m venv (\S+)", DOCKERFILE)
    assert script.startswith(f"#!{folder}/bin/python ")


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """
        Be alive, and not ready.
        """
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()
        self.wfile.write(b"store")

    def log_message(self, *_: object) -> None:
        """
        Say nothing.
        """


def test_the_health_command_tells_what_it_heard() -> None:
    """
    0 for an answer of 200, 1 with the reason else, and a proxy of the environment is not asked.
    """
    with HTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_port)
        heard = [_health(path, port) for path in ("/livez", "/readyz")]
        server.shutdown()
    gone = _health("/livez", port)

    assert [one.returncode for one in heard] == [0, 1]
    assert f"{port}: 503 store" in heard[1].stderr
    assert (gone.returncode, "refused" in gone.stderr) == (1, True)


def _health(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEPLOY / "docker" / "healthcheck.py", *arguments],
        env={**os.environ, "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_whatever_stops_a_node_waits_for_its_drain(bare: pytest.MonkeyPatch) -> None:
    """
    Longer than drain_timeout and the last writes, everywhere.
    """
    needed = _settings(bare, {}).drain_timeout + timedelta(seconds=GRACE)
    unit = re.search(r"^TimeoutStopSec=(\S+)$", UNIT, re.MULTILINE)

    assert unit is not None
    assert _seconds(unit[1]) >= needed
    assert "KillSignal=SIGTERM" in UNIT
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    for name in ("node-1", "node-2", "api"):
        assert _seconds(COMPOSE["services"][name]["stop_grace_period"]) >= needed
    for workload in WORKLOADS:
        grace = timedelta(seconds=workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])
        stop = _settings(bare, _environment(workload)).drain_timeout + timedelta(seconds=GRACE)
        assert grace >= stop


def test_every_workload_has_a_budget_for_disruptions() -> None:
    """
    That selects its pods.
    """
    budgets = [one["spec"] for one in MANIFESTS if one["kind"] == "PodDisruptionBudget"]

    for workload in WORKLOADS:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert [one["maxUnavailable"] for one in budgets if one["selector"]["matchLabels"] == labels] == [1]


def test_the_unit_is_one(tmp_path: Path) -> None:
    """
    For systemd itself, where it is installed.
    """
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "unomi-scheduler@1.service"
    file.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT, flags=re.MULTILINE))

    done = subprocess.run([analyze, "verify", file], capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stderr) == (0, "")


# --- rights


def test_the_role_is_what_the_store_asks_for() -> None:
    """
    Neither less, nor more.
    """
    role = json.loads((DEPLOY / "elasticsearch" / "roles" / "unomi-scheduler.json").read_text())
    (indices,) = role["indices"]
    asked = re.findall(r"<prefix>(-\w+\*)", answers._PRIVILEGES)

    assert role["cluster"] == ["monitor"]
    assert indices["names"] == [f"{Settings().index_prefix}{name}" for name in asked]
    assert indices["privileges"] == list(doctor._PRIVILEGES)


class _Security(BaseHTTPRequestHandler):
    seen: list[tuple[str, Any]]

    def do_PUT(self) -> None:
        """
        Remember what came.
        """
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """
        Say nothing.
        """


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_user_is_made_with_its_roles() -> None:
    """
    By the requests of Elasticsearch's own API, one for each role and one for the user.
    """
    _Security.seen = []
    with HTTPServer(("127.0.0.1", 0), _Security) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        places = {"ELASTICSEARCH_URL": f"http://127.0.0.1:{server.server_port}", "CA_CERT": "/dev/null"}
        secrets = {"ELASTIC_PASSWORD": "theirs", "SCHEDULER_PASSWORD": "ours"}
        folder = DEPLOY / "elasticsearch"
        subprocess.run(
            ["bash", folder / "user.sh"],
            env={"PATH": os.environ["PATH"], "ROLES": str(folder / "roles"), **places, **secrets},
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip
        server.shutdown()

    *roles, (path, user) = _Security.seen
    assert [path for path, _ in roles] == [f"/_security/role/{name}" for name in user["roles"]]
    assert path == "/_security/user/unomi-scheduler"
    assert user == {"password": "ours", "roles": ["geonames-sample", "unomi-scheduler"]}


# --- versions


def test_the_actions_are_pinned() -> None:
    """
    Each to a commit, with its version beside; the same one wherever it is used.
    """
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    uses = re.findall(r"uses: (.*)", text)
    pins: dict[str, set[str]] = {}
    for one in uses:
        found = re.fullmatch(r"([\w./-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", one)
        assert found is not None, one
        pins.setdefault(found[1], set()).add(found[2])

    assert len(uses) > 10
    assert all(len(commits) == 1 for commits in pins.values())


def test_no_workflow_has_rights_by_default() -> None:
    """
    Each job names its own.
    """
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}
        assert all("permissions" in job and "timeout-minutes" in job for job in workflow["jobs"].values())


def test_the_pythons_are_those_that_are_declared() -> None:
    """
    The matrix has what the package says it runs on.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    declared = [one.rsplit(" ", 1)[1] for one in project["classifiers"] if re.search(r"Python :: 3\.\d+$", one)]

    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == declared
    assert declared[0] == project["requires-python"].removeprefix(">=")
    assert all(f"FROM python:{version}-slim" in DOCKERFILE for version in ("3.13",))


def test_one_version_of_elasticsearch_is_meant() -> None:
    """
    In compose, in the workflow and in the tests.
    """
    named = set(re.findall(r"elasticsearch/elasticsearch:(\S+)", (ROOT / "compose.yaml").read_text()))
    named |= set(re.findall(r"elasticsearch/elasticsearch:(\S+)", (ROOT / ".github/workflows/ci.yml").read_text()))
    chosen = re.search(r'DEFAULT_VERSION = "(.*)"', (ROOT / "integration_tests/servers/choice.py").read_text())

    assert chosen is not None
    assert named == {chosen[1]}


@pytest.mark.parametrize("page", ["docs/deploying.md", "docs/testing-your-tasks.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_what_a_page_names_is_there(page: str) -> None:
    """
    Each link to a file of ours, and each make target.
    """
    file = ROOT / page
    text = file.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (file.parent / target).exists(), target
    for target in re.findall(r"^make ([\w-]+)", text, re.MULTILINE):
        assert f"\n{target}: " in (ROOT / "Makefile").read_text()
