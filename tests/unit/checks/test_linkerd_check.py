"""What ``linkerd check`` looks at in Linkerd alone: each test takes one thing from a healthy mesh away."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from meshkit.checks.health import findings
from meshkit.facts import Snapshot
from meshkit.meshes.view import View
from tests.unit.checks.meshes import (
    HEALTHY,
    ISSUER,
    ISSUER_KEY,
    NOW,
    ROOT,
    ROOT_KEY,
    Objects,
    added,
    both,
    certificate,
    changed,
    encoded,
    found,
    named,
    obj,
    private,
    without,
)

Break = Callable[[Objects], None]
ROOTS, SECRET = "linkerd-identity-trust-roots", "linkerd-identity-issuer"


def issuer(*extensions: x509.ExtensionType, digest: hashes.HashAlgorithm | None = None) -> Break:
    text, key = certificate(365, None, ROOT_KEY, *extensions, digest=digest)
    data = {"tls.crt": encoded(text), "tls.key": encoded(private(key)), "ca.crt": encoded(ROOT)}
    return changed("Secret", SECRET, data=data)


def bundle(*anchors: str) -> Break:
    return changed("ConfigMap", ROOTS, data={"ca-bundle.crt": "".join(anchors)})


def usage(*, signs: bool) -> x509.KeyUsage:
    rest = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment"), False)
    last = dict.fromkeys(("key_agreement", "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs, **rest, **last)


CA = x509.BasicConstraints(ca=True, path_length=0)
NO_CA = x509.BasicConstraints(ca=False, path_length=None)
DATA = {"tls.crt": encoded(ISSUER), "tls.key": encoded(private(ISSUER_KEY)), "ca.crt": encoded(ROOT)}
OPAQUE_FORM = {"crt.pem": encoded(ISSUER), "key.pem": encoded(private(ISSUER_KEY))}
STRANGE_KEY = {**DATA, "tls.key": encoded(private(ec.generate_private_key(ec.SECP256R1())))}
RSA_ANCHOR = certificate(key=rsa.generate_private_key(65537, 2048))[0]
P384_ANCHOR = certificate(key=ec.generate_private_key(ec.SECP384R1()))[0]
SHORT_ANCHOR = certificate(key=ROOT_KEY, path_length=0)[0]

IDENTITY: dict[str, tuple[Break, list[str]]] = {
    "a CA that signs": (issuer(CA, usage(signs=True)), []),
    "Linkerd's own form": (changed("Secret", SECRET, data=OPAQUE_FORM), []),
    "no issuer": (without("Secret", SECRET), ["MK0807 error"]),
    "an empty issuer": (changed("Secret", SECRET, data={}), ["MK0807 error"]),
    "not a CA": (issuer(NO_CA), ["MK0808 error"]),
    "nothing said of a CA": (issuer(usage(signs=True)), ["MK0808 error"]),
    "a CA that signs no certificates": (issuer(CA, usage(signs=False)), ["MK0808 error"]),
    "signed with SHA-384": (issuer(CA, digest=hashes.SHA384()), ["MK0804 error"]),
    "another key": (changed("Secret", SECRET, data=STRANGE_KEY), ["MK0809 error"]),
    "no key": (changed("Secret", SECRET, data={**DATA, "tls.key": ""}), ["MK0809 error"]),
    "no bundle": (without("ConfigMap", ROOTS), ["MK0806 error"]),
    "an unreadable bundle": (bundle("text"), ["MK0806 error"]),
    "an anchor with nothing below": (bundle(SHORT_ANCHOR), ["MK0810 error"]),
    "an anchor of RSA": (bundle(ROOT, RSA_ANCHOR), []),
    "an anchor of P-384": (bundle(ROOT, P384_ANCHOR), ["MK0804 error"]),
    "an ended anchor of others": (bundle(ROOT, certificate(days=-1)[0]), ["MK0811 info"]),
}


def trusting(text: str) -> Break:
    """The injector's note of the bundle on both pods of the shop."""
    note = {"linkerd.io/trust-root-sha256": hashlib.sha256(text.encode()).hexdigest()}
    return both(*(changed("Pod", f"web-{each}", metadata__annotations=note) for each in "ab"))


DATA_PLANE: dict[str, tuple[Break, list[str]]] = {
    "proxies of this bundle": (trusting(ROOT), []),
    "proxies of this bundle, trimmed": (trusting(ROOT.strip()), []),
    "proxies of another bundle": (trusting(certificate()[0]), ["MK0812 warning"]),
    "a config label on a pod": (
        changed("Pod", "web-a", metadata__labels={"app": "web", "config.linkerd.io/proxy-cpu-limit": "1"}),
        ["MK0611 warning"],
    ),
    "an inject label on a Service": (
        changed("Service", "web", metadata__labels={"linkerd.io/inject": "enabled"}),
        ["MK0611 warning"],
    ),
    "an export annotation on a Service": (
        changed("Service", "web", metadata__annotations={"mirror.linkerd.io/exported": "true"}),
        ["MK0611 warning"],
    ),
}


