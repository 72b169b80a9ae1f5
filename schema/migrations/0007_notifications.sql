-- Receipts of the Matrix API, and what push rules make of events.

-- thread: '' for a receipt for the whole room, 'main' for what is in no thread, or the ID of a
-- thread's root. kind: 'read', 'private' (shown to nobody else), 'delivered'.
ALTER TABLE receipts ADD COLUMN thread text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE receipts DROP CONSTRAINT receipts_pkey;
ALTER TABLE receipts ADD PRIMARY KEY (room_nid, user_nid, kind, thread);

-- Nobody follows markers of delivery.
DROP INDEX receipts_position;
CREATE INDEX receipts_position ON receipts (position) WHERE kind <> 'delivered';
CREATE INDEX receipts_room ON receipts (room_nid, position) WHERE kind <> 'delivered';

-- What an event means to somebody by push rules, where that does not follow from its being a message:
-- mentions, words that somebody listens for, what somebody silenced. user_nid 0: to everybody in the
-- room (a notice, a call, a mention of the room). Ordinary messages have no row.
CREATE TABLE notification_exceptions (
    room_nid   bigint NOT NULL,
    user_nid   bigint NOT NULL,
    position   bigint NOT NULL,              -- of the event
    judged_at  bigint NOT NULL,
    notify     boolean NOT NULL,
    highlight  boolean NOT NULL,
    PRIMARY KEY (room_nid, user_nid, position)
);
CREATE INDEX notification_exceptions_user ON notification_exceptions (user_nid, position);
CREATE INDEX notification_exceptions_age ON notification_exceptions (judged_at);

-- What was said before this server judged anything counts as what it is.
INSERT INTO cursors (name, position)
    SELECT 'notifications', position FROM stream_positions WHERE stream = 'events';

-- Where to send notifications. data: JSON, with the URL.
CREATE TABLE pushers (
    app_id               text COLLATE "C" NOT NULL,
    pushkey              text COLLATE "C" NOT NULL,
    user_nid             bigint NOT NULL,
    session_nid          bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at           bigint NOT NULL,
    app_display_name     text NOT NULL,
    device_display_name  text NOT NULL,
    profile_tag          text,
    lang                 text NOT NULL,
    data                 bytea NOT NULL,
    PRIMARY KEY (app_id, pushkey, user_nid)
);
CREATE INDEX pushers_user ON pushers (user_nid);
CREATE INDEX pushers_session ON pushers (session_nid);
