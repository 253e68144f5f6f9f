"""
The contract's scenarios as classes of tests: a test module has a subclass for each store, with a fixture `nodes`.
"""

import pytest

# The asserts of a plain module are explained only when pytest is asked to.
pytest.register_assert_rewrite("tests.scenarios.dependencies", "tests.scenarios.exclusive")
