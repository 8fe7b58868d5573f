"""The command line is a thin layer over the library.

Each command calls the library, prints a table for people or JSON for programs, and exits. Every function of a
command is also available from the library. Commands import everything heavier than click inside their
functions, so that help and shell completion respond quickly.
"""

from __future__ import annotations

from meshkit.cli.app import main

__all__ = ["main"]
