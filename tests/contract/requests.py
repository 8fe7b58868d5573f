"""Requests to the API server as they are written, with the codes and warnings of the answers."""

from __future__ import annotations

import json
from typing import Any

from kubernetes import client


def request(
    connection: client.ApiClient,
    method: str,
    path: str,
    body: object = None,
    media_type: str = "application/json",
) -> tuple[int, Any, list[str]]:
    """The status code, the body and the warnings of an answer; a text is sent as it is."""
    headers = {"Content-Type": media_type, "Accept": "application/json"}
    url = f"{connection.configuration.host}{path}"
    connection.update_params_for_auth(headers, [], ["BearerToken"], url, method, body)
    sent = body if isinstance(body, (str, type(None))) else json.dumps(body)
    answer = connection.rest_client.pool_manager.request(method, url, body=sent, headers=headers)
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    decoded = json.loads(answer.data) if is_json else answer.data.decode()
    return answer.status, decoded, answer.headers.getlist("Warning")
