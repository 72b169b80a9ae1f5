-- End-to-end encryption: what devices publish, and what they send each other.
--
-- A device is a session: what belongs to it goes with it, in the same transaction.

INSERT INTO stream_positions (stream, position) VALUES ('to_device', 0), ('device_lists', 0);

-- Identity keys. keys: canonical JSON, signed by the device itself; signatures by others stand in
-- key_signatures.
CREATE TABLE device_keys (
    session_nid  bigint PRIMARY KEY REFERENCES sessions ON DELETE CASCADE,
    user_nid     bigint NOT NULL REFERENCES users,
    keys         bytea NOT NULL
);
CREATE INDEX device_keys_user ON device_keys (user_nid);

-- Keys for one session each, handed out in the order in which they came. key: JSON.
CREATE TABLE one_time_keys (
    session_nid  bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    serial       bigint GENERATED ALWAYS AS IDENTITY,
    algorithm    text COLLATE "C" NOT NULL,
    key_id       text COLLATE "C" NOT NULL,
    key          bytea NOT NULL,
    PRIMARY KEY (session_nid, algorithm, serial),
    UNIQUE (session_nid, algorithm, key_id)
);

-- Those handed out last: a client that repeats an upload, because it missed the answer, may not
-- bring them back. key_hash: SHA-256 of the JSON. An upload forgets all but the newest of a device.
CREATE TABLE claimed_one_time_keys (
    session_nid  bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    serial       bigint NOT NULL,
    algorithm    text COLLATE "C" NOT NULL,
    key_id       text COLLATE "C" NOT NULL,
    key_hash     bytea NOT NULL,
    PRIMARY KEY (session_nid, serial)
);

-- What is handed out when there are no one-time keys: one of each algorithm, again and again.
CREATE TABLE fallback_keys (
    session_nid  bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    algorithm    text COLLATE "C" NOT NULL,
    key_id       text COLLATE "C" NOT NULL,
    key          bytea NOT NULL,
    is_used      boolean NOT NULL,
    PRIMARY KEY (session_nid, algorithm)
);

-- usage: master, self_signing, user_signing. keys: canonical JSON; of the signatures only the master
-- key's stands in it. public_key: unpadded Base64, which is also its ID.
CREATE TABLE cross_signing_keys (
    user_nid    bigint NOT NULL REFERENCES users,
    usage       text COLLATE "C" NOT NULL,
    public_key  text COLLATE "C" NOT NULL,
    keys        bytea NOT NULL,
    PRIMARY KEY (user_nid, usage)
);

-- Signatures of keys by other keys. target: a device ID or the public key of a master key.
-- signer_key: with the algorithm in front. At most one for each key of a signer.
CREATE TABLE key_signatures (
    target_nid  bigint NOT NULL REFERENCES users,
    target      text COLLATE "C" NOT NULL,
    signer_nid  bigint NOT NULL REFERENCES users,
    signer_key  text COLLATE "C" NOT NULL,
    signature   text COLLATE "C" NOT NULL,
    PRIMARY KEY (target_nid, target, signer_nid, signer_key)
);
CREATE INDEX key_signatures_signer ON key_signatures (signer_nid, signer_key);

-- Whose devices or cross-signing keys changed, and when last: in the stream 'device_lists'.
CREATE TABLE device_list_changes (
    user_nid  bigint PRIMARY KEY REFERENCES users,
    position  bigint NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX device_list_changes_position ON device_list_changes (position);

-- Messages that wait for a device, in the order of the stream 'to_device'. serial counts those of a
-- device, without gaps, so that how many wait is the difference of two rows. event: JSON.
CREATE TABLE to_device_messages (
    session_nid  bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    serial       bigint NOT NULL,
    position     bigint NOT NULL,
    sent_at      bigint NOT NULL,
    event        bytea NOT NULL,
    PRIMARY KEY (session_nid, serial)
);
CREATE UNIQUE INDEX to_device_messages_position ON to_device_messages (position);
CREATE INDEX to_device_messages_age ON to_device_messages (sent_at);

-- Transaction IDs, with the type of the event in front, for a day. Without a foreign key: an
-- application service may send without a device.
CREATE TABLE to_device_transactions (
    session_nid  bigint NOT NULL,
    user_nid     bigint NOT NULL,
    txn_id       text COLLATE "C" NOT NULL,
    sent_at      bigint NOT NULL,
    PRIMARY KEY (session_nid, user_nid, txn_id)
);
CREATE INDEX to_device_transactions_age ON to_device_transactions (sent_at);

-- Backups of room keys. The number of a backup is its version, and is never used again.
CREATE TABLE key_backups (
    backup_nid  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_nid    bigint NOT NULL REFERENCES users,
    algorithm   text COLLATE "C" NOT NULL,
    auth_data   bytea NOT NULL,         -- JSON
    etag        bigint NOT NULL,        -- grows with every change of its keys
    key_count   bigint NOT NULL
);
CREATE INDEX key_backups_user ON key_backups (user_nid, backup_nid);

-- The rooms may be any, also such as this server does not know. session_data: JSON.
CREATE TABLE key_backup_keys (
    backup_nid           bigint NOT NULL REFERENCES key_backups ON DELETE CASCADE,
    room_id              text COLLATE "C" NOT NULL,
    session_id           text COLLATE "C" NOT NULL,
    first_message_index  bigint NOT NULL,
    forwarded_count      bigint NOT NULL,
    is_verified          boolean NOT NULL,
    session_data         bytea NOT NULL,
    PRIMARY KEY (backup_nid, room_id, session_id)
);

-- A device that nobody uses: it gathers messages for the next one (MSC3814). One a user.
CREATE TABLE dehydrated_devices (
    user_nid     bigint PRIMARY KEY REFERENCES users,
    session_nid  bigint NOT NULL UNIQUE REFERENCES sessions ON DELETE CASCADE,
    device_data  bytea NOT NULL         -- JSON
);
