/* selections.h: one row a selection, an equation whose elements depend on a whole fiber of its operand without
 * reducing it.
 *
 * SELECTION(ENUM, spelling, dtype of the result, has an argument)
 *
 *   topk[c, k](x)       true at the k largest present elements of each fiber over c (at all of fewer)
 *   nucleus[c, p](x)    true at the fewest largest elements whose sum reaches p times the sum of all present ones;
 *                       at one at least where any is present, at all where the sum is not reached
 *   argsort[c](x)       at c the coordinate of the c-th smallest present element; -1 past the last of them
 *   members[c](x) at s  the s-th smallest coordinate c where the condition x holds; -1 past the last. Here c is
 *                       not on the left, and s, the slot, is: the one index of the left that x does not carry
 *
 * Ties go to the lower coordinate. An absent element is never chosen; -inf is present. NaN counts as larger than
 * every number, so that it is met rather than passed over.
 */
/* clang-format off */
SELECTION(TOPK,    "topk",    BOOL, true)
SELECTION(NUCLEUS, "nucleus", BOOL, true)
SELECTION(ARGSORT, "argsort", I32,  false)
SELECTION(MEMBERS, "members", I32,  false)
/* clang-format on */
