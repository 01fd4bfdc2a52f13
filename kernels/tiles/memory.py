"""Numbers at an address, for kernels that take tables of addresses instead of arrays."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WHOLE, DOUBLE = ir.IntType(64), ir.DoubleType()


def _place(builder, address, at, element):
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [at])


@intrinsic
def whole(typing, address, at):
    """The int64 number `at` of an address."""

    def emit(context, builder, signature, given):
        return builder.load(_place(builder, *given, WHOLE))

    return types.int64(types.int64, types.int64), emit


@intrinsic
def number(typing, address, at):
    """The float64 number `at` of an address."""

    def emit(context, builder, signature, given):
        return builder.load(_place(builder, *given, DOUBLE))

    return types.float64(types.int64, types.int64), emit


@intrinsic
def put(typing, address, at, value):
    """Write a float64 number `at` of an address."""

    def emit(context, builder, signature, given):
        address, at, value = given
        builder.store(value, _place(builder, address, at, DOUBLE))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.float64), emit
