/* expr.h: scalar expressions, hash-consed.
 *
 * An expression is a 32-bit id into a pool; equal expressions have equal ids, operands come before
 * users, and nothing is ever changed. Id 0 is "none". The same expressions serve every stage: a
 * cascade reads tensors with READ, a tile program names tile values with VALUE and the ends of an
 * index's current range with LOW and HIGH; what the symbols mean is the owner's affair.
 *
 * Constructors fold constants and drop what is neutral (x + 0, 1 * x, select of a constant, …), so
 * that every stage gets the same small algebra for free. They never reorder a user's operands, never
 * fold what could change a NaN or an infinity (0 * x stays), and are total.
 */
#ifndef ATTUNE_DSL_EXPR_H
#define ATTUNE_DSL_EXPR_H

#include <stdbool.h>

#include "base/text.h"

enum op {
	OP_NONE,
	/* leaves */
	OP_CONST,  /* number */
	OP_INDEX,  /* symbol: index variable; its coordinate, an int */
	OP_EXTENT, /* symbol: rank; its extent, an int */
	OP_READ,   /* symbol: tensor; operands: one int expression a rank */
	OP_VALUE,  /* symbol: tile value at the current coordinates */
	OP_LOW,    /* symbol: index variable; first coordinate of its current range */
	OP_HIGH,   /* symbol: index variable; last coordinate of its current range */
	/* forms with a meaning of their own */
	OP_CAST,   /* symbol: enum dtype; rounds to nearest even, saturating */
	OP_ELSE,   /* x else v: v where x is absent */
	OP_OLD,    /* in a carry's correction: the running value before this step */
#define OP(name, ...) OP_##name,
#include "dsl/ops.h"
#undef OP
	OPS
};

enum kind { KIND_REAL, KIND_INT, KIND_BOOL };

enum result { RESULT_ARITH, RESULT_REAL, RESULT_INT, RESULT_BOOL, RESULT_LAST };

/* What is known of a result from its operands' ends; dsl/ops.h says each. RULE_NONE: a leaf or special form. */
enum interval_rule {
	RULE_NONE,
	RULE_MONOTONE,
	RULE_APPROXIMATE,
	RULE_POSITIVE,
	RULE_SUM,
	RULE_PRODUCT,
	RULE_QUOTIENT,
	RULE_FLOORED,
	RULE_REMAINDER,
	RULE_BITWISE,
	RULE_POWER,
	RULE_MAGNITUDE,
	RULE_DIP,
	RULE_WAVE,
	RULE_TRUTH,
	RULE_CHOICE,
};

struct op_info {
	const char *spelling; /* NULL for leaves and special forms without one */
	uint8_t arity;
	enum result result;
	const char *monotone;
	enum interval_rule interval;
	const char *c;
};
extern const struct op_info op_info[OPS];

/* The value of an operation on numbers; bools are 0 and 1. `op` is one of ops.h. */
double op_value(enum op, double x, double y, double z);
/* The operation of that spelling and arity, or OP_NONE. */
enum op op_find(const char *spelling, size_t length, int arity);

enum reduction {
	REDUCE_NONE,
#define REDUCTION(name, ...) REDUCE_##name,
#include "dsl/reductions.h"
#undef REDUCTION
	REDUCTIONS
};
struct reduction_info {
	const char *spelling;
	double identity;
	enum op combine;
};
extern const struct reduction_info reduction_info[REDUCTIONS];
double reduction_value(enum reduction, double so_far, double next);
enum reduction reduction_find(const char *spelling, size_t length);

enum dtype {
#define DTYPE(name, ...) DTYPE_##name,
#include "dsl/dtypes.h"
#undef DTYPE
	DTYPES
};
enum selection {
	SELECT_NONE,
#define SELECTION(name, ...) SELECT_##name,
#include "dsl/selections.h"
#undef SELECTION
	SELECTIONS
};
struct selection_info {
	const char *spelling;
	enum dtype dtype; /* of the result */
	bool argument;    /* has one */
};
extern const struct selection_info selection_info[SELECTIONS];
/* SELECT_NONE when there is none of that name. */
enum selection selection_find(const char *spelling, size_t length);

