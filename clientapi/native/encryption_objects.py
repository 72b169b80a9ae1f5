"""What REST and frames say of encryption in common."""

from collections.abc import Mapping
from typing import Any

import orjson

from clientapi.native.render import Rendered
from e2e.cross_signing_keys import USAGES
from e2e.uploaded_keys import Upload
from homeserver.identifiers import EventID
from homeserver.messages import Ciphertext
from homeserver.sync.answer import told_key_counts
from homeserver.sync.encryption_news import EncryptionNews
from schema.wire.encryption import EncryptedContent, KeyUpload, NewIdentity


def said(content: str | None, encrypted: EncryptedContent | None) -> str | Ciphertext:
    """What a message says, of which a request has exactly one."""
    if encrypted is None:
        return content or ""
    reference = encrypted.reference
    return Ciphertext(
        encrypted.algorithm,
        encrypted.ciphertext,
        encrypted.session_id,
        encrypted.sender_key,
        encrypted.device_id,
        None if reference is None else EventID(reference),
    )


def native_txn_id(ref: str) -> str:
    """A `ref` as transaction ID; those of the Matrix API are others."""
    return f"n:{ref}"


def key_upload(body: KeyUpload) -> Upload:
    return Upload(
        device_keys=body.device_keys,
        one_time_keys=body.one_time_keys or {},
        fallback_keys=body.fallback_keys or {},
    )


def identity_keys(body: NewIdentity) -> dict[str, Mapping[str, Any]]:
    """By usage."""
    return {usage: key for usage in USAGES if (key := getattr(body, f"{usage}_key")) is not None}


def news(view: EncryptionNews) -> Rendered:
    """See `schema.wire.encryption.News`."""
    changes = view.device_lists
    return {
        "token": str(view.token),
        "to_device": [orjson.Fragment(event) for event in view.to_device],
        "device_lists": {"changed": sorted(changes.changed), "left": sorted(changes.left)},
        "one_time_key_counts": told_key_counts(view.stock.counts),
        "unused_fallback_key_types": list(view.stock.unused),
    }
