"""Codes of access rules: those on trial, exceptions with an end, and what they refuse."""

from __future__ import annotations

from meshkit.codes.code import Code

EXCEPTION_OVER = Code(
    "MK2301",
    "warning",
    "The last day of an exception to the access rules has passed.",
    "Its callers are still let in: no mesh knows an end, so somebody has to remove the rule.",
    "Undo the change that made it or delete its objects; or apply it again with a later `until`.",
)
EXCEPTION_ENDS_SOON = Code(
    "MK2302",
    "info",
    "The last day of an exception to the access rules is at most two weeks away.",
    "Its callers need another way by then, or a decision.",
    "Ask its owner whether the callers still need it.",
)
RULE_ON_TRIAL = Code(
    "MK2303",
    "info",
    "An access rule is on trial: it counts whom it would refuse, and refuses nobody.",
    "A rule that stays on trial protects nothing.",
    "List the would-be denials with `meshkit access denials`, then enforce it: `meshkit access enforce`.",
)
ESSENTIAL_REQUESTS_CUT = Code(
    "MK2304",
    "error",
    "Enforcing an access rule would refuse requests that have no identity and are needed.",
    "Probes, scrapes, webhooks and meshkit's own measurements come without the mesh's certificates.",
    "Move what they ask for to a port that no Service offers, or leave that port out of the rule.",
)
OBSERVED_CALLER_REFUSED = Code(
    "MK2305",
    "warning",
    "Enforcing an access rule would refuse a caller that has called.",
    "Its requests would get status 403.",
    "Add it to the callers, or say that it is to be refused (`--expect-denied`).",
)
