"""The configuration role translates the cluster's objects to every sidecar's configuration.

Each change is translated at once (without polling or debouncing) and passed to one worker per pod, so that
an unresponsive pod does not delay others. When Envoy rejects a configuration, the configurator finds the
invalid object: it checks each object that changed since the last accepted configuration separately with
``envoy --mode validate``. The last accepted version of an invalid object stays in effect, and an Event on
the object gives Envoy's reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshkit.meshes.model.meaning import Meaning
from meshkit.meshes.model.named_pods import with_named_pods
from meshkit.meshes.model.outbound import Object, Outbound
from meshkit.meshes.model.pods import is_running, obeys
from meshkit.meshes.model.registry import Registry, resource_names
from meshkit.sandbox.control_planes.api_client import ApiClient, Mirror
from meshkit.sandbox.control_planes.data_plane import DataPlane
from meshkit.sandbox.control_planes.route_status import StatusWriter
from meshkit.sandbox.dataplane import validation
from meshkit.sandbox.dataplane.delivery import Delivery, Desired, Rejected, Unanswered
from meshkit.sandbox.dataplane.pod_directory import pod_folder

_LOG = logging.getLogger("config")
_RETRY_S = 0.05
_INFRASTRUCTURE = {"namespaces", "nodes", "pods", "endpointslices"}
_KUBERNETES = {*_INFRASTRUCTURE, "services", "configmaps"}
_TRANSLATION_ERRORS = (ValueError, KeyError, TypeError, AttributeError)
Key = tuple[str, str]
"""The resource and ``namespace/name`` of an object."""


class _Worker:
    """Delivers the most recent desired configuration to one pod."""

    def __init__(self, delivery: Delivery, on_outcome: asyncio.Event, name: str) -> None:
        self._delivery = delivery
        self._outcome = on_outcome
        self._name = name
        self._wanted: Desired | None = None
        self._wake = asyncio.Event()
        self._rejected: Desired | None = None
        self._accepted: Desired | None = None
        self.task = asyncio.create_task(self._run())

    def want(self, desired: Desired) -> None:
        if desired != self._wanted:
            self._wanted = desired
            self._wake.set()

    @property
    def is_settled(self) -> bool:
        """Whether the pod has applied the desired configuration."""
        return self._accepted is self._wanted

    @property
    def is_rejected(self) -> bool:
        """Whether the pod's Envoy has rejected the desired configuration."""
        return self._rejected is not None and self._rejected is self._wanted

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted = self._wanted
            if wanted is None:
                continue
            if not self._delivery.is_prepared():
                await self._retry_later()
                continue
            try:
                await self._delivery.deliver(wanted)
            except Rejected as refusal:
                _LOG.warning("%s: Envoy rejected its %s", self._name, refusal.kind)
                self._rejected = wanted
            except (Unanswered, OSError) as problem:
                _LOG.info("%s: %s", self._name, problem)
                await self._retry_later()
                continue
            else:
                self._accepted = wanted
            self._outcome.set()

    async def _retry_later(self) -> None:
        await asyncio.sleep(_RETRY_S)
        self._wake.set()


