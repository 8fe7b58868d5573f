"""Jobs of a cluster, as tests wait for them."""

from __future__ import annotations

from meshkit.facts import Kind, Object

JOB = Kind("batch/v1", "Job")


def is_complete(job: Object | None) -> bool:
    """Whether a Job has succeeded."""
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Complete", "True") for each in conditions)
