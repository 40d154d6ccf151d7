"""The embedded warehouse: a real ClickHouse engine (chDB) behind ClickHouse's HTTP interface, on this machine only."""

from connectors.clickhouse.embedded.engine import Engine
from connectors.clickhouse.embedded.errors import QueryError, StartError, TooBusyError, WarehouseError
from connectors.clickhouse.embedded.server import Warehouse
from connectors.clickhouse.embedded.users import User, Users, read_users

__all__ = [
    "Engine",
    "QueryError",
    "StartError",
    "TooBusyError",
    "User",
    "Users",
    "Warehouse",
    "WarehouseError",
    "read_users",
]
