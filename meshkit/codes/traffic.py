"""Codes of what routes do to traffic: retries, limits and timeouts along calls, and what was left behind."""

from __future__ import annotations

from meshkit.codes.code import Code

RETRIES_MULTIPLY = Code(
    "MK0280",
    "warning",
    "Several calls in a row are retried when a server answers with an error, as the observed traffic shows.",
    "Each caller retries the retries of the next one: a server that fails gets many times its usual load.",
    "Retry at one place of the chain, the one nearest to the server that fails, and leave the others out.",
)
LIMIT_BELOW_TRAFFIC = Code(
    "MK0281",
    "warning",
    "A connection limit is below the number of requests that callers have under way in the observed traffic.",
    "Requests beyond it wait, or fail at once with status 503, although every server is well.",
    "Raise the limit above the usual traffic and its peaks, so that it holds off overload only.",
)
TIMEOUT_LONGER_THAN_CALLERS = Code(
    "MK0282",
    "warning",
    "A call has a longer timeout than the call that waits for it, as the observed traffic shows.",
    "The caller gives up first: the server goes on with work whose answer nobody awaits.",
    "Make the timeout shorter than that of the call before it, or lengthen that one.",
)
RETRY_NOT_IDEMPOTENT = Code(
    "MK0283",
    "warning",
    "Requests with the methods POST or PATCH are retried after an answer with an error. An info where a "
    "rule takes the requests of every method, and traffic was read.",
    "The server may have carried out the first attempt: an order is placed twice.",
    "Match the methods GET, HEAD, PUT and DELETE in the rule with retries, or make sure that repeated "
    "requests do no harm.",
    also="info",
)
FAULT_LEFT = Code(
    "MK0284",
    "warning",
    "A route has injected delays or errors for more than a day.",
    "Injected faults are for tests; these requests are slow or fail.",
    "Remove the fault from the route if the test is over.",
)
MIRROR_LEFT = Code(
    "MK0285",
    "info",
    "A route has mirrored requests for more than a week.",
    "Each mirrored request is work for its target, and whatever it writes is written once more.",
    "Remove the mirror from the route if nobody compares the answers any more.",
)
TRAFFIC_NOT_SEEN = Code(
    "MK0286",
    "info",
    "Retries, limits or timeouts of routes were not held against the traffic, or not against all of it.",
    "Whether retries multiply, limits are too low or timeouts too long is not known.",
    "Read the traffic: 'meshkit check --traffic 10', in Python mk.check(cluster, traffic_s=10).",
)
