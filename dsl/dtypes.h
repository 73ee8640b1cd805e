/* dtypes.h: storage types. DTYPE(ENUM, spelling, bits, is integer) */
/* clang-format off */
DTYPE(F64,    "f64",    64, 0)
DTYPE(F32,    "f32",    32, 0)
DTYPE(F16,    "f16",    16, 0)
DTYPE(BF16,   "bf16",   16, 0)
DTYPE(F8E4M3, "f8e4m3",  8, 0)
DTYPE(F8E5M2, "f8e5m2",  8, 0)
DTYPE(I8,     "i8",      8, 1)
DTYPE(U8,     "u8",      8, 1)
DTYPE(I4,     "i4",      4, 1)
DTYPE(I32,    "i32",    32, 1)
DTYPE(I64,    "i64",    64, 1)
DTYPE(BOOL,   "bool",    8, 1)
/* clang-format on */
