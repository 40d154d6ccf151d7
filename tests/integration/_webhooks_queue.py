"""A queue as a process of its own, for tests that kill it."""

from __future__ import annotations

import sys

from api.webhooks.queue import Queue
from schemas.clients import client_config

Queue(
    client_config(sys.argv[1]), worker=sys.argv[2], session_timeout_s=6, ready=lambda: print("ready", flush=True)
).run()
