"""`python -m schema.documents [--check]`, in the root of the repository."""

import sys
from pathlib import Path

from schema.documents import stale, write


def main(arguments: list[str]) -> int:
    """Exit status 1 if `--check` finds a stale document."""
    if "--check" not in arguments:
        write(Path())
        return 0
    for path in (found := stale(Path())):
        sys.stderr.write(f"{path} is not what the code says: run `make docs`\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
