"""The sandbox's data plane and the mesh control planes that steer it.

Lives here: the mesh-neutral proxy model, its translators (Kubernetes objects -> model), its rendering for
Envoy, identities, the control-plane process that istiod's or Linkerd's pods run, and the meshes' own metrics.
May not live here: starting and stopping processes (sandbox.node), the Kubernetes API (sandbox.api), and
anything of the library. Whoever adds a mesh adds a translator, an injection and a metrics table, and no
branch anywhere else.
"""
