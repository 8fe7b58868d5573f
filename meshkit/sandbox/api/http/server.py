"""HTTP request handler, which authenticates, routes, authorizes and answers each request."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

from aiohttp import web

from meshkit.sandbox.api import names, offload, status
from meshkit.sandbox.api.auth import impersonation
from meshkit.sandbox.api.auth.reviews import Reviews
from meshkit.sandbox.api.auth.rights import Attempt, Rights
from meshkit.sandbox.api.auth.users import Tokens, User
from meshkit.sandbox.api.http import discovery, negotiation, routes
from meshkit.sandbox.api.http.answers import (
    WatchLines,
    as_bytes,
    as_json,
    list_page,
    one_object,
    refusal,
)
from meshkit.sandbox.api.http.call import Call, asks_for_watch, method_not_allowed, number
from meshkit.sandbox.api.http.idle import IdleConnections
from meshkit.sandbox.api.http.pod_streams import Pods
from meshkit.sandbox.api.http.routes import Route
from meshkit.sandbox.api.http.subresources import Subresources
from meshkit.sandbox.api.requests import Target
from meshkit.sandbox.api.schema import bodies
from meshkit.sandbox.api.schema.decoding import decoded_whole
from meshkit.sandbox.api.schema.openapi import V2_DOCUMENT, V2_TYPE, OpenApi
from meshkit.sandbox.api.schema.registry import Registry
from meshkit.sandbox.api.storage.reads import Reads
from meshkit.sandbox.api.storage.writes import Writes

_log = logging.getLogger(__name__)
_UNAUTHENTICATED = ("/healthz", "/livez", "/readyz", "/version")
READER_PATIENCE_S = 30.0
"""How long a write to a slow watch client may block before the connection is closed."""
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class HttpApi:
    """Handle the HTTP requests of the API server."""

    def __init__(self, writes: Writes, reads: Reads, rights: Rights, tokens: Tokens, pods: Pods) -> None:
        self.idle = IdleConnections()
        self._writes = writes
        self._reads = reads
        self._rights = rights
        self._tokens = tokens
        self._registry: Registry = writes.registry
        self._openapi = OpenApi(writes.registry)
        self._reviews = Reviews(rights, tokens)
        self._subresources = Subresources(writes, tokens, pods)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; every error becomes a Status response."""
        try:
            with self.idle.answering(request):
                return await self._answer(request)
        except status.ApiError as error:
            return refusal(request, error)
        except web.HTTPRequestEntityTooLarge:
            return refusal(request, bodies.too_many_bytes())
        except Exception as error:
            if request.writer.output_size:  # the response has begun: aiohttp closes the connection
                raise
            _log.exception("%s %s failed", request.method, request.path)
            return refusal(request, status.internal(f"{type(error).__name__}: see the log of the sandbox"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in _UNAUTHENTICATED:
            return (
                as_json(request, discovery.VERSION) if request.path == "/version" else web.Response(text="ok")
            )
        user = self._user(request)
        route = routes.parse(request.rel_url.raw_path)
        attempt = None if route is None else _attempt(route, request)
        wanted = impersonation.wanted(request.headers)
        if wanted is not None:
            user = impersonation.authorized(self._rights, user, wanted, attempt)
        if route is None or attempt is None:
            return self._document(request)
        resource = self._registry.find(route.group, route.version, route.plural)
        if resource is None:
            raise status.no_such_path()
        if resource.namespaced and not route.namespace and (route.name or request.method == "POST"):
            raise status.no_such_path()
        if route.namespace and not resource.namespaced:
            raise status.no_such_path()
        if wrong := names.path_segment(route.name):
            quoted_name = json.dumps(route.name)
            raise status.bad_request(f"Name parameter invalid: {quoted_name}: {';'.join(wrong)}")
        call = Call(request, user, resource, route)
        if not attempt.verb:
            raise method_not_allowed()
        self._rights.require(user, attempt)
        if route.subresource == "portforward":  # a WebSocket is asked for by GET; kube-apiserver wants both
            self._rights.require(user, replace(attempt, verb="create"))
        self._subresources.check(call)
        if attempt.verb not in resource.verbs_of(route.subresource):
            raise method_not_allowed()
        if route.subresource and route.subresource != "status":
            return await self._subresources.answer(call)
        return await (self._object(call) if route.name else self._collection(call))

    def _user(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        user = self._tokens.user(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise status.unauthorized()
        return user

    # --- documents

    def _document(self, request: web.Request) -> web.Response:
        path = request.path.strip("/")
        if path in ("api", "apis"):
            form = negotiation.wanted(request.headers.get("Accept", ""), discovery=True)
            if form.kind:
                listed = discovery.aggregated(self._registry, core=path == "api")
                return as_json(request, listed, content_type=form.content_type)
            return as_json(
                request, discovery.core_versions() if path == "api" else discovery.groups(self._registry)
            )
        if path == "openapi/v2":
            return as_bytes(request, V2_DOCUMENT, content_type=V2_TYPE)
        if path == "openapi/v3":
            return as_json(request, self._openapi.index())
        if path.startswith("openapi/v3/"):
            return as_bytes(request, self._openapi.document(path.removeprefix("openapi/v3/")))
        kind, _, rest = path.partition("/")
        group, _, version = rest.partition("/") if kind == "apis" else ("", "", rest)
        versions = self._registry.versions()
        if kind == "apis" and not version and group in versions:
            return as_json(request, discovery.group(self._registry, group))
        if kind in ("api", "apis") and version in versions.get(group, ()):
            return as_json(request, discovery.resources(self._registry, group, version))
        raise status.no_such_path()

    # --- collections

    async def _collection(self, call: Call) -> web.StreamResponse:
        method = call.request.method
        if method == "POST":
            return await self._create(call)
        if method == "GET":
            if call.is_watch:
                return await self._watch(call)
            return self._list(call)
        if method == "DELETE" and (call.route.namespace or not call.resource.namespaced):
            return await self._delete_collection(call)
        raise method_not_allowed()

    async def _create(self, call: Call) -> web.Response:
        body = await call.body()
        options = call.options()
        if "list" not in call.resource.verbs:
            review = await offload.run(options.large, decoded_whole, call.target, body, options)
            answered = self._reviews.answer(call.resource.kind, review, call.user)
            return one_object(call, answered, options, code=201)
        created = await self._writes.create(call.target, body, options)
        return one_object(call, created, options, code=201)

    def _list(self, call: Call) -> web.Response:
        resource_version = call.query.get("resourceVersion", "")
        self._reads.check_list(resource_version, call.query.get("resourceVersionMatch", ""))
        page = self._reads.page(
            call.resource,
            call.route.namespace,
            call.selector(),
            max(0, number(call.query, "limit")),
            call.query.get("continue", ""),
        )
        return list_page(call, page)

    async def _delete_collection(self, call: Call) -> web.Response:
        delete = await call.delete_options()
        options = call.options()
        matches = call.selector()
        for stored in self._writes.store.objects(call.resource.key, call.route.namespace):
            if matches(stored.object):
                target = Target(call.resource, stored.key.namespace, stored.key.name)
                await self._writes.delete(target, delete, options)
        return as_json(
            call.request, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        )

    async def _watch(self, call: Call) -> web.StreamResponse:
        query = call.watch_query()
        selector = call.selector()
        lines = WatchLines(call)
        self._reads.check(query)  # raises before the response headers are sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        events = self._reads.watch(call.resource, call.route.namespace, selector, query)
        try:
            async for notice in events:
                async with asyncio.timeout(READER_PATIENCE_S):
                    await response.write(lines.line(notice))
            await response.write_eof()
        except TimeoutError:  # the client does not read
            if call.request.transport is not None:
                call.request.transport.abort()
        except ConnectionError:
            pass  # the client has disconnected
        finally:
            await events.aclose()
        return response

    # --- objects

    async def _object(self, call: Call) -> web.StreamResponse:
        method = call.request.method
        if method == "GET":
            return self._get(call)
        if method == "DELETE":
            return await self._delete(call)
        if method == "PUT":
            body = await call.body()
            options = call.options()
            return one_object(call, await self._writes.replace(call.target, body, options), options)
        if method == "PATCH":
            return await self._patch(call)
        raise method_not_allowed()

    def _get(self, call: Call) -> web.Response:
        if call.is_watch:
            raise status.bad_request("watch one object by listing with fieldSelector=metadata.name=NAME")
        stored = self._writes.store.get(call.target.key)
        if stored is None:
            raise call.target.not_found()
        return one_object(call, stored.object, None)

    async def _patch(self, call: Call) -> web.Response:
        body = await call.body()
        options = call.options()
        if call.media_type == negotiation.APPLY:
            obj, created = await self._writes.apply(call.target, call.configuration(body), options)
            return one_object(call, obj, options, code=201 if created else 200)
        patched = await self._writes.patch(call.target, call.patch_kind(), body, options)
        return one_object(call, patched, options)

    async def _delete(self, call: Call) -> web.Response:
        delete = await call.delete_options()
        options = call.options()
        last, is_removed = await self._writes.delete(call.target, delete, options)
        if not is_removed:
            return one_object(call, last, options)
        details = {"name": call.route.name, "kind": call.route.plural}
        if call.route.group:
            details["group"] = call.route.group
        done = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details | {"uid": last["metadata"]["uid"]},
        }
        return as_json(call.request, done)


def _verb(route: Route, request: web.Request) -> str:
    """Return the API verb of a request, or an empty string for an unsupported method."""
    method = request.method
    if method == "GET" or (method == "HEAD" and route.subresource == "proxy"):
        return "get" if route.name else "watch" if asks_for_watch(request.query) else "list"
    if method == "DELETE" and not route.name:
        return "deletecollection"
    return _VERBS.get(method, "")


def _attempt(route: Route, request: web.Request) -> Attempt:
    """Return the action that a request to a resource performs, for authorization."""
    resource = f"{route.plural}/{route.subresource}" if route.subresource else route.plural
    namespace = route.namespace or (route.name if route.plural == "namespaces" and not route.group else "")
    return Attempt(_verb(route, request), route.group, resource, namespace, route.name)
