"""How much memory one file may ask for, counted before anything is allocated."""

from __future__ import annotations

from nmcompile.errors import ModelError


class Budget:
    """Bytes that numbers of a model may still take.

    Parameters
    ----------
    where : the file, for messages
    max_bytes : that one result may take
    times : how many times so much all of them may take
    """

    def __init__(self, where: str, max_bytes: int, times: int = 1) -> None:
        self._where, self._limit = where, max_bytes
        self._left = times * max_bytes

    def take(self, size: int, place: str) -> None:
        """Count some bytes.

        Raises
        ------
        ModelError
            There are not so many left.
        """
        self._left -= size
        if size > self._limit or self._left < 0:
            raise ModelError(
                f"{self._where}: {place}: its {size} bytes go beyond the limit of {self._limit} "
                "on what a file unpacks to; raise it with --max-bytes, or max_bytes in Python, if "
                "you trust the file"
            )
