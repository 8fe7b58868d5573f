"""Media types of patches, and requests with a media type."""

from __future__ import annotations

APPLY = "application/apply-patch+yaml"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


def typed(media_type: str, **more: str) -> dict[str, str]:
    return {"Content-Type": media_type, **more}


PATCHES = [
    (JSON_PATCH, [1]), (JSON_PATCH, [{}]), (JSON_PATCH, [{"op": "remove", "path": ""}]),
    (JSON_PATCH, [{"op": "move", "from": "", "path": "/a"}]), (JSON_PATCH, [{"op": "copy", "path": "/a"}]),
    (JSON_PATCH, [{"op": "add", "path": "/metadata/name/x", "value": 1}]),
    (JSON_PATCH, [{"op": "replace", "path": "/metadata/name/0", "value": 1}]),
    (JSON_PATCH, [{"op": "replace", "path": "", "value": 1}]), (JSON_PATCH, {"op": "add"}),
    (MERGE_PATCH, 1), (MERGE_PATCH, {"metadata": 1}), (MERGE_PATCH, {"metadata": None}),
    (STRATEGIC_PATCH, 1), (STRATEGIC_PATCH, {"$retainKeys": 1}), (STRATEGIC_PATCH, {"metadata": 1}),
    (STRATEGIC_PATCH, {"metadata": {"finalizers": [{}], "$setElementOrder/finalizers": 1}}),
    (STRATEGIC_PATCH, {"metadata": {"ownerReferences": [1]}}), (STRATEGIC_PATCH, {"$patch": "delete"}),
    (STRATEGIC_PATCH, {"metadata": {"finalizers": ["a/b"], "$deleteFromPrimitiveList/finalizers": 1}}),
    (APPLY, 1), (APPLY, {}), (APPLY, {"apiVersion": 1, "kind": []}), (APPLY, {"metadata": 1}),
    (APPLY, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": {}}}),
]  # fmt: skip
