"""Fixtures of the tests of rooms."""

from tests.support.engine import engine

__all__ = ["engine"]
