/* lower.h: from an .att file as written to a cascade. Shared by the lower*.c files only.
 *
 * lower.c          declarations, the whole
 * lower_names.c    what names mean, and what may have been meant
 * lower_expr.c     trees to expressions: names, reads, operations, and their checks
 * lower_call.c     functions, reductions, hoisting
 * lower_select.c   selections
 * lower_ragged.c   ragged ranks
 * lower_template.c fn and def
 * lower_order.c    the order of equations
 * lower_equation.c equations: left sides, where
 * lower_sum.c      implicit sums
 * lower_finish.c   drops what nothing reads, names what was hoisted
 *
 * Errors: whatever cannot be made sense of is reported once, at its place, and becomes NO_EXPR; whoever is
 * given NO_EXPR passes it on and says nothing. A tensor whose equation failed is `broken`, reads of it are
 * NO_EXPR.
 */
#ifndef ATTUNE_DSL_LOWER_H
#define ATTUNE_DSL_LOWER_H

#include "dsl/ast.h"
#include "dsl/parse.h"

#include <string.h>

enum {
	MAX_INDICES = 64,        /* index variables of a program: a set of them is a uint64_t */
	EXPANSION_LIMIT = 10000, /* templates expanded in one program */
	EXPANSION_DEPTH = 16,    /* templates inside templates */
	EQUATION_LIMIT = 4096,   /* of a program, hoisted ones included */
	SELECTION_LIMIT = 64,    /* of those */
	/* Of an expression after expansion, so that its text stays within NESTING_LIMIT. */
	EXPR_DEPTH = NESTING_LIMIT - 20,
	EXPR_SIZE = 1 << 16,  /* nodes, shared ones counted at every use */
	POOL_LIMIT = 1 << 20, /* different expressions of a program */
};

enum name_kind { NAME_RANK, NAME_INDEX, NAME_PARAM, NAME_TENSOR, NAME_LOST };
struct name {
	const char *text;
	enum name_kind kind;
	uint32_t id;       /* RANK, INDEX, TENSOR: in the cascade */
	struct expr value; /* PARAM; NO_EXPR when it failed */
	struct span span;
	bool used;
	bool claimed; /* by another declaration too, which was told of */
};

/* What is known of an expression beside itself. */
struct fact {
	uint64_t free; /* index variables */
	uint32_t size;
	uint16_t depth;
	bool maybe_absent;
};

/* Beside cascade.tensor. */
struct tensor_fact {
	bool broken, defined;
	bool maybe_absent;
	bool hoisted; /* made by the compiler; a name is given at the end */
	bool has_index;
	uint32_t index[MAX_RANKS]; /* with has_index: what a bare name reads it at */
	uint64_t met;              /* of these: absent unless they meet in one segment */
};

struct template
{
	const struct statement *statement;
	const char *source; /* the text it stands in */
	bool prelude, broken;
};

/* An equation that later ones with the same right side can read instead. */
struct shared {
	struct expr body;
	enum reduction reduce;
	enum selection select;
	uint64_t reduced;
	uint32_t along;
	struct expr argument, where;
	uint32_t tensor;
};

/* A rank that is packed by offsets. */
struct ragged {
	uint32_t rank, offsets; /* offsets: a tensor */
	uint32_t index;         /* that walks the offsets */
};

struct lower {
	struct arena *arena;
	struct diags *diags;
	const char *source;
	struct cascade *c;
	const struct ast_file *file;
	const struct overrides *given;
	VEC(struct name) name;
	uint32_t *slot, slots; /* of names: position plus one, open addressing */
	VEC(struct template) template;
	VEC(struct fact) fact; /* an entry an expression */
	VEC(struct tensor_fact) tensor;
	VEC(struct shared) shared;
	VEC(struct ragged) ragged;
	uint32_t expansions, selections;
	bool full; /* a limit was hit and told; no further work */
};

/* A name a template binds: an operand or a line's value, or indices. */
struct binding {
	const char *name;
	bool is_index;
	uint8_t nindex;
	uint32_t index[MAX_REDUCED];
	struct expr value;
};

/* Where an expression stands. */
struct env {
	struct lower *w;
	uint32_t templates;            /* how many can be called: a template sees those before it */
	const struct template *inside; /* the outermost one being expanded, or NULL */
	struct span blame;             /* inside: where it was called */
	const char *source;            /* the text whose trees are being lowered */
	int depth;
	VEC(struct binding) binding;
	bool coordinate; /* '/' floors, and the value addresses something */
	bool mended;     /* an `else` stands by: a plain index may walk past the end of what it reads */
};

/* EACH (w, a kind of statement, s) { … } */
#define EACH(w, kind, s) for (uint32_t at_ = 0; (s = next_of((w), (kind), &at_)) != NULL;)
static inline const struct statement *next_of(const struct lower *w, enum statement_kind kind, uint32_t *at)
{
	while (*at < w->file->statement.n)
		if (w->file->statement.v[(*at)++].kind == kind)
			return &w->file->statement.v[*at - 1];
	return NULL;
}

static inline struct env env_of(struct lower *w)
{
	return (struct env){.w = w, .templates = w->template.n, .source = w->source};
}

/* Sets of index variables. */
static inline uint64_t bit(uint32_t index)
{
	return (uint64_t)1 << index;
}

static inline uint32_t lowest(uint64_t set)
{
	return (uint32_t)__builtin_ctzll(set);
}

/* lower.c */
/* An index variable over the extent; an error and false when there can be no more, or the name is taken. */
bool add_index(struct lower *, const char *name, uint32_t rank, struct expr extent, struct span);

