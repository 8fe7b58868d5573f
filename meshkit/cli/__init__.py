"""The command line. Thin: each command calls the library, prints a table for people or JSON for programs, and
exits.

Nothing that a command does may be out of reach of the library. Everything heavier than click is imported
inside the command that needs it, so that help and completion answer at once.
"""

from __future__ import annotations

from meshkit.cli.app import main

__all__ = ["main"]
