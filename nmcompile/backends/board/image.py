"""A register image: what every register of a board is told, as (chip, core, index) -> integers.

Chips count through those in use, and cores through those in use of a chip, as a board hands them
out; which cores of the chip these become is for the board's software to say.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmcompile.backends.board.registers import registers
from nmcompile.errors import BoardError

#: Columns of a table that are no fields.
PLACE = ("chip", "core", "index")


@dataclass(frozen=True, eq=False)
class RegisterTable:
    """Entries of one register that set the same fields.

    Attributes
    ----------
    register : its name
    chip, core, index : (rows,) which entry of which core
    fields : name -> (rows,) value
    """

    register: str
    chip: NDArray[Any]
    core: NDArray[Any]
    index: NDArray[Any]
    fields: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.chip)

    def of_core(self, chip: int, core: int) -> RegisterTable:
        """The rows of one core."""
        return self.rows(np.flatnonzero((self.chip == chip) & (self.core == core)))

    def rows(self, which: NDArray[Any] | slice) -> RegisterTable:
        """Some rows."""
        return RegisterTable(
            self.register,
            self.chip[which],
            self.core[which],
            self.index[which],
            {name: values[which] for name, values in self.fields.items()},
        )


@dataclass(frozen=True, eq=False)
class RegisterImage:
    """All that registers are told.

    Attributes
    ----------
    cores : number of cores in use of each chip
    tables : the entries; several tables may be of one register
    """

    cores: tuple[int, ...]
    tables: tuple[RegisterTable, ...]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays: ``REGISTER.NUMBER/COLUMN``, and `cores`."""
        found: dict[str, NDArray[Any]] = {"cores": np.array(self.cores, np.int64)}
        for number, table in enumerate(self.tables):
            key = f"{table.register}.{number}"
            found.update({f"{key}/{name}": getattr(table, name) for name in PLACE})
            found.update({f"{key}/{name}": values for name, values in table.fields.items()})
        return found

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> RegisterImage:
        """The opposite of `arrays`.

        Raises
        ------
        BoardError
            Arrays of another form.
        """
        parts: dict[str, dict[str, NDArray[Any]]] = {}
        for key, values in arrays.items():
            if key != "cores":
                name, _, column = key.rpartition("/")
                parts.setdefault(name, {})[column] = values
        try:
            tables = tuple(
                RegisterTable(
                    name.rpartition(".")[0],
                    columns.pop("chip"),
                    columns.pop("core"),
                    columns.pop("index"),
                    columns,
                )
                for name, columns in parts.items()
            )
            return RegisterImage(tuple(arrays["cores"].tolist()), tables)
        except (KeyError, TypeError) as error:
            raise BoardError(
                f"the register image lacks an array ({error}); write it anew"
            ) from None

    def save(self, path: Path) -> None:
        """Write an `.npz` file that plain NumPy reads."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.arrays())  # type: ignore[arg-type]
        path.write_bytes(buffer.getvalue())

    @staticmethod
    def load(path: Path) -> RegisterImage:
        """Read what `save` wrote, and check it."""
        try:
            with np.load(path, allow_pickle=False) as file:
                image = RegisterImage.from_arrays({name: file[name] for name in file.files})
        except BoardError:
            raise
        except Exception as error:
            # What numpy raises on damaged files is no closed list.
            raise BoardError(f"{path}: not a readable register image ({error})") from None
        image.check()
        return image

    def check(self) -> None:
        """Raise BoardError where a register, an entry or a value cannot be, in one sentence."""
        for table in self.tables:
            known = registers().get(table.register)
            if known is None:
                raise BoardError(f"there is no register {table.register}")
            if len({len(each) for each in (table.chip, table.core, *table.fields.values())}) > 1:
                raise BoardError(f"{table.register}: columns differ in length")
            if not len(table):
                continue
            _within(table, "entry", table.index, 0, known.entries - 1)
            _within(table, "chip", table.chip, 0, len(self.cores) - 1)
            held = np.array(self.cores)[table.chip]
            _within(table, "core", table.core, 0, held - 1)
            for name, values in table.fields.items():
                if name not in known.fields:
                    raise BoardError(f"register {table.register} has no field {name}")
                field = known.fields[name]
                _within(table, f"{name} of {field.bits} bits", values, field.low, field.high)

    def digest(self) -> str:
        """SHA-256 of all names and values, whatever their types and order in the file."""
        state = hashlib.sha256()
        for name, values in sorted(self.arrays().items()):
            state.update(name.encode() + np.ascontiguousarray(values, np.int64).tobytes())
        return state.hexdigest()


def _within(table: RegisterTable, what: str, values: NDArray[Any], low: int, high: Any) -> None:
    wide = values.astype(np.int64)
    bad = np.flatnonzero((wide < low) | (wide > high))
    if len(bad):
        k = bad[0]
        most = np.broadcast_to(high, wide.shape)[k]
        raise BoardError(
            f"{table.register}[{table.index[k]}] of core {table.core[k]}, chip {table.chip[k]}: "
            f"{what} is {wide[k]}, outside {low}..{most}"
        )
