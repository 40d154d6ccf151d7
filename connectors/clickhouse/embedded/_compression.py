"""Bodies in and out: HTTP encodings (lz4, zstd, gzip, deflate) and ClickHouse's own compressed blocks."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, Protocol

import lz4.block
import lz4.frame
import zstandard

from connectors.clickhouse.embedded import errors, limits

READ_BYTES: Final = 256 * 1024
GZIP_LEVEL: Final = 3  # as ClickHouse's http_zlib_compression_level
ZSTD_LEVEL: Final = 1
_GZIP_BITS: Final = 31
_ZSTD_STEP_BYTES: Final = 1024  # a block of 4 bytes can stand for 128 KiB: what one step gives is bounded by this

# A compressed block: 16 bytes of CityHash128 over what follows, method, compressed size with these 9 bytes, plain size.
_CHECKSUM_BYTES: Final = 16
_BLOCK_HEADER_BYTES: Final = 9
_METHOD_LZ4: Final = 0x82
_METHOD_ZSTD: Final = 0x90
_METHOD_NONE: Final = 0x02
_BLOCK_BYTES_MAX: Final = 64 * limits.MIB

_FAILURES: Final = (
    OSError,
    EOFError,
    zlib.error,
    RuntimeError,
    ValueError,
    zstandard.ZstdError,
    lz4.block.LZ4BlockError,
)


def plain_chunks(raw: IO[bytes], *, encoding: str, blocks: bool) -> Iterator[bytes]:
    """Yield the decompressed bytes of `raw` in pieces of bounded size, and no more of them than a body may have.

    `encoding` is the Content-Encoding ("" for none), `blocks` says that ClickHouse's own format is inside (decompress=1).
    Raises QueryError: 89 for an unknown encoding, 271 for damaged data, 229 for too much.
    """
    total = 0
    source = _opened(raw, encoding)
    try:
        for chunk in _blocks(source) if blocks else iter(lambda: source.read(READ_BYTES), b""):
            total += len(chunk)
            if total > limits.BODY_BYTES_MAX:
                raise errors.QueryError(
                    errors.QUERY_IS_TOO_LARGE,
                    f"The body is larger than {limits.BODY_BYTES_MAX} bytes: send it in parts",
                )
            yield chunk
    except _FAILURES as error:
        raise errors.QueryError(errors.CANNOT_DECOMPRESS, f"The body can't be decompressed: {error}") from None


def _opened(raw: IO[bytes], encoding: str) -> IO[bytes]:
    openers: dict[str, Callable[[], Any]] = {
        "": lambda: raw,
        "identity": lambda: raw,
        "lz4": lambda: lz4.frame.open(raw, "rb"),
        "zstd": lambda: io.BufferedReader(_Zstandard(raw)),
        "gzip": lambda: gzip.GzipFile(fileobj=raw, mode="rb"),
        "x-gzip": lambda: gzip.GzipFile(fileobj=raw, mode="rb"),
        "deflate": lambda: io.BufferedReader(_Deflated(raw)),
    }
    opener = openers.get(encoding.strip().lower())
    if opener is None:
        raise errors.QueryError(
            errors.UNKNOWN_COMPRESSION_METHOD,
            f"Unknown compression method: {encoding}; known are lz4, zstd, gzip, deflate",
        )
    opened: IO[bytes] = opener()
    return opened


class _Deflated(io.RawIOBase):
    """A zlib stream (HTTP's deflate) as a readable."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._zlib = raw, zlib.decompressobj()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as one step goes."""
        while not self._zlib.eof:
            data = self._zlib.unconsumed_tail or self._raw.read(READ_BYTES)
            plain = self._zlib.decompress(data, len(buffer))
            if plain:
                buffer[: len(plain)] = plain
                return len(plain)
            if not data:
                raise EOFError("the deflate stream ends early")
        return 0


class _Zstandard(io.RawIOBase):
    """Frames of zstd as a readable that, unlike the library's, does not take a cut frame for the end."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: Any = None
        self._packed, self._plain = b"", b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, as far as one step goes."""
        while not self._plain:
            data = self._packed or self._raw.read(_ZSTD_STEP_BYTES)
            if not data:
                if self._frame is not None:
                    raise EOFError("the zstd frame ends early")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._plain, self._packed = self._frame.decompress(data), b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._plain))
        buffer[:size], self._plain = self._plain[:size], self._plain[size:]
        return size


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while True:
        header = _exactly(source, _CHECKSUM_BYTES + _BLOCK_HEADER_BYTES)
        if not header:
            return
        method = header[_CHECKSUM_BYTES]
        packed = int.from_bytes(header[_CHECKSUM_BYTES + 1 : _CHECKSUM_BYTES + 5], "little")
        size = int.from_bytes(header[_CHECKSUM_BYTES + 5 :], "little")
        if not _BLOCK_HEADER_BYTES <= packed <= _BLOCK_BYTES_MAX or size > _BLOCK_BYTES_MAX:
            raise ValueError(f"a block of {packed} bytes for {size} is out of bounds")
        body = _exactly(source, packed - _BLOCK_HEADER_BYTES)
        if _checksum(header[_CHECKSUM_BYTES:] + body) != header[:_CHECKSUM_BYTES]:
            raise ValueError("the checksum of a block does not match")
        if method == _METHOD_LZ4:
            yield lz4.block.decompress(body, uncompressed_size=size)
        elif method == _METHOD_ZSTD:
            yield zstandard.ZstdDecompressor().decompress(body, max_output_size=size)
        elif method == _METHOD_NONE:
            yield body
        else:
            raise ValueError(f"unknown method {method:#x} of a block")


