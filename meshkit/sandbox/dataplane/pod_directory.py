"""The files of a pod's directory: where its Envoy, its application and its control plane meet.

bootstrap.json  lds.json  cds.json  eds.json  rds.json
token  sds-cert.json  sds-root.json  proxy.json  config.sock  app-<port>.sock

A name out of an object becomes a path by ``below`` only, which refuses one that leads out of its folder: the
API server refuses it too, but an object may lie in the store from before.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

TOKEN_FILE = "token"
"""The token of the pod's ServiceAccount."""


class OutsideFolder(ValueError):
    """A name leads out of the folder that it belongs into."""


def below(folder: Path, name: str) -> Path:
    """The path of a file or folder below another.

    Raises OutsideFolder when the name is absolute, steps back, or leads out through a symbolic link.
    """
    parts = PurePosixPath(name).parts
    if parts and ".." not in parts and not name.startswith("/") and "\0" not in name:
        path = folder.joinpath(*parts)
        try:
            if path.resolve().is_relative_to(folder.resolve()):
                return path
        except (OSError, RuntimeError):  # a loop of symbolic links
            pass
    raise OutsideFolder(f"{name!r} leads out of the folder {folder}")


def pod_folder(run_dir: Path, uid: str) -> Path:
    """The directory of the pod with this uid. Raises OutsideFolder for what is no single name."""
    if "/" in uid:
        raise OutsideFolder(f"{uid!r} leads out of the folder {run_dir}")
    return below(run_dir, uid)


def introduction(pod_dir: Path) -> Path:
    """What a pod's proxy says of itself to whom it asks for a certificate: its mesh, and the roots that it
    was told to trust.
    """
    return pod_dir / "proxy.json"


def app_socket(pod_dir: Path, port: int) -> str:
    """Where the application of a captured port listens."""
    return str(pod_dir / f"app-{port}.sock")


def config_socket(pod_dir: Path) -> Path:
    """Where the pod's Envoy asks for its configuration."""
    return pod_dir / "config.sock"


def secret_sources(pod_dir: Path) -> tuple[Path, Path]:
    """The SDS files of a pod: its own certificate and key, and the roots it trusts."""
    return pod_dir / "sds-cert.json", pod_dir / "sds-root.json"
