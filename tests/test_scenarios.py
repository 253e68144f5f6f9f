"""
The pages about scenarios and faults name every one of them, and only tests that there are.
"""

from __future__ import annotations

import re

import pytest

from tests.faults_put_back import FAULTS as PUT_BACK
from tests.faults_put_back import Fault, fits
from tests.scenario_catalogue import SCENARIOS, Scenario
from tests.scenarios_table import PAGE, ROOT, page, places, played_by, scenario_of

FAULTS = ROOT / "docs" / "faults.md"
NO_TEST = "No test:"
_BY_ID = {scenario.id: scenario for scenario in SCENARIOS}
_ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(test_\w+)`")
_SCENARIO = re.compile(r"\b([SX]\d+)\b")


def test_the_page_is_up_to_date() -> None:
    """
    If not: `python -m tests.scenarios_table`.
    """
    text = PAGE.read_text()

    assert text == page(text), "docs/scenarios.md is not up to date; run python -m tests.scenarios_table"


def test_every_scenario_of_the_contract_has_a_row() -> None:
    """
    S1 to S35, X1 to X17; no id stands there twice.
    """
    wanted = {f"S{number}" for number in range(1, 36)} | {f"X{number}" for number in range(1, 18)}

    assert wanted <= set(_BY_ID)
    assert len(SCENARIOS) == len(_BY_ID)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_every_scenario_has_a_test(scenario: Scenario) -> None:
    """
    Or the reason why not, or the file that brings it while that is not there.
    """
    missing = [name for name in played_by(scenario) if name not in places()]
    expected = bool(scenario.expected) and not (ROOT / scenario.expected).exists()

    assert missing == []
    assert played_by(scenario) or scenario.without or expected


def test_every_test_with_a_scenarios_name_is_in_the_table() -> None:
    """
    A number that nobody knows is a slip.
    """
    unknown = {name for name in places() if scenario_of(name) is not None and scenario_of(name) not in _BY_ID}

    assert unknown == set()


def _faults() -> dict[int, str]:
    return {int(number): tests for number, _, tests in _ROW.findall(FAULTS.read_text())}


def test_every_fault_has_a_row() -> None:
    """
    The thirty-three of the contract, in order.
    """
    assert list(_faults()) == list(range(1, 34))


@pytest.mark.parametrize("number", range(1, 34))
def test_every_fault_has_a_test(number: int) -> None:
    """
    By its name or by its scenario, or the reason why no test can show it.
    """
    cell = _faults()[number]
    names, scenarios = _TEST.findall(cell), _SCENARIO.findall(_TEST.sub("", cell))

    assert names or scenarios or cell.startswith(NO_TEST)
    assert [name for name in names if name not in places()] == []
    assert [one for one in scenarios if one not in _BY_ID] == []


def test_every_fault_can_be_put_back() -> None:
    """
    For `python -m tests.faults_put_back`, which does it and runs the tests that notice.
    """
    assert {fault.number for fault in PUT_BACK} == set(_faults())


@pytest.mark.parametrize("fault", PUT_BACK, ids=lambda fault: str(fault.number))
def test_a_fault_that_can_be_put_back_fits_the_code(fault: Fault) -> None:
    """
    Where the code was changed, the change that puts the fault back must follow.
    """
    assert fits(fault), f"the words that bring fault {fault.number} back are not in {[one for one, *_ in fault.edits]}"
