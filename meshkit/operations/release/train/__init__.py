"""Trains: several releases that take each step in order, and are promoted or given back together."""
