"""Scrape configuration, rules and a dashboard, made from one table of signals for each mesh. Pure."""
