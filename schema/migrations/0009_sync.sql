-- What sync needs.

-- Connections of simplified sliding sync (MSC4186): what each was told, so that a position is good
-- again after a restart. state: JSON.
CREATE TABLE sliding_connections (
    session_nid  bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    conn_id      text COLLATE "C" NOT NULL,
    position     bigint NOT NULL,
    state        bytea NOT NULL,
    used_at      bigint NOT NULL,
    PRIMARY KEY (session_nid, conn_id, position)
);
CREATE INDEX sliding_connections_used ON sliding_connections (used_at);
