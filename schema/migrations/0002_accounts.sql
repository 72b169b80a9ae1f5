-- Words that find a person: those of the display name and of the localpart, as
-- homeserver.storage.users makes them (compatibility-composed, case-folded). A prefix is a range.
CREATE TABLE user_words (
    word      text COLLATE "C" NOT NULL,
    user_nid  bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    PRIMARY KEY (word, user_nid)
);
CREATE INDEX user_words_user ON user_words (user_nid);

-- All refresh tokens of a session begin with the same secret, its family. A token of the family that
-- is not the valid one was spent before, however long ago: its use means theft.
ALTER TABLE sessions DROP COLUMN spent_refresh_hash;
ALTER TABLE sessions ADD COLUMN refresh_family bytea;    -- SHA-256
CREATE UNIQUE INDEX sessions_refresh_family ON sessions (refresh_family)
    WHERE refresh_family IS NOT NULL;

-- Set when the password changes, not when its hash is made anew: a log-in that began before a change
-- and ends after it does not count.
ALTER TABLE accounts ADD COLUMN password_changed_at bigint NOT NULL DEFAULT 0;

CREATE INDEX accounts_admins ON accounts (user_nid) WHERE is_admin AND deactivated_at IS NULL;
CREATE INDEX invitation_codes_expiry ON invitation_codes (expires_at) WHERE expires_at IS NOT NULL;
