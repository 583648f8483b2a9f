"""The embedded PostgreSQL: its programs, its data directory, its start and its stop."""
