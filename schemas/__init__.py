"""The contracts with the outside: event schemas, ClickHouse DDL, the sample tariff. Data only."""

from pathlib import Path

ROOT = Path(__file__).parent
SAMPLE_TARIFF = ROOT / "tariff" / "sample.toml"
MIGRATIONS = ROOT / "clickhouse"
EVENTS = ROOT / "events"
EXAMPLES = ROOT / "examples"
ASYNCAPI = ROOT / "asyncapi.json"
