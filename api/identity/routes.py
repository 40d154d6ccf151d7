"""Everything of this package, and what reads show of routing and of payments' histories, for the server."""

from __future__ import annotations

import json
from collections.abc import Mapping

from api.http._tables import Tables
from api.http.operations import Route
from api.http.service import Service
from api.identity import account, api_keys, approvals, history, operations, operators, payouts, policies, tenants
from api.identity.log import ConfigurationLog
from api.reads import decisions, traces
from api.reads.service import Reads

_PROVIDERS = "CLEARLINE_PROVIDERS"


def routes(
    service: Service,
    tables: Tables,
    log: ConfigurationLog,
    reads: Reads,
    environ: Mapping[str, str],
    *,
    paying: tuple[Route, ...],
) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`. `paying`: the routes of payouts, which come back with what people may do."""
    return (
        *account.routes(tables),
        *api_keys.routes(tables, log),
        *approvals.routes(tables, log, pay=payouts.creation(paying)),
        *decisions.routes(reads.warehouse, reads.landed),
        *history.routes(log, reads.warehouse),
        *operations.routes(service, tables, reads.payments),
        *operators.routes(tables, log),
        *payouts.guarded(paying),
        *payouts.routes(tables, log),
        *policies.routes(tables, log, reads.warehouse, providers=providers(environ)),
        *tenants.routes(tables, log),
        *traces.routes(reads.warehouse, reads.landed),
    )


def providers(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the providers that the gateway is told of; none where this process is not told, and then any name is taken."""
    try:
        found = json.loads(environ.get(_PROVIDERS, "") or "{}")
    except ValueError:
        return ()
    return tuple(sorted(found)) if isinstance(found, dict) else ()
