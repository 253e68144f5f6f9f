"""
Several processes on one SQLite file are a cluster.
"""

from __future__ import annotations

import pytest

# It asks pytest to explain the asserts of the module that is imported after it.
pytest.register_assert_rewrite("tests.cluster.exactly_once")

# isort: split
from tests.cluster.exactly_once import ExactlyOnce  # noqa: E402 - see above


@pytest.mark.timeout(240)
class TestOnOneFile(ExactlyOnce):
    """
    Ten thousand tasks, three processes, one file.
    """
