"""``meshkit judge serve``: the verdict of a release for a tool that shifts the weights itself.

session.py measures the mesh as a release does, answers.py turns a verdict into what Argo Rollouts and Flagger
understand, server.py answers their requests. Nothing in the cluster is written.
"""
