"""Objects with invalid names or paths, and the causes that Kubernetes returns for them."""

from __future__ import annotations

from typing import Any

from tests.contract.kubectl import IMAGE

Object = dict[str, Any]
Causes = list[tuple[str, str, str]]

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
DATA_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
VARIABLE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
MODE = "must be a number between 0 and 0777 (octal), both inclusive"
ABSOLUTE, BACKSTEP = "must be a relative path", "must not contain '..'"
UP = "../../../victim"


def invalid(field: str, value: str, why: str) -> tuple[str, str, str]:
    shown = value if value.isdecimal() else f'"{value}"'
    return field, "FieldValueInvalid", f"Invalid value: {shown}: {why}"


def forbidden(field: str, why: str) -> tuple[str, str, str]:
    return field, "FieldValueForbidden", f"Forbidden: {why}"


def not_found(field: str, value: str) -> tuple[str, str, str]:
    return field, "FieldValueNotFound", f'Not found: "{value}"'


def duplicate(field: str, value: str) -> tuple[str, str, str]:
    return field, "FieldValueDuplicate", f'Duplicate value: "{value}"'


def required(field: str) -> tuple[str, str, str]:
    return field, "FieldValueRequired", "Required value"


def container(name: str = "c", **fields: Any) -> Object:
    return {"name": name, "image": IMAGE, **fields}


def pod(*volumes: Object, **fields: Any) -> Object:
    spec = {"containers": [container()], "volumes": [*volumes], **fields}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def with_container(*volumes: Object, **fields: Any) -> Object:
    return pod(*volumes, containers=[container(**fields)])


def config_map(**source: Any) -> Object:
    return {"name": "v", "configMap": {"name": "cm", **source}}


def projected(**source: Any) -> Object:
    return {"name": "v", "projected": {"sources": [source]}}


def item(path: str, **fields: Any) -> Object:
    return {"key": "k", "path": path, **fields}


def downward(path: str) -> Object:
    return {"items": [{"path": path, "fieldRef": {"fieldPath": "metadata.name"}}]}


def held(kind: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "held"}, **data}


def workload(api_version: str, kind: str, **spec: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "w"}, "spec": spec}


def template(**spec: Any) -> Object:
    hostile = pod(config_map(items=[item(UP)]), **spec)["spec"]
    return {"metadata": {"labels": {"app": "w"}}, "spec": hostile}


VOLUME, MOUNT, ENV = "spec.volumes[0]", "spec.containers[0].volumeMounts", "spec.containers[0].env[0]"
EMPTY = {"name": "v", "emptyDir": {}}
IN_TEMPLATE = "spec.template.spec.volumes[0].configMap.items[0].path"
SELECTOR = {"matchLabels": {"app": "w"}}
FILE = [invalid(f"{VOLUME}.configMap.items[0].path", UP, BACKSTEP)]

