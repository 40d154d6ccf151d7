"""Which provider is asked next: the first of the tenant's policy that is healthy and was not tried yet."""

from __future__ import annotations

from schemas.records import RoutingDecision, RoutingUpdate
from streams.core import keys
from streams.core.checks import TENANT_CHARS_MAX
from streams.core.decision import Decision, View
from streams.core.errors import Refused
from streams.core.state import Health, Policy, decode_configuration, encode

PROVIDERS_MAX = 32
PROVIDER_CHARS_MAX = 64
UNHEALTHY_MAX = 256

_NO_POLICY = Policy(0, ())
_ALL_WELL = Health()


def policy_of(view: View, tenant: str) -> Policy:
    """The tenant's own policy, else everybody's, else an empty one of version 0."""
    value = view.get(keys.policy(tenant)) or view.get(keys.policy(""))
    return decode_configuration(Policy, value) if value else _NO_POLICY


def health(view: View) -> Health:
    """Which providers may not be chosen."""
    value = view.get(keys.HEALTH)
    return decode_configuration(Health, value) if value else _ALL_WELL


def choose(view: View, *, tenant: str, attempt: int, tried: tuple[str, ...]) -> RoutingDecision:
    """The decision for attempt number `attempt`, passing over providers `tried`; `chosen` is empty when nobody is left."""
    policy = policy_of(view, tenant)
    unhealthy = health(view).unhealthy
    chosen = ""
    excluded = []
    for provider in policy.providers:
        if provider in tried:
            excluded.append(f"{provider}: tried")
        elif provider in unhealthy:
            excluded.append(f"{provider}: unhealthy")
        elif not chosen:
            chosen = provider
    return RoutingDecision(
        attempt=attempt,
        chosen=chosen,
        candidates=policy.providers,
        excluded=tuple(excluded),
        policy_version=policy.version,
    )


def learn(view: View, update: RoutingUpdate, decision: Decision) -> None:
    """Take a routing update over. Raises `Refused`; a policy that is older than the known one changes nothing."""
    if update.kind == "policy":
        _learn_policy(view, update, decision)
    elif update.kind == "health":
        _learn_health(view, update, decision)
    else:
        raise Refused(reason="invalid_field", field="kind", message="kind must be policy or health.")


def _learn_policy(view: View, update: RoutingUpdate, decision: Decision) -> None:
    providers = update.providers
    if len(providers) > PROVIDERS_MAX or len(set(providers)) != len(providers):
        message = f"A policy names at most {PROVIDERS_MAX} providers, each once."
        raise Refused(reason="invalid_field", field="providers", message=message)
    for provider in providers:
        _check_name(provider, "providers")
    if "/" in update.tenant or len(update.tenant) > TENANT_CHARS_MAX or update.policy_version < 1:
        raise Refused(
            reason="invalid_field", field="policy_version", message="A policy has a tenant id and a version from 1."
        )
    key = keys.policy(update.tenant)
    known = view.get(key)
    if known is None or decode_configuration(Policy, known).version < update.policy_version:
        decision.writes.append((key, encode(Policy(update.policy_version, providers))))


def _learn_health(view: View, update: RoutingUpdate, decision: Decision) -> None:
    _check_name(update.provider, "provider")
    known = health(view).unhealthy
    unhealthy = tuple(sorted({*known, update.provider} if not update.healthy else {*known} - {update.provider}))
    if len(unhealthy) > UNHEALTHY_MAX:
        message = f"{UNHEALTHY_MAX} providers are unhealthy already; declare some healthy first."
        raise Refused(reason="invalid_field", field="provider", message=message)
    if unhealthy != known:
        decision.writes.append((keys.HEALTH, encode(Health(unhealthy))))


def _check_name(provider: str, field: str) -> None:
    if not 0 < len(provider) <= PROVIDER_CHARS_MAX or not provider.isprintable() or ":" in provider or "/" in provider:
        message = f"A provider's name has 1 to {PROVIDER_CHARS_MAX} printable characters and no colon or slash."
        raise Refused(reason="invalid_field", field=field, message=message)
