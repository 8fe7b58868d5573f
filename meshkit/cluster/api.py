"""Requests for objects as plain JSON, with the official Kubernetes client.

``DynamicClient`` provides configuration, TLS and authentication. Its discovery is replaced: it caches the
kinds of a server in a file that becomes stale when CRDs change, and one request for each group is enough.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from meshkit.cluster.client_errors import translated, understood
from meshkit.errors import ClusterError, Conflict, Rejected, TimedOut, Unreachable
from meshkit.facts import Kind, Object

__all__ = ["Api", "Kind", "Resource"]

MANAGER = "meshkit"
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 5.0, 60.0
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_POLL_S = 0.25
_PAGE = 500
REQUESTS_AT_ONCE = 8
"""How many requests of one operation an API server has to answer at the same time."""
OBJECTS_AT_ONCE = 256
"""How many objects are recorded together before they are changed, and read together before an undo."""


Objects = list[dict[str, Any]]


class Resource(NamedTuple):
    """The resource of a kind: its API path, plural name and scope."""

    plural: str
    namespaced: bool
    verbs: tuple[str, ...] = ()


class Api:
    """A client of one API server for objects as JSON. It raises meshkit's errors and is thread-safe."""

    def __init__(self, client: Any, server: str) -> None:
        self._client = client
        self.server = server
        self._served: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()
        self._unanswered: tuple[float, Unreachable] | None = None

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Return the object, or None if it or its kind does not exist."""
        resource = self.resource(kind)
        if resource is None:
            return None
        try:
            path = _path(kind, resource, namespace, name)
            found = self._json("GET", path)
            with understood(self.server, path):
                return _named(found)
        except Rejected as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: Kind, namespace: str | None = None, labels: str | None = None) -> Objects:
        """List the objects of a kind in one namespace or in all. A kind that is not served gives none."""
        resource = self.resource(kind)
        if resource is None:
            return []
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        path, found = _path(kind, resource, namespace), Objects()
        while True:
            try:
                page = self._json("GET", path, query=query)
            except Rejected as error:
                if error.status == 404 and self._is_gone(kind):
                    return []
                raise
            with understood(self.server, path):
                items, more = [_named(item) for item in page["items"] or ()], page["metadata"].get("continue")
            found += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in items]
            if not more:
                return found
            query = {**query, "continue": more}

    def list_few(self, kind: Kind, namespace: str | None, *, at_most: int) -> Objects | None:
        """List the objects of a kind by one request; None if there are more than ``at_most``."""
        resource = self.resource(kind)
        if resource is None:
            return []
        try:
            page = self._json("GET", _path(kind, resource, namespace), query={"limit": str(at_most)})
        except Rejected as error:
            if error.status == 404 and self._is_gone(kind):
                return []
            raise
        if page["metadata"].get("continue"):
            return None
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"]]

    def apply(
        self,
        obj: Object,
        *,
        dry_run: bool = False,
        force: bool = False,
        manager: str = MANAGER,
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Apply server-side and return the result. Raises ``Conflict``, which names the other managers.

        ``on_warning`` is called with every warning in the response, such as an unknown field or a deprecated
        version.
        """
        kind, name, namespace = _identity(obj)
        query = {"fieldManager": manager, "fieldValidation": "Strict", "force": "true" if force else "false"}
        query |= {"dryRun": "All"} if dry_run else {}
        path = _path(kind, self._must(kind), namespace, name)
        content_type = "application/apply-patch+yaml"
        request = {"body": obj, "query": query, "content_type": content_type, "on_warning": on_warning}
        try:
            return self._make(kind, "PATCH", path, **request)
        except Conflict as error:
            if not error.managers:
                raise
            # The server's message names the fields but not the object.
            where = f"{namespace}/{name}" if namespace else name
            problem = f"{kind.kind} {where}: {error.message}"
            raise Conflict(problem, remedy=error.remedy, managers=error.managers) from error

    def create(self, obj: Object, *, manager: str = MANAGER) -> dict[str, Any]:
        """Create an object. Raises ``Conflict`` if it exists."""
        kind, _, namespace = _identity(obj)
        path = _path(kind, self._must(kind), namespace)
        return self._make(kind, "POST", path, body=obj, query={"fieldManager": manager})

    def json_patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        ops: Sequence[Mapping[str, Any]],
        *,
        manager: str = MANAGER,
    ) -> dict[str, Any]:
        """Patch with RFC 6902 operations. A failed ``test`` raises ``Rejected``."""
        path = _path(kind, self._must(kind), namespace, name)
        content_type = "application/json-patch+json"
        return self._json(
            "PATCH",
            path,
            body=[dict(op) for op in ops],
            query={"fieldManager": manager},
            content_type=content_type,
        )

    def merge_patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: Object,
        subresource: str | None = None,
        *,
        manager: str = MANAGER,
    ) -> dict[str, Any]:
        """Patch with a RFC 7386 merge patch. An outdated ``metadata.resourceVersion`` raises ``Conflict``."""
        path = _path(kind, self._must(kind), namespace, name, subresource)
        content_type = "application/merge-patch+json"
        return self._json(
            "PATCH", path, body=patch, query={"fieldManager": manager}, content_type=content_type
        )

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_s: int | None = None,
        *,
        foreground: bool = False,
    ) -> bool:
        """Delete an object if its uid and resourceVersion match. An object that is already gone is no error.

        Return whether it is known to be gone; else finalizers or its termination may keep it for a while.

        Its dependents are deleted afterwards, or before it with ``foreground``. ``grace_s`` is the
        termination grace period of a pod in seconds.
        """
        given = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {key: value for key, value in given.items() if value}
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        if preconditions:
            options["preconditions"] = preconditions
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            answer = self._json("DELETE", _path(kind, self._must(kind), namespace, name), body=options)
        except Rejected as error:
            if error.status != 404:
                raise
            return True
        return answer.get("kind") == "Status" and answer.get("status") == "Success"

    def evict(self, name: str, namespace: str) -> bool:
        """Evict a pod, as a drain does. Return False if a budget does not allow it now."""
        pod = Kind("v1", "Pod")
        meta = {"name": name, "namespace": namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        try:
            self._json("POST", _path(pod, self._must(pod), namespace, name, "eviction"), body=body)
        except ClusterError as error:
            if error.status not in (404, 429):
                raise
            return bool(error.status == 404)
        return True

    def wait(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        ready: Callable[[dict[str, Any] | None], bool],
        timeout_s: float,
        what: str,
        *,
        why: Callable[[dict[str, Any] | None], str] = lambda _: "",
    ) -> dict[str, Any] | None:
        """Poll until ``ready`` returns true. Raises ``TimedOut``: "... was not <what> after 30 s: <why>"."""
        until = time.monotonic() + timeout_s
        while not ready(found := self.get(kind, name, namespace)):
            if time.monotonic() >= until:
                where = f"{namespace}/{name}" if namespace else name
                more = why(found)
                raise TimedOut(
                    f"{kind.kind} {where} was not {what} after {timeout_s:g} s{': ' + more if more else ''}.",
                    remedy="Look at its events and its pods' logs, then plan again.",
                    waited_s=timeout_s,
                )
            time.sleep(_POLL_S)
        return found

    def pod_get(
        self, namespace: str, pod: str, port: int, path: str, *, timeout_s: float = _READ_TIMEOUT_S
    ) -> str:
        """Send GET to a pod through the API server's proxy, without retries, and return the response body."""
        proxied = _proxy(namespace, pod, port, path)
        return self._send_once("GET", proxied, timeout_s=timeout_s).decode(errors="replace")

    def pod_put(self, namespace: str, pod: str, port: int, path: str, body: str) -> str:
        """Send PUT with a JSON text to a pod through the API server's proxy and return the response body."""
        return self._send("PUT", _proxy(namespace, pod, port, path), body=json.loads(body)).decode(
            errors="replace"
        )

    def whoami(self) -> str:
        """The user name of this client, by the API server's SelfSubjectReview."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        answer = self._json("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
        with understood(self.server, "a review of the user"):
            return str(answer["status"]["userInfo"]["username"])

    def allowed(self, verb: str, group: str, resource: str, namespace: str | None = None) -> bool:
        """Whether this client has a permission. ``resource`` may have a subresource: ``pods/proxy``."""
        main, _, part = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": main, "namespace": namespace or ""}
        attributes |= {"subresource": part} if part else {}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        with understood(self.server, "a review of rights"):
            return bool(answer["status"].get("allowed"))

    def token(self, namespace: str, account: str, duration_s: int = 3600) -> str:
        """Request a token of a ServiceAccount that is valid for ``duration_s`` seconds."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": duration_s},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = self._json("POST", path, body=request)
        with understood(self.server, path):
            return str(answer["status"]["token"])

    def resource(self, kind: Kind) -> Resource | None:
        """The resource of a kind, or None if it is not served.

        Unknown kinds are looked up again each time. Threads that waited for a look-up share the error if the
        server did not answer it: each would wait as long again.
        """
        asked_s = time.monotonic()
        with self._lock:
            served = self._served.get(kind.api_version, {})
            if kind.kind not in served:
                if self._unanswered and self._unanswered[0] > asked_s:
                    raise self._unanswered[1]
                try:
                    served = self._served[kind.api_version] = self._discover(kind.api_version)
                except Unreachable as error:
                    self._unanswered = time.monotonic(), error
                    raise
            return served.get(kind.kind)

    def namespaced_kinds(self) -> Sequence[Kind]:
        """All namespaced kinds that can be listed, in their preferred versions."""
        answer = self._json("GET", "/apis")
        with understood(self.server, "/apis"):
            versions = ["v1", *(str(group["preferredVersion"]["groupVersion"]) for group in answer["groups"])]
        return [
            Kind(version, kind)
            for version in versions
            for kind, resource in self._discover(version).items()
            if resource.namespaced and "list" in resource.verbs
        ]

    def _discover(self, api_version: str) -> dict[str, Resource]:
        try:
            answer = self._json("GET", f"/{_root(api_version)}")
        except Rejected as error:
            if error.status == 404:
                return {}
            raise
        with understood(self.server, f"/{_root(api_version)}"):
            return {
                entry["kind"]: Resource(entry["name"], entry["namespaced"], tuple(entry["verbs"]))
                for entry in answer["resources"]
                if "/" not in entry["name"]
            }

    def _must(self, kind: Kind) -> Resource:
        resource = self.resource(kind)
        if resource is None:
            raise Rejected(
                f"The cluster does not serve {kind.kind} ({kind.api_version}).",
                remedy="Install the mesh ('meshkit setup apply control-plane'), or what else defines it.",
                status=404,
            )
        return resource

    def _is_gone(self, kind: Kind) -> bool:
        """Whether a kind is no longer served. Clears the cached discovery of its group."""
        with self._lock:
            self._served.pop(kind.api_version, None)
        return self.resource(kind) is None

    def _make(self, kind: Kind, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Send a request that creates or changes an object. Reports a kind that is no longer served."""
        try:
            return self._json(method, path, **request)
        except Rejected as error:
            if error.status == 404 and self._is_gone(kind):
                self._must(kind)
            raise

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        data = self._send(method, path, **request)
        with understood(self.server, path):
            answer = json.loads(data)
            if not isinstance(answer, dict):
                raise TypeError("it is no object")
        return answer

    def _send(self, method: str, path: str, **request: Any) -> bytes:
        """Send a request and return the body.

        Reads that fail at once are retried, as a kept-alive connection may be closed.
        """
        began_s = time.monotonic()
        try:
            return self._send_once(method, path, **request)
        except Unreachable:
            if method != "GET" or time.monotonic() - began_s > _CONNECT_TIMEOUT_S:
                raise
            return self._send_once(method, path, **request)

    def _send_once(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout_s: float = _READ_TIMEOUT_S,
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> bytes:
        with translated(self.server):
            answer = self._client.request(
                method,
                path,
                body=body,
                query_params=list((query or {}).items()),
                header_params={},
                content_type=content_type,
                serialize=False,
                _request_timeout=(min(_CONNECT_TIMEOUT_S, timeout_s), timeout_s),
            )
            data: bytes = answer.data
        for text in _WARNING.findall(answer.headers.get("Warning") or ""):
            on_warning(re.sub(r"\\(.)", r"\1", text))
        return data


def _named(obj: Any) -> dict[str, Any]:
    """An object of a server. Raises ``TypeError`` for what has no name, which every object has."""
    if not isinstance(obj, dict) or not isinstance(obj["metadata"]["name"], str):
        raise TypeError("it is no object")
    return obj


def _identity(obj: Object) -> tuple[Kind, str, str | None]:
    meta = obj["metadata"]
    return Kind(obj["apiVersion"], obj["kind"]), meta.get("name", ""), meta.get("namespace")


def _root(api_version: str) -> str:
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"


def _path(
    kind: Kind,
    resource: Resource,
    namespace: str | None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    scope = ("namespaces", namespace) if resource.namespaced and namespace else ()
    parts = (_root(kind.api_version), *scope, resource.plural, name, subresource)
    return "/" + "/".join(part for part in parts if part)


def _proxy(namespace: str, pod: str, port: int, path: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path.lstrip('/')}"
