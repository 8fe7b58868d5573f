"""The certificates and the key that a kubeconfig holds inline, kept in no file once they are loaded.

TLS loads a client's key from a file only. The Kubernetes client would write one that stays until its process
ends, and longer where that is killed.
"""

from __future__ import annotations

import base64
import copy
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_FIELDS = (
    ("clusters", "cluster", "certificate-authority"),
    ("users", "user", "client-certificate"),
    ("users", "user", "client-key"),
)
_DATA = "-data"


@contextmanager
def written(kubeconfig: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The kubeconfig with files in place of inline certificates, and whether there was one.

    The files exist as long as the context does, in a directory that nobody else can read. Raises
    ``ValueError`` for data that is not base64.
    """
    content = copy.deepcopy(dict(kubeconfig))
    inline = [
        (entry[kind], name)
        for entries, kind, name in _FIELDS
        for entry in content[entries]
        if entry[kind].get(name + _DATA)
    ]
    with TemporaryDirectory(prefix="meshkit-") as folder:
        for holder, name in inline:
            path = Path(folder) / name
            path.write_bytes(base64.standard_b64decode(holder.pop(name + _DATA)))
            holder[name] = str(path)
        yield content, bool(inline)


def load_certificates(pools: Any) -> None:
    """Let every later connection of a pool manager use the certificates that its files have now.

    Raises ``OSError`` for what is no certificate, or no key that fits it.
    """
    from urllib3.util.ssl_ import create_urllib3_context

    options = pools.connection_pool_kw
    authority, certificate, key = (options.pop(name, None) for name in ("ca_certs", "cert_file", "key_file"))
    context = create_urllib3_context(cert_reqs=options["cert_reqs"])
    if authority:
        context.load_verify_locations(authority)
    elif options["cert_reqs"] != ssl.CERT_NONE:
        context.load_default_certs()
    if certificate:
        context.load_cert_chain(certificate, key)
    options["ssl_context"] = context
