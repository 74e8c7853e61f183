"""Base of the passes from network to network."""

from __future__ import annotations

from dataclasses import dataclass

from nmcompile.ir import Network
from nmcompile.passes.base import Pass


@dataclass(frozen=True)
class NetworkPass(Pass[Network, Network]):
    """A pass that rewrites the float network; the result verifies itself."""

    def ensures(self, value: Network) -> None:
        value.verify()

    def changes(self, before: Network, after: Network) -> str:
        gone = [node.name for node in before if node.name not in after]
        new = [node.name for node in after if node.name not in before]
        words = []
        if gone:
            words.append("removed " + ", ".join(gone))
        if new:
            words.append("added " + ", ".join(new))
        return "; ".join(words) or "nothing to do"
