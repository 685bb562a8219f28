-- Of an accepted record its line too: one event that is sent twice may come to stand on two lines.
-- What was written before has none, and is compared by its month alone.
ALTER TABLE accepted ADD COLUMN IF NOT EXISTS line LowCardinality(String);
ALTER TABLE accepted_of_rated MODIFY QUERY
SELECT account_id, kind, event_id, revision, topic, month, content_hash, version, line
FROM rated
WHERE line NOT IN ('carrier_fees', 'phone_numbers', 'recording_storage', 'subscriptions');

-- What was written recently is looked for by the broker's clock. It lies in few parts, and seldom in a
-- closed month: of the others the index says so, and they are not read.
ALTER TABLE rated ADD INDEX IF NOT EXISTS logged logged_at TYPE minmax;
ALTER TABLE rated MATERIALIZE INDEX logged;
