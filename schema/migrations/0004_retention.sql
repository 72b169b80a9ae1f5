-- Purged rooms leave gaps in a stream; their number is what makes the gaps accountable.
ALTER TABLE stream_positions ADD COLUMN purged bigint NOT NULL DEFAULT 0;

-- Outliers have no position, so no other index finds those of a room. Rooms of this server only
-- have none.
CREATE INDEX events_outliers ON events (room_nid) WHERE position IS NULL;