class Configurator:
    """Configures the sidecars of one revision while its replica is the leader.

    ``event_source`` is the component of Events about objects without effect. Pods of other revisions are not
    configured, but they are endpoints like any others. ``mesh_config`` is the only ConfigMap of ``namespace``
    that the meaning reads; the others change too often to translate everything for them.
    """

    def __init__(
        self,
        api: ApiClient,
        *,
        data_plane: DataPlane,
        revision: str,
        meaning: Meaning,
        event_source: str,
        run_dir: Path,
        namespace: str,
        mesh_config: str,
    ) -> None:
        self._api = api
        self._plane = data_plane
        self._revision = revision
        self._meaning = meaning
        self._source = event_source
        self._run_dir = run_dir
        self._namespace = namespace
        self._mirror = Mirror(
            api,
            resource_names(meaning.KINDS),
            within={"configmaps": namespace},
            named={"configmaps": mesh_config},
        )
        self._workers: dict[str, _Worker] = {}
        self._suspects: set[Key] = set()
        self._accepted: dict[Key, Object] = {}
        self._held_back: set[Key] = set()
        self._reported: set[tuple[str, str, str]] = set()
        self._outcome = asyncio.Event()
        self._published = asyncio.Event()

    async def run(self) -> None:
        """Configure every sidecar until cancelled; delivered configurations stay in effect."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._mirror.run())
                tasks.create_task(self._handle_outcomes())
                tasks.create_task(self._update_statuses())
                while True:
                    await self._mirror.changed.wait()
                    self._mirror.changed.clear()
                    if self._mirror.is_synced:
                        self._note_changes()
                        await self._publish()
                        self._published.set()
        finally:
            for worker in self._workers.values():
                worker.task.cancel()

    def _note_changes(self) -> None:
        """Mark changed objects as suspects, and stop holding them back."""
        for resource, key in self._mirror.take():
            if resource not in _INFRASTRUCTURE:
                self._held_back.discard((resource, key))
                self._suspects.add((resource, key))

    def _objects(self, without: set[Key]) -> dict[str, dict[str, Object]]:
        """Return the effective objects; those in ``without`` have their last accepted version, if any."""
        objects = {
            resource: {key: item for key, item in items.items() if self._is_in_revision(resource, item)}
            for resource, items in self._mirror.objects.items()
        }
        for resource, key in without:
            objects[resource].pop(key, None)
            if (resource, key) in self._accepted:
                objects[resource][key] = self._accepted[(resource, key)]
        return objects

    def _is_in_revision(self, resource: str, item: Object) -> bool:
        """Return whether an object applies to this revision, as istiod's ObjectInRevision does."""
        if resource in _KUBERNETES:
            return True
        labels: Mapping[str, str] = item["metadata"].get("labels") or {}
        return labels.get(self._plane.proxy.revision_mark, self._revision) == self._revision

    async def _publish(self) -> None:
        objects = self._objects(self._held_back)
        try:
            wanted = self._translate(objects)
        except _TRANSLATION_ERRORS as problem:
            _LOG.warning("translation failed: %r", problem)
            await self._isolate_invalid()
            return
        pods = objects["pods"]
        for key, desired in wanted.items():
            pod = pods[key]
            uid = pod["metadata"]["uid"]
            if uid not in self._workers:
                directory = pod_folder(self._run_dir, uid)
                delivery = Delivery(directory, pod["status"]["podIP"], self._plane.style)
                self._workers[uid] = _Worker(delivery, self._outcome, key)
            self._workers[uid].want(desired)
        for gone in set(self._workers) - {pods[key]["metadata"]["uid"] for key in wanted}:
            self._workers.pop(gone).task.cancel()
        for outbound in {id(desired.outbound): desired.outbound for desired in wanted.values()}.values():
            await self._report_problems(outbound)

    def _translate(self, objects: Mapping[str, Mapping[str, Object]]) -> dict[str, Desired]:
        """Map the key of every running pod with this mesh's sidecar to its configuration."""
        registry = Registry({name: items.values() for name, items in objects.items()}, self._namespace)
        shared: dict[Any, Outbound] = {}
        wanted = {}
        for key, pod in objects["pods"].items():
            if not (obeys(pod, self._plane.proxy, self._revision) and is_running(pod)):
                continue
            caller = self._meaning.caller_of(registry, pod)
            if caller not in shared:
                outbound = self._meaning.outbound(registry, caller)
                shared[caller] = with_named_pods(outbound, registry, pod["metadata"]["namespace"])
            wanted[key] = Desired(shared[caller], self._meaning.inbound(registry, pod))
        return wanted

    async def _report_problems(self, outbound: Outbound) -> None:
        for problem in outbound.problems:
            if problem.key not in self._reported:
                self._reported.add(problem.key)
                await self._warn(problem.object, problem.reason, problem.message)

    async def _update_statuses(self) -> None:
        """Update the status of routes after each change, without delaying the configuration."""
        writer = StatusWriter(self._api)
        while True:
            await self._published.wait()
            self._published.clear()
            objects = {name: items.values() for name, items in self._mirror.objects.items()}
            try:
                wanted = list(self._meaning.statuses(Registry(objects, self._namespace)))
            except _TRANSLATION_ERRORS as problem:
                _LOG.warning("cannot compute the status of routes: %r", problem)
                continue
            await writer.write(wanted)

    async def _warn(self, item: Object, reason: str, message: str) -> None:
        await self._api.record_event(item, reason, message, source=self._source)

    async def _handle_outcomes(self) -> None:
        """Handle delivery outcomes: clear the suspects when all pods accept, isolate them on a rejection."""
        while True:
            await self._outcome.wait()
            self._outcome.clear()
            workers = self._workers.values()
            if any(worker.is_rejected for worker in workers):
                await self._isolate_invalid()
            elif all(worker.is_settled for worker in workers):
                for resource, key in self._suspects - self._held_back:
                    item = self._mirror.objects[resource].get(key)
                    if item is not None:
                        self._accepted[(resource, key)] = item
                self._suspects = set(self._held_back)

    async def _isolate_invalid(self) -> None:
        """Hold back each suspect that is invalid on its own, record an Event on it, and publish again."""
        invalid = set()
        for suspect in sorted(self._suspects - self._held_back):
            resource, key = suspect
            item = self._mirror.objects[resource].get(key)
            if item is None:
                continue
            reason = await self._refusal(self._objects(self._suspects - {suspect}))
            if reason is not None:
                invalid.add(suspect)
                before = (
                    "The last accepted version stays in effect"
                    if suspect in self._accepted
                    else "It has no effect"
                )
                await self._warn(item, "Rejected", f"{before}: {reason}")
        self._held_back |= invalid
        if invalid:
            self._mirror.changed.set()

    async def _refusal(self, objects: dict[str, dict[str, Object]]) -> str | None:
        """Return why Envoy would reject a configuration from these objects, or None."""
        try:
            wanted = self._translate(objects)
        except _TRANSLATION_ERRORS as problem:
            return str(problem)
        for desired in {id(each.outbound): each for each in wanted.values()}.values():
            reason = await validation.refusal(desired, self._plane.style)
            if reason is not None:
                return reason
        return None
