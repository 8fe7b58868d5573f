"""Controllers that reconcile Deployments, Jobs, scheduling, endpoints, budgets and namespaces.

Each module is one controller. It declares the resources that it watches, and its ``reconcile`` compares the
desired state with the actual state and takes the next step. Controllers communicate only through API
objects, by ``LocalClient``. This package contains no processes or addresses (sandbox.node), no request
handling (sandbox.api) and no mesh knowledge.
"""
