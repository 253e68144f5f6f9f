"""
Which test plays which scenario: `python -m tests.scenarios_table` writes the table of `docs/scenarios.md` anew.

Tests are found by reading the sources, so that a test is named here only while it is there.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.scenario_catalogue import SCENARIOS, Scenario

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scenarios.md"
BEGIN, END = "<!-- the table: python -m tests.scenarios_table -->", "<!-- end of the table -->"
_FOLDERS = ("tests", "integration_tests")
_NAMED = re.compile(r"test_(s|x|reg|rest|shell|lock|run|rec|state|val|store|hist)(\d+)_")
_STORES = {"memory": re.compile("MemoryStore|memory://"), "SQLite": re.compile("sqlite:///|SqliteStore")}


class Source(NamedTuple):
    """
    A module of tests: its path from the root, its text, the tests in it, and the modules it imports.
    """

    path: str
    text: str
    tests: tuple[str, ...]
    imports: frozenset[str]

    @property
    def module(self) -> str:
        """
        The module's name.
        """
        return self.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    @property
    def collected(self) -> bool:
        """
        Whether pytest looks into it.
        """
        return Path(self.path).name.startswith("test_")


@cache
def sources() -> tuple[Source, ...]:
    """
    Return every module of tests.
    """
    return tuple(_read(path) for folder in _FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))


def _read(path: Path) -> Source:
    text = path.read_text()
    tree = ast.parse(text)
    names: list[str] = []
    imports: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
    return Source(path.relative_to(ROOT).as_posix(), text, tuple(names), frozenset(imports))


@cache
def places() -> dict[str, tuple[Source, ...]]:
    """
    Return where each test stands, by its name.
    """
    found: dict[str, list[Source]] = defaultdict(list)
    for source in sources():
        for name in source.tests:
            found[name].append(source)
    return {name: tuple(dict.fromkeys(where)) for name, where in found.items()}


def scenario_of(name: str) -> str | None:
    """
    Return the id of the scenario that a test plays by its name.
    """
    match = _NAMED.match(name)
    return f"{match[1].upper()}{match[2]}" if match else None


def played_by(scenario: Scenario) -> list[str]:
    """
    Return the tests that play a scenario, those of its name first.
    """
    own = sorted(name for name in places() if scenario_of(name) == scenario.id)
    return [*own, *(name for name in scenario.others if name not in own)]


def stores_of(names: Iterable[str]) -> list[str]:
    """
    Return the stores that tests run on, as far as the modules that run them name any.
    """
    texts = [_text(source) for name in names for home in places().get(name, ()) for source in _runners(home)]
    servers = any(
        source.path.startswith("integration_tests/")
        for name in names
        for home in places().get(name, ())
        for source in _runners(home)
    )
    found = [store for store, pattern in _STORES.items() if any(pattern.search(text) for text in texts)]
    return [*found, "Elasticsearch"] if servers else found


@cache
def _runners(home: Source) -> tuple[Source, ...]:
    # Scenarios are classes or functions that modules of several stores import, some by way of another module.
    reached, pending = {home}, [home]
    while pending:
        wanted = pending.pop().module
        for source in sources():
            if wanted in source.imports and source not in reached:
                reached.add(source)
                pending.append(source)
    return tuple(source for source in reached if source.collected)


def _text(source: Source) -> str:
    beside = ROOT / Path(source.path).parent / "conftest.py"
    kits = "".join(one.text for one in sources() if one.path.endswith("_kit.py") and one.module in source.imports)
    return source.text + kits + (beside.read_text() if beside.exists() else "")


def _cell(scenario: Scenario) -> str:
    names = played_by(scenario)
    if not names:
        return scenario.without or f"comes with `{scenario.expected}`"
    by_file: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for source in places().get(name, ()):
            by_file[source.path].append(f"`{name}`")
    return "<br>".join(f"{path}: {', '.join(found)}" for path, found in sorted(by_file.items()))


def table() -> str:
    """
    Return the table.
    """
    rows = ["| scenario | | tests | stores |", "|---|---|---|---|"]
    for scenario in SCENARIOS:
        stores = ", ".join(stores_of(played_by(scenario))) or "–"
        rows.append(f"| {scenario.id} | {scenario.about} | {_cell(scenario)} | {stores} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """
    Return the page with the table as it is now.
    """
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    print(table())
