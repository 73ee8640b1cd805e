/* reductions.h: one row a reduction.
 *
 * REDUCTION(ENUM, spelling, identity, combine, value)
 *   combine  the operation that joins two partial results, or REDUCE's own kind where none does.
 *   value    over the doubles a (so far) and x (next).
 * MEAN is a sum over what is present, divided by its count; over nothing it is 0.
 * ARGMAX gives the least coordinate of the largest; over nothing it is -1. Neither is a plain fold:
 * their readers carry a second number.
 */
/* clang-format off */
REDUCTION(SUM,    "sum",    0,         OP_ADD, a + x)
REDUCTION(MAX,    "max",    -INFINITY, OP_MAX, x > a || x != x ? x : a)
REDUCTION(MIN,    "min",    INFINITY,  OP_MIN, x < a || x != x ? x : a)
REDUCTION(PROD,   "prod",   1,         OP_MUL, a * x)
REDUCTION(MEAN,   "mean",   0,         OP_ADD, a + x)
REDUCTION(ANY,    "any",    0,         OP_OR,  a != 0 || x != 0)
REDUCTION(ALL,    "all",    1,         OP_AND, a != 0 && x != 0)
REDUCTION(ARGMAX, "argmax", -1,        OP_MAX, x)
/* clang-format on */
