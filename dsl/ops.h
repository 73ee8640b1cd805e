/* ops.h: one row an operation. Parser, printer, oracle, interval analysis and emission read this
 * table and nothing else about an operation; adding a scalar function is adding a row.
 *
 * OP(ENUM, spelling, arity, kind, monotone, C text, value)
 *   kind      what the result is, given the operands: ARITH int if all are int, else real;
 *             REAL; INT; BOOL; LAST the kind of the last operand.
 *   monotone  a letter an operand: '+' non-decreasing, '-' non-increasing, '?' neither.
 *   C text    %0 %1 %2 are operands; '$' becomes the prefix of the prelude's scalar or vector
 *             functions. NULL: the emitter has a special form.
 *   value     over the doubles x, y, z: the definition, as the oracle computes it.
 * Spellings that are words are called f(x, …) in the language; the others are infix or prefix.
 */
/* clang-format off */
OP(ADD,      "+",        2, ARITH, "++",  "(%0 + %1)",         x + y)
OP(SUB,      "-",        2, ARITH, "+-",  "(%0 - %1)",         x - y)
OP(MUL,      "*",        2, ARITH, "??",  "(%0 * %1)",         x * y)
OP(DIV,      "/",        2, REAL,  "??",  "(%0 / %1)",         x / y)
OP(NEG,      "-",        1, ARITH, "-",   "(-%0)",             -x)
OP(IDIV,     "//",       2, INT,   "??",  "$idiv(%0, %1)",     floor(x / y))          /* floor; written '/' on indices */
OP(MOD,      "%",        2, INT,   "??",  "$mod(%0, %1)",      x - y * floor(x / y))  /* sign of y */
OP(XOR,      "xor",      2, INT,   "??",  "(%0 ^ %1)",         (double)(double_to_int64(x) ^ double_to_int64(y)))
OP(MIN,      "min",      2, ARITH, "++",  "$min(%0, %1)",      x < y ? x : x != x ? x : y)
OP(MAX,      "max",      2, ARITH, "++",  "$max(%0, %1)",      x > y ? x : x != x ? x : y)
OP(ABS,      "abs",      1, ARITH, "?",   "$abs(%0)",          fabs(x))
OP(SIGN,     "sign",     1, ARITH, "+",   "$sign(%0)",         (double)((x > 0) - (x < 0)))
OP(FLOOR,    "floor",    1, REAL,  "+",   "$floor(%0)",        floor(x))
OP(ROUND,    "round",    1, REAL,  "+",   "$round(%0)",        nearbyint(x))
OP(EXP,      "exp",      1, REAL,  "+",   "$exp(%0)",          exp(x))
OP(EXP2,     "exp2",     1, REAL,  "+",   "$exp2(%0)",         exp2(x))
OP(LOG,      "log",      1, REAL,  "+",   "$log(%0)",          log(x))
OP(LOG2,     "log2",     1, REAL,  "+",   "$log2(%0)",         log2(x))
OP(SQRT,     "sqrt",     1, REAL,  "+",   "$sqrt(%0)",         sqrt(x))
OP(RSQRT,    "rsqrt",    1, REAL,  "-",   "$rsqrt(%0)",        1 / sqrt(x))
OP(POW,      "pow",      2, REAL,  "??",  "$pow(%0, %1)",      pow(x, y))
OP(TANH,     "tanh",     1, REAL,  "+",   "$tanh(%0)",         tanh(x))
OP(SIGMOID,  "sigmoid",  1, REAL,  "+",   "$sigmoid(%0)",      1 / (1 + exp(-x)))
OP(SOFTPLUS, "softplus", 1, REAL,  "+",   "$softplus(%0)",     x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)))
OP(RELU,     "relu",     1, ARITH, "+",   "$relu(%0)",         x > 0 ? x : x != x ? x : 0)
OP(GELU,     "gelu",     1, REAL,  "?",   "$gelu(%0)",         0.5 * x * (1 + erf(x * 0.70710678118654752440)))
OP(SILU,     "silu",     1, REAL,  "?",   "$silu(%0)",         x / (1 + exp(-x)))
OP(ERF,      "erf",      1, REAL,  "+",   "$erf(%0)",          erf(x))
OP(SIN,      "sin",      1, REAL,  "?",   "$sin(%0)",          sin(x))
OP(COS,      "cos",      1, REAL,  "?",   "$cos(%0)",          cos(x))
OP(CLAMP,    "clamp",    3, ARITH, "+++", "$min($max(%0, %1), %2)", fmin(fmax(x, y), z))
OP(LT,       "<",        2, BOOL,  "-+",  "(%0 < %1)",         x < y)   /* '>' and '>=' are parsed as these, swapped */
OP(LE,       "<=",       2, BOOL,  "-+",  "(%0 <= %1)",        x <= y)
OP(EQ,       "==",       2, BOOL,  "??",  "(%0 == %1)",        x == y)
OP(NE,       "!=",       2, BOOL,  "??",  "(%0 != %1)",        x != y)
OP(AND,      "and",      2, BOOL,  "++",  "(%0 & %1)",         x != 0 && y != 0)
OP(OR,       "or",       2, BOOL,  "++",  "(%0 | %1)",         x != 0 || y != 0)
OP(NOT,      "not",      1, BOOL,  "-",   "$not(%0)",          x == 0)
OP(SELECT,   "select",   3, LAST,  "???", "$select(%0, %1, %2)", x != 0 ? y : z)
/* clang-format on */
