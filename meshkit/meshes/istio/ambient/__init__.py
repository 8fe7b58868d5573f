"""Istio's ambient mode: pods in the mesh without a sidecar, whose connections ztunnel carries.

ztunnel runs on every node. It does mutual TLS and authorizes by caller and port, and reads no HTTP: paths,
methods, headers and routes need a waypoint, a proxy of its own in front of a Service. Nothing here configures
ztunnel or waypoints, and no module here reads a cluster.
"""
