"""JupyterLab on the notebooks, for the current user only: ``meshkit lab``.

The server listens on the loopback address with a random token that no command line contains, because other
users can list those: it is passed in the environment, and the browser gets a local file that opens the
address. The server's files are in a private folder; kernels use Unix sockets. The settings disable news
popups and subshells, because with subshells widget callbacks run in another thread than the notebook
(ipykernel#1510).
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

from meshkit.cli.output import echo
from meshkit.errors import BadInput, TimedOut
from meshkit.settings import child_environment, home
from meshkit.version import how_to_install

START = "00_start_here.ipynb"
START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab; ``url`` opens its first notebook and contains the token.

    ``page`` is a file that only this user can read, and that opens ``url`` in a browser.
    """

    process: subprocess.Popen[bytes]
    url: str
    page: Path


@click.command("lab")
@click.option("--no-browser", is_flag=True, help="Print the address without opening a browser.")
@click.option(
    "--no-sandbox", is_flag=True, help="Do not start the sandbox; the notebooks use another cluster."
)
def lab_command(no_browser: bool, no_sandbox: bool) -> int:
    """Open JupyterLab on the notebooks and start the sandbox.

    Ctrl-C stops JupyterLab. The sandbox keeps running, and so do releases, which have their own processes.

    Example: meshkit lab --no-browser
    """
    import webbrowser

    if not no_sandbox:
        from meshkit.sandbox.lifecycle import up

        up(progress=echo)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running_lab(own_notebooks()) as lab:
        echo(f"JupyterLab: {lab.url}\nCtrl-C ends it.")
        if not no_browser:
            webbrowser.open(lab.page.as_uri())
        with contextlib.suppress(KeyboardInterrupt):
            return lab.process.wait()
    return 0


def own_notebooks() -> Path:
    """Return the folder of notebooks to open: editable copies, so that running one changes no checkout.

    A copy that is older than its notebook is replaced, and kept beside it as ``NAME.old.ipynb``.
    """
    from meshkit.runbooks.catalogue import shipped_folder

    own = home() / "notebooks"
    own.mkdir(parents=True, exist_ok=True)
    for notebook in shipped_folder("notebooks").glob("*.ipynb"):
        copy = own / notebook.name
        if copy.exists():
            if copy.stat().st_mtime >= notebook.stat().st_mtime:
                continue
            copy.replace(copy.with_suffix(".old.ipynb"))
        shutil.copy(notebook, copy)
    return own


@contextlib.contextmanager
def running_lab(folder: Path, *, theme: str | None = None, options: tuple[str, ...] = ()) -> Iterator[Lab]:
    """Run JupyterLab on a folder, and stop it and its kernels at the end.

    With a ``theme``, JupyterLab ignores the user's own settings and layout. Raises ``BadInput`` if JupyterLab
    is not installed, and ``TimedOut`` if it does not respond within a minute.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise BadInput("lab", "JupyterLab is not installed.", remedy=f"Install it: {how_to_install('lab')}.")
    with tempfile.TemporaryDirectory(prefix="meshkit-lab-") as private:
        _write_settings(Path(private), theme)
        process = _start(Path(private), folder, options, apart=theme is not None)
        try:
            url = _wait_for_address(Path(private), process)
            yield Lab(process, url, _write_page(Path(private), url))
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
                server = json.loads(file.read_text())
                return f"{server['url']}lab/tree/{START}?token={server['token']}"
        time.sleep(0.1)
    last = (private / "lab.log").read_text(errors="replace").strip().splitlines()[-1:]
    raise TimedOut(
        f"JupyterLab did not start: {''.join(last) or 'it printed no output'}",
        remedy="Run `python -m jupyterlab` to see the error.",
        waited_s=START_TIMEOUT_S,
    )


def _write_page(private: Path, url: str) -> Path:
    """Write the file that opens the address; its folder is closed to other users."""
    from meshkit.views.redirect import redirect_page

    page = private / "open.html"
    page.write_text(redirect_page(url, "Open JupyterLab"), encoding="utf-8")
    return page


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
