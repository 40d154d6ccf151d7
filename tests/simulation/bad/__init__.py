"""Runtimes that are known to be wrong, each in one way; the simulation is only trusted as long as it catches every one."""

from tests.simulation.bad.clients import CLIENTS
from tests.simulation.bad.tasks import TASKS
from tests.simulation.cluster import Engine

BAD: dict[str, Engine] = {engine.name: engine for engine in (*TASKS, *CLIENTS)}

__all__ = ["BAD"]
