"""Which cluster is chosen: the one that is named, else $KUBECONFIG's, else the pod's, else the sandbox."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshkit.cluster import connect as connecting
from meshkit.cluster.connect import SANDBOX, connect, connect_sandbox, environment_for
from meshkit.cluster.kubeconfig import read_kubeconfig
from meshkit.errors import BadInput, UnknownName
from meshkit.sandbox.certificates import certificate_pem, issued, key_pem, self_signed


def write(path: Path, *contexts: str, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0] if contexts else "",
        "clusters": [{"name": c, "cluster": {"server": f"https://{c}.invalid:6443"}} for c in contexts],
        "users": [{"name": c, "user": {"token": "t"}} for c in contexts],
        "contexts": [{"name": c, "context": {"cluster": c, "user": c}} for c in contexts],
        **more,
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("MESHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kubeconfig of a sandbox that is up."""
    monkeypatch.setattr(connecting, "_listens", lambda server, authority: True)
    return write(tmp_path / "home" / "sandbox" / "kubeconfig", SANDBOX)


def authority_and_server(folder: Path) -> tuple[str, Path]:
    """An authority's certificate as PEM, and a file with the certificate and key of a server of 127.0.0.1."""
    folder.mkdir()
    day = dt.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
    authority, key = self_signed(name, day)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    leaf, leaf_key = issued(
        authority, key, alternatives=[address], purposes=[ExtendedKeyUsageOID.SERVER_AUTH], lifetime=day
    )
    (folder / "server.pem").write_text(certificate_pem(leaf) + key_pem(leaf_key))
    return certificate_pem(authority), folder / "server.pem"


@contextmanager
def serving(pem: Path) -> Iterator[int]:
    """The port of a TLS server that accepts connections and answers nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept_two() -> None:
            for _ in range(2):
                connection, _peer = listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
                    pass
                connection.close()

        thread = threading.Thread(target=accept_two)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=10)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process runs in a pod with a ServiceAccount."""
    from kubernetes.config import incluster_config

    for name, text in (("token", "t"), ("ca.crt", "c")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(connecting, "_POD_TOKEN", tmp_path / "token")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


def test_a_named_context_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "prod", "staging")
    cluster = connect("staging", path)
    assert (cluster.context, cluster.server) == ("staging", "https://staging.invalid:6443")


def test_a_login_program_that_is_not_there_is_bad_input(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    login = {"apiVersion": "client.authentication.k8s.io/v1", "command": "none", "interactiveMode": "Never"}
    path = write(tmp_path / "config", "prod", users=[{"name": "prod", "user": {"exec": login}}])
    with pytest.raises(BadInput, match=r"context prod of .* cannot be used: .*'none'"):
        connect("prod", path)
    assert capfd.readouterr().err == ""


def test_contexts_are_found_in_every_file_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / name, name) for name in ("one", "two")]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert connect("two").server == "https://two.invalid:6443"


def test_a_file_with_one_context_needs_no_name(tmp_path: Path) -> None:
    assert connect(kubeconfig=write(tmp_path / "config", "only")).context == "only"


def test_several_contexts_are_listed_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "prod", "staging", **{"current-context": ""})
    with pytest.raises(BadInput, match=r"has 2 contexts\. Name one of these contexts: prod, staging"):
        connect(kubeconfig=path)


def test_the_current_context_of_a_named_file_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "prod", "staging", **{"current-context": "staging"})
    cluster = connect(kubeconfig=path)
    assert (cluster.context, cluster.kubeconfig) == ("staging", str(path))
    assert cluster.reason == f"the current-context of {path}"


def test_a_current_context_that_the_file_does_not_define_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "prod", **{"current-context": "gone"})
    with pytest.raises(BadInput, match=r"current-context of .*'gone' is not known.* Known: prod"):
        connect(kubeconfig=path)


def test_an_empty_name_of_a_file_is_no_choice_of_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config", "prod")))
    with pytest.raises(BadInput, match="kubeconfig: it is empty"):
        connect(kubeconfig="")


