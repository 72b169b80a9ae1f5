"""Loads structlog without rich, which it would take along for tracebacks that are not ours: 5 MiB
of every server. To be imported before anything that logs.
"""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    del sys.modules["rich"]
