"""``meshkit lab``: JupyterLab on the notebooks, for this user only.

It listens on the loopback address with a random token that stands in the environment, not in the process
list; its files are in a private folder; kernels talk over Unix sockets. The settings say: no news popup, and
no subshells, on which widget callbacks would run in another thread than the notebook (ipykernel#1510).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from meshkit.errors import BadInput, TimedOut
from meshkit.settings import child_environment, home

START = "00_start_here.ipynb"
START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab. ``url`` opens it at the first notebook and holds the token."""

    process: subprocess.Popen[bytes]
    url: str


@click.command("lab")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--no-sandbox", is_flag=True, help="Do not start the sandbox: the notebooks shall use a cluster."
)
def lab_command(no_browser: bool, no_sandbox: bool) -> int:
    """Open JupyterLab on the notebooks, with the sandbox up; Ctrl-C ends it.

    The sandbox stays up, and releases go on: they run in processes of their own.
    """
    import webbrowser

    if not no_sandbox:
        from meshkit.sandbox.lifecycle import up

        up(progress=click.echo)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running_lab(own_notebooks()) as lab:
        click.echo(f"JupyterLab: {lab.url}\nCtrl-C ends it.")
        if not no_browser:
            webbrowser.open(lab.url)
        with contextlib.suppress(KeyboardInterrupt):
            return lab.process.wait()
    return 0


def own_notebooks() -> Path:
    """The notebooks to open: those of the checkout, or else copies of the installed ones that the user may
    change.
    """
    from meshkit.runbooks.catalogue import shipped_folder

    shipped = shipped_folder("notebooks")
    if os.access(shipped, os.W_OK) and (shipped.parent / "pyproject.toml").exists():
        return shipped
    own = home() / "notebooks"
    own.mkdir(parents=True, exist_ok=True)
    for notebook in shipped.glob("*.ipynb"):
        if not (own / notebook.name).exists():
            shutil.copy(notebook, own)
    return own


@contextlib.contextmanager
def running_lab(folder: Path, *, theme: str | None = None, options: tuple[str, ...] = ()) -> Iterator[Lab]:
    """JupyterLab on a folder, stopped with its kernels at the end.

    With a ``theme`` it is that of every JupyterLab alike: the user's own settings and layout stay out of it.
    Raises BadInput when JupyterLab is not installed, TimedOut when it does not answer within a minute.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise BadInput(
            "lab", "JupyterLab is not installed.", remedy="Install it: pip install 'meshkit[lab]'."
        )
    with tempfile.TemporaryDirectory(prefix="meshkit-lab-") as private:
        _write_settings(Path(private), theme)
        process = _start(Path(private), folder, options, apart=theme is not None)
        try:
            yield Lab(process, _wait_for_address(Path(private), process))
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            process.kill()
            process.wait()


def _start(private: Path, folder: Path, options: tuple[str, ...], *, apart: bool) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0"),
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.app_settings_dir={private}/settings",
        "--LabApp.extension_manager=readonly",
        "--KernelManager.transport=ipc",
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *options,
    ]
    environment = child_environment(
        JUPYTER_RUNTIME_DIR=str(private),
        JUPYTER_TOKEN=secrets.token_urlsafe(32),
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )
    if apart:
        environment["JUPYTERLAB_SETTINGS_DIR"] = f"{private}/user-settings"
        environment["JUPYTERLAB_WORKSPACES_DIR"] = f"{private}/workspaces"
    with (private / "lab.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _wait_for_address(private: Path, process: subprocess.Popen[bytes]) -> str:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        for file in private.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):
                found = json.loads(file.read_text())
                return f"{found['url']}lab/tree/{START}?token={found['token']}"
        time.sleep(0.1)
    last = (private / "lab.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise TimedOut(
        f"JupyterLab did not start: {''.join(last) or 'it said nothing'}",
        remedy="Run `python -m jupyterlab` to see what is wrong.",
        waited_s=START_TIMEOUT_S,
    )


def _write_settings(private: Path, theme: str | None) -> None:
    overrides: dict[str, dict[str, object]] = {
        "@jupyterlab/apputils-extension:notification": {
            "fetchNews": "false",
            "checkForUpdates": False,
            "doNotDisturbMode": True,
        },
        "@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": "disabled"},
    }
    if theme:
        overrides["@jupyterlab/apputils-extension:themes"] = {"theme": theme}
    settings = private / "settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(overrides))
