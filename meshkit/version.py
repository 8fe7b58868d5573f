"""The version of meshkit, and how to install the rest of it."""

__version__ = "0.1.0"


def how_to_install(extra: str) -> str:
    """The command that adds an extra of this version, for the remedy of an error."""
    return (
        f"pip install 'meshkit[{extra}]=={__version__}', or pip install '.[{extra}]' in a checkout while no"
        " package index has this version"
    )
