"""Codes of objects that Argo CD or Flux applies from Git, and that others write, too."""

from __future__ import annotations

from meshkit.codes.code import Code

GITOPS_SHARES_FIELDS = Code(
    "MK2401",
    "warning",
    "meshkit and a GitOps tool own the same fields of an object. An info where the tool corrects nothing"
    " between two upgrades of a chart.",
    "The tool puts back what Git says with its next sync, and meshkit's next plan changes it again.",
    "Let one of the two write the fields: remove them from Git or from the intents, or tell the tool to"
    " ignore them.",
    also="info",
)
GITOPS_TAKES_WEIGHTS_BACK = Code(
    "MK2402",
    "warning",
    "A GitOps tool applies the object whose weights a release is to change. An info where the tool corrects"
    " nothing between two upgrades of a chart.",
    "A sync in the middle of the release sends the requests back to where Git says; one after the promotion"
    " sends them to the old version.",
    "Tell the tool to ignore the weights, and write the new ones to Git after the promotion.",
    also="info",
)
GITOPS_UNDOES_CONTROL_PLANE = Code(
    "MK2403",
    "warning",
    "A GitOps tool applies a webhook whose fields the control plane writes. An info where the tool corrects"
    " nothing between two upgrades of a chart.",
    "After a sync the webhook has no CA or another failure policy until the control plane writes it again;"
    " the tool reports a difference that never goes away.",
    "Tell the tool to ignore the fields that the control plane writes.",
    also="info",
)
