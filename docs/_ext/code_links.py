"""Links code in the pages to the reference: ``mk.NAME`` and ``meshkit sandbox up`` lead to their entries."""

from __future__ import annotations

import re
from typing import Any

import click
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode

from meshkit.cli.app import cli

_NAME = re.compile(r"mk\.[A-Za-z_]\w*")
_COMMAND = "meshkit-command"
_NEVER = (nodes.reference, nodes.title, addnodes.pending_xref, addnodes.desc_signature)


class CodeLinks(SphinxTransform):
    """Wrap each literal that names something of the reference into a link to it."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        """Change the document in place."""
        for literal in list(self.document.findall(nodes.literal)):
            link = self._link(literal.astext())
            if link is None or any(isinstance(above, _NEVER) for above in _above(literal)):
                continue
            literal.replace_self(link)
            link += literal

    def _link(self, text: str) -> addnodes.pending_xref | None:
        name = _NAME.match(text)
        if name:
            return self._xref("py", "obj", name.group())
        if text.startswith("meshkit "):
            label = _command(text.split()[1:])
            return self._xref("", _COMMAND, label) if label else None
        return None

    def _xref(self, domain: str, kind: str, target: str) -> addnodes.pending_xref:
        where = {"refdomain": domain, "reftype": kind, "reftarget": target, "refdoc": self.env.docname}
        return addnodes.pending_xref("", refexplicit=True, refwarn=True, **where)


def _above(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def _command(words: list[str]) -> str:
    command: click.Command = cli
    path = []
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words[0]]
        path.append(words[0])
        words = words[1:]
    return "-".join(["command-meshkit", *path]) if path else ""


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.reference | None:
    """The link to a command's section, whose code stays code; None where there is no such section."""
    known = env.domains.standard_domain.anonlabels
    if node["reftype"] != _COMMAND or node["reftarget"] not in known:
        return None
    page, anchor = known[node["reftarget"]]
    return make_refnode(app.builder, node["refdoc"], page, anchor, content)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_transform(CodeLinks)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
