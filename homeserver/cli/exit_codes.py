"""What scripts can tell apart."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    DATA_DIRECTORY = 4
    DATABASE = 5
    ADDRESS_IN_USE = 6
    INTERRUPTED = 130


EXIT_CODES_HELP = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 configuration, 4 data directory (or another "
    "server uses it), 5 database, 6 address in use."
)
