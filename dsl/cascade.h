/* cascade.h: a cascade of extended Einsums, the meaning of an .att file.
 *
 * Templates are expanded, params folded, reductions hoisted: every equation is
 *
 *     T[i, …] = reduce over r, … of body   where predicate   else value
 *
 * with at most one reduction, at its root, written out. Equations stand in dependency order. Nothing
 * here knows tiles, machines, or the name of any operator.
 *
 * Presence. A coordinate outside `where`, or a read outside a tensor's extents or of an absent
 * element, makes the body absent there; ELSE mends it. A reduction ranges over present elements and
 * is itself present (over nothing: its identity), so the `where` of an equation with a reduction
 * restricts the range. An equation without a reduction is absent where its body is. An absent element
 * of an output is stored as `otherwise` (0 if none).
 *
 * Three operations are present with an absent operand, where it does not matter: select(c, x, y) needs c and
 * the one chosen; `false and x` is false, `true or x` is true, either way round. A gather whose coordinate
 * (itself an element read) is outside the extent is absent like any read, so -1 in a table means "none".
 */
#ifndef ATTUNE_DSL_CASCADE_H
#define ATTUNE_DSL_CASCADE_H

#include "base/diag.h"
#include "dsl/expr.h"

enum { MAX_RANKS = 8, MAX_REDUCED = 4 };
#define NOT_BOUND (-1)
/* Extents, and element counts of a tensor, are below these; checked when extents are bound. */
#define EXTENT_LIMIT ((int64_t)1 << 31)
#define ELEMENT_LIMIT ((int64_t)1 << 40)

struct rank {
	const char *name;  /* "N" */
	int64_t extent;    /* NOT_BOUND until known */
};

struct index {
	const char *name; /* "n"; unique in the cascade */
	uint32_t rank;
	struct expr extent; /* of the rank: EXTENT(rank), unless this index walks part of one (H/G) */
};

enum role { ROLE_IN, ROLE_OUT, ROLE_LOCAL };

struct tensor {
	const char *name;
	enum dtype dtype; /* a local's is F32 until a cast or a schedule says else */
	enum role role;
	uint8_t nranks;
	struct expr extent[MAX_RANKS]; /* int expressions over EXTENT */
	uint32_t equation;             /* that defines it; NO_EQUATION for an input */
	struct span span;
};
#define NO_EQUATION UINT32_MAX

struct equation {
	uint32_t tensor;
	uint8_t nindex;
	uint32_t index[MAX_RANKS]; /* left-hand side, one distinct index variable a rank */
	enum reduction reduce;
	uint8_t nreduced;
	uint32_t reduced[MAX_REDUCED];
	struct expr body;
	struct expr where;     /* NO_EXPR: everywhere */
	struct expr otherwise; /* NO_EXPR: 0 */
	/* A selection: `reduce` is REDUCE_NONE and body its operand, at the equation's own coordinates with `along`
	 * for the fiber's. `along` is on the left, but for SELECT_MEMBERS, where slot is instead. Present everywhere;
	 * `where` says which elements of the operand are. */
	enum selection select;
	uint32_t along, slot;
	struct expr argument; /* k: an int over extents; p: a real number */
	struct span span;
};

/* An element of it is present where its body is and `where` holds. Any other is present everywhere: a reduction,
 * a selection. */
static inline bool equation_is_map(const struct equation *q)
{
	return !q->reduce && !q->select;
}

struct cascade {
	struct arena *arena;
	struct expr_pool pool;
	const char *name;
	VEC(struct rank) rank;
	VEC(struct index) index;
	VEC(struct tensor) tensor;
	VEC(struct equation) equation;
};

/* An empty cascade in `arena`. */
struct cascade *cascade_new(struct arena *arena, const char *name);
/* A copy that can be changed without touching the other; expression ids keep their meaning. */
struct cascade *cascade_clone(struct arena *, const struct cascade *);

uint32_t cascade_add_rank(struct cascade *, const char *name, int64_t extent);
uint32_t cascade_add_index(struct cascade *, const char *name, uint32_t rank);
uint32_t cascade_add_tensor(struct cascade *, struct tensor);
/* Appends, and makes it the definition of its tensor. */
uint32_t cascade_add_equation(struct cascade *, struct equation);

/* By name; UINT32_MAX when there is none. */
uint32_t cascade_find_rank(const struct cascade *, const char *);
uint32_t cascade_find_tensor(const struct cascade *, const char *);
/* A name no tensor (or index) has yet: stem, stem2, stem3, … */
const char *cascade_fresh_tensor(struct cascade *, const char *stem);
const char *cascade_fresh_index(struct cascade *, const char *stem);

/* READ of tensor t at plain index variables. */
struct expr cascade_read(struct cascade *, uint32_t t, const uint32_t *index, int n);

/* The value of an int expression over EXTENT and constants; false if a rank is not bound, a division
 * is not exact, or the value leaves int64. */
bool cascade_extent(const struct cascade *, struct expr, int64_t *value);
/* The k or p of a selection, once the ranks it mentions are bound; 0 when it has none. */
double cascade_argument(struct cascade *, const struct equation *);
/* Are all ranks bound, and all tensors within EXTENT_LIMIT and ELEMENT_LIMIT? Else an error that
 * names the rank or tensor. */
bool cascade_check_bound(const struct cascade *, struct diags *);

/* When the body of equation q (before its reduction) is present, as a bool expression over index
 * variables: its own where, bounds of shifted reads, and the presence of every local it reads, with
 * coordinates substituted. NO_EXPR: always. Reads of input tensors in predicates stay as READ. */
struct expr cascade_presence(struct cascade *, uint32_t equation);
/* … of all equations together, which is less work. */
void cascade_presences(struct cascade *, struct expr *presence);
/* The same of one expression over the cascade's tensors. */
struct expr cascade_presence_of(struct cascade *, struct expr);
/* Of conditions, NO_EXPR: always. Is one among the conjuncts of `all`? */
bool condition_has(const struct expr_pool *, struct expr all, struct expr one);
/* a implies b, because every conjunct of b is one of a. */
bool condition_implies(const struct expr_pool *, struct expr a, struct expr b);
/* Is one the negation of the other: x < y and y <= x (or 0 <= x - y), or by a `not`? */
bool condition_opposite(const struct expr_pool *, struct expr, struct expr);

/* The names of a cascade's own ranks, indices and tensors, for expr_print. */
struct expr_names cascade_names(const struct cascade *);

/* The whole cascade as an .att program that parses back to an equal one. */
void cascade_print(const struct cascade *, struct text *);
void equation_print(const struct cascade *, const struct equation *, struct text *);
/* A tensor's declaration, as an input or an output whatever it is. */
void tensor_print(const struct cascade *, uint32_t tensor, enum role, struct text *);
/* SHA-256 of the canonical text with ranks, indices and tensors renamed in order of appearance (inputs
 * and outputs keep their names): renaming an index or adding a comment changes nothing. */
const char *cascade_digest(struct cascade *);

#endif
