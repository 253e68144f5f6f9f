"""
What `--app` takes, and what it says of everything else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unomi_scheduler import ConfigurationError, Scheduler
from unomi_shell.application import load_scheduler
from unomi_shell.failures import Exit, Failure


@pytest.fixture(autouse=True)
def _modules_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in ("application_here", "application_here.inner"):
        if name not in before:
            sys.modules.pop(name, None)


def refusal(app: str) -> str:
    """
    Return what is said of an application; it is wrong usage.
    """
    with pytest.raises(Failure) as caught:
        load_scheduler(app)

    assert caught.value.exit_code == Exit.USAGE
    return caught.value.message


@pytest.mark.parametrize("app", ["application_here:scheduler", "application_here", "application_here:"])
def test_a_scheduler_is_found_in_this_folder(tmp_path: Path, app: str) -> None:
    """
    By its name, which is `scheduler` where none is given.
    """
    (tmp_path / "application_here.py").write_text(
        "from unomi_scheduler import Scheduler\nscheduler = Scheduler(store=None)\n"
    )

    assert isinstance(load_scheduler(app), Scheduler)


FORM = "expected MODULE:NAME, such as myapp:scheduler for the name scheduler in myapp.py"


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("", f"--app '': {FORM}"),
        (":x", f"--app :x: {FORM}"),
        (".x:y", f"--app .x:y: {FORM}"),
        ("x..z:y", f"--app x..z:y: {FORM}"),
        ("./x:y", f"--app ./x:y: {FORM}; a module is no path: did you mean x:y?"),
        ("apps/x.py", f"--app apps/x.py: {FORM}; a module is no path: did you mean apps.x:scheduler?"),
        ("/", f"--app /: {FORM}"),
        ("nowhere:x", "--app nowhere:x: No module named 'nowhere'; it is looked for in this folder ({folder}) and "),
        ("json.nowhere", "--app json.nowhere: No module named 'json.nowhere'; it is looked for in this folder"),
        ("json:dumps", "--app json:dumps: expected MODULE:NAME of a Scheduler, found function in "),
    ],
)
def test_what_names_no_scheduler_is_refused_with_what_to_type(tmp_path: Path, app: str, said: str) -> None:
    """
    In one line.
    """
    message = refusal(app)

    assert message.startswith(said.format(folder=tmp_path))
    assert "\n" not in message


def test_a_scheduler_of_another_name_is_named(tmp_path: Path) -> None:
    """
    It is what was meant, most likely.
    """
    file = tmp_path / "application_here.py"
    file.write_text("from unomi_scheduler import Scheduler\nmine = Scheduler(store=None)\n")

    assert refusal("application_here") == (
        f"--app application_here: expected MODULE:NAME of a Scheduler, found nothing of that name in {file}; "
        "there is application_here:mine"
    )


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck", "RuntimeError"),
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'", "ModuleNotFoundError"),
        ("import application_here.inner", "ModuleNotFoundError: ", "ModuleNotFoundError"),
        ("import sys; sys.exit(7)", "SystemExit: 7", "SystemExit"),
        ("x = (", "SyntaxError: '(' was never closed", "SyntaxError"),
    ],
)
def test_a_module_that_raises_shows_its_own_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, error: str, kind: str
) -> None:
    """
    From its own first line on, and which application it was is said behind it.
    """
    (tmp_path / "application_here.py").write_text(f"{code}\n")
    message = refusal("application_here:x")
    shown = capsys.readouterr().err

    assert message == (
        f"--app application_here:x: the module raised {kind} when it was imported (see above); put it right there"
    )
    assert shown.splitlines()[-1].startswith(error)
    assert re.findall(r'File "(.*?)"', shown) == [str(tmp_path / "application_here.py")]


def test_a_setting_that_is_wrong_is_no_wrong_usage(tmp_path: Path) -> None:
    """
    The error says by itself what to do.
    """
    (tmp_path / "application_here.py").write_text("from unomi_scheduler import Scheduler\nScheduler(treads=8)\n")

    with pytest.raises(ConfigurationError, match="did you mean threads"):
        load_scheduler("application_here")
