"""Documents that are made from code: `python -m homeserver.documents` writes them again.

With `--check` it writes nothing and fails if a document is not what the code says.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from homeserver import config, spec_coverage
from schema import documents as native

DOCUMENTS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "docs/config.md": lambda _: config.reference_markdown(),
        "docs/spec-coverage.md": lambda _: spec_coverage.spec_coverage_markdown(),
        **native.DOCUMENTS,
    }
)
"""Path from the root of the repository, and what makes the new text from the old."""


def stale(root: Path) -> dict[str, str]:
    """The text that each document should have that has another one."""
    texts = {path: _read(root / path) for path in DOCUMENTS}
    fresh = {path: make(texts[path]) for path, make in DOCUMENTS.items()}
    return {path: text for path, text in fresh.items() if text != texts[path]}


def write(root: Path) -> None:
    """Raises FileNotFoundError for a document whose folder is absent: `root` is not the root."""
    for path, text in stale(root).items():
        (root / path).write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


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
