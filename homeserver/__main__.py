"""`python -m homeserver` is `foyer`."""

from homeserver.cli import main

main()
