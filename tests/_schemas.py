"""Bodies held against JSON Schemas whose references lead into one document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema


class Schemas:
    """The schemas of a document, by name."""

    def __init__(self, document: Mapping[str, Any], *, dialect: type = jsonschema.Draft202012Validator) -> None:
        self.document, self._dialect = document, dialect
        self._validators: dict[str, Any] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.document["components"]["schemas"]

    def wrong(self, name: str, body: Any) -> list[str]:
        """What of a body is not as the schema of this name has it."""
        if name not in self._validators:
            whole = {**self.document, "$ref": f"#/components/schemas/{name}"}
            self._validators[name] = self._dialect(whole)
        return self.wrong_with(self._validators[name], body)

    def wrong_of(self, schema: Mapping[str, Any], body: Any) -> list[str]:
        """The same for a schema within the document."""
        return self.wrong_with(self._dialect({**self.document, **schema}), body)

    @staticmethod
    def wrong_with(validator: Any, body: Any) -> list[str]:
        """Each error with the place that it is at."""
        return sorted(
            f"{'.'.join(map(str, error.absolute_path)) or '(the whole)'}: {error.message[:300]}"
            for error in validator.iter_errors(body)
        )
