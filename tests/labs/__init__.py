"""Clusters on one machine, for the tests: what only several machines can show is shown on several kernels."""

import os

import pytest

REQUIRED = os.environ.get("REQUIRE_LABS") == "1"


def require_lab(lacks: str) -> None:
    """Skip the test because of what this machine lacks for a lab; fail where labs are required (REQUIRE_LABS=1)."""
    if REQUIRED:
        pytest.fail(f"REQUIRE_LABS=1, but the lab cannot run here: {lacks}", pytrace=False)
    pytest.skip(f"the lab cannot run here: {lacks}")
