"""
`unomi-task watch`: what it looks at, what it draws, what keys do, and all of it in a real terminal.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.shell.support import run, schedule
from tests.shell.terminals import terminal
from tests.shell.ways import STORE, WAYS, way_to
from tests.waiting import ended, eventually
from unomi_scheduler import Scheduler, TaskContext, TaskStatus
from unomi_shell.completing import STATES
from unomi_shell.failures import Exit
from unomi_shell.keys import BACKSPACE, DOWN, ENTER, ESCAPE, UP, read_keys
from unomi_shell.screen import bar, draw, shares
from unomi_shell.snapshot import Lookout, Wish, ids_of, in_sight, iso, millis_of, read_wish, shown_of
from unomi_shell.view import KEYS, Order, Sight, View, chosen, press

SIGHT = Sight(["a", "b", "c"], ["import", "mail"])


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """
    A node with an import under way, a failure, and a task that is due in an hour.
    """
    made = Scheduler(store=STORE, node_id="here")
    stopped = threading.Event()

    @made.executor("import")
    def work(context: TaskContext) -> None:
        context.update_step("Processing records", processedCount=50, totalCount=200)
        while not context.cancelled and not stopped.wait(0.02):
            pass

    made.executor("broken")(_break)
    schedule(made, "later-1")
    made.new_task("import").with_id("import-2").as_one_shot().schedule()
    made.new_task("broken").with_id("failed-3").with_max_retries(0).as_one_shot().schedule()
    with made:
        ended(made, "failed-3")
        eventually(lambda: made.get_task("import-2").current_step, "the import has not begun")
        yield made
        stopped.set()


def _break() -> None:
    raise RuntimeError("no more paper")


@pytest.fixture(params=WAYS)
def target(
    request: pytest.FixtureRequest, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """
    The options that lead to it, each way.
    """
    with way_to(request.param, scheduler, monkeypatch) as options:
        yield options


def test_json_is_a_look_in_each_line(target: list[str]) -> None:
    """
    With all that the screen shows.
    """
    result = run(*target, "watch", "--json", "--count", "2", "--every", "0.1")
    first, second = (json.loads(line) for line in result.stdout.splitlines())

    assert first["at"] < second["at"]
    assert {name: n for name, n in second["counts"].items() if n} == {"SCHEDULED": 2, "RUNNING": 1, "FAILED": 1}
    assert [task["itemId"] for task in second["running"]] == ["import-2"]
    assert [task["itemId"] for task in second["nextDue"]] == ["later-1", "task-purge"]
    assert [task["itemId"] for task in second["lastFailures"]] == ["failed-3"]
    assert [node["nodeId"] for node in second["nodes"]] == ["here"]


@pytest.mark.parametrize(
    ("options", "counts", "ids"),
    [
        (["-t", "import"], {"RUNNING": 1}, ["import-2"]),
        (["-s", "failed"], {"SCHEDULED": 2, "RUNNING": 1, "FAILED": 1}, ["failed-3"]),
        (["-s", "FAILED", "-t", "import"], {"RUNNING": 1}, []),
    ],
)
def test_a_look_may_be_filtered(target: list[str], options: list[str], counts: dict[str, int], ids: list[str]) -> None:
    """
    By type, which counts too, and by status.
    """
    seen = json.loads(run(*target, "watch", "--json", "--count", "1", *options).stdout)

    assert {name: n for name, n in seen["counts"].items() if n} == counts
    assert ids_of(seen) == ids


def test_a_pipe_gets_plain_text(target: list[str]) -> None:
    """
    The same screen, without colours and keys.
    """
    text = run(*target, "watch", "--count", "1").stdout

    assert "\x1b" not in text
    assert KEYS not in text
    for words in ("Processing records", "25% 50/200", "in 59m", "no more paper", "of 10.0 s"):
        assert words in text


def test_what_is_out_of_reach_ends_with_its_exit_code() -> None:
    """
    Before any screen.
    """
    assert run("--url", "http://127.0.0.1:1", "watch", "--count", "1").exit_code == Exit.OUT_OF_REACH


def test_in_a_terminal_it_is_live(target: list[str], scheduler: Scheduler) -> None:
    """
    Counts, progress, details of a task; a filter; a cancellation that is asked for first; and out again.
    """
    with terminal(*target, "watch", "--every", "0.2") as it:
        it.shows("RUNNING 1", "import-2", "Processing records", "25% 50/200", "here", "no more paper", KEYS)
        schedule(scheduler, "new-4")
        it.shows("SCHEDULED 3", "new-4")

        it.type("s")
        it.shows("Task Details", "import-2", "running on node here")
        it.type("\x1b")
        it.shows("Next due")

        it.type("ffail\r")
        it.shows("filter: FAILED", "failed-3", "Tasks (1)")
        it.type("\x1b")
        it.shows("import-2")

        it.type("c")
        it.shows("Cancel task import-2? y/n")
        it.type("n")
        it.shows(KEYS)
        assert scheduler.get_task("import-2").status is TaskStatus.RUNNING

        it.type("cy")
        it.shows("Task import-2 has been cancelled.", "CANCELLED 1", "RUNNING 0")
        assert scheduler.get_task("import-2").status is TaskStatus.CANCELLED

        it.type("q")
        assert it.ends() == 0


def test_in_a_terminal_it_retries_and_pauses(scheduler: Scheduler) -> None:
    """
    A pause shows what was; what cannot be done is told.
    """
    with terminal("--store", STORE, "watch", "--every", "0.2") as it:
        it.shows("FAILED 1")
        it.type("ffailed\r")
        it.shows("filter: FAILED", "Tasks (1)", "failed-3")
        it.type("r")
        it.shows("Task failed-3 has been queued for retry.")
        ended(scheduler, "failed-3")
        it.type("p")
        it.shows("PAUSED")
        it.type("\x1b")
        it.shows("later-1")
        it.type("kkkkr")
        it.shows("Task import-2 is RUNNING and cannot become")
        it.type("\x03")
        assert it.ends() == 0


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("q", ["q"]),
        ("\x1b[A\x1bOBj", [UP, DOWN, "j"]),
        ("\x1b", [ESCAPE]),
        ("\x1b[1;5C\x1b[200~x", ["x"]),
        ("ä\r\x7f", ["ä", ENTER, BACKSPACE]),
        ("\x00\x1b[", []),
    ],
)
def test_keys_are_read(sent: str, keys: list[str]) -> None:
    """
    And sequences nobody asked for are not taken for letters.
    """
    assert read_keys(sent) == keys


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("", Wish()),
        ("running", Wish("RUNNING")),
        ("fa", Wish("FAILED")),
        ("c", Wish(None, "c")),
        ("im", Wish(None, "import")),
        ("RUN mail", Wish("RUNNING", "mail")),
        ("other", Wish(None, "other")),
    ],
)
def test_a_filter_is_a_status_or_a_type(text: str, wish: Wish) -> None:
    """
    Or their unique beginnings.
    """
    assert read_wish(text, SIGHT.types) == wish


def _pressed(view: View, *keys: str) -> View:
    for key in keys:
        view = press(view, key, SIGHT)
    return view


def test_the_choice_moves_and_stays_on_its_task() -> None:
    """
    Not on its place; between the first and the last.
    """
    view = _pressed(View(), DOWN, DOWN)

    assert (chosen(View(), SIGHT.ids), chosen(view, SIGHT.ids)) == ("a", "c")
    assert chosen(_pressed(view, "j"), SIGHT.ids) == "c"
    assert chosen(_pressed(view, UP, "k", "k"), SIGHT.ids) == "a"
    assert chosen(view, ["new", *SIGHT.ids]) == "c"
    assert chosen(view, ["a"]) == "a"
    assert chosen(view, []) is None


def test_a_cancellation_wants_a_yes() -> None:
    """
    Any other key is a no.
    """
    asked = _pressed(View(), DOWN, "c")

    assert (asked.asked, asked.order) == (Order("cancel", "b"), None)
    assert _pressed(asked, "y").order == Order("cancel", "b")
    assert _pressed(asked, "q") == replace(asked, asked=None)
    assert _pressed(asked, "y", "p").order is None


@pytest.mark.parametrize(("key", "verb"), [("r", "retry"), ("R", "reset")])
def test_a_retry_takes_nothing_away_and_is_not_asked_for(key: str, verb: str) -> None:
    """
    With or without its failures.
    """
    assert _pressed(View(), key).order == Order(verb, "a")


def test_a_filter_is_typed_like_any_line() -> None:
    """
    Letters are letters there, and Esc leaves the old one.
    """
    view = _pressed(View(), "f", "m", "q", BACKSPACE, "a", UP)

    assert (view.typed, view.ended) == ("ma", False)
    assert _pressed(view, ENTER).wish == Wish(None, "mail")
    assert _pressed(view, ESCAPE).wish == Wish()
    assert _pressed(view, ENTER, "f").typed == "mail"
    assert _pressed(view, ENTER, ESCAPE).wish == Wish()


def test_without_a_task_keys_say_so() -> None:
    """
    And ask nothing.
    """
    view = press(View(), "c", Sight())

    assert (view.asked, view.message) == (None, "There is no task to choose.")


@pytest.mark.parametrize(
    ("room", "needs", "expected"),
    [(10, [1, 2, 1], [1, 2, 1]), (6, [9, 9, 1], [3, 2, 1]), (0, [5, 5], [1, 1]), (20, [], [])],
)
def test_tables_share_the_height(room: int, needs: list[int], expected: list[int]) -> None:
    """
    Small ones are whole, and each has a row.
    """
    assert shares(room, needs) == expected


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({"processedCount": 50, "totalCount": 200}, "████░░░░░░░░░░░░  25% 50/200"),
        ({"processedCount": 300, "totalCount": 200}, "████████████████ 100% 300/200"),
        ({"processedCount": 5, "totalCount": 0}, "5/0"),
        ({"processedCount": "x", "totalCount": "\x1b[2J"}, "x/\N{REPLACEMENT CHARACTER}[2J"),
        ({}, "-"),
    ],
)
def test_progress_is_drawn_where_it_is_known(details: dict[str, object], text: str) -> None:
    """
    Whatever a task wrote there.
    """
    assert bar({"statusDetails": details}).plain == text


@pytest.mark.parametrize(("height", "columns"), [(24, 80), (30, 120), (12, 60)])
def test_a_screen_fits_the_terminal(height: int, columns: int) -> None:
    """
    However much there is.
    """
    tasks = [
        {"itemId": f"{n:036}", "taskType": "t" * 40, "status": "RUNNING", "lastError": "e" * 200} for n in range(30)
    ]
    names = ("running", "nextDue", "lastFailures")
    seen = {"at": iso(0), "counts": dict.fromkeys(STATES, 30_000), "nodes": [], **dict.fromkeys(names, tasks)}
    console = Console(width=columns, height=height, record=True, file=StringIO())
    console.print(draw(seen, View(), target="x", now=0, height=height))
    lines = console.export_text().splitlines()

    assert len(lines) <= height
    assert lines[-1].startswith("f filter")
    assert all(len(line.rstrip()) <= columns for line in lines)


class Counted:
    """
    Tasks that count what they are asked for: one in each state.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def types(self) -> list[dict[str, object]]:
        """
        Return two types.
        """
        self.asked.append("types")
        counts = dict.fromkeys(STATES, 1)
        return [{"taskType": "a", "counts": counts}, {"taskType": "b", "counts": {"RUNNING": 2}}]

    def page(self, **query: str | int) -> dict[str, object]:
        """
        Return one task, named after its state.
        """
        self.asked.append(str(query["status"]))
        return {"list": [{"itemId": query["status"], "taskType": "a", "nextScheduledExecution": iso(0)}]}

    def nodes(self) -> list[dict[str, object]]:
        """
        Return no node.
        """
        self.asked.append("nodes")
        return []

    def task(self, task_id: str) -> dict[str, object]:
        """
        Return a task.
        """
        self.asked.append("task")
        return {"itemId": task_id}

    def explain(self, _task_id: str) -> list[str]:
        """
        Return no reason.
        """
        self.asked.append("explain")
        return []


