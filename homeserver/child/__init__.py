"""Processes that the server starts for work that would keep others waiting, or might crash it."""
