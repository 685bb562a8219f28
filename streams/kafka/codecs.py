"""The codecs of record batches. A producer picks any of Kafka's, so all of them have to be read,
and a few kilobytes may hold gigabytes: what a batch may become is bounded before it does.
"""

import gzip
import io

import numpy as np
from aiokafka import codec

try:
    import cramjam
except ImportError:  # a worker says what to install, and does not start
    cramjam = None  # type: ignore[assignment]

# By the number that a record batch's attributes have.
CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_XERIAL_HEADER_BYTES = 16
_LENGTH_BYTES = 4


def missing_codecs() -> list[str]:
    """The codecs whose library is not installed."""
    return [name for name in CODECS.values() if not getattr(codec, f"has_{name}")()]


class TooMuchError(ValueError):
    """What a record batch becomes is more than it may."""


def unpack(number: int, packed: bytes, bytes_max: int) -> bytes:
    """What was packed by the codec of a number.

    Raises TooMuchError where it is more than `bytes_max`, before that much is in memory; anything
    else where it is nothing that the codec made.
    """
    if number == 1:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            unpacked = file.read(bytes_max + 1)
        if len(unpacked) > bytes_max:
            raise TooMuchError
        return unpacked
    if number == 2:
        return _unpack_snappy(packed, bytes_max)
    decoder = {3: cramjam.lz4, 4: cramjam.zstd}[number]
    room = np.empty(bytes_max, np.uint8)  # takes no memory before it is written to
    try:
        size = decoder.decompress_into(packed, room)
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):
            raise TooMuchError from error
        raise
    return room[:size].tobytes()


def _unpack_snappy(packed: bytes, bytes_max: int) -> bytes:
    """One block, or the blocks of Java's framing, each after its length."""
    blocks = [packed]
    if codec._detect_xerial_stream(packed):
        blocks, at = [], _XERIAL_HEADER_BYTES
        while at < len(packed):
            end = at + _LENGTH_BYTES + int.from_bytes(packed[at : at + _LENGTH_BYTES], "big")
            blocks.append(packed[at + _LENGTH_BYTES : end])
            at = end
    if sum(map(cramjam.snappy.decompress_raw_len, blocks)) > bytes_max:
        raise TooMuchError
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)
