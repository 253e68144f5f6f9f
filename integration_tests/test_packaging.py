"""
The distribution as users get it: built, installed into an empty environment, and used in a folder without the source.

One fresh environment is part of every run; `make package` adds the oldest dependencies and the other Pythons there are.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.waiting import eventually

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"unomi_scheduler", "unomi_rest", "unomi_shell", f"unomi_scheduler-{PROJECT['version']}.dist-info"}
DECLARED = [one.rsplit(" ", 1)[1] for one in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", one)]
ALL = os.environ.get("UNOMI_TEST_PACKAGE") == "all"
only_with_make_package = pytest.mark.skipif(not ALL, reason="takes minutes: make package")
SMOKE = """
import unomi_rest.app, unomi_shell.main, unomi_shell.interactive
import unomi_scheduler.stores.elasticsearch.store, unomi_scheduler.stores.sqlite
import unomi_scheduler as package
from unomi_scheduler.testing import ManualNode

assert all(getattr(package, name) for name in package.__all__)
scheduler = package.Scheduler(store=None)
done = []
scheduler.executor("hello")(lambda context: done.append(context.parameters))
with ManualNode(scheduler) as node:
    scheduler.new_task("hello").with_parameters({"a": 1}).schedule()
    scheduler.new_task("hello").non_persistent().schedule()
    assert [run.outcome for run in node.run_due()] == ["succeeded"] * 2
print(package.__file__)
"""


class Installed:
    """
    A fresh environment with the wheel, and an empty folder to be in.
    """

    def __init__(self, folder: Path, wheel: Path, *, python: str = sys.executable, extra: tuple[str, ...] = ()) -> None:
        self.bin = folder / "venv" / "bin"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        _run([python, "-m", "venv", "--without-pip", folder / "venv"])
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--python", self.bin / "python", "install", wheel, *extra])

    @property
    def environment(self) -> dict[str, str]:
        """
        An environment that knows nothing of this tree.
        """
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.home), "PYTHONSAFEPATH": "1"}

    def run(self, command: str, *arguments: str) -> str:
        """
        Run a command of the environment and return what it prints.
        """
        return _run([self.bin / command, *arguments], cwd=self.home, env=self.environment)


def _run(command: list[Any], **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500, check=False, **options
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The folder with the sdist, and the wheel that was built from it.
    """
    folder = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--outdir", folder, ROOT])
    return folder


@pytest.fixture(scope="module")
def wheel(distribution: Path) -> Path:
    """
    The wheel.
    """
    (wheel,) = distribution.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """
    The wheel with the newest dependencies.
    """
    return Installed(tmp_path_factory.mktemp("installed"), wheel, extra=("pytest",))


def test_the_wheel_has_our_names_alone(wheel: Path) -> None:
    """
    Three packages with their types, the licence, and nothing of the tests.
    """
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == OURS
    assert {f"{name}/py.typed" for name in OURS if "-" not in name} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_has_the_source_and_no_rubbish(distribution: Path) -> None:
    """
    What one needs to build and test it, and no environment, database or cache.
    """
    (sdist,) = distribution.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]

    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "Dockerfile", "compose.yaml"} <= set(names)
    assert {"tests/test_core.py", "deploy/make-env.sh", "docs/deploying.md"} <= set(names)
    assert not [name for name in names if re.search(r"\.venv|__pycache__|\.db|\.pyc|node_modules", name)]


def test_the_commands_work_without_the_source(installed: Installed) -> None:
    """
    Version, doctor and a list, from console scripts; one has the distribution's own name, as `uvx` needs it.
    """
    assert PROJECT["name"] in PROJECT["scripts"]
    assert installed.run(PROJECT["name"], "--version").split() == [PROJECT["name"], PROJECT["version"]]
    assert "No problems found." in installed.run("unomi-scheduler", "doctor")
    assert str(installed.bin.parent) in installed.run("python", "-c", SMOKE)


def test_the_fixtures_are_found_by_pytest(installed: Installed) -> None:
    """
    By their entry point, without a word in the user's files.
    """
    (installed.home / "test_user.py").write_text(
        "def test_user(unomi_node, unomi_scheduler):\n"
        "    unomi_scheduler.executor('hello')(lambda: None)\n"
        "    unomi_scheduler.new_task('hello').schedule()\n"
        "    assert len(unomi_node.run_due()) == 1\n"
    )

    assert "1 passed" in installed.run("python", "-m", "pytest", "-q", "test_user.py")


def test_it_serves_without_the_source(installed: Installed) -> None:
    """
    `serve` is alive, the shell lists its tasks, and SIGTERM ends it in good order.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    with (installed.home / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [installed.bin / "unomi-scheduler", "serve", "--port", port],
            cwd=installed.home, env=installed.environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            eventually(lambda: _answers(f"{url}/livez"), f"no answer: {(installed.home / 'serve.log').read_text()}")
            assert "task-purge" in installed.run("unomi-task", "--url", url, "list")
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=60)
    assert code == 0, (installed.home / "serve.log").read_text()


def _answers(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        return error.code == 200
    except (URLError, OSError):
        return False


@only_with_make_package
def test_the_oldest_dependencies_will_do(wheel: Path, tmp_path: Path) -> None:
    """
    Every lower bound of the package, all at once.
    """
    bounds = [re.match(r"([\w.-]+)>=([\w.]+)", one) for one in PROJECT["dependencies"]]
    assert all(bounds)
    constraints = tmp_path / "oldest.txt"
    constraints.write_text("".join(f"{one[1]}=={one[2]}\n" for one in bounds if one is not None))
    oldest = Installed(tmp_path / "oldest", wheel, extra=("--constraint", str(constraints)))

    assert oldest.run("python", "-W", "error::SyntaxWarning", "-c", SMOKE)
    assert PROJECT["version"] in oldest.run("unomi-scheduler", "--version")
    assert "No problems found." in oldest.run("unomi-scheduler", "doctor")
    assert "Usage" in oldest.run("unomi-task", "--help")


def _python(version: str) -> str | None:
    managed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for candidate in (f"python{version}", *map(str, managed)):
        found = shutil.which(candidate)
        # A shim of a version manager may stand for a version that is not chosen.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False, timeout=30).returncode == 0:
            return found
    return None


@only_with_make_package
@pytest.mark.parametrize("version", DECLARED)
def test_every_python_there_is_will_do(version: str, wheel: Path, tmp_path: Path) -> None:
    """
    Of those that the package declares.
    """
    python = _python(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed")
    installed = Installed(tmp_path / "other", wheel, python=python)

    assert f"python{version}" in installed.run("python", "-W", "error", "-c", SMOKE)
    assert "No problems found." in installed.run("unomi-scheduler", "doctor")
