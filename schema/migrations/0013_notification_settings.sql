-- Who changed his push rules or ignores somebody: of a big room, only those are looked at.
CREATE INDEX account_data_notification_settings ON account_data (user_nid)
    WHERE room_nid = 0 AND type IN ('m.push_rules', 'm.ignored_user_list');
