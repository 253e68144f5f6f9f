"""
The scenarios of the original's scheduler tests as classes: each test module has a subclass, and a fixture `peers` that
says on which store.
"""

import pytest

# The asserts of a plain module are explained only when pytest is asked to.
pytest.register_assert_rewrite(
    *(
        f"tests.service_suite.{name}"
        for name in (
            "cancellation", "configuration", "cluster", "creation", "deaths", "failure", "querying", "recovery",
            "status", "storage",
        )
    )
)  # fmt: skip