/* lower_names.c */
/* Adds; when the name is taken, an error and NULL. */
struct name *name_add(struct lower *, const char *, enum name_kind, uint32_t id, struct span);
struct name *name_find(const struct lower *, const char *);
const struct binding *binding_find(const struct env *, const char *);
/* The template a call means, or NULL. */
const struct template *template_find(const struct env *, const char *);
/* Is it a name whose declaration had a syntax error? */
bool name_lost(const struct lower *, const char *);
/* "there is no …", with what may have been meant; `read`: it has brackets. */
struct expr unknown_value(const struct env *, const char *, struct span, bool read);
struct expr unknown_function(const struct env *, const struct ast *);

/* lower_expr.c */
/* An error at the span, or at the call of the template being expanded. */
struct expr fail(const struct env *, struct span, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
struct expr lower_expr(const struct env *, struct ast *);
/* An operation with operand kinds checked. */
struct expr lower_operation(const struct env *, struct span, enum op, int n, const struct expr *);
struct fact fact_of(struct lower *, struct expr);
bool is_condition(const struct expr_pool *, struct expr);
/* Resolves a name to index variables; 0 after an error. Inside a template one name may be several. */
int lower_index(const struct env *, const struct ast *, uint32_t *index, int limit);
/* The source text of a tree. */
const char *ast_text(const struct env *, const struct ast *);
const char *extent_text(const struct lower *, struct expr);
/* Extents are told apart by name, but a number is a number. */
bool same_extent(const struct lower *, struct expr, struct expr);
/* An index variable that walks the extent, or NULL. */
const char *walker(const struct lower *, struct expr extent);

/* lower_call.c */
struct expr lower_call(const struct env *, struct ast *);
/* The index a call without brackets most likely forgot: the last of its operand's. NULL: no idea. */
const char *likely_index(const struct env *, const struct ast *);
bool is_reduction_call(const struct env *, const struct ast *);
/* The pieces of a reduction, or of a selection: which, over what, of what. False after an error. */
struct reduction_parts {
	enum reduction reduce;
	enum selection select;
	uint32_t along, slot; /* of a selection; `set` has what members go over */
	struct expr argument;
	int n;
	uint32_t index[MAX_REDUCED];
	uint64_t set;
	struct expr body, where; /* where: NO_EXPR, or a condition on what is reduced */
};
bool lower_reduction(const struct env *, struct ast *, struct reduction_parts *);
/* A tensor hoisted for an equation, shared if there is one already, read at its indices. */
struct expr hoist(const struct env *, struct span, struct reduction_parts);
/* A mean over what is always present, as a sum. */
struct expr lower_mean(const struct env *, struct span, struct reduction_parts);
/* Index variables of an expression by first appearance; their count, which may pass `limit`. */
int index_order(struct lower *, struct expr, uint32_t *index, int limit);
/* The type a local has: that of its kind, or of the cast at its root. */
enum dtype equation_dtype(const struct expr_pool *, const struct reduction_parts *);
/* An entry for the equation that makes `tensor` of these parts. */
void share(struct lower *, const struct reduction_parts *, uint32_t tensor);
uint32_t add_tensor(struct lower *, struct tensor, struct tensor_fact);
bool add_equation(const struct env *, struct equation);

/* lower_select.c */
bool is_selection_call(const struct env *, const struct ast *);
bool lower_selection(const struct env *, struct ast *, struct reduction_parts *);
struct expr lower_nested_selection(const struct env *, struct ast *);
/* Of one that is a whole right side: do both sides fit? Finds the slot. */
bool check_selection(const struct env *, const struct ast *, struct reduction_parts *, uint64_t on_left,
                     struct expr where);

/* lower_ragged.c */
void declare_ragged(struct lower *, const struct statement *);
enum segment_function { SEGMENT_NONE, SEGMENT_NUMBER, SEGMENT_POSITION, SEGMENT_LENGTH };
static inline enum segment_function segment_find(const char *name)
{
	return !strcmp(name, "segment")    ? SEGMENT_NUMBER
	       : !strcmp(name, "position") ? SEGMENT_POSITION
	       : !strcmp(name, "length")   ? SEGMENT_LENGTH
	                                   : SEGMENT_NONE;
}
struct expr lower_segment(const struct env *, const struct ast *, enum segment_function);
/* Adds to `where` that the ragged indices of an equation meet in one segment. */
struct meeting {
	uint32_t *order; /* its index variables, those of the left first */
	int n;
	uint64_t set; /* what it reduces */
	bool inner;   /* only what restricts that: the readers see to the rest */
	uint64_t met; /* result: the indices that an element of it is absent for unless they meet */
};
bool restrict_ragged(const struct env *, struct span, struct meeting *, struct expr *body, struct expr *where);

/* lower_template.c */
/* Checks the names in a template's body where they stand, called or not. */
void template_check(struct lower *, struct template *);
struct expr template_expand(const struct env *, const struct template *, const struct ast *);

/* lower_sum.c */
/* Makes the reduction of a right side's value, over a set of its indices. */
bool lower_implicit_sum(const struct env *, struct ast *right, struct span, uint64_t summed,
                        struct reduction_parts *);

/* lower_order.c */
/* Lowers all equations of the file, each after what it reads. */
void lower_in_order(struct lower *);

/* lower_equation.c */
/* The n-th left side with its right side. */
void lower_equation(struct lower *, const struct ast_equation *, uint32_t n);

/* lower_finish.c */
struct cascade *lower_finish(struct lower *);

#endif
