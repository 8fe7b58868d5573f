"""Which of several matches Linkerd's proxies prefer (linkerd2-proxy, linkerd/http/route).

They compare, request by request, how many characters of the path were matched, then the numbers of headers
and of query parameters, then whether the method was matched. An exact path and a regular expression both
match the whole path, so either comes before a prefix; Gateway API leaves the place of regular expressions to
the implementation. The tie of a prefix that is the whole path of a request is left out.
"""

from __future__ import annotations

from meshkit.meshes.gateway_api.meaning import matches
from meshkit.meshes.model.outbound import Match, StringMatch


def rank(match: Match, kind: str = "HTTPRoute") -> matches.Rank:
    """Sorts matches by precedence. A GRPCRoute's are ranked as Gateway API says."""
    if kind == "GRPCRoute":
        return matches.rank(match)
    path = match.path or StringMatch("segments", "/")
    whole = path.kind in ("exact", "regex")
    length = 0 if whole else max(len(path.value.rstrip("/")), 1)
    return (0 if whole else 1, -length, -len(match.headers), -len(match.query), 0 if match.method else 1)
