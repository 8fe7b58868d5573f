"""Admission webhooks, called over HTTPS with the failure semantics of kube-apiserver.

A webhook's Service is resolved to its ready endpoints (EndpointSlices), because the sandbox has no cluster
network. The certificate is verified against ``caBundle`` for the name ``SERVICE.NAMESPACE.svc``.
"""

from __future__ import annotations

import base64
import random
import ssl
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp

from meshkit.kube.selectors import holds
from meshkit.sandbox.api import status
from meshkit.sandbox.api.requests import Admission, Object
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema.registry import Resource
from meshkit.sandbox.api.storage import patches
from meshkit.sandbox.api.storage.store import Key, Store

_GROUP = "admissionregistration.k8s.io"
_MUTATING = f"mutatingwebhookconfigurations.{_GROUP}"
_VALIDATING = f"validatingwebhookconfigurations.{_GROUP}"
_EXEMPT_GROUPS = (_GROUP, "authentication.k8s.io", "authorization.k8s.io")


class Unanswered(Exception):
    """Raised when a webhook cannot be reached or does not return an AdmissionReview."""


class Webhooks:
    """Call the webhooks of the stored webhook configurations."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the HTTP connections."""
        if self._session is not None:
            await self._session.close()

    async def mutate(self, admission: Admission) -> Object:
        """Return the object after every matching mutating webhook, in order of configuration names."""
        obj = admission.object
        for webhook in self._matching(_MUTATING, admission):
            response = await self._ask(webhook, admission, obj)
            if response is not None and response.get("patch"):
                obj = _patched(webhook, obj, response)
        return obj

    async def validate(self, admission: Admission) -> None:
        """Call every matching validating webhook."""
        for webhook in self._matching(_VALIDATING, admission):
            await self._ask(webhook, admission, admission.object)

    def _matching(self, resource: str, admission: Admission) -> Iterator[Mapping[str, Any]]:
        if admission.target.resource.group in _EXEMPT_GROUPS:
            return
        for stored in self._store.objects(resource):
            for webhook in stored.object.get("webhooks") or ():
                if any(_covers(rule, admission) for rule in webhook.get("rules") or ()) and self._selects(
                    webhook, admission
                ):
                    yield webhook

    def _selects(self, webhook: Mapping[str, Any], admission: Admission) -> bool:
        labels = admission.object["metadata"].get("labels") or {}
        if not holds(webhook.get("objectSelector") or {}, labels):
            return False
        name = admission.target.namespace
        if not name and admission.target.resource.key == "namespaces":
            return holds(webhook.get("namespaceSelector") or {}, labels)
        if not name:
            return True
        namespace = self._store.get(Key("namespaces", "", name))
        namespace_labels = (namespace.object["metadata"].get("labels") or {}) if namespace else {}
        return holds(webhook.get("namespaceSelector") or {}, namespace_labels)

    async def _ask(
        self, webhook: Mapping[str, Any], admission: Admission, obj: Object
    ) -> Mapping[str, Any] | None:
        """Return the webhook's response, or None when the call fails and failurePolicy is Ignore."""
        if admission.options.dry_run and webhook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise status.bad_request(f'admission webhook "{webhook["name"]}" does not support dry run')
        review = _review(admission, obj)
        try:
            response = await self._call(webhook, review)
        except (Unanswered, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if webhook.get("failurePolicy") == "Ignore":
                return None
            why = str(error) or type(error).__name__
            raise status.internal(
                f'failed calling webhook "{webhook["name"]}": failed to call webhook: {why}'
            ) from error
        admission.options.warnings.extend(response.get("warnings") or ())
        if not response.get("allowed"):
            refusal = response.get("status") or {}
            reason = refusal.get("message") or refusal.get("reason") or "without explanation"
            message = f'admission webhook "{webhook["name"]}" denied the request: {reason}'
            raise status.ApiError(refusal.get("code") or 403, refusal.get("reason") or "Forbidden", message)
        return response

    async def _call(self, webhook: Mapping[str, Any], review: Mapping[str, Any]) -> Mapping[str, Any]:
        client = webhook["clientConfig"]
        url, server_name = self._address(client)
        context = ssl.create_default_context(cadata=_authority(client))
        if self._session is None:
            self._session = aiohttp.ClientSession()
        timeout = aiohttp.ClientTimeout(total=webhook.get("timeoutSeconds", 10))
        try:
            async with self._session.post(
                url, json=review, ssl=context, server_hostname=server_name, timeout=timeout
            ) as answer:
                raw = await _limited(answer)
                if answer.status != 200:
                    why = raw[:200].decode(errors="replace")
                    raise Unanswered(f"Post {url}: status {answer.status}: {why}")
        except TimeoutError as error:
            raise Unanswered(f'Post "{url}": context deadline exceeded') from error
        try:
            review_answered = bodies.read_json(raw) if raw else None
        except status.ApiError as error:
            raise Unanswered(f"Post {url}: {error.message}") from error
        response = review_answered.get("response") if isinstance(review_answered, dict) else None
        if not isinstance(response, dict) or response.get("uid") != review["request"]["uid"]:
            raise Unanswered(f"Post {url}: the response is not an AdmissionReview of this request")
        return response

    def _address(self, client: Mapping[str, Any]) -> tuple[str, str | None]:
        if "url" in client:
            return client["url"], None
        service = client["service"]
        namespace, name = service["namespace"], service["name"]
        stored = self._store.get(Key("services", namespace, name))
        if stored is None:
            raise Unanswered(f'service "{name}" not found')
        wanted = service.get("port", 443)
        port = next(
            (
                candidate
                for candidate in stored.object["spec"].get("ports") or ()
                if candidate["port"] == wanted
            ),
            None,
        )
        addresses = list(self._ready(namespace, name, port)) if port else []
        if not addresses:
            raise Unanswered(
                f'Post "https://{name}.{namespace}.svc:{wanted}{service.get("path", "")}": '
                f'no endpoints available for service "{name}"'
            )
        host, number = random.choice(addresses)
        return f"https://{host}:{number}{service.get('path', '')}", f"{name}.{namespace}.svc"

    def _ready(self, namespace: str, service: str, port: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        """Yield (address, port) of the ready pods behind a service port."""
        for stored in self._store.objects("endpointslices.discovery.k8s.io", namespace):
            slice_ = stored.object
            if (slice_["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != service:
                continue
            numbers = [
                slice_port["port"]
                for slice_port in slice_.get("ports") or ()
                if slice_port.get("name", "") == port.get("name", "")
            ]
            for endpoint in slice_.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True) and numbers:
                    yield endpoint["addresses"][0], numbers[0]


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body of a webhook's response. Raises Unanswered when it exceeds the size limit."""
    raw = b""
    async for part in answer.content.iter_any():
        raw += part
        if len(raw) > bodies.MAX_BYTES:
            raise Unanswered(f"the response is larger than {bodies.MAX_BYTES} bytes")
    return raw


def _covers(rule: Mapping[str, Any], admission: Admission) -> bool:
    resource: Resource = admission.target.resource

    def has(field: str, value: str) -> bool:
        return not {"*", value}.isdisjoint(rule.get(field) or ())

    scope = rule.get("scope", "*")
    return (
        has("operations", admission.operation)
        and has("apiGroups", resource.group)
        and has("apiVersions", resource.version)
        and (has("resources", resource.plural) or "*/*" in rule["resources"])
        and scope in ("*", "Namespaced" if resource.namespaced else "Cluster")
    )


def _review(admission: Admission, obj: Object) -> dict[str, Any]:
    target = admission.target
    resource = target.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    request = {
        "uid": str(uuid.uuid4()),
        "kind": kind,
        "resource": plural,
        "requestKind": kind,
        "requestResource": plural,
        "name": target.name,
        **({"namespace": target.namespace} if target.namespace else {}),
        "operation": admission.operation,
        "userInfo": admission.options.user.info(),
        "object": obj,
        "oldObject": admission.old,
        "dryRun": admission.options.dry_run,
        "options": {"kind": f"{admission.operation.title()}Options", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def _patched(webhook: Mapping[str, Any], obj: Object, response: Mapping[str, Any]) -> Object:
    try:
        operations = bodies.read_json(base64.b64decode(response["patch"]))
        changed: Object = patches.json_patch(obj, operations)
        bodies.check_object(changed)
    except (ValueError, TypeError, status.ApiError, patches.PatchFailed, patches.TooLarge) as error:
        raise status.internal(f'admission webhook "{webhook["name"]}" sent a bad patch: {error}') from error
    return changed


def _authority(client: Mapping[str, Any]) -> str | None:
    bundle = client.get("caBundle")
    return base64.b64decode(bundle).decode() if bundle else None
