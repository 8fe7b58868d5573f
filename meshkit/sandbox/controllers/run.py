"""Runs all controllers, each under its own user name, which appears in managedFields and Events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshkit.sandbox.controllers import loop
from meshkit.sandbox.controllers.api_services import ApiServiceController
from meshkit.sandbox.controllers.budgets import BudgetController
from meshkit.sandbox.controllers.endpoints import EndpointController
from meshkit.sandbox.controllers.garbage import GarbageCollector
from meshkit.sandbox.controllers.namespaces import NamespaceController
from meshkit.sandbox.controllers.nodes import NodeController
from meshkit.sandbox.controllers.quotas import QuotaController
from meshkit.sandbox.controllers.scheduling.scheduler import Scheduler
from meshkit.sandbox.controllers.workloads.cronjobs import CronJobController
from meshkit.sandbox.controllers.workloads.daemonsets import DaemonSetController
from meshkit.sandbox.controllers.workloads.deployments import DeploymentController
from meshkit.sandbox.controllers.workloads.jobs import JobController
from meshkit.sandbox.controllers.workloads.replicasets import ReplicaSetController
from meshkit.sandbox.controllers.workloads.statefulsets import StatefulSetController

if TYPE_CHECKING:
    from meshkit.sandbox.api.client import LocalClient

ACCOUNT = "system:serviceaccount:kube-system:{name}"


async def run_all(client: LocalClient) -> None:
    """Run every controller until cancelled; if one of them fails, all of them end."""

    def acting(name: str) -> LocalClient:
        return client.acting_as(ACCOUNT.format(name=name))

    controllers: list[loop.Controller] = [
        DeploymentController(acting("deployment-controller")),
        ReplicaSetController(acting("replicaset-controller")),
        StatefulSetController(acting("statefulset-controller")),
        DaemonSetController(acting("daemon-set-controller")),
        JobController(acting("job-controller")),
        CronJobController(acting("cronjob-controller")),
        EndpointController(acting("endpointslice-controller")),
        BudgetController(acting("disruption-controller")),
        QuotaController(acting("resourcequota-controller")),
        ApiServiceController(client.acting_as("system:kube-aggregator")),
        NamespaceController(acting("namespace-controller")),
        NodeController(acting("node-controller")),
        Scheduler(client.acting_as("system:kube-scheduler")),
    ]
    turns = loop.Turns()
    async with asyncio.TaskGroup() as tasks:
        for controller in controllers:
            tasks.create_task(loop.run(controller, client, turns))
        tasks.create_task(GarbageCollector(acting("generic-garbage-collector")).run())
