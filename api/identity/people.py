"""Operators by their session's cookie, and the tenants that an operator or an organisation's key may act for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Protocol
from urllib.parse import urlsplit

from msgspec.structs import replace

from api.http.errors import Forbidden, InvalidRequest, Unauthenticated
from api.http.keys import Identity
from api.http.secrecy import refused
from schemas.records import Operator, OperatorSession, Tenant

COOKIE = "clearline_session"
SECURE_COOKIE = "__Host-clearline_session"
"""Where the API is reached by https: browsers then let no other host or path set it."""
REASON = "clearline-reason"
REASON_CHARS_MAX = 255
COOKIE_CHARS_MAX = 4_096


class Known(Protocol):
    """What the tables know of people."""

    sessions: dict[bytes, OperatorSession]
    operators: dict[str, Operator]


def digest(value: str) -> bytes:
    """What is kept of a cookie's value, which has 256 random bits."""
    return hashlib.sha256(value.encode()).digest()


class People:
    """Who a cookie says they are."""

    def __init__(self, known: Known) -> None:
        self._known = known

    @staticmethod
    def presented(headers: Mapping[str, str]) -> str:
        """The session's cookie, empty where there is none."""
        text = headers.get("cookie", "")
        if len(text) > COOKIE_CHARS_MAX:
            return ""
        cookies = SimpleCookie()
        try:
            cookies.load(text)
        except CookieError:
            return ""
        found = cookies.get(SECURE_COOKIE) or cookies.get(COOKIE)
        return "" if found is None else found.value

    def session(self, headers: Mapping[str, str], *, now_ms: int) -> OperatorSession:
        """The session that a cookie is of, whoever its operator has become. Raises `Unauthenticated`."""
        found = self._known.sessions.get(digest(self.presented(headers)))
        if found is None or found.status != "active" or found.expires_ms <= now_ms:
            raise Unauthenticated("You are not signed in, or your session has ended. Sign in again.")
        return found

    def identify(self, headers: Mapping[str, str], *, now_ms: int) -> Identity:
        """Who a request is from. Raises `Unauthenticated`, and `Forbidden` for one that another site has made."""
        session = self.session(headers, now_ms=now_ms)
        check_own_site(headers)
        operator = self._known.operators.get(session.operator_id)
        if operator is None or operator.status != "active":
            raise Unauthenticated("You are not signed in, or your session has ended. Sign in again.")
        reason = headers.get(REASON, "")
        if len(reason) > REASON_CHARS_MAX or not (reason.isprintable() or not reason):
            message = f"Clearline-Reason has at most {REASON_CHARS_MAX} printable characters."
            raise InvalidRequest(message, param="Clearline-Reason")
        if found := refused(reason):
            code, why = found
            raise InvalidRequest(f"Clearline-Reason {why}.", param="Clearline-Reason", code=code)
        return Identity(
            tenant="",
            key_id=operator.operator_id,
            kind="operator",
            livemode=False,
            scopes=(),
            api_version="",
            organization=operator.organization,
            roles=operator.roles,
            tenants=operator.tenants,
            reason=reason,
        )


def acting(identity: Identity, wanted: str, tenants: Mapping[str, Tenant]) -> Identity:
    """The same, acting for one of its own tenants. Raises `Forbidden`, alike for others' and for those that are not there."""
    if not wanted or wanted == identity.tenant:
        return identity
    tenant = tenants.get(wanted)
    if tenant is None or not reaches(identity, tenant):
        raise Forbidden("You can't act for this tenant. See yours with GET /v1/tenants.")
    return replace(identity, tenant=tenant.tenant, livemode=tenant.livemode)


def reaches(identity: Identity, tenant: Tenant) -> bool:
    """Whether a tenant is one that the identity may act for."""
    if identity.kind not in ("organization", "operator"):
        return tenant.tenant == identity.tenant
    own = bool(identity.organization) and tenant.organization == identity.organization
    return own and (not identity.tenants or tenant.tenant in identity.tenants)


def check_own_site(headers: Mapping[str, str]) -> None:
    """A browser sends cookies along with requests that other sites make: those are told by what browsers say of them."""
    origin = headers.get("origin", "")
    foreign = bool(origin) and urlsplit(origin).netloc != headers.get("host", "")
    if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Forbidden("This request was made by another site.")
