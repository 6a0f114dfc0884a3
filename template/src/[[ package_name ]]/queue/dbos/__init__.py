"""The queue's engine: DBOS workflows in PostgreSQL, or in SQLite on one machine."""