def versions(plane: str, proxy: str) -> Break:
    image = f"ghcr.io/linkerd/controller:{plane}"
    template = {"spec": {"containers": [{"image": image}]}}
    names = ("linkerd-destination", "linkerd-identity", "linkerd-proxy-injector")
    return both(
        *(changed("Deployment", name, spec__template=template) for name in names),
        changed("Pod", "web-a", metadata__annotations={"linkerd.io/proxy-version": proxy}),
    )


VERSIONS: dict[str, tuple[Break, list[str]]] = {
    "one minor version behind": (versions("2.20.1", "2.19.4"), ["MK0608 warning"]),
    "two minor versions behind": (versions("2.20.1", "2.18.0"), ["MK0608 warning", "MK0613 error"]),
    "a minor version ahead": (versions("2.19.1", "2.20.0"), ["MK0608 warning", "MK0613 error"]),
    "an edge ahead": (versions("edge-26.6.3", "edge-26.8.1"), ["MK0608 warning", "MK0613 error"]),
    "an edge behind": (versions("edge-26.6.3", "edge-24.1.1"), ["MK0608 warning"]),
    "an edge before a release": (versions("2.20.1", "edge-26.8.1"), ["MK0608 warning"]),
}


def opaque(service: str | None, pods: str | None, **port: Any) -> Break:
    key, listed = "config.linkerd.io/opaque-ports", [{"port": 80, "appProtocol": "http", **port}]
    ports = [{"name": "web", "containerPort": 8080}]
    breaks = [changed("Service", "web", spec__ports=listed)]
    if service is not None:
        breaks.append(changed("Service", "web", metadata__annotations={key: service}))
    for each in "ab" if pods is not None else "":
        breaks.append(changed("Pod", f"web-{each}", metadata__annotations={key: pods}))
    for each in "ab":
        breaks.append(
            lambda o, e=each: named(o, "Pod", f"web-{e}")["spec"]["containers"][0].update(ports=ports)
        )
    return both(*breaks)


@pytest.mark.parametrize(
    ("break_it", "codes"),
    [
        (opaque("80", "8080", targetPort=8080), []),
        (opaque("80", "80"), []),
        (opaque("80", None, targetPort=8080), ["MK0903 warning"]),
        (opaque(None, "8080", targetPort=8080), ["MK0903 warning"]),
        (opaque("80", "8080", targetPort="web"), []),
        (opaque("80", "web", targetPort="web"), []),
        (opaque("80", "9090", targetPort="web"), ["MK0903 warning"]),
        (opaque("70-90", "8000-9000", targetPort=8080), []),
        (opaque(None, "3306", port=3306), []),
        (opaque("80", None, port=3306), ["MK0903 warning"]),
        (opaque("80", None, targetPort="absent"), ["MK0904 error"]),
    ],
)
def test_a_port_is_opaque_on_both_sides_or_on_none(break_it: Break, codes: list[str]) -> None:
    objects = deepcopy(HEALTHY["linkerd"])
    break_it(objects)
    assert found("linkerd", objects) == codes


def test_a_headless_service_has_no_ports_to_compare() -> None:
    objects = deepcopy(HEALTHY["linkerd"])
    both(opaque("80", None, targetPort=8080), changed("Service", "web", spec__clusterIP="None"))(objects)
    assert found("linkerd", objects) == []


def served(text: str, trusts: str | None = None) -> Break:
    """The injector serves a certificate; its webhook trusts another or the same."""

    def break_it(objects: Objects) -> None:
        data = {"tls.crt": encoded(text)}
        objects.append(obj("v1", "Secret", "linkerd-proxy-injector-k8s-tls", "linkerd", data=data))
        for one in objects:
            if one["kind"] == "MutatingWebhookConfiguration":
                one["webhooks"][0]["clientConfig"]["caBundle"] = encoded(trusts or text)

    return break_it


def name(host: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(host)])


RIGHT = name("linkerd-proxy-injector.linkerd.svc")
SERVING: dict[str, tuple[Break, list[str]]] = {
    "self-signed": (served(certificate(365, None, None, RIGHT)[0]), []),
    "signed by what is trusted": (served(certificate(365, None, ROOT_KEY, RIGHT)[0], ROOT), []),
    "trusted by nobody": (served(certificate(365, None, None, RIGHT)[0], ROOT), ["MK0813 error"]),
    "of another name": (served(certificate(365, None, None, name("a.b.svc"))[0]), ["MK0814 error"]),
    "ends soon": (served(certificate(50, None, ROOT_KEY, RIGHT)[0], ROOT), ["MK0802 warning"]),
    "ended": (served(certificate(-1, None, ROOT_KEY, RIGHT)[0], ROOT), ["MK0801 error"]),
    "no certificate": (served("text", ROOT), ["MK0803 error"]),
}


