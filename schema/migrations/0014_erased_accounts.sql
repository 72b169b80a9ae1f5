-- The few accounts that were erased, which every process reads now and then.
CREATE INDEX accounts_erased ON accounts (user_nid) WHERE erased_at IS NOT NULL;
