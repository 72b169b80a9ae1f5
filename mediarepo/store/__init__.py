"""Where files are kept: in the file system or in a bucket, by their SHA-256."""

from mediarepo.store.store import Missing, Store, key_of

__all__ = ["Missing", "Store", "key_of"]
