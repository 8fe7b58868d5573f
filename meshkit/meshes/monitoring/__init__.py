"""Scrape configuration, rules and a dashboard, generated from the table of signals of a mesh."""
