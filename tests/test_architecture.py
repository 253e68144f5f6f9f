"""
The arrows between the parts: shell and rest → service → node → stores, ports and rules → model.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PACKAGES = {"unomi_scheduler": ".", "unomi_rest": "rest", "unomi_shell": "shell"}
_OTHERS = dict.fromkeys(("tests", "integration_tests", "benchmarks", "examples"), ".")
# A module imports from its own layer and those before it. A module that no layer names is a leaf of the first.
_LAYERS = (
    {"model", "errors", "clock"},
    {"ports", "rules", "config", "metrics"},
    {"stores"},
    {"node"},
    {"builder", "service", "testing"},
)
# Who alone imports what; each name stands for all that is under it.
_ONLY = {
    "elasticsearch": {"unomi_scheduler.stores.elasticsearch"},
    "elastic_transport": {"unomi_scheduler.stores.elasticsearch"},
    "apscheduler": {"unomi_scheduler.node.memory"},
    "falcon": {"unomi_rest"},
    "click": {"unomi_shell"},
    "prompt_toolkit": {"unomi_shell.interactive"},
    "prometheus_client": {"unomi_rest.exposition", "unomi_rest.metrics"},
    "rich": {"unomi_shell"},
    "unomi_rest": {"unomi_rest", "unomi_shell.server"},
    "unomi_shell": {"unomi_shell"},
}
# Folders, not packages: an editable installation gives the packages in them a second name by these.
_FOLDERS = {"rest", "shell", "config"}
_IMPURE = {"asyncio", "logging", "os", "random", "secrets", "socket", "threading", "time"}


def _imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            parts = parts[: len(parts) - node.level + is_package] if node.level else []
            yield from (".".join([*parts, *filter(None, [node.module]), alias.name]) for alias in node.names)


def _layer(module: str) -> int:
    part = module.split(".")[1] if "." in module else ""
    is_leaf = part and any(_ROOT.glob(f"unomi_scheduler/{part}*"))
    return next((number for number, names in enumerate(_LAYERS) if part in names), 0 if is_leaf else len(_LAYERS))


def _objections(module: str, source: str, *, is_package: bool = False) -> Iterator[str]:
    tree = ast.parse(source)
    own = module.split(".", maxsplit=1)[0]
    eager = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    for name in _imports(tree, module, is_package=is_package):
        top = name.split(".")[0]
        allowed = _ONLY.get(top, {own}) if own in _PACKAGES else {own}
        if top in _FOLDERS or not any(f"{module}.".startswith(f"{place}.") for place in allowed):
            yield f"{module} must not import {name}"
        if top == own == "unomi_scheduler" and _layer(name) > _layer(module):
            yield f"{module} must not import {name}, which is of a higher layer"
        if module.startswith("unomi_scheduler.rules.") and top in _IMPURE:
            yield f"{module} must not import {name}: a rule is a function of its arguments"
    if own == "unomi_shell" and any(
        name.startswith("unomi_rest") for name in _imports(eager, module, is_package=False)
    ):
        yield f"{module} must import unomi_rest inside the function that serves it"


def _modules() -> Iterator[tuple[str, Path]]:
    for package, base in {**_PACKAGES, **_OTHERS}.items():
        for path in sorted((_ROOT / base / package).rglob("*.py")):
            parts = path.relative_to(_ROOT / base).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def test_imports_point_one_way() -> None:
    """
    No module of ours, no test and no sample imports what its place forbids.
    """
    found = [
        objection
        for module, path in _modules()
        for objection in _objections(module, path.read_text(encoding="utf-8"), is_package=path.stem == "__init__")
    ]

    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("unomi_scheduler.node.core", "from elasticsearch import Elasticsearch"),
        ("unomi_scheduler.stores.sqlite", "def f():\n    import elastic_transport"),
        ("unomi_scheduler.node.core", "import apscheduler.triggers"),
        ("unomi_scheduler.model", "from .ports import Store"),
        ("unomi_scheduler.rules.claims", "from .. import stores"),
        ("unomi_scheduler.stores.memory", "from ..node import runs"),
        ("unomi_scheduler.node.core", "from .. import Scheduler"),
        ("unomi_scheduler.rules.claims", "from time import time"),
        ("unomi_scheduler.service", "import unomi_rest"),
        ("unomi_rest.app", "from unomi_shell import main"),
        ("unomi_shell.main", "def f():\n    from unomi_rest import app"),
        ("unomi_shell.server", "from unomi_rest import app"),
        ("unomi_shell.main", "from shell.unomi_shell import render"),
        ("tests.test_app", "import rest.unomi_rest.app"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    """
    The check itself sees each kind of wrong arrow.
    """
    assert list(_objections(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("unomi_scheduler.stores.elasticsearch.store", "import elasticsearch"),
        ("unomi_scheduler.node.memory", "from apscheduler.schedulers.background import BackgroundScheduler"),
        ("unomi_scheduler.node.core", "from ..rules import claims\nfrom ..model import Task\nfrom . import runs"),
        ("unomi_scheduler.service", "from .config import Settings"),
        ("unomi_shell.server", "def f():\n    from unomi_rest import app"),
        ("unomi_rest.app", "import falcon\nfrom unomi_scheduler import Scheduler"),
        ("integration_tests.test_store", "import elasticsearch\nfrom unomi_scheduler.stores import elasticsearch"),
    ],
)
def test_a_right_import_is_left_alone(module: str, source: str) -> None:
    """
    The check does not cry wolf.
    """
    assert not list(_objections(module, source))
