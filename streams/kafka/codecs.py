"""The codecs of record batches. A producer picks any of Kafka's, so all of them have to be read."""

from aiokafka import codec

# By the number that a record batch's attributes have.
CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}


def missing_codecs() -> list[str]:
    """The codecs whose library is not installed."""
    return [name for name in CODECS.values() if not getattr(codec, f"has_{name}")()]
