"""Documents that are made from code: `python -m homeserver.documents` writes them again.

With `--check` it writes nothing and fails if a document is not what the code says.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from homeserver import config

DOCUMENTS: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "docs/config.md": config.reference_markdown,
    }
)
"""Path from the root of the repository, and what makes the text."""


def stale(root: Path) -> list[str]:
    """The documents whose text is not what the code makes now."""
    return [path for path, make in DOCUMENTS.items() if _read(root / path) != make()]


def write(root: Path) -> None:
    for path in stale(root):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(DOCUMENTS[path](), encoding="utf-8")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


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
