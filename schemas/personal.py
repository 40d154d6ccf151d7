"""Personal data of customers: the closed list of its fields, and how much of it there may be."""

from __future__ import annotations

PERSONAL_NAMES = frozenset(
    {
        "receipt_email",
        *(
            f"{whose}_{what}"
            for whose in ("billing", "shipping")
            for what in (
                "name",
                "email",
                "phone",
                "address_line1",
                "address_line2",
                "address_city",
                "address_state",
                "address_postal_code",
                "address_country",
            )
        ),
    }
)
"""Stripe's words. What is not among them is refused, so that nobody puts anything else under lock and key by mistake."""

CUSTOMER_NAMES = frozenset({"name", "email", "phone", "description"})
"""What is personal of a customer itself; each is sealed by itself, so that one can change without the others."""

CUSTOMER_CHARS_MAX = 1_000
"""Of one of these: a description is the longest."""

CUSTOMER_FIELD_BYTES_MAX = 8 * 1024
"""Of one of these, sealed: four bytes a character, escapes and padding."""

PERSONAL_CHARS_MAX = 255
"""Of one field: the longest e-mail address has 254 characters."""

PERSONAL_BYTES_MAX = 8 * 1024
"""Of one payment's sealed personal data: all fields at their longest in the Latin alphabet; each of its events carries it."""
