"""Defines the files in a pod's directory, which Envoy, application and control plane share.

bootstrap.json  lds.json  cds.json  eds.json  rds.json
token  address  sds-cert.json  sds-root.json  proxy.json
admin.sock  config.sock  app-<port>.sock  ctl-<port>.sock

Names from API objects become paths only through ``safe_join``, which refuses names that escape their folder.
The API server refuses such names too, but an older store may contain them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

TOKEN_FILE = "token"
"""The token of the pod's ServiceAccount."""
ADDRESS_FILE = "address"
"""The IP address that the node agent has given to the pod."""


class OutsideFolder(ValueError):
    """A name refers to a path outside its folder."""


def safe_join(folder: Path, name: str) -> Path:
    """Join a relative name to a folder.

    Raises OutsideFolder when the name is absolute, contains ``..``, or escapes through a symbolic link.
    """
    parts = PurePosixPath(name).parts
    if parts and ".." not in parts and not name.startswith("/") and "\0" not in name:
        path = folder.joinpath(*parts)
        try:
            if path.resolve().is_relative_to(folder.resolve()):
                return path
        except (OSError, RuntimeError):  # Resolving fails for a loop of symbolic links.
            pass
    raise OutsideFolder(f"{name!r} leads out of the folder {folder}")


def pod_folder(run_dir: Path, uid: str) -> Path:
    """Return the directory of the pod with this uid; raise OutsideFolder if the uid is not a single name."""
    if "/" in uid:
        raise OutsideFolder(f"{uid!r} leads out of the folder {run_dir}")
    return safe_join(run_dir, uid)


def proxy_info_file(pod_dir: Path) -> Path:
    """Return the file with the mesh and the trusted roots of the pod's proxy, which the issuer reads."""
    return pod_dir / "proxy.json"


def app_socket(pod_dir: Path, port: int) -> str:
    """Return the socket on which the application of a captured port listens."""
    return str(pod_dir / f"app-{port}.sock")


def control_socket(pod_dir: Path, port: int | str) -> str:
    """Return the socket on which a program of the sandbox serves the control API of a port."""
    return str(pod_dir / f"ctl-{port}.sock")


def admin_socket(pod_dir: Path) -> Path:
    """Return the socket of Envoy's administration interface."""
    return pod_dir / "admin.sock"


def config_socket(pod_dir: Path) -> Path:
    """Return the socket of the pod's configuration server."""
    return pod_dir / "config.sock"


def secret_sources(pod_dir: Path) -> tuple[Path, Path]:
    """Return the SDS files of a pod: its certificate with key, and its trusted roots."""
    return pod_dir / "sds-cert.json", pod_dir / "sds-root.json"
