"""Tests of `nmcompile.nengo`, where Nengo and nengo-loihi are installed."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import pytest

if find_spec("nengo_loihi") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    with warnings.catch_warnings():
        # Nengo and nengo-loihi warn of newer versions as they are imported.
        warnings.simplefilter("ignore")
        import nmcompile.nengo  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All need Nengo; and Nengo's own warnings are not ours to mend."""
    for item in items:
        if "nengo" in item.path.parts[-2:-1]:
            item.add_marker(pytest.mark.nengo)
            item.add_marker(pytest.mark.filterwarnings("ignore"))
