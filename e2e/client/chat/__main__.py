"""`foyer chat` alone, which starts faster than with the server's commands around it."""

import sys

from e2e.client.chat.command_line import app
from homeserver.errors import FoyerError

_FAILED = 1
_INTERRUPTED = 130


def main() -> None:
    """An error that whoever calls it can mend is one sentence on standard error."""
    try:
        app(prog_name="foyer chat")
    except KeyboardInterrupt:
        sys.stderr.write("foyer chat: interrupted.\n")
        sys.exit(_INTERRUPTED)
    except (FoyerError, OSError) as error:
        sys.stderr.write(f"foyer chat: {error}\n")
        sys.exit(_FAILED)


if __name__ == "__main__":
    main()
