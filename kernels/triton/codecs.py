"""Between the bits of stored weights and float32; the arithmetic is that of `kernels.rounding`."""
import triton
import triton.language as tl


@triton.jit
def decode(stored, FORMAT: tl.constexpr, NATIVE: tl.constexpr):
    """Stored elements -> float32. bf16 comes as int16 and 8-bit formats as uint8, unless NATIVE."""
    if FORMAT == "bf16":
        return (stored.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    elif FORMAT == "e5m2" and not NATIVE:  # the upper byte of a half-precision number
        return (stored.to(tl.int16) << 8).to(tl.float16, bitcast=True).to(tl.float32)
    elif FORMAT == "e4m3" and not NATIVE:
        code = stored.to(tl.int32)
        bits = ((code & 0x7F) << 20) | ((code & 0x80) << 24)
        value = bits.to(tl.float32, bitcast=True) * 1.329227995784916e36  # 2 ** 120: the exponent's other bias
        return tl.where((code & 0x7F) == 0x7F, float("nan"), value)
    else:
        return stored.to(tl.float32)


@triton.jit
def encode(x, noise, FORMAT: tl.constexpr, NATIVE: tl.constexpr, STOCHASTIC: tl.constexpr, STORED: tl.constexpr):
    """float32 -> stored elements. noise: uint32, 16 random bits an element, read when STOCHASTIC."""
    if FORMAT == "fp32":
        return x
    elif FORMAT == "bf16":
        bits = x.to(tl.uint32, bitcast=True)
        bits += noise if STOCHASTIC else ((bits >> 16) & 1) + 0x7FFF
        return tl.where(x != x, 0x7FC0, bits >> 16).to(tl.int16)
    elif FORMAT == "fp16":
        return (_on_grid(x, noise, 10, -14, 65504.0, True) if STOCHASTIC else x).to(tl.float16)
    elif FORMAT == "e4m3":
        on_grid = _on_grid(x, noise, 3, -6, 448.0, STOCHASTIC)
        return on_grid.to(STORED) if NATIVE else _packed(x, on_grid, 3, 7)
    else:
        on_grid = _on_grid(x, noise, 2, -14, 57344.0, STOCHASTIC)
        return on_grid.to(STORED) if NATIVE else _packed(x, on_grid, 2, 15)


@triton.jit
def _on_grid(x, noise, MANTISSA: tl.constexpr, SMALLEST: tl.constexpr, LARGEST: tl.constexpr,
             STOCHASTIC: tl.constexpr):
    """float32 -> the float32 that the format has, saturating: the cast that follows then has nothing to round.

    Compilers and cards have got that rounding wrong (triton#11753, triton#5925)."""
    DROPPED: tl.constexpr = 23 - MANTISSA
    NORMAL: tl.constexpr = 2.0 ** SMALLEST
    size = tl.minimum(tl.abs(x), LARGEST)
    if STOCHASTIC:
        shift = tl.where(size < NORMAL, NORMAL, 0.0)
        if DROPPED >= 16:
            noise = (noise << (DROPPED - 16)) + ((1 << (DROPPED - 16)) >> 1)
        else:
            noise = noise >> (16 - DROPPED)
        bits = ((size + shift).to(tl.uint32, bitcast=True) + noise) & (0xFFFFFFFF - ((1 << DROPPED) - 1))
        value = tl.minimum(bits.to(tl.float32, bitcast=True) - shift, LARGEST)
    else:
        # Beside a number whose last bit is one step of the format, the sum itself rounds to the nearest even step.
        exponent = tl.maximum(size, NORMAL).to(tl.uint32, bitcast=True) & 0x7F800000
        steps = (exponent + (DROPPED << 23)).to(tl.float32, bitcast=True)
        value = (size + steps) - steps
    bits = value.to(tl.uint32, bitcast=True) | (x.to(tl.uint32, bitcast=True) & 0x80000000)
    return tl.where(x != x, x, bits.to(tl.float32, bitcast=True))


@triton.jit
def _packed(x, on_grid, MANTISSA: tl.constexpr, BIAS: tl.constexpr):
    """The byte of an 8-bit number: scaled so that float32's own subnormal numbers carry the format's."""
    bits = on_grid.to(tl.uint32, bitcast=True)
    scaled = (tl.abs(on_grid) * 2.0 ** (BIAS - 127)).to(tl.uint32, bitcast=True)
    code = tl.where(x != x, 0x7F, scaled >> (23 - MANTISSA)) | ((bits >> 24) & 0x80)
    return code.to(tl.uint8)


@triton.jit
def random_bits(seed, rows, first_pair, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """16 random bits for each place of a tile, as `kernels.rounding.random_bits` has them: uint32 [ROWS, COLUMNS]."""
    pairs = ((columns + 1) // 2).to(tl.uint32)
    pair = first_pair.to(tl.uint32) + tl.arange(0, COLUMNS // 2).to(tl.uint32)
    hashed = _hash32((rows.to(tl.uint32)[:, None] * pairs + pair[None, :]) ^ seed.to(tl.uint32))
    return tl.reshape(tl.join(hashed & 0xFFFF, hashed >> 16), [ROWS, COLUMNS])


@triton.jit
def _hash32(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)
