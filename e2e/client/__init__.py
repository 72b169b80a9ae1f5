"""What a device does for end-to-end encryption: a machine for Olm and Megolm, and a client on it.

The core has no loop, no clock and no chance of its own: it takes what a sync brought and what
requests were answered, and gives back what is to be sent and what was decrypted. Everything it
knows lies in a vault; a step changes the vault or fails and changes nothing, and what it asks to
be sent is handed out after the step is stored. docs/E2EE-CLIENT.md tells the whole.

machine.py             the facade: everything below, put together
vault.py records.py    what is known, as records; the uncommitted changes of a step
requests.py notices.py errors.py    what comes out
primitives.py signatures.py         cryptography that libolm does not expose
account.py             identity keys, one-time keys, fallback key
device_keys.py device_tracking.py   whose devices are known, and whether the list is fresh
sessions.py olm_events.py           Olm between two devices
outbound_groups.py inbound_groups.py    Megolm, sending and receiving
key_sharing.py key_requests.py key_bundles.py    who gets room keys, and who is told why not
trust.py cross_signing.py verification/     who is who
key_backup.py secret_storage.py secret_sharing.py recovery_key.py key_export.py attachments.py
outbox.py              to-device messages that are stored before they are sent
store/                 where records are kept: SQLite, Postgres
keeper.py              runs steps of a machine on a store
session.py http.py     an asyncio client of a Matrix homeserver
history_sharing.py     room keys that come with an invitation
chat/                  `foyer chat`
"""