def test_the_environments_current_context_comes_before_the_pod_and_the_sandbox(
    tmp_path: Path, sandbox: Path, pod: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config", "prod")))
    cluster = connect()
    assert (cluster.context, cluster.server) == ("prod", "https://prod.invalid:6443")
    assert cluster.reason == "from $KUBECONFIG"


def test_a_named_file_comes_before_the_environment(
    tmp_path: Path, sandbox: Path, pod: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config", "prod")))
    assert connect(kubeconfig=sandbox).context == SANDBOX
    assert connect(SANDBOX).server == f"https://{SANDBOX}.invalid:6443"
    assert connect(SANDBOX).reason == ""


def test_the_pods_account_comes_before_the_sandbox(sandbox: Path, pod: None) -> None:
    cluster = connect()
    assert (cluster.context, cluster.server, cluster.kubeconfig) == (
        "in-cluster",
        "https://10.0.0.1:443",
        None,
    )
    assert cluster.reason == "the account of this pod"


def test_the_current_context_of_the_default_file_is_never_taken_silently(
    tmp_path: Path, sandbox: Path
) -> None:
    write(tmp_path / "user" / ".kube" / "config", "prod")
    assert connect().context == SANDBOX
    assert connect("prod").server == "https://prod.invalid:6443"


def test_an_environment_without_a_current_context_is_refused(
    tmp_path: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "config", "prod", **{"current-context": ""})
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(BadInput, match=r"\$KUBECONFIG: .*no current-context.*unset it.*these contexts: prod"):
        connect()


@pytest.mark.parametrize("named", ["none", "config:none", "none:config", ":"])
def test_an_environment_that_names_no_file_is_refused(
    named: str, tmp_path: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "config", "prod")
    monkeypatch.setenv("KUBECONFIG", named)
    missing = r"it names no file" if named == ":" else rf"there is no file {tmp_path}/none"
    with pytest.raises(BadInput, match=rf"\$KUBECONFIG: {missing}.* or unset it"):
        connect()


def test_a_context_that_may_stand_in_a_missing_file_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path / "config", "prod")
    monkeypatch.setenv("KUBECONFIG", f"{config}:{tmp_path / 'none'}")
    assert connect("prod").context == "prod"
    with pytest.raises(BadInput, match=rf"'other' is not known.* there is no file {tmp_path}/none"):
        connect("other")


def test_an_empty_environment_variable_is_no_choice(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    assert connect().context == SANDBOX


def test_files_are_merged_as_kubectl_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first file that defines a value wins; a context, its cluster and its user may stand in three."""
    first = write(
        tmp_path / "a" / "config", contexts=[{"name": "x", "context": {"cluster": "c", "user": "u"}}]
    )
    second = write(tmp_path / "b" / "config", "x", **{"current-context": "x"})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "token").write_text("of c")
    third = write(
        tmp_path / "c" / "config",
        clusters=[{"name": "c", "cluster": {"server": "https://c.invalid"}}],
        users=[{"name": "u", "user": {"tokenFile": "token"}}],
        **{"current-context": "y"},
    )
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}::{third}")
    cluster = connect()
    assert (cluster.context, cluster.server) == ("x", "https://c.invalid")
    user = read_kubeconfig((first, second, third)).only("x")["users"][0]["user"]
    assert user == {"tokenFile": str(third.parent / "token")}
    assert cluster.kubeconfig == f"{first}:{second}:{third}"
    monkeypatch.delenv("KUBECONFIG")
    assert connect(cluster.context, cluster.kubeconfig).server == "https://c.invalid", "in another process"


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """Also for a user that is in another file than its cluster."""
    clusters = [
        {"name": "prod", "cluster": {"server": "https://c.invalid", "certificate-authority": "ca.crt"}}
    ]
    users = [{"name": "prod", "user": {"client-certificate": "me.crt", "client-key": "me.key"}}]
    one = write(tmp_path / "one" / "config", "prod", users=[], clusters=clusters)
    two = write(tmp_path / "two" / "config", users=users)
    for path in (one.parent / "ca.crt", two.parent / "me.crt", two.parent / "me.key"):
        path.write_text("x")
    cluster = read_kubeconfig((one, two)).only("prod")
    assert cluster["clusters"][0]["cluster"]["certificate-authority"] == str(one.parent / "ca.crt")
    assert cluster["users"][0]["user"] == {
        "client-certificate": str(two.parent / "me.crt"),
        "client-key": str(two.parent / "me.key"),
    }


@pytest.mark.parametrize(
    ("more", "missing"),
    [
        ({"clusters": []}, "no cluster 'prod'"),
        ({"users": []}, "no user 'prod'"),
        ({"clusters": [{"name": "prod", "cluster": {}}]}, "cluster 'prod' has no server"),
    ],
)
def test_a_context_that_leads_nowhere_is_refused(tmp_path: Path, more: dict[str, Any], missing: str) -> None:
    """The client would ask localhost, or go on without any credentials."""
    with pytest.raises(BadInput, match=f"context prod of .* cannot be used: .*{missing}"):
        connect("prod", write(tmp_path / "config", "prod", **more))


def test_the_sandbox_is_never_the_one_of_another_home(
    tmp_path: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "other" / "kubeconfig", SANDBOX)
    other.write_text(other.read_text().replace(".invalid", ".other.invalid"))
    monkeypatch.setenv("KUBECONFIG", str(other))
    assert connect(SANDBOX).server == f"https://{SANDBOX}.other.invalid:6443", "what was named"
    assert connect_sandbox().server == f"https://{SANDBOX}.invalid:6443"


def test_a_sandbox_that_is_not_up_is_told_so() -> None:
    with pytest.raises(BadInput, match=r"the sandbox is not up.*meshkit sandbox up"):
        connect_sandbox()
    with pytest.raises(BadInput, match=r"the sandbox is not up.*meshkit sandbox up"):
        connect(SANDBOX)


def test_a_child_process_reaches_the_same_cluster(
    tmp_path: Path, pod: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (write(tmp_path / name, name) for name in ("one", "two"))
    monkeypatch.setenv("KUBECONFIG", f"{one}:{two}")
    chosen = connect("two")
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    assert environment_for(chosen)["KUBECONFIG"] == f"{one}:{two}"
    monkeypatch.delenv("KUBECONFIG")
    assert environment_for(connect())["KUBECONFIG"] == "/dev/null", "not ~/.kube/config"


def test_a_server_shows_no_credentials(tmp_path: Path) -> None:
    clusters = [
        {"name": "prod", "cluster": {"server": "https://me:hunter2@prod.invalid:6443/k8s/1?token=t0p"}}
    ]
    cluster = connect("prod", write(tmp_path / "config", "prod", clusters=clusters))
    assert cluster.server == "https://prod.invalid:6443/k8s/1"
    assert cluster.api.server == cluster.server
    assert str(cluster) == "prod (https://prod.invalid:6443/k8s/1)"


def test_an_unknown_context_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'staging'"):
        connect("stagin", write(tmp_path / "config", "prod", "staging"))


def test_nothing_named_and_no_sandbox_names_the_contexts(tmp_path: Path) -> None:
    write(tmp_path / "user" / ".kube" / "config", "prod")
    with pytest.raises(BadInput, match=r"sandbox is not up.*meshkit sandbox up.*prod"):
        connect()


def test_nothing_named_is_the_sandbox_when_it_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "home" / "sandbox" / "kubeconfig", SANDBOX)
    monkeypatch.setattr(connecting, "_listens", lambda server, authority: True)
    assert connect().context == SANDBOX


def test_a_stopped_sandbox_is_not_used(tmp_path: Path) -> None:
    path = write(tmp_path / "home" / "sandbox" / "kubeconfig", SANDBOX)
    path.write_text(path.read_text().replace(f"https://{SANDBOX}.invalid:6443", "https://127.0.0.1:9"))
    with pytest.raises(BadInput, match="sandbox is not up"):
        connect()


def test_a_port_that_another_sandbox_took_is_not_this_sandbox(tmp_path: Path) -> None:
    own, other = (authority_and_server(tmp_path / name) for name in ("own", "other"))
    with serving(other[1]) as port:
        path = write(tmp_path / "home" / "sandbox" / "kubeconfig", SANDBOX)
        cluster = {"server": f"https://127.0.0.1:{port}"}
        for authority, up in ((own[0], False), (other[0], True)):
            cluster["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
            write(path, SANDBOX, clusters=[{"name": SANDBOX, "cluster": cluster}])
            if up:
                assert connect().context == SANDBOX
            else:
                with pytest.raises(BadInput, match="sandbox is not up"):
                    connect()


@pytest.mark.parametrize("text", ["contexts: 7", "a: [", "", "contexts: [{}]", "? [a]\n: b"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"{path} is not a kubeconfig"):
        connect("prod", path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        connect(kubeconfig=tmp_path / "none")


def test_a_context_without_its_cluster_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"context prod of .* cannot be used"):
        connect("prod", write(tmp_path / "config", "prod", clusters=[]))
