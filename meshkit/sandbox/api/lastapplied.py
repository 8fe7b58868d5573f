"""Support the move from client-side ``kubectl apply`` to server-side apply.

The last-applied annotation holds the configuration of the last client-side apply. Server-side apply by the
manager ``kubectl`` may change those fields without force, and keeps the annotation up to date. The rules
follow Kubernetes (k8s.io/apimachinery/pkg/util/managedfields/internal: lastappliedmanager.go,
lastappliedupdater.go).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meshkit.sandbox.api.storage import fieldset
from meshkit.sandbox.api.storage.fieldset import NOTHING, Paths
from meshkit.sandbox.api.storage.ownership import Endpoint, bare

_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_MANAGER = "kubectl"
_MAX_ANNOTATIONS_BYTES = 256 << 10  # of k8s.io/apimachinery/pkg/api/validation
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})  # of Go's encoding/json


def unchanged_since(live: Mapping[str, Any], endpoint: Endpoint, manager: str) -> Paths:
    """Return the fields that client-side apply wrote and that have not changed since.

    ``manager`` may change these fields without force.
    """
    annotation = (live["metadata"].get("annotations") or {}).get(_ANNOTATION)
    if manager != _MANAGER or not annotation:
        return NOTHING
    try:
        last = json.loads(annotation)
        if not isinstance(last, dict) or last.get("apiVersion") != endpoint.api_version:
            return NOTHING
        written = frozenset(fieldset.applied(endpoint.schema, last))
        change = fieldset.compare(endpoint.schema, last, bare(live))
    except (ValueError, RecursionError, fieldset.BadListItem):
        return NOTHING
    return written - change.added - change.removed - change.modified


def refresh(obj: Mapping[str, Any], config: Mapping[str, Any], manager: str) -> None:
    """Update the last-applied annotation of an object that has one, in place."""
    annotations = obj["metadata"].get("annotations") or {}
    if manager != _MANAGER or not annotations.get(_ANNOTATION):
        return
    annotations[_ANNOTATION] = _encoded(config)
    size_bytes = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size_bytes > _MAX_ANNOTATIONS_BYTES:
        del annotations[_ANNOTATION]


def _encoded(config: Mapping[str, Any]) -> str:
    """Encode a configuration as Go's encoding/json does.

    Keys are sorted, HTML characters are escaped and the text ends with a newline.
    """
    metadata = dict(config.get("metadata") or {})
    if metadata.get("annotations"):
        metadata["annotations"] = {
            key: value for key, value in metadata["annotations"].items() if key != _ANNOTATION
        }
    document = {**config, "metadata": metadata}
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.translate(_ESCAPES) + "\n"
