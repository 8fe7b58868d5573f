"""The controllers that make pods from workloads: Deployments, ReplicaSets, Jobs, CronJobs."""
