"""
The contract of `ports.TaskStore` as tests: a store's test module has a class that inherits from `StoreContract`.

That class (or its module) supplies three fixtures: `store`, an opened store without documents; `make_store`, a function
that opens one more handle on the same data; and `plant`, a function `(id, document)` that puts a raw task document into
the store, past our codec, as another program would. Import this module before `tests.contract`.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract")

# Only modules imported after the line above explain their failed asserts.
from tests.contract.audit import AuditContract  # noqa: E402
from tests.contract.changes import ChangesContract  # noqa: E402
from tests.contract.due import DueContract  # noqa: E402
from tests.contract.history import HistoryContract  # noqa: E402
from tests.contract.lists import ListContract  # noqa: E402
from tests.contract.reads import ReadsContract  # noqa: E402
from tests.contract.searches import SearchesContract  # noqa: E402
from tests.contract.summaries import SummariesContract  # noqa: E402
from tests.contract.support import MakeStore, Plant  # noqa: E402
from tests.contract.writes import WritesContract  # noqa: E402

__all__ = ["MakeStore", "Plant", "StoreContract"]


@pytest.mark.store_contract
class StoreContract(
    WritesContract,
    ReadsContract,
    DueContract,
    SearchesContract,
    ListContract,
    SummariesContract,
    HistoryContract,
    ChangesContract,
    AuditContract,
):
    """
    Every sentence of the port.
    """
