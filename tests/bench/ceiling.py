"""The ceiling: the engine alone rates the same JSON by SQL, into a table like the ledger's.

It knows one price for each line, one tax and no prefix, and checks nothing: a bound, not a rival.
"""

from pathlib import Path

from streams.kafka.simulate import Simulated
from streams.store.ledger import Ledger

FIELDS = """
kind String, id String, account_id String, direction String, media String, `from` String,
`to` String, dialed_at Nullable(DateTime64(6, 'UTC')), answered_at Nullable(DateTime64(6, 'UTC')),
ended_at Nullable(DateTime64(6, 'UTC')), sent_at Nullable(DateTime64(6, 'UTC')), status String,
device String, sender String, carrier String, registered Nullable(Bool), segments Nullable(UInt16),
group_id String, campaign_id String, call_id String
"""
RATE = """
INSERT INTO ceiling (
    account_id, month, line, identity, revision, kind, event_id, direction, from_number, to_number,
    group_id, campaign_id, call_id, occurred_at, answered_at, ended_at, event_status, media, device,
    sender, carrier, registered, segments, raw_seconds, billed_seconds, billed, unit, unit_price,
    per, connection_fee, charge, tax_federal, tax_state, tax_local, tax_status, tax_rule, currency,
    tariff, tariff_version, zone, rule, status, content_hash, topic, partition, offset, logged_at,
    version
) SELECT
    account_id, toStartOfMonth(at) AS month, line,
    if(kind = 'amd', call_id, id) AS identity, 0 AS revision, kind, id AS event_id, direction,
    `from`, `to`, group_id, campaign_id, call_id, at, answered_at, ended_at,
    status AS event_status, media, device, sender, carrier,
    if(registered IS NULL, '', toString(registered)) AS registered_as, ifNull(segments, 0) AS parts,
    if(ended_at IS NULL, 0, dateDiff('second', at, assumeNotNull(ended_at))) AS raw_seconds,
    60 * greatest(1, intDiv(raw_seconds + 59, 60)) AS billed_seconds,
    if(kind IN ('call', 'dial'), intDiv(billed_seconds, 60), 1) AS billed,
    if(kind IN ('call', 'dial'), 'minute', 'text') AS unit,
    toDecimal64(transform(line, ['calls', 'video_calls', 'texts', 'campaign_calls', 'carrier_fees',
        'ai_voice_detection'], [0.0085, 0.015, 0.0079, 0.01, 0.003, 0.01], 0.), 9) AS unit_price,
    1 AS per, 0 AS connection_fee, unit_price * billed AS charge,
    charge * toDecimal64(0.03, 9) AS tax_federal, charge * toDecimal64(0.025, 9) AS tax_state,
    0 AS tax_local, 'taxed' AS tax_status, 'US' AS tax_rule, 'USD' AS currency,
    'standard' AS tariff, '2025-01-01T00:00:00Z' AS tariff_version, 'UTC' AS zone, line AS rule,
    'rated' AS rated_status, xxHash64(id, account_id, status, at) AS content_hash,
    concat('usage.', kind, '.v1') AS topic, 0 AS partition, rowNumberInAllBlocks() AS offset,
    toDateTime64(at, 3, 'UTC') AS logged_at, toUInt128(0) - offset AS version
FROM (
    SELECT *, assumeNotNull(coalesce(dialed_at, sent_at, ended_at)) AS at,
        arrayJoin(multiIf(kind = 'text', ['texts', 'carrier_fees'], kind = 'dial',
            ['campaign_calls'], kind = 'amd', ['ai_voice_detection'], media = 'video',
            ['video_calls'], ['calls'])) AS line
    FROM file({path:String}, 'JSONEachRow', {fields:String})
    WHERE kind IN ('call', 'text', 'dial', 'amd')
)
SETTINGS date_time_input_format = 'best_effort', input_format_null_as_default = 1,
    input_format_skip_unknown_fields = 1
"""


def write_lines(events: list[Simulated], path: Path) -> None:
    """The events as the engine reads them."""
    path.write_bytes(b"\n".join(event.value for event in events))


def rate_by_sql(ledger: Ledger, path: Path) -> int:
    """Rates the lines into the table `ceiling`; how many rows there are then."""
    ledger.command("CREATE TABLE IF NOT EXISTS ceiling AS rated")
    ledger.command(RATE, parameters={"path": str(path), "fields": FIELDS})
    return int(ledger.query("SELECT count() FROM ceiling")[0][0])
