"""Templates of the pages that reports are written as, and the packages that they need."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from nmcompile.errors import UsageError


def template(name: str, *needed: str) -> Any:
    """A page's template; of `needed` packages all must be there.

    Raises
    ------
    UsageError
        The extra `report` is not installed.
    """
    try:
        jinja2 = import_module("jinja2")
        for package in needed:
            import_module(package)
    except ImportError:
        raise UsageError("a report needs more packages: pip install 'nmcompile[report]'") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template(name)
