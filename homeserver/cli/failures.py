"""Errors as exit codes and sentences."""

import errno

from homeserver.cli.exit_codes import ExitCode
from homeserver.config import ConfigError
from homeserver.errors import FoyerError, InvalidInput, Unavailable
from homeserver.server_keys import KeysError
from homeserver.storage.data_dir import DataDirError
from homeserver.storage.embedded import EmbeddedPostgresError
from homeserver.storage.migrate import MigrationError
from homeserver.storage.server import ForeignDatabaseError

# The first class that fits counts.
_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (ConfigError, ExitCode.CONFIGURATION),
    (ForeignDatabaseError, ExitCode.CONFIGURATION),
    (DataDirError, ExitCode.DATA_DIRECTORY),
    (KeysError, ExitCode.DATA_DIRECTORY),
    (EmbeddedPostgresError, ExitCode.DATABASE),
    (MigrationError, ExitCode.DATABASE),
    (Unavailable, ExitCode.DATABASE),
    (InvalidInput, ExitCode.USAGE),
    (FoyerError, ExitCode.FAILED),
)


def exit_code(error: BaseException) -> ExitCode | None:
    """None: a defect of the program, which deserves its traceback."""
    if isinstance(error, OSError):
        in_use = error.errno == errno.EADDRINUSE
        return ExitCode.ADDRESS_IN_USE if in_use else ExitCode.FAILED
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted."
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror.rstrip('.')}."
    return str(error) or type(error).__name__
