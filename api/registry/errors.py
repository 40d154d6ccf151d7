"""What the registry answers when it can't answer, in the codes of Confluent's registry.

RegistryError                 status, error_code, message: the body of the answer
├── SubjectNotFound           404, 40401
├── VersionNotFound           404, 40402
├── SchemaNotFound            404, 40403
├── InvalidSchema             422, 42201
├── InvalidVersion            422, 42202
├── InvalidRequest            400, 400
└── ReadOnly                  422, 42205

RegistrationError             an external registry can't take our contracts; `remedy` says what to do
├── RegistryUnreachable       nobody answers there
├── RegistryRefused           it answered with an error
└── IdsDiffer                 it gave, or holds, another id than ours for a schema
"""

from __future__ import annotations


class RegistryError(Exception):
    """An answer other than success."""

    status = 500
    error_code = 50001


class SubjectNotFound(RegistryError):
    """No such subject."""

    status, error_code = 404, 40401

    def __init__(self, subject: str) -> None:
        super().__init__(f"Subject '{subject}' not found.")


class VersionNotFound(RegistryError):
    """The subject has no such version."""

    status, error_code = 404, 40402

    def __init__(self, version: str) -> None:
        super().__init__(f"Version {version} not found.")


class SchemaNotFound(RegistryError):
    """No such id, or no such schema under the subject."""

    status, error_code = 404, 40403

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found.")


class InvalidSchema(RegistryError):
    """The text is no Avro schema."""

    status, error_code = 422, 42201


class InvalidVersion(RegistryError):
    """A version is a number above zero, or `latest`."""

    status, error_code = 422, 42202

    def __init__(self, version: str) -> None:
        super().__init__(
            f"The specified version '{version}' is not a valid version id: use a number above 0, or latest."
        )


class InvalidRequest(RegistryError):
    """The body is not what the route takes."""

    status, error_code = 400, 400


class ReadOnly(RegistryError):
    """Contracts are committed, never registered here."""

    status, error_code = 422, 42205

    def __init__(self) -> None:
        super().__init__(
            "This registry is read-only: contracts are committed with the code. "
            "Add a version with `python -m schemas.lock add RECORD`, and release it."
        )


class RegistrationError(Exception):
    """An external registry can't take our contracts."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(f"{message}. {remedy}")
        self.remedy = remedy


class RegistryUnreachable(RegistrationError):
    """Nobody answers at the URL."""


class RegistryRefused(RegistrationError):
    """The registry answered a request with an error."""


class IdsDiffer(RegistrationError):
    """Our ids and the registry's are not the same; the wire format carries ids, so nobody could read our topics."""
