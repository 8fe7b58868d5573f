"""Codes of access rules: those on trial, and exceptions with an end."""

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
