"""Plans, the live mesh and its intents as YAML for a Git repository; nothing here changes a cluster."""
