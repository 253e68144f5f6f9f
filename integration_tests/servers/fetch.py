"""
Fetch a server once and keep it: several test runs may start at the same time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

_COORDINATES = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
_FETCH_SECONDS = 900


class FetchError(RuntimeError):
    """
    A server could not be fetched.
    """


def kept(folder: Path, *, make: Callable[[Path], object]) -> Path:
    """
    Return a folder of the cache that every account can read, after making it if it is missing.

    It appears whole or not at all, and is made once however many processes ask for it.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o755)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            workshop = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
            try:
                make(workshop / "made")
                _let_everyone_read(workshop / "made")
                (workshop / "made").rename(folder)
            finally:
                shutil.rmtree(workshop, ignore_errors=True)
    return folder


def distribution(version: str, *, cache: Path, java_home: Path) -> Path:
    """
    Return the folder of a server's distribution, fetched by Maven when it is not kept yet.
    """
    return kept(
        cache / f"elasticsearch-{version}",
        make=lambda folder: _fetch(version, folder, java_home=java_home),
    )


def _fetch(version: str, folder: Path, *, java_home: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise FetchError(f"Elasticsearch {version} is not kept here, and there is no `mvn` to fetch it")
    download = folder.with_name("download")
    artifact = _COORDINATES.format(version=version)
    # Maven itself is content with the Java found for the server, so a machine without any other will do.
    environ = {"JAVA_HOME": str(java_home), **os.environ}
    command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={download}"]
    done = subprocess.run(
        command, env=environ, cwd=folder.parent, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
    )
    if done.returncode:
        raise FetchError(f"Maven could not fetch {artifact}: {(done.stdout + done.stderr).strip()[-500:]}")
    unzip(download / f"elasticsearch-{version}.zip", download)
    (download / f"elasticsearch-{version}").rename(folder)


def unzip(archive: Path, folder: Path) -> None:
    """
    Unpack an archive with the files' modes, which zipfile alone forgets.
    """
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            path = Path(members.extract(member, folder))
            if mode := stat.S_IMODE(member.external_attr >> 16):
                path.chmod(mode)


def _let_everyone_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        executable = path.is_dir() or mode & stat.S_IXUSR
        path.chmod(mode | (0o555 if executable else 0o444))
