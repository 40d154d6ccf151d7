"""Landing: every record of the landed topics becomes rows in ClickHouse, once."""

from connectors.clickhouse.landing._landing import Landing, Status
from connectors.clickhouse.landing._rows import LANDED_TOPICS

__all__ = ["LANDED_TOPICS", "Landing", "Status"]
