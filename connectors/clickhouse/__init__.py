"""Everything between the topics and ClickHouse: the embedded warehouse, the tables, the landing and the views."""
