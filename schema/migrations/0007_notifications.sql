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