def validator(**client: Any) -> dict[str, Any]:
    service = {"name": "linkerd-policy-validator", "namespace": "linkerd"}
    hook = {"name": "policy", "clientConfig": {"service": service, **client}}
    return obj(
        *("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "policy"), webhooks=[hook]
    )


POLICY = obj("v1", "Service", "linkerd-policy-validator", "linkerd", spec={"ports": []})
ENDING = {"caBundle": encoded(certificate(days=30)[0])}


def configured(**values: Any) -> dict[str, Any]:
    return obj("v1", "ConfigMap", "linkerd-config", "linkerd", data={"values": yaml.safe_dump(values)})


def by_charts(objects: Objects) -> None:
    note = {"linkerd.io/created-by": "linkerd/helm edge-26.6.3"}
    named(objects, "Deployment", "linkerd-destination")["metadata"]["annotations"] = note


def heartbeat(objects: Objects) -> None:
    template = {"spec": {"serviceAccountName": "linkerd-heartbeat", "containers": []}}
    spec = {"jobTemplate": {"spec": {"template": template}}}
    objects.append(obj("batch/v1", "CronJob", "linkerd-heartbeat", "linkerd", spec=spec))


def extension(where: str) -> dict[str, Any]:
    return obj("v1", "Namespace", where, meta={"labels": {"linkerd.io/extension": "viz"}})


DOCKER = changed("Node", "a", status__nodeInfo__containerRuntimeVersion="docker://29.1")
INSTALLATION: dict[str, tuple[Break, list[str]]] = {
    "a validator called": (added(POLICY, validator()), []),
    "a validator that nobody calls": (added(POLICY), ["MK0506 warning"]),
    "a validator whose CA ends": (added(POLICY, validator(**ENDING)), ["MK0802 warning"]),
    "values of the charts": (both(by_charts, added(configured(proxy={}))), []),
    "no values of the charts": (by_charts, ["MK1206 error"]),
    "values that are no YAML": (
        both(by_charts, added(obj("v1", "ConfigMap", "linkerd-config", "linkerd", data={"values": "{"}))),
        ["MK1206 error"],
    ),
    "no account of the heartbeat": (heartbeat, ["MK1204 error"]),
    "an account of the heartbeat": (
        both(heartbeat, added(obj("v1", "ServiceAccount", "linkerd-heartbeat", "linkerd"))),
        [],
    ),
    "an extension twice": (added(extension("viz"), extension("viz-2")), ["MK1207 warning"]),
    "an extension once": (added(extension("viz")), []),
    "Docker": (both(DOCKER, added(configured(proxyInit={"runAsRoot": False}))), ["MK1406 error"]),
    "Docker and root": (both(DOCKER, added(configured(proxyInit={"runAsRoot": True}))), []),
    "agents by values alone": (added(configured(cniEnabled=True)), ["MK0411 error"]),
}


def networked(networks: str, **addresses: str) -> Break:
    places = {
        "node": ("Node", "a", "spec__podCIDR"),
        "pod": ("Pod", "web-a", "status__podIP"),
        "service": ("Service", "web", "spec__clusterIP"),
    }
    breaks = [changed(*places[what][:2], **{places[what][2]: at}) for what, at in addresses.items()]
    return both(added(configured(clusterNetworks=networks)), *breaks)


NETWORKS: dict[str, tuple[Break, list[str]]] = {
    "all inside": (
        networked("10.0.0.0/8, fd00::/8", node="10.1.0.0/24", pod="10.1.0.1", service="fd00::1"),
        [],
    ),
    "a node outside": (networked("10.0.0.0/8", node="11.0.0.0/24"), ["MK1302 error"]),
    "a node's network around": (networked("10.1.0.0/16", node="10.0.0.0/8"), ["MK1302 error"]),
    "a pod outside": (networked("10.0.0.0/8", pod="192.0.2.1"), ["MK1302 error"]),
    "a pod of the host": (
        both(networked("10.0.0.0/8", pod="192.0.2.1"), changed("Pod", "web-a", spec__hostNetwork=True)),
        [],
    ),
    "a Service outside": (networked("10.0.0.0/8", service="192.0.2.1"), ["MK1302 error"]),
    "a headless Service": (networked("10.0.0.0/8", service="None"), []),
    "no network": (networked("ten"), ["MK1302 error"]),
}
GROUPS = (
    ("identity", IDENTITY),
    ("data", DATA_PLANE),
    ("versions", VERSIONS),
    ("serving", SERVING),
    ("installed", INSTALLATION),
)
CASES = [
    pytest.param(*case, id=f"{group}-{told}")
    for group, cases in (*GROUPS, ("networks", NETWORKS))
    for told, case in cases.items()
]


@pytest.mark.parametrize(("break_it", "codes"), CASES)
def test_what_is_broken_is_found_and_nothing_else(break_it: Break, codes: list[str]) -> None:
    objects = deepcopy(HEALTHY["linkerd"])
    break_it(objects)
    assert found("linkerd", objects) == codes


def test_no_finding_tells_a_private_key() -> None:
    objects = deepcopy(HEALTHY["linkerd"])
    changed("Secret", SECRET, data=STRANGE_KEY)(objects)
    told = findings(View(Snapshot(tuple(objects)), "linkerd", NOW))
    assert told
    assert not any(STRANGE_KEY["tls.key"][:40] in str(one) or "PRIVATE" in str(one) for one in told)
