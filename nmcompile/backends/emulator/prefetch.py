"""Ask the processor for memory that is needed soon: LLVM's prefetch instruction, for kernels.

A spike's weights lie anywhere in memory, and on a whole chip mostly not in a cache. Asked for
while the spikes before are delivered, they are there when their turn comes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: Bytes that come at a time.
LINE = 64


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of an array's element, counted in memory order; any is allowed."""
    del typing_context

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = context.cast(builder, arguments[1], signature.args[1], types.intp)
        number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        insert: Any = cgutils.get_or_insert_function
        instruction = insert(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0i8",
        )
        address = builder.bitcast(builder.gep(data, [place]), byte)
        # To read, keep in all caches, data.
        builder.call(instruction, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, index), generate
