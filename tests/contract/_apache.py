"""Apache Avro's own library as the second opinion."""

from __future__ import annotations

import io
import json
from typing import Any

import avro.compatibility
import avro.io
import avro.schema


def reads(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    """Whether Apache Avro's compatibility checker lets `reader` read what `writer` wrote."""
    checker = avro.compatibility.ReaderWriterCompatibilityChecker()
    result = checker.get_compatibility(avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer)))
    return bool(result.compatibility == avro.compatibility.SchemaCompatibilityType.compatible)


def decode(body: bytes, writer: dict[str, Any], reader: dict[str, Any] | None = None) -> Any:
    """The fields that Apache Avro reads out of a body."""
    written = avro.schema.parse(json.dumps(writer))
    wanted = written if reader is None else avro.schema.parse(json.dumps(reader))
    return avro.io.DatumReader(written, wanted).read(avro.io.BinaryDecoder(io.BytesIO(body)))
