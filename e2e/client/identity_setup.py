"""Setting up a user's identity, secret storage and key backup; and getting them on a new device.

Source: C-S API v1.19, "Recommended client behaviour", "Cross-signing", "Secrets", "Server-side key
backups".
"""

import secrets as randomness
from collections.abc import Mapping
from typing import Any

from e2e.client import recovery_key, secret_storage
from e2e.client.cross_signing import SECRETS
from e2e.client.errors import BadSecret
from e2e.client.key_backup import SECRET as BACKUP_SECRET
from e2e.client.secret_storage import DEFAULT_KEY, KEY_PREFIX, StorageKey
from e2e.client.session import Session
from homeserver.events import base64


async def set_up(session: Session, *, password: str, passphrase: str | None = None) -> str:
    """A new identity, a new backup, and secret storage that holds the keys of both. Returns the
    recovery key, which the user must keep. Raises ServerRefused.
    """
    await session.keeper.run(lambda machine: machine.identity.bootstrap())
    await upload_identity(session, password=password)
    backup_key = await session.step(lambda machine: machine.backup.create())
    identity = await session.keeper.run(
        lambda machine: {name: machine.identity.secret(name) for name in SECRETS}
    )
    stored = {**identity, BACKUP_SECRET: base64.encode(backup_key)}
    return await _store(session, stored, passphrase)


async def upload_identity(session: Session, *, password: str) -> None:
    """The public keys, with the password where the server asks who is there."""
    request = await session.keeper.run(lambda machine: machine.identity.upload())
    if request is not None:
        answer = await session.server.upload_identity(request, session.user_id, password)
        await session.step(
            lambda machine: machine.answered(request, answer, now_ms=session.now_ms())
        )


async def recover(session: Session, secret: str) -> tuple[int, int]:
    """With a recovery key or a passphrase: this device becomes a verified one and reads the
    backup. Returns how many room keys were restored, and how many could not be read.
    Raises BadSecret, ServerRefused.
    """
    key = await _default_key(session, secret)
    await session.step(lambda machine: machine.track([session.user_id]))
    for name in SECRETS:
        value = await _read(session, key, name)
        if value is not None:
            await session.keeper.run(
                lambda machine, n=name, v=value: machine.identity.import_secret(n, v)  # type: ignore[misc]
            )
    own = await session.keeper.run(lambda machine: machine.device)
    await session.step(lambda machine: machine.identity.sign_own_device(own.device_id))
    restored = await _restore(session, key)
    await session.step(lambda machine: machine.ask_again_for_keys())
    return restored


async def _restore(session: Session, key: StorageKey) -> tuple[int, int]:
    encoded = await _read(session, key, BACKUP_SECRET)
    version = await session.server.backup_version()
    if encoded is None or version is None:
        return 0, 0
    private = base64.decode(encoded)
    keys = await session.server.backup_keys(str(version["version"]))
    await session.keeper.run(lambda machine: machine.backup.adopt(version, private))
    return await session.step(lambda machine: machine.backup.restore(keys, private))


async def _store(
    session: Session, secrets: Mapping[str, str | None], passphrase: str | None
) -> str:
    key, put = secret_storage.create(randomness.token_bytes, passphrase)
    description, default = put
    await session.server.put_account_data(session.user_id, description)
    for name, value in secrets.items():
        if value is not None:
            data = secret_storage.stored(key, name, value, randomness.token_bytes)
            await session.server.put_account_data(session.user_id, data)
    # Last, so that nobody finds a default key without secrets.
    await session.server.put_account_data(session.user_id, default)
    return recovery_key.encode(key.raw)


async def _default_key(session: Session, secret: str) -> StorageKey:
    default = await session.server.account_data(session.user_id, DEFAULT_KEY)
    key_id = default.get("key") if default is not None else None
    if not isinstance(key_id, str):
        raise BadSecret("this account has no secret storage: set it up first")
    description = await session.server.account_data(session.user_id, f"{KEY_PREFIX}{key_id}")
    if description is None:
        raise BadSecret("the key of the secret storage is not described")
    key = StorageKey(key_id, _raw_key(secret, description))
    if not key.fits(description):
        raise BadSecret("this is not the recovery key or passphrase of this account")
    return key


def _raw_key(secret: str, description: Mapping[str, Any]) -> bytes:
    """A recovery key looks like one; anything else is a passphrase, if there is one."""
    try:
        return recovery_key.decode(secret)
    except BadSecret:
        how = description.get("passphrase")
        if not isinstance(how, Mapping):
            raise
        return recovery_key.from_passphrase(secret, how)


async def _read(session: Session, key: StorageKey, name: str) -> str | None:
    content = await session.server.account_data(session.user_id, name)
    return None if content is None else secret_storage.read(key, name, content)
