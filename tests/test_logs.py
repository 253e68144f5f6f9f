"""
Log lines: one JSON object each, or text for people.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from unomi_scheduler.errors import ConfigurationError
from unomi_scheduler.logs import JsonFormatter, TextFormatter, configure_logging

REFERENCE = Path(__file__).parents[1] / "config" / "logging.toml"


@pytest.fixture(autouse=True)
def _root_put_back() -> Iterator[None]:
    """
    The root logger as it was, afterwards.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str = "Task %s done", *args: object, **extra: object) -> logging.LogRecord:
    """
    Return a record as a logger makes it.
    """
    return logging.getLogger("unomi").makeRecord("unomi", logging.INFO, __file__, 1, message, args, None, extra=extra)


def test_a_json_line_has_the_fixed_fields_and_the_extras() -> None:
    """
    What belongs to a run can be searched for.
    """
    line = json.loads(JsonFormatter().format(record("Task %s done", "t1", action="complete", task_id="t1", fence=7)))

    assert (line["level"], line["logger"], line["message"]) == ("INFO", "unomi", "Task t1 done")
    assert (line["action"], line["task_id"], line["fence"]) == ("complete", "t1", 7)
    assert line["time"].endswith("Z")


def test_a_json_line_stays_one_line() -> None:
    """
    Whatever a message or an exception carries.
    """
    raised = (ValueError, ValueError("two\nlines"), None)
    made = logging.getLogger("unomi").makeRecord(
        "unomi", logging.ERROR, __file__, 1, "a\nb", (), raised, extra={"odd": object}
    )
    line = JsonFormatter().format(made)

    assert "\n" not in line
    assert "ValueError" in json.loads(line)["exception"]


def test_an_extra_cannot_pass_for_a_fixed_field() -> None:
    """
    The logger and the level are what they are.
    """
    line = json.loads(JsonFormatter().format(record("x", level="FATAL", logger="root", time="never")))

    assert (line["level"], line["logger"]) == ("INFO", "unomi")


def test_a_text_line_ends_with_the_extras() -> None:
    """
    For terminals.
    """
    line = TextFormatter().format(record("Task %s done", "t1", action="complete", node_id="a"))

    assert line.endswith("INFO    Task t1 done  [node_id=a]")


@pytest.mark.parametrize("file", [None, REFERENCE])
def test_logging_goes_to_standard_error(file: Path | None, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With the built-in arrangement and with the file that shows it, in JSON where no terminal is.
    """
    configure_logging("INFO", "auto", file)
    logging.getLogger("unomi").info("hello")
    logging.getLogger("elastic_transport.transport").info("noise")

    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["hello"]


def test_a_wrong_file_is_a_clear_error(tmp_path: Path) -> None:
    """
    It names the key and the file.
    """
    (tmp_path / "log.toml").write_text("version = 7\n")

    with pytest.raises(ConfigurationError, match=r"log_config: cannot use .*log\.toml"):
        configure_logging(file=tmp_path / "log.toml")
