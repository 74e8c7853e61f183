"""A drop-in for nengo-loihi's emulator and simulator; needs the extra ``nengo``.

Nengo and nengo-loihi are imported here and nowhere else in nmcompile, which contains none of
their code. Nengo's licence is the GPL-2.0 from version 4 on, and before allows non-commercial
use; nengo-loihi's is Apache-2.0.
"""

from __future__ import annotations

import warnings

from nmcompile.errors import UsageError

try:
    with warnings.catch_warnings():
        # Of names and versions that are newer than it; `mend` says what there is to say.
        warnings.simplefilter("ignore")
        import nengo_loihi  # noqa: F401
except ImportError as error:
    raise UsageError(
        f"nmcompile.nengo needs Nengo and nengo-loihi ({error}); "
        "install them with: pip install 'nmcompile[nengo]'"
    ) from None

from nmcompile.nengo.mend import MendWarning, mend

mend()

from nmcompile.nengo.interface import EmulatorInterface  # noqa: E402
from nmcompile.nengo.program import to_program  # noqa: E402
from nmcompile.nengo.simulator import Simulator  # noqa: E402

__all__ = ["EmulatorInterface", "MendWarning", "Simulator", "to_program"]
