"""Instances of the claims room, as its own tests have them."""

from tests.claims.conftest import world  # noqa: F401 - a fixture
