"""Bodies in every encoding that clients use, whole, damaged and too large."""

import gzip
import io
import zlib

import lz4.frame
import pytest
import zstandard

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded._compression import encoder, plain_chunks

PLAIN = bytes(range(256)) * 5000
PACKERS = {
    "": lambda data: data,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def read(data, *, encoding="", blocks=False):
    """All of a body, unpacked."""
    return b"".join(plain_chunks(io.BytesIO(data), encoding=encoding, blocks=blocks))


@pytest.mark.parametrize("encoding", PACKERS)
def test_read(encoding):
    """Every encoding gives back what went in."""
    assert read(PACKERS[encoding](PLAIN), encoding=encoding) == PLAIN


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip"])
def test_several_frames(encoding):
    """Frames one after another are one body, as clients send them that compress in pieces."""
    pack = PACKERS[encoding]
    assert read(pack(b"one ") + pack(b"two"), encoding=encoding) == b"one two"


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
def test_cut_short(encoding):
    """A body that ends early is an error and never a shorter body."""
    with pytest.raises(errors.QueryError) as raised:
        read(PACKERS[encoding](PLAIN)[:-20], encoding=encoding)
    assert raised.value.code == 271


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", "deflate"])
def test_rubbish(encoding):
    """Bytes that are not of the encoding are an error of the request."""
    with pytest.raises(errors.QueryError) as raised:
        read(b"this is not compressed at all", encoding=encoding)
    assert raised.value.code == 271


def test_unknown_encoding():
    """An encoding that nobody knows is named in the error."""
    with pytest.raises(errors.QueryError, match="snappy") as raised:
        read(b"x", encoding="snappy")
    assert raised.value.code == 89


@pytest.mark.parametrize("encoding", PACKERS)
def test_bomb(encoding, monkeypatch):
    """A small body that unpacks to more than the limit is refused while it is unpacked."""
    monkeypatch.setattr(limits, "BODY_BYTES_MAX", 1_000_000)
    with pytest.raises(errors.QueryError) as raised:
        read(PACKERS[encoding](bytes(3_000_000)), encoding=encoding)
    assert raised.value.code == 229


@pytest.mark.parametrize(
    ("accepted", "unpack"),
    [
        ("lz4, zstd", lz4.frame.decompress),
        ("zstd", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("identity", bytes),
    ],
)
def test_write(accepted, unpack):
    """Answers are compressed as the client accepts, when it has asked for compression."""
    chosen = encoder(accepted=accepted, wanted=True, blocks=False)
    assert unpack(chosen.encode(PLAIN) + chosen.encode(b"more") + chosen.finish()) == PLAIN + b"more"
    assert encoder(accepted=accepted, wanted=False, blocks=False).encoding == ""


def test_blocks():
    """ClickHouse's own blocks are read back; a flipped bit anywhere is found by the checksum."""
    chosen = encoder(accepted="", wanted=False, blocks=True)
    packed = chosen.encode(PLAIN) + chosen.encode(b"more")
    assert read(packed, blocks=True) == PLAIN + b"more"
    for at in (0, 17, 30, len(packed) - 1):
        damaged = bytearray(packed)
        damaged[at] ^= 1
        with pytest.raises(errors.QueryError) as raised:
            read(bytes(damaged), blocks=True)
        assert raised.value.code == 271
