"""Labels and annotations of Linkerd that stand where Linkerd does not read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import annotations_of, labels, title
from meshkit.meshes.linkerd.injection import INJECT
from meshkit.meshes.view import View

_ANNOTATIONS_ONLY = (INJECT, "config.linkerd.io/", "config.alpha.linkerd.io/")
_LABEL_ONLY = "mirror.linkerd.io/exported"


def check(view: View) -> Iterator[Finding]:
    """Annotations that were written as labels, and the other way round."""
    for obj in view.of("Namespace"):
        if INJECT in labels(obj):
            message = f"{INJECT} is a label here, and Linkerd reads it as an annotation only."
            yield codes.finding(codes.INJECT_LABEL_IGNORED, title(obj), message)
    objects = (*view.of("Pod"), *view.of("Service"))
    swapped = Counter(entry for obj in objects for entry in _swapped(obj))
    for (namespace, kind, key, given), count in sorted(swapped.items()):
        wanted = "annotation" if given == "label" else "label"
        message = f"{key} is the {given} of {count} {kind}s, and Linkerd reads it as {wanted} only."
        remedy = f"Make it the {wanted}."
        yield codes.finding(codes.LABEL_ANNOTATION_SWAPPED, f"Namespace {namespace}", message, remedy)


def _swapped(obj: Object) -> Iterator[tuple[str, str, str, str]]:
    """Namespace, kind, key and where the key was written, for each misplaced key of an object."""
    namespace, kind = obj["metadata"]["namespace"], obj["kind"]
    for key in labels(obj):
        if key.startswith(_ANNOTATIONS_ONLY):
            yield namespace, kind, key, "label"
    if kind == "Service" and _LABEL_ONLY in annotations_of(obj):
        yield namespace, kind, _LABEL_ONLY, "annotation"