def _exactly(source: IO[bytes], size: int) -> bytes:
    """Read `size` bytes, or none at the very end. Raises EOFError between."""
    data = b""
    while len(data) < size:
        more = source.read(size - len(data))
        if not more:
            if data:
                raise EOFError("a block ends early")
            break
        data += more
    return data


def _checksum(data: bytes) -> bytes:
    """ClickHouse's checksum of a block: CityHash128 of version 1.0.2, the two halves little-endian, the low one first."""
    try:
        from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise errors.QueryError(
            errors.NOT_IMPLEMENTED,
            "compress=1 and decompress=1 need the package clickhouse-cityhash; or use Content-Encoding and enable_http_compression=1",
        ) from None
    number: int = CityHash128(data)
    return (number >> 64).to_bytes(8, "little") + (number & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")


class Encoder(Protocol):
    """Compresses an answer piece by piece."""

    encoding: str  # for Content-Encoding; "" for none

    def encode(self, data: bytes) -> bytes:
        """Return what can be sent now."""

    def finish(self) -> bytes:
        """Return what is left."""


class _Plain:
    encoding = ""

    def encode(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Lz4:
    encoding = "lz4"

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._frame.begin()

    def encode(self, data: bytes) -> bytes:
        packed: bytes = self._head + self._frame.compress(data)
        self._head = b""
        return packed

    def finish(self) -> bytes:
        packed: bytes = self._head + self._frame.flush()
        self._head = b""
        return packed


class _Zlib:
    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self._zlib = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_BITS if encoding == "gzip" else zlib.MAX_WBITS)

    def encode(self, data: bytes) -> bytes:
        return self._zlib.compress(data)

    def finish(self) -> bytes:
        return self._zlib.flush()


class _Zstd:
    encoding = "zstd"

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()

    def encode(self, data: bytes) -> bytes:
        return self._zstd.compress(data)

    def finish(self) -> bytes:
        return self._zstd.flush()


class _Blocks:
    encoding = ""

    def encode(self, data: bytes) -> bytes:
        return b"".join(_block(data[at : at + limits.MIB]) for at in range(0, len(data), limits.MIB))

    def finish(self) -> bytes:
        return b""


def _block(data: bytes) -> bytes:
    body: bytes = lz4.block.compress(data, store_size=False)
    header = (
        bytes([_METHOD_LZ4]) + (len(body) + _BLOCK_HEADER_BYTES).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    )
    return _checksum(header + body) + header + body


def encoder(*, accepted: str, wanted: bool, blocks: bool) -> Encoder:
    """Choose how an answer is compressed, in ClickHouse's order of preference.

    `accepted` is the Accept-Encoding, which counts only when `wanted` (enable_http_compression=1), as in ClickHouse;
    `blocks` asks for ClickHouse's own format (compress=1).
    """
    if blocks:
        return _Blocks()
    if not wanted:
        return _Plain()
    offered = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    if "lz4" in offered:
        return _Lz4()
    if "zstd" in offered:
        return _Zstd()
    for name in ("gzip", "deflate"):
        if name in offered:
            return _Zlib(name)
    return _Plain()
