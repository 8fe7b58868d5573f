"""The identity controller of Linkerd's charts, which may review tokens but read nothing else."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from meshkit.sandbox.control_planes.api_client import ApiError
from meshkit.sandbox.control_planes.applicants import Applicant, InFolders
from meshkit.sandbox.control_planes.authority import mounted_authority
from meshkit.sandbox.control_planes.identity import Authority
from meshkit.sandbox.control_planes.serving import MountedPair

CA = Authority.create("issuer")


class Tokens:
    """An API server that knows the tokens of some, and is asked nothing else."""

    def __init__(self, **owners: str) -> None:
        self._owners = owners
        self.asked = 0

    async def create(self, resource: str, item: dict[str, Any]) -> dict[str, Any]:
        assert resource == "tokenreviews.authentication.k8s.io"
        self.asked += 1
        token = item["spec"]["token"]
        if token == "broken":
            raise ApiError(500, "no")
        name = self._owners.get(token)
        return {"status": {"user": {"username": name} if name else {}}}


def pod_folder(run: Path, uid: str, *, token: str, mesh: str = "linkerd", roots: str = "") -> None:
    (run / uid).mkdir(parents=True)
    (run / uid / "token").write_text(token)
    (run / uid / "proxy.json").write_text(json.dumps({"mesh": mesh, "roots": roots}))


def mounted(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_whose_a_folder_is_the_api_server_says_of_its_token(tmp_path: Path) -> None:
    run = tmp_path / "run"
    pod_folder(run, "a", token="good", roots="old roots")
    pod_folder(run, "b", token="forged")
    pod_folder(run, "c", token="broken")
    pod_folder(run, "d", token="good", mesh="istio")
    pod_folder(run, "e", token="person")
    (run / "plain").mkdir()
    api: Any = Tokens(good="system:serviceaccount:shop:web", person="jane")
    issuer = mounted(tmp_path / "issuer", tls_crt=CA.certificate, tls_key=CA.key)
    roots = mounted(tmp_path / "roots")
    (roots / "ca-bundle.crt").write_text(CA.roots)

    async def scenario() -> None:
        source = InFolders(api, "linkerd", run, issuer, roots)
        work = asyncio.create_task(source.run())
        await asyncio.wait_for(source.changed.wait(), 10)
        assert source.applicants() == [Applicant("a", "shop", "web", "old roots")]
        assert source.authority() == CA
        first = api.asked
        source.changed.clear()
        (run / "a" / "proxy.json").write_text(json.dumps({"mesh": "linkerd", "roots": ""}))
        await asyncio.wait_for(source.changed.wait(), 10)
        assert source.applicants() == [Applicant("a", "shop", "web", None)]
        assert api.asked <= first + 2 * 3, "a token that was good is asked about once"
        work.cancel()

    asyncio.run(scenario())


def test_both_forms_of_the_issuer_are_read_where_they_are_mounted(tmp_path: Path) -> None:
    own = mounted(tmp_path / "own", crt_pem=CA.certificate, key_pem=CA.key)
    bundle = mounted(tmp_path / "bundle")
    assert mounted_authority(own, bundle) is None
    (bundle / "ca-bundle.crt").write_text(CA.roots)
    assert mounted_authority(own, bundle) == CA
    assert mounted_authority(bundle, bundle) is None


def test_a_serving_pair_that_does_not_fit_is_not_taken_up(tmp_path: Path) -> None:
    leaf, other = CA.leaf(names=["a"]), CA.leaf(names=["b"])
    folder = mounted(tmp_path / "tls", tls_crt=leaf.certificate, tls_key=leaf.key)
    pair = MountedPair(folder)
    pair.load()
    (folder / "tls.crt").write_text(other.certificate)
    with pytest.raises(ssl.SSLError):
        pair.load()
    (folder / "tls.key").write_text(other.key)
    pair.load()
