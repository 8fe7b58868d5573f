"""Objects in SQLite: reads, writes, patches, field ownership and selectors."""