struct dtype_info {
	const char *spelling;
	uint8_t bits;
	bool integer;
};
extern const struct dtype_info dtype_info[DTYPES];
/* DTYPES when there is none of that name. */
enum dtype dtype_find(const char *spelling, size_t length);
/* Rounds a number to what a type can hold: nearest even, saturating; NaN to integers is 0. */
double dtype_round(enum dtype, double);

struct expr {
	uint32_t id;
};
#define NO_EXPR ((struct expr){0})

struct expr_node {
	uint8_t op, kind;
	uint16_t count; /* operands */
	uint32_t symbol;
	uint32_t first; /* operands are at pool->operand.v[first …] */
	uint64_t ops;     /* bit i: operation i occurs in this expression */
	uint64_t symbols; /* a filter of the (operation, symbol) pairs that occur; see expr_mentions */
	double number;
};

struct expr_pool {
	struct arena *arena;
	VEC(struct expr_node) node; /* node 0 is none */
	VEC(struct expr) operand;
	uint32_t *slot, slots; /* open addressing, a power of two */
};

void expr_pool_init(struct expr_pool *, struct arena *);

static inline const struct expr_node *expr_at(const struct expr_pool *p, struct expr e)
{
	return &p->node.v[e.id];
}
static inline struct expr expr_operand(const struct expr_pool *p, struct expr e, int i)
{
	return p->operand.v[p->node.v[e.id].first + (uint32_t)i];
}
static inline bool expr_same(struct expr a, struct expr b)
{
	return a.id == b.id;
}

struct expr expr_number(struct expr_pool *, double); /* an int when it is whole, else real */
struct expr expr_leaf(struct expr_pool *, enum op, enum kind, uint32_t symbol);
struct expr expr_read(struct expr_pool *, enum kind, uint32_t tensor, int n, const struct expr *index);
/* Any other operation, special forms included; `symbol` is 0 unless the form has one. */
struct expr expr_make(struct expr_pool *, enum op, uint32_t symbol, int n, const struct expr *operand);
struct expr expr1(struct expr_pool *, enum op, struct expr);
struct expr expr2(struct expr_pool *, enum op, struct expr, struct expr);
struct expr expr3(struct expr_pool *, enum op, struct expr, struct expr, struct expr);

bool expr_is_number(const struct expr_pool *, struct expr, double *value);

/* The distinct nodes of an expression in ascending order, so operands before users, and e last: a loop over
 * them visits a deep or shared expression without recursion. The list is in the pool's arena. */
uint32_t expr_nodes(const struct expr_pool *, struct expr e, struct expr **list);

/* Bottom-up rewriting, each distinct node once: `visit` is given a node whose operands are already
 * rewritten and returns what stands in its place (itself for "no change"). A node that folds to a part of its
 * rewritten operands is not visited: that part was. */
typedef struct expr expr_visit(struct expr_pool *, struct expr, void *context);
struct expr expr_rewrite(struct expr_pool *, struct expr, expr_visit *, void *context);
/* Replaces index variable `from` by an expression. */
struct expr expr_substitute(struct expr_pool *, struct expr, uint32_t from, struct expr to);

static inline uint64_t expr_symbol_bit(enum op op, uint32_t symbol)
{
	return (uint64_t)1 << (((uint32_t)op * 7 + symbol) & 63);
}
/* Is there a node with this operation (and symbol, unless ANY_SYMBOL) in e? */
#define ANY_SYMBOL UINT32_MAX
bool expr_mentions(const struct expr_pool *, struct expr, enum op, uint32_t symbol);
/* Is computing it a long chain of operations: an exponential, a logarithm, …? */
bool expr_is_long(const struct expr_pool *, struct expr);

/* How symbols are spelled by whoever owns them. */
struct expr_names {
	const char *(*name)(const void *owner, enum op, uint32_t symbol);
	const void *owner;
};
/* Does '/' between these mean floor division (IDIV)? Between ints, where the dividend mentions an index or
 * reads a tensor; '//' always does. Parser and printer agree by asking here. */
bool expr_slash_floors(const struct expr_pool *, struct expr dividend, struct expr divisor);

/* The language's own syntax with the fewest parentheses that read back to the same id. */
void expr_print(const struct expr_pool *, struct expr, const struct expr_names *, struct text *);
/* … as it stands between brackets, in a read or a declaration: compact, and '/' always floors there, except
 * in the operand of a cast. */
void expr_print_coordinate(const struct expr_pool *, struct expr, const struct expr_names *, struct text *);

#endif
