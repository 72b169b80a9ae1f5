-- One-time keys, a row for each upload and algorithm instead of one for each key: a device uploads a
-- hundred at a time, and a claim counts `taken` up in a small row that stays where it is.

-- serial counts the batches of a device; whoever adds one takes the next, so of two who do so at once
-- one has to look again. Keys are handed out from the first on. size: how many there are; taken: how
-- many of them were handed out. key_ids, keys: one a line, without a line break at the end; keys are
-- JSON. Of a spent batch only the SHA-256 of each is left, in hexadecimal: a client that repeats an
-- upload, because it missed the answer, may not bring back what was handed out. An upload forgets all
-- but the newest of a device.
CREATE TABLE one_time_key_batches (
    session_nid  bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    serial       int NOT NULL,
    algorithm    text COLLATE "C" NOT NULL,
    size         int NOT NULL,
    taken        int NOT NULL DEFAULT 0,
    is_spent     boolean GENERATED ALWAYS AS (taken >= size) STORED,
    key_ids      text COLLATE "C" NOT NULL,
    keys         text COLLATE "C" NOT NULL,
    PRIMARY KEY (session_nid, serial)
) WITH (fillfactor = 50, toast_tuple_target = 128);

CREATE INDEX one_time_key_batches_unspent ON one_time_key_batches (session_nid, algorithm, serial)
    WHERE NOT is_spent;

-- What is large stands apart, as it came: Base64 hardly becomes smaller.
ALTER TABLE one_time_key_batches
    ALTER key_ids SET STORAGE EXTERNAL,
    ALTER keys SET STORAGE EXTERNAL;

INSERT INTO one_time_key_batches (session_nid, serial, algorithm, size, taken, key_ids, keys)
SELECT session_nid, row_number() OVER (PARTITION BY session_nid ORDER BY is_spent DESC, algorithm),
    algorithm, size, CASE WHEN is_spent THEN size ELSE 0 END, key_ids, keys
FROM (
    SELECT session_nid, algorithm, true AS is_spent, count(*) AS size,
        string_agg(key_id, E'\n' ORDER BY serial) AS key_ids,
        string_agg(encode(key_hash, 'hex'), E'\n' ORDER BY serial) AS keys
    FROM claimed_one_time_keys GROUP BY session_nid, algorithm
    UNION ALL
    SELECT session_nid, algorithm, false, count(*), string_agg(key_id, E'\n' ORDER BY serial),
        string_agg(convert_from(key, 'UTF8'), E'\n' ORDER BY serial)
    FROM one_time_keys GROUP BY session_nid, algorithm
) former;

DROP TABLE one_time_keys, claimed_one_time_keys;
