"""User impersonation with the ``Impersonate-*`` headers.

Follows k8s.io/apiserver pkg/endpoints/filters/impersonation. User, groups, uid and extras are authorized
separately. The modes of constrained impersonation (``impersonate:user-info`` with
``impersonate-on:user-info:VERB``, likewise for service accounts and nodes) are tried before the verb
``impersonate``. When none allows the request, the error is that of the first mode.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from meshkit.sandbox.api import status
from meshkit.sandbox.api.auth.rights import Attempt, Rights
from meshkit.sandbox.api.auth.users import AUTHENTICATED, MASTERS, User, account_groups

_USER, _GROUP, _UID, _EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "impersonate-extra-"
_PREFIX = "impersonate-"
_AUTHENTICATION = "authentication.k8s.io"
_ANONYMOUS, _UNAUTHENTICATED = "system:anonymous", "system:unauthenticated"
_NODES = "system:nodes"
_NODE = re.compile(r"system:node:([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)")
_ACCOUNT = re.compile(
    r"system:serviceaccount:([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?):([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)"
)


def wanted(headers: CIMultiDictProxy[str]) -> User | None:
    """Return the user that a request's headers impersonate, or None without such headers.

    Raises ApiError 400 for groups, uid or extras without a user.
    """
    if not any(name[: len(_PREFIX)].lower() == _PREFIX for name in headers):
        return None
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.lower().startswith(_EXTRA):
            key = unquote(name.lower().removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    user = User(
        headers.get(_USER, ""),
        tuple(headers.getall(_GROUP, ())),
        headers.get(_UID, ""),
        dict(sorted(extra.items())),
    )
    if user.name:
        return user
    if user.groups or user.uid or user.extra:
        raise status.bad_request(f"requested {_go_syntax(user)} without impersonating a user name")
    return None


def authorized(rights: Rights, requestor: User, wanted: User, attempt: Attempt | None) -> User:
    """Return the impersonated user with its groups, or raise ApiError 403.

    ``attempt`` is the action to perform as that user, or None for a non-resource request.
    """
    refusal: status.ApiError | None = None
    for mode in _modes(wanted) if attempt is not None else ():
        try:
            assert attempt is not None
            rights.require(requestor, replace(attempt, verb=f"impersonate-on:{mode}:{attempt.verb}"))
            return _checked(rights, requestor, wanted, f"impersonate:{mode}", _AUTHENTICATION)
        except status.ApiError as error:
            refusal = refusal or error
    try:
        return _checked(rights, requestor, wanted, "impersonate", "")
    except status.ApiError as error:
        raise refusal or error from error


def _modes(user: User) -> Iterator[str]:
    """Yield the modes of constrained impersonation that apply to this user."""
    has_name_only = not (user.groups or user.uid or user.extra)
    if _NODE.fullmatch(user.name):
        if has_name_only:
            yield "arbitrary-node"
    elif _ACCOUNT.fullmatch(user.name):
        if has_name_only:
            yield "serviceaccount"
    else:
        yield "user-info"


def _checked(rights: Rights, requestor: User, user: User, verb: str, group: str) -> User:
    """Authorize each part of the impersonated user and return the user with all its groups."""
    constrained = verb != "impersonate"
    name, groups = Attempt(verb, group, "users", name=user.name), user.groups
    account, node = _ACCOUNT.fullmatch(user.name), _NODE.fullmatch(user.name)
    if account:
        name = Attempt(verb, group, "serviceaccounts", account[1], account[2])
        groups = groups or account_groups(account[1])
    elif node and constrained:
        name = Attempt(verb, group, "nodes", name=node[1])
        groups = (_NODES,)
    rights.require(requestor, name)
    if user.uid:
        rights.require(requestor, Attempt(verb, _AUTHENTICATION, "uids", name=user.uid))
    if constrained and MASTERS in user.groups:
        why = f"impersonating the {MASTERS} group is not allowed"
        raise status.forbidden("groups", group, MASTERS, why)
    for user_group in user.groups:
        rights.require(requestor, Attempt(verb, group, "groups", name=user_group))
    for key, values in user.extra.items():
        for value in values:
            rights.require(requestor, Attempt(verb, _AUTHENTICATION, f"userextras/{key}", name=value))
    return replace(user, groups=_with_system_group(user.name, groups))


def _with_system_group(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    if name == _ANONYMOUS:
        return groups if _UNAUTHENTICATED in groups else (*groups, _UNAUTHENTICATED)
    if _UNAUTHENTICATED in groups or AUTHENTICATED in groups:
        return groups
    return (*groups, AUTHENTICATED)


def _go_syntax(user: User) -> str:
    """Return the user in the format of Go's ``%#v``."""
    extra = ", ".join(f"{json.dumps(key)}:{_go_list(values)}" for key, values in user.extra.items())
    extra_literal = f"map[string][]string{{{extra}}}" if user.extra else "map[string][]string(nil)"
    return (
        f'&user.DefaultInfo{{Name:"", UID:{json.dumps(user.uid)}, Groups:{_go_list(user.groups)}, '
        f"Extra:{extra_literal}}}"
    )


def _go_list(values: tuple[str, ...]) -> str:
    return f"[]string{{{', '.join(map(json.dumps, values))}}}" if values else "[]string(nil)"
