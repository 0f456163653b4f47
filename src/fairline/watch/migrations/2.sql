ALTER TABLE told RENAME TO tracked;
ALTER TABLE tracked RENAME COLUMN told_ts TO sent_ts;
UPDATE tracked SET phase = CASE phase WHEN 'told' THEN 'sent' WHEN 'back' THEN 'returned' ELSE phase END;
ALTER TABLE benched RENAME TO suspended;
ALTER TABLE alarms RENAME COLUMN words TO message;
UPDATE alarms SET name = 'outage' WHERE name = 'blind';
UPDATE notes SET name = 'settlements_rechecked' WHERE name = 'settlements_sought';