REFUSALS: dict[str, tuple[Object, Causes]] = {
    "a volume's name": (
        with_container(
            {"name": UP, "configMap": {"name": "cm"}}, volumeMounts=[{"name": UP, "mountPath": "/x"}]
        ),
        [invalid(f"{VOLUME}.name", UP, LABEL), not_found(f"{MOUNT}[0].name", UP)],
    ),
    "a volume's name with dots": (
        pod({"name": "a.b", "emptyDir": {}}),
        [invalid(f"{VOLUME}.name", "a.b", "must not contain dots")],
    ),
    "two volumes of one name": (pod(EMPTY, EMPTY), [duplicate("spec.volumes[1].name", "v")]),
    "a volume of two kinds": (
        pod({"name": "v", "secret": {"secretName": "s"}, "configMap": {"name": "cm"}}),
        [forbidden(f"{VOLUME}.configMap", "may not specify more than 1 volume type")],
    ),
    "a volume of no object": (
        pod({"name": "v", "configMap": {}}, {"name": "w", "secret": {}}),
        [required(f"{VOLUME}.configMap.name"), required("spec.volumes[1].secret.secretName")],
    ),
    "a file of a ConfigMap": (pod(config_map(items=[item(UP)])), FILE),
    "a file of a ConfigMap, further down": (
        pod(config_map(items=[item("a/../../b")])),
        [invalid(f"{VOLUME}.configMap.items[0].path", "a/../../b", BACKSTEP)],
    ),
    "a file that begins with dots": (
        pod(config_map(items=[item("..data")])),
        [invalid(f"{VOLUME}.configMap.items[0].path", "..data", "must not start with '..'")],
    ),
    "an absolute file of a Secret": (
        pod({"name": "v", "secret": {"secretName": "s", "items": [item("/etc/passwd")]}}),
        [invalid(f"{VOLUME}.secret.items[0].path", "/etc/passwd", ABSOLUTE)],
    ),
    "a mode": (
        pod(config_map(defaultMode=512, items=[item("a", mode=512)])),
        [
            invalid(f"{VOLUME}.configMap.defaultMode", "512", MODE),
            invalid(f"{VOLUME}.configMap.items[0].mode", "512", MODE),
        ],
    ),
    "a file of the pod's own fields": (
        pod({"name": "v", "downwardAPI": downward(UP)}),
        [invalid(f"{VOLUME}.downwardAPI.path", UP, BACKSTEP)],
    ),
    "files of a projected volume": (
        pod(
            {
                "name": "v",
                "projected": {
                    "sources": [
                        {"configMap": {"name": "cm", "items": [item(UP)]}},
                        {"secret": {"name": "s", "items": [item("/a")]}},
                        {"downwardAPI": downward("b/..")},
                    ]
                },
            }
        ),
        [
            invalid(f"{VOLUME}.projected.sources[0].configMap.items[0].path", UP, BACKSTEP),
            invalid(f"{VOLUME}.projected.sources[1].secret.items[0].path", "/a", ABSOLUTE),
            invalid(f"{VOLUME}.projected.sources[2].downwardAPI.path", "b/..", BACKSTEP),
        ],
    ),
    "a token in a projected volume": (
        pod(projected(serviceAccountToken={"path": UP})),
        [invalid(f"{VOLUME}.projected.path", UP, BACKSTEP)],
    ),
    "a projection of two kinds": (
        pod(projected(configMap={"name": "cm"}, secret={"name": "s"})),
        [forbidden(f"{VOLUME}.projected.sources[0]", "may not specify more than 1 volume type per source")],
    ),
    "a folder of the host": (
        pod({"name": "v", "hostPath": {"path": "/tmp/../etc"}}),
        [invalid(f"{VOLUME}.hostPath.path", "/tmp/../etc", BACKSTEP)],
    ),
    "a mount of no volume": (
        with_container(EMPTY, volumeMounts=[{"name": "w", "mountPath": "/x"}]),
        [not_found(f"{MOUNT}[0].name", "w")],
    ),
    "two mounts in one place": (
        with_container(EMPTY, volumeMounts=[{"name": "v", "mountPath": "/x"}] * 2),
        [invalid(f"{MOUNT}[1].mountPath", "/x", "must be unique")],
    ),
    "a part of a volume": (
        with_container(
            EMPTY,
            volumeMounts=[
                {"name": "v", "mountPath": "/x", "subPath": UP},
                {"name": "v", "mountPath": "/y", "subPathExpr": "/$(POD_NAME)"},
            ],
        ),
        [
            invalid(f"{MOUNT}.subPath", UP, BACKSTEP),
            invalid(f"{MOUNT}.subPathExpr", "/$(POD_NAME)", ABSOLUTE),
        ],
    ),
    "a container's name": (
        pod(containers=[container(UP)]),
        [invalid("spec.containers[0].name", UP, LABEL)],
    ),
    "the name of an init container": (
        pod(initContainers=[container(UP), container("c")]),
        [invalid("spec.initContainers[0].name", UP, LABEL), duplicate("spec.initContainers[1].name", "c")],
    ),
    "an ephemeral container": (
        pod(ephemeralContainers=[container("e", terminationMessagePolicy="File", imagePullPolicy="Always")]),
        [forbidden("spec.ephemeralContainers", "cannot be set on create")],
    ),
    "a variable's name": (
        with_container(env=[{"name": "A=B", "value": "x"}]),
        [invalid(f"{ENV}.name", "A=B", VARIABLE)],
    ),
    "a variable of a key that is a path": (
        with_container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": UP, "key": "../k"}}}]),
        [
            invalid(f"{ENV}.valueFrom.configMapKeyRef.name", UP, SUBDOMAIN),
            invalid(f"{ENV}.valueFrom.configMapKeyRef.key", "../k", DATA_KEY),
            invalid(f"{ENV}.valueFrom.configMapKeyRef.key", "../k", "must not start with '..'"),
        ],
    ),
    "a variable of nothing": (
        with_container(env=[{"name": "A", "valueFrom": {}}]),
        [
            invalid(
                f"{ENV}.valueFrom",
                "",
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or "
                "`fileKeyRef`",
            )
        ],
    ),
    "variables of an object that is a path": (
        with_container(
            envFrom=[{"configMapRef": {"name": UP}}, {"secretRef": {"name": "s"}, "prefix": "a="}]
        ),
        [
            invalid("spec.containers[0].envFrom[0].configMapRef.name", UP, SUBDOMAIN),
            invalid("spec.containers[0].envFrom[1].prefix", "a=", VARIABLE),
        ],
    ),
    "a port": (
        with_container(ports=[{"containerPort": 65536, "name": "-a"}]),
        [
            invalid(
                "spec.containers[0].ports[0].containerPort", "65536", "must be between 1 and 65535, inclusive"
            ),
            invalid("spec.containers[0].ports[0].name", "-a", "must not begin or end with a hyphen"),
        ],
    ),
    "the pod's host": (
        pod(hostname=UP, subdomain="a.b"),
        [invalid("spec.hostname", UP, LABEL), invalid("spec.subdomain", "a.b", "must not contain dots")],
    ),
    "a Deployment's template": (
        workload("apps/v1", "Deployment", selector=SELECTOR, template=template()),
        [invalid(IN_TEMPLATE, UP, BACKSTEP)],
    ),
    "a ReplicaSet's template": (
        workload("apps/v1", "ReplicaSet", selector=SELECTOR, template=template()),
        [invalid(IN_TEMPLATE, UP, BACKSTEP)],
    ),
    "a Job's template": (
        workload("batch/v1", "Job", template=template(restartPolicy="Never")),
        [invalid(IN_TEMPLATE, UP, BACKSTEP)],
    ),
    "a CronJob's template": (
        workload(
            "batch/v1",
            "CronJob",
            schedule="* * * * *",
            jobTemplate={"spec": {"template": template(restartPolicy="Never")}},
        ),
        [invalid(f"spec.jobTemplate.{IN_TEMPLATE}", UP, BACKSTEP)],
    ),
    "an ephemeral container in a template": (
        workload(
            "apps/v1",
            "Deployment",
            selector=SELECTOR,
            template={
                "metadata": {"labels": {"app": "w"}},
                "spec": {
                    "containers": [container()],
                    "ephemeralContainers": [
                        container("e", terminationMessagePolicy="File", imagePullPolicy="Always")
                    ],
                },
            },
        ),
        [
            forbidden(
                "spec.template.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"
            )
        ],
    ),
    "keys of a ConfigMap": (
        held("ConfigMap", data={"../k": "", "..": "", "..k": "", ".": "", "a/b": ""}),
        [
            invalid("data[../k]", "../k", DATA_KEY),
            invalid("data[../k]", "../k", "must not start with '..'"),
            invalid("data[..]", "..", "must not be '..'"),
            invalid("data[..k]", "..k", "must not start with '..'"),
            invalid("data[.]", ".", "must not be '.'"),
            invalid("data[a/b]", "a/b", DATA_KEY),
        ],
    ),
    "a key that is too long": (
        held("ConfigMap", binaryData={"k" * 254: ""}),
        [invalid(f"binaryData[{'k' * 254}]", "k" * 254, "must be no more than 253 characters")],
    ),
    "keys of a Secret": (
        held("Secret", stringData={"..": "x"}),
        [invalid("data[..]", "..", "must not be '..'")],
    ),
    "an object's name": (
        held("ConfigMap") | {"metadata": {"name": UP}},
        [invalid("metadata.name", UP, SUBDOMAIN)],
    ),
    "the beginning of an object's name": (
        held("ConfigMap") | {"metadata": {"name": "held", "generateName": "../"}},
        [invalid("metadata.generateName", "../", SUBDOMAIN)],
    ),
    "a Role's name": (
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": ".."}},
        [invalid("metadata.name", "..", "may not be '..'")],
    ),
}
"""By the field that is wrong."""
