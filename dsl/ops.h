/* ops.h: one row an operation. Parser, printer, oracle, interval analysis and emission read this
 * table and nothing else about an operation; adding a scalar function is adding a row.
 *
 * OP(ENUM, spelling, arity, kind, monotone, interval, C text, value)
 *   kind      what the result is, given the operands: ARITH int if all are int, else real;
 *             REAL; INT; BOOL; LAST the kind of the last operand.
 *   monotone  a letter an operand: '+' non-decreasing, '-' non-increasing, '?' neither.
 *   interval  what is known of the result where the operands lie between two ends:
 *             MONOTONE    ends give ends, by the letters, rounding included
 *             APPROXIMATE the same of a function that is computed by approximation; POSITIVE: of operands > 0
 *             SUM, PRODUCT, QUOTIENT, FLOORED, REMAINDER, BITWISE, POWER: as codegen/interval.c has them
 *             MAGNITUDE   least where the operand is nearest to 0; DIP: at one place; WAVE: between -1 and 1
 *             TRUTH       a formula (codegen/bounds.c); CHOICE: one or the other; NONE: nothing
 *   C text    %0 %1 %2 are operands; '$' becomes the prefix of the prelude's scalar or vector
 *             functions. NULL: the emitter has a special form.
 *   value     over the doubles x, y, z: the definition, as the oracle computes it.
 * Spellings that are words are called f(x, …) in the language; the others are infix or prefix.
 */
/* clang-format off */
OP(ADD,      "+",         2, ARITH, "++",  SUM,         "(%0 + %1)",         x + y)
OP(SUB,      "-",         2, ARITH, "+-",  SUM,         "(%0 - %1)",         x - y)
OP(MUL,      "*",         2, ARITH, "??",  PRODUCT,     "(%0 * %1)",         x * y)
OP(DIV,      "/",         2, REAL,  "??",  QUOTIENT,    "(%0 / %1)",         x / y)
OP(NEG,      "-",         1, ARITH, "-",   MONOTONE,    "(-%0)",             -x)
OP(IDIV,     "//",        2, INT,   "??",  FLOORED,     "$idiv(%0, %1)",     floor(x / y))          /* floor; written '/' on indices */
OP(MOD,      "%",         2, INT,   "??",  REMAINDER,   "$mod(%0, %1)",      x - y * floor(x / y))  /* sign of y */
OP(XOR,      "xor",       2, INT,   "??",  BITWISE,     "(%0 ^ %1)",         (double)(double_to_int64(x) ^ double_to_int64(y)))
OP(BIT_CEIL, "bit_ceil",  1, INT,   "+",   MONOTONE,    "$bit_ceil(%0)",     double_bit_ceil(x))   /* the least power of two that is not below x */
OP(MIN,      "min",       2, ARITH, "++",  MONOTONE,    "$min(%0, %1)",      x < y ? x : x != x ? x : y)
OP(MAX,      "max",       2, ARITH, "++",  MONOTONE,    "$max(%0, %1)",      x > y ? x : x != x ? x : y)
OP(ABS,      "abs",       1, ARITH, "?",   MAGNITUDE,   "$abs(%0)",          fabs(x))
OP(SIGN,     "sign",      1, ARITH, "+",   MONOTONE,    "$sign(%0)",         (double)((x > 0) - (x < 0)))
OP(FLOOR,    "floor",     1, REAL,  "+",   MONOTONE,    "$floor(%0)",        floor(x))
OP(ROUND,    "round",     1, REAL,  "+",   MONOTONE,    "$round(%0)",        nearbyint(x))
OP(EXP,      "exp",       1, REAL,  "+",   APPROXIMATE, "$exp(%0)",          exp(x))
OP(EXP2,     "exp2",      1, REAL,  "+",   APPROXIMATE, "$exp2(%0)",         exp2(x))
OP(LOG,      "log",       1, REAL,  "+",   POSITIVE,    "$log(%0)",          log(x))
OP(LOG2,     "log2",      1, REAL,  "+",   POSITIVE,    "$log2(%0)",         log2(x))
OP(SQRT,     "sqrt",      1, REAL,  "+",   POSITIVE,    "$sqrt(%0)",         sqrt(x))
OP(RSQRT,    "rsqrt",     1, REAL,  "-",   POSITIVE,    "$rsqrt(%0)",        1 / sqrt(x))
OP(POW,      "pow",       2, REAL,  "??",  POWER,       "$pow(%0, %1)",      pow(x, y))
OP(TANH,     "tanh",      1, REAL,  "+",   APPROXIMATE, "$tanh(%0)",         tanh(x))
OP(SIGMOID,  "sigmoid",   1, REAL,  "+",   APPROXIMATE, "$sigmoid(%0)",      1 / (1 + exp(-x)))
OP(SOFTPLUS, "softplus",  1, REAL,  "+",   APPROXIMATE, "$softplus(%0)",     x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)))
OP(RELU,     "relu",      1, ARITH, "+",   MONOTONE,    "$relu(%0)",         x > 0 ? x : x != x ? x : 0)
OP(GELU,     "gelu",      1, REAL,  "?",   DIP,         "$gelu(%0)",         0.5 * x * (1 + erf(x * 0.70710678118654752440)))
OP(SILU,     "silu",      1, REAL,  "?",   DIP,         "$silu(%0)",         x / (1 + exp(-x)))
OP(ERF,      "erf",       1, REAL,  "+",   APPROXIMATE, "$erf(%0)",          erf(x))
OP(SIN,      "sin",       1, REAL,  "?",   WAVE,        "$sin(%0)",          sin(x))
OP(COS,      "cos",       1, REAL,  "?",   WAVE,        "$cos(%0)",          cos(x))
OP(CLAMP,    "clamp",     3, ARITH, "+++", MONOTONE,    "$min($max(%0, %1), %2)", double_clamp(x, y, z))
OP(LT,       "<",         2, BOOL,  "-+",  TRUTH,       "(%0 < %1)",         x < y)   /* '>' and '>=' are parsed as these, swapped */
OP(LE,       "<=",        2, BOOL,  "-+",  TRUTH,       "(%0 <= %1)",        x <= y)
OP(EQ,       "==",        2, BOOL,  "??",  TRUTH,       "(%0 == %1)",        x == y)
OP(NE,       "!=",        2, BOOL,  "??",  TRUTH,       "(%0 != %1)",        x != y)
OP(AND,      "and",       2, BOOL,  "++",  TRUTH,       "(%0 & %1)",         x != 0 && y != 0)
OP(OR,       "or",        2, BOOL,  "++",  TRUTH,       "(%0 | %1)",         x != 0 || y != 0)
OP(NOT,      "not",       1, BOOL,  "-",   TRUTH,       "$not(%0)",          x == 0)
OP(SELECT,   "select",    3, LAST,  "???", CHOICE,      "$select(%0, %1, %2)", x != 0 ? y : z)
/* clang-format on */