def test_a_look_makes_at_most_four_requests() -> None:
    """
    Once it has seen all: counts and runs each time, and nothing is older than a look; after a pause, all again.
    """
    tasks = Counted()
    lookout = Lookout(tasks)  # type: ignore[arg-type]
    asked = []
    for now in (0, 1_000, 2_000, 3_000, 10_000):
        tasks.asked.clear()
        seen = lookout.look(Wish(), now=now)
        asked.append(set(tasks.asked))
        assert ids_of(seen) == ["RUNNING", "SCHEDULED", "FAILED", "CRASHED"]
        assert seen["counts"]["RUNNING"] == 3

    assert [len(one) for one in asked] == [6, 4, 4, 4, 6]
    assert all({"types", "RUNNING"} <= one for one in asked)
    assert asked[1] | asked[2] == asked[2] | asked[3] == asked[0]


def test_a_look_with_a_filter_asks_for_less() -> None:
    """
    And not at all for what the counts say is not there; with another filter, for all of it anew.
    """
    tasks = Counted()
    lookout = Lookout(tasks)  # type: ignore[arg-type]
    assert ids_of(lookout.look(Wish("RUNNING", "b"), now=0)) == ["RUNNING"]
    assert tasks.asked == ["types", "RUNNING", "nodes"]

    tasks.asked.clear()
    assert ids_of(lookout.look(Wish("FAILED", "b"), now=1)) == []
    assert tasks.asked == ["types", "nodes"]

    lookout.look(Wish("FAILED"), now=2)
    tasks.asked.clear()
    lookout.look(Wish("FAILED", shown="x"), now=3)
    assert len(tasks.asked) == 4


def test_keys_and_screen_are_about_the_present_wish() -> None:
    """
    Until it was looked for, nothing is in sight: no list of the filter before, and no other task.
    """
    tasks = Counted()
    seen = Lookout(tasks).look(Wish("RUNNING", shown="x"), now=0)  # type: ignore[arg-type]
    console = Console(record=True, file=StringIO(), width=80)
    console.print(draw(seen, View(wish=Wish("FAILED")), target="x", now=0, height=20))

    assert in_sight(seen, Wish("RUNNING"))
    assert not in_sight(seen, Wish("FAILED"))
    assert "…" in console.export_text().splitlines()
    assert (shown_of(seen, Wish("RUNNING", shown="x")) or {})["itemId"] == "x"
    assert shown_of(seen, Wish("RUNNING", shown="y")) is None


def test_moments_are_read_as_written() -> None:
    """
    To the millisecond.
    """
    assert millis_of(iso(1_700_000_000_123)) == 1_700_000_000_123
    assert millis_of(None) is None
