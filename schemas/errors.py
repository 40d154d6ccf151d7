"""The errors of reading, writing and checking records.

SchemaError
├── ContractFault            the committed contracts contradict themselves: a build fault, never an input's
├── TopicUnread              a topic was not read to where it ends
├── EncodingError            a record of ours does not fit its own contract
├── DecodingError            the bytes are not what the topic promises
│   ├── NotAvro              no wire-format header
│   ├── UnknownSchema        a schema id that no contract has
│   ├── WrongRecord          a known record that this topic does not carry
│   └── Undecodable          a body that its own schema cannot read, or with bytes left over
└── SealingError             something sealed, or the keys for it; never says what is in them
    ├── MasterKeysUnusable   the file of master keys: missing, readable by others, damaged
    ├── MasterKeyMissing     sealed with a master key that the file does not have
    └── SealBroken           can't be opened: erased, altered, moved, or sealed with another key
"""

from __future__ import annotations

from schemas.records import RejectionReason


class SchemaError(Exception):
    """Root of this package's errors."""


class ContractFault(SchemaError):
    """The committed contracts contradict themselves; `python -m schemas.generate --check` tells where."""


class TopicUnread(SchemaError):
    """A topic was not read to where it ends in time; the message names the partitions and says what to do."""


class EncodingError(SchemaError):
    """A record does not fit its contract; the message names the record and the field."""


class DecodingError(SchemaError):
    """Bytes from a topic could not be read; `reason` is the matching `RejectionReason` symbol."""

    reason: RejectionReason = "undecodable"


class NotAvro(DecodingError):
    """The value does not start with magic byte 0 and a four-byte schema id."""

    reason: RejectionReason = "not_avro"


class UnknownSchema(DecodingError):
    """The schema id is not in the committed lock."""

    reason: RejectionReason = "unknown_schema"


class WrongRecord(DecodingError):
    """The record is known, but this topic does not carry it."""

    reason: RejectionReason = "wrong_record"


class Undecodable(DecodingError):
    """The body does not match its own schema, or leaves bytes over."""

    reason: RejectionReason = "undecodable"


class SealingError(SchemaError):
    """Something sealed could not be used; `remedy` says what to do. Neither keys nor contents are in the text."""

    remedy = "see docs/privacy.md"


class MasterKeysUnusable(SealingError):
    """The installation's master keys can't be read."""

    remedy = "let CLEARLINE_MASTER_KEY name a file that only its owner may read; `clearline up` makes master.keys"


class MasterKeyMissing(SealingError):
    """A value was sealed with a master key that is not at hand."""

    remedy = "put that master key back into the file that CLEARLINE_MASTER_KEY names, behind the newest"


class SealBroken(SealingError):
    """A sealed value can't be opened."""

    remedy = "if its key was erased it stays closed for ever; else see which topic it came from"
