"""A healthy mesh as objects, for the tests of checks."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshkit.checks.health import findings
from meshkit.facts import Snapshot
from meshkit.meshes.definitions import crds
from meshkit.meshes.istio import revisions as istio_revisions
from meshkit.meshes.istio.revisions import Revision
from meshkit.meshes.linkerd import control_plane as linkerd_control_plane
from meshkit.meshes.linkerd.definitions import definitions as linkerd_definitions
from meshkit.meshes.view import View

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
Objects = list[dict[str, Any]]


def obj(api: str, kind: str, name: str, namespace: str | None = None, **body: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, **body.pop("meta", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": meta, **body}


def node(name: str) -> dict[str, Any]:
    info = {"kubeletVersion": "v1.34.2"}
    meta = {"labels": {"topology.kubernetes.io/zone": f"zone-{name}"}}
    return obj("v1", "Node", name, meta=meta, status={"nodeInfo": info})


def pod(
    name: str, namespace: str, where: str, labels: dict[str, str], *containers: tuple[str, str]
) -> dict[str, Any]:
    listed = [{"name": each, "image": image} for each, image in containers]
    return obj(
        *("v1", "Pod", name, namespace),
        meta={"labels": labels},
        spec={"nodeName": where, "containers": listed},
        status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    )


def deployment(
    name: str, namespace: str, labels: dict[str, str], image: str, replicas: int
) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return obj("apps/v1", "Deployment", name, namespace, meta={"labels": labels}, spec=spec)


def certificate(
    days: int = 365,
    key: Any = None,
    signed_by: Any = None,
    *extensions: x509.ExtensionType,
    path_length: int | None = None,
    digest: hashes.HashAlgorithm | None = None,
) -> tuple[str, ec.EllipticCurvePrivateKey]:
    """One of a CA, unless the extensions say otherwise."""
    made = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(made.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=100))
        .not_valid_after(NOW + dt.timedelta(days=days))
    )
    for extension in extensions or (x509.BasicConstraints(ca=True, path_length=path_length),):
        builder = builder.add_extension(extension, critical=False)
    built = builder.sign(signed_by or made, digest or hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM).decode(), made


def private(key: Any) -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def definitions(*names: str) -> Objects:
    """The definitions that meshkit carries, without their schemas."""
    found = []
    packed = {"linkerd": linkerd_definitions()}
    for one in (each for name in names for each in packed.get(name) or crds(name)):
        spec = one["spec"]
        versions = [{"name": v["name"], "served": v["served"]} for v in spec["versions"]]
        group = {"group": spec["group"], "names": spec["names"], "versions": versions}
        found.append(obj(one["apiVersion"], one["kind"], one["metadata"]["name"], spec=group))
    return found


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ROOT, ROOT_KEY = certificate()
ISSUER, ISSUER_KEY = certificate(signed_by=ROOT_KEY)
SIDECARS = {"istio": ("istio-proxy", "docker.io/istio/proxyv2:1.31.4"), "linkerd": ("linkerd-proxy", "p:1")}


def control_plane(name: str, namespace: str, labels: dict[str, str], image: str) -> Objects:
    return [
        deployment(name, namespace, labels, image, 3),
        *(pod(f"{name}-{each}", namespace, each, labels, ("app", image)) for each in "abc"),
        obj(
            *("policy/v1", "PodDisruptionBudget", name, namespace),
            spec={"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        ),
        obj("v1", "Service", name, namespace, spec={"selector": labels, "ports": []}),
    ]


def trusted(configuration: dict[str, Any]) -> dict[str, Any]:
    for hook in configuration["webhooks"]:
        hook["clientConfig"]["caBundle"] = encoded(ROOT)
    return configuration


def istio() -> Objects:
    secret = {"ca-cert.pem": encoded(ROOT)}
    return [
        obj("v1", "Namespace", "shop", meta={"labels": {"istio-injection": "enabled"}}),
        *control_plane("istiod", "istio-system", {"app": "istiod"}, "docker.io/istio/pilot:1.31.4"),
        trusted(istio_revisions.webhook(Revision(), "istio-system", "Fail")),
        obj("v1", "Secret", "istio-ca-secret", "istio-system", data=secret),
        *definitions("istio"),
    ]


def linkerd() -> Objects:
    found: Objects = [obj("v1", "Namespace", "shop", meta={"annotations": {"linkerd.io/inject": "enabled"}})]
    for each in ("destination", "identity", "proxy-injector"):
        labels = {"linkerd.io/control-plane-component": each}
        found += control_plane(f"linkerd-{each}", "linkerd", labels, "ghcr.io/linkerd/controller:1")
    secret = {
        "tls.crt": encoded(ISSUER),
        "tls.key": encoded(private(ISSUER_KEY)),
        "ca.crt": encoded(ROOT),
    }
    return [
        *found,
        trusted(linkerd_control_plane.webhook("linkerd", "Fail")),
        obj("v1", "Secret", "linkerd-identity-issuer", "linkerd", data=secret),
        obj("v1", "ConfigMap", "linkerd-identity-trust-roots", "linkerd", data={"ca-bundle.crt": ROOT}),
        *definitions("linkerd", "gateway_api"),
    ]


def shop(mesh: str) -> Objects:
    labels = {"app": "web"}
    port = {"name": "http", "port": 80, "appProtocol": "http"}
    return [
        *(node(each) for each in "abc"),
        deployment("web", "shop", labels, "web:1", 2),
        *(pod(f"web-{each}", "shop", each, labels, ("web", "web:1"), SIDECARS[mesh]) for each in "ab"),
        obj("v1", "Service", "web", "shop", spec={"selector": labels, "ports": [port]}),
    ]


HEALTHY = {mesh: [*made(), *shop(mesh)] for mesh, made in (("istio", istio), ("linkerd", linkerd))}


def found(mesh: str, objects: Objects, *, pre: bool = False) -> list[str]:
    all_found = findings(View(Snapshot(tuple(objects)), mesh, NOW), pre=pre)
    assert all(one.message.endswith(".") and one.remedy for one in all_found)
    return sorted({f"{one.code} {one.severity}" for one in all_found})


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    return next(o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))


def without(kind: str, name: str) -> Callable[[Objects], None]:
    def break_it(objects: Objects) -> None:
        objects.remove(named(objects, kind, name))

    return break_it


def changed(kind: str, name: str, **fields: Any) -> Callable[[Objects], None]:
    def break_it(objects: Objects) -> None:
        one = named(objects, kind, name)
        for path, value in fields.items():
            *way, last = path.split("__")
            place = one
            for step in way:
                place = place.setdefault(step, {})
            place[last] = value

    return break_it


def added(*objects: dict[str, Any]) -> Callable[[Objects], None]:
    return lambda existing: existing.extend(deepcopy(list(objects)))


def both(*breaks: Callable[[Objects], None]) -> Callable[[Objects], None]:
    """One after the other."""

    def break_it(objects: Objects) -> None:
        for each in breaks:
            each(objects)

    return break_it


def hook(**fields: Any) -> Callable[[Objects], None]:
    def break_it(objects: Objects) -> None:
        for one in objects:
            if one["kind"] == "MutatingWebhookConfiguration":
                for each in one["webhooks"]:
                    each.update(fields)

    return break_it
