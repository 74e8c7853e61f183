"""Lets docstrings say what a field is in prose: the types come from the annotations.

Parameters and attributes are documented as ``name : what it is``. Griffe would take the words
for a type; this moves them below the name before it reads them.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Parameters|Attributes)\n-+\n", re.M)
_NEXT = re.compile(r"\n\n(?=\S)")
_FIELD = re.compile(r"^(\w+(?:, \w+)*) : (.*(?:\n(?!\w+(?:, \w+)* : |\w+(?:, \w+)*\n).+)*)", re.M)


class ProseFields(griffe.Extension):
    """Rewrites every docstring as it is loaded."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = moved(obj.docstring.value)


def moved(text: str) -> str:
    """The docstring with the words of each field on lines of their own."""
    found = _SECTION.search(text)
    if found is None:
        return text
    end = _NEXT.search(text, found.end())
    stop = end.start() if end else len(text)
    body = _FIELD.sub(_field, text[found.end() : stop])
    return text[: found.end()] + body + moved(text[stop:])


def _field(match: re.Match[str]) -> str:
    words = " ".join(match[2].split())
    return f"{match[1]}\n    {words}"
