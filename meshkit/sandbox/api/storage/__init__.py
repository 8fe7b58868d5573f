"""Object storage in SQLite with reads, writes, patches, field ownership and selectors."""
