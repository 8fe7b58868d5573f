"""The version of meshkit."""

__version__ = "0.1.0"
