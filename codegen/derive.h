/* derive.h: what the files of streams_derive share (stream.c, derive_*.c); nobody else includes it.
 *
 * The cascade being worked on is a clone of the user's. derive_prepare.c brings it into a form where every
 * reduction is over one index and no mean is left, and says of each equation what becomes of it.
 * derive_fuse.c takes the streamed reductions in order and puts each into a group, the stream to be, using
 * the modes of theory §2. derive_place.c picks the locals of each group, finds a home for whatever is left
 * and writes the result.
 */
#ifndef ATTUNE_CODEGEN_DERIVE_H
#define ATTUNE_CODEGEN_DERIVE_H

#include "codegen/separate.h"
#include "codegen/stream.h"

enum { NO_GROUP = -1, EQUATIONS_LIMIT = 400, GROUPS_LIMIT = 48, INLINE_SIZE = 1000, INLINE_DEPTH = 60 };

/* What becomes of an equation. */
enum place {
	PLACE_INLINE, /* a map: written out wherever it is read */
	PLACE_LOCAL, /* an inner contraction: computed in every tile that reads it, never in memory as a whole
	              */
	PLACE_CARRY, /* a reduction over a group's streamed index */
	PLACE_MAP,   /* a map in memory, made by a group of its own */
};

/* What is known of an equation beyond its text. */
struct fact {
	enum place place;
	uint32_t origin;      /* tensor of the user's cascade it came from */
	int group;            /* CARRY, MAP */
	bool done;            /* CARRY: fused into its group */
	struct expr original; /* CARRY: its body, index and presence before that */
	uint32_t summed;
	struct expr wanted;
	struct expr presence; /* as the prepared cascade has it; bodies may be inlined later */
	struct expr inlined;  /* memo of derive_inlined */
	uint64_t direct;      /* memo of derive_direct */
	uint32_t stamp;       /* of that memo */
	struct expr folded;   /* derive_local: an INLINE map in terms of smaller ones */
	bool live;            /* derive_place: some output needs it */
	bool made;            /* derive_local: a part of other bodies; its presence is its own affair */
	uint32_t emitted;     /* derive_place: its position in the result plus one */
};

/* A stream to be. */
struct group {
	uint32_t index; /* NO_INDEX: maps only */
	uint8_t nrow;
	uint32_t row[MAX_RANKS];
	VEC(struct carry) carry; /* equation: of the working cascade */
	VEC(uint32_t) map;       /* maps in memory; with an index, stored from inside the tile */
	VEC(uint32_t) local;     /* derive_place */
	VEC(uint32_t) after;
	struct expr present; /* derive_place: hull of the presence of what it computes */
	uint64_t extra;      /* groups that must come first for `after` */
};

struct derivation {
	struct arena *arena;
	struct cascade *c;
	const struct stream_options *options;
	struct algebra algebra;
	VEC(struct fact) fact; /* one an equation of c */
	VEC(struct group) group;
	VEC(struct rewrite) rewrite;
	uint32_t stamp; /* moves whenever a group or equation changes */
};

/* stream.c: of a cascade in one part. */
struct streams *derive_streams(struct arena *, const struct cascade *, const struct stream_options *);
/* derive_parts.c, derive_join.c: of one with several. */
bool derive_has_parts(struct arena *, const struct cascade *);
struct streams *derive_parts(struct arena *, const struct cascade *, const struct stream_options *);

/* derive_prepare.c */
struct derivation *derive_prepare(struct arena *, const struct cascade *, const struct stream_options *);
/* An equation takes over the variables of what it reads where it can, so that equations that walk the same
 * coordinates say so by the same names. */
void derive_align(struct arena *, struct cascade *);
void derive_classify(struct derivation *);
/* e with every PLACE_INLINE map written out. */
struct expr derive_inlined(struct derivation *, struct expr e);
/* Would its text stay small: few nodes, shared ones counted at every use, and not deeply nested? */
bool derive_is_small(const struct derivation *, struct expr);
/* Keeps a map in memory, by a group of its own. */
void derive_store(struct derivation *, uint32_t equation);
/* Replaces index variables by expressions, all at once. */
struct expr derive_substitute(struct cascade *, struct expr, int n, const uint32_t *from,
                              const struct expr *to);
/* The definition of what a READ reads, or NO_EQUATION. */
uint32_t derive_definition(const struct cascade *, struct expr read);
/* Does it read its tensor at the very variables that define it? */
bool derive_identity(const struct cascade *, struct expr read);
/* A local tensor with a fresh name and the shape of the equation's left side. */
uint32_t derive_new_tensor(struct derivation *, const char *name, const struct equation *like);
/* Appends the equation, defining such a tensor. */
uint32_t derive_new_equation(struct derivation *, const char *name, struct equation, uint32_t origin);

/* derive_hoist.c: parts of maps in memory that do not depend on all of the coordinates become maps of their own. */
void derive_hoist(struct derivation *);

/* derive_fuse.c */
void derive_fuse(struct derivation *);
/* The groups an expression reads carries or maps of, through maps and locals. */
uint64_t derive_direct(struct derivation *, struct expr);
/* … and all those need in turn. */
uint64_t derive_closure(struct derivation *, uint64_t groups);
int derive_new_group(struct derivation *, uint32_t index, const uint32_t *row, int nrow);
/* An expression as the user would write it: maps that were written out are named again. */
const char *derive_spell(struct derivation *, struct expr);
/* … and it is one of those itself, if there is one. */
const char *derive_spell_name(struct derivation *, struct expr);

/* derive_reassoc.c: rewrites reduction i when a finished tensor does its work. */
bool derive_reassoc(struct derivation *, uint32_t i);

/* derive_modes.c: how one reduction joins the pass of a group it depends on. Nothing of the derivation
 * changes until the plan is carried out. In a plan's expressions VALUE(k) stands for its accumulator k. */
enum { PLAN_ACCUMULATORS = 8, PLAN_REWRITES = 8, DEPENDENCIES = 8 };
struct plan_term {
	struct expr of, factor; /* of: VALUE or READ of a carry */
};
struct accumulator {
	struct expr body, presence;
	enum reduction reduce;
	const char *suffix; /* of its tensor's name */
	bool own;           /* needs none of the group's rows: a group of its own */
	uint8_t nindex, terms;
	uint32_t index[MAX_RANKS];
	struct plan_term term[MAX_TERMS];
};
struct plan {
	struct derivation *d;
	int group;
	uint32_t equation;
	uint64_t later;     /* groups that wait for this one, though the reduction needs them */
	struct expr result; /* the reduction's value after the stream */
	int n, nrewrite;
	struct accumulator accumulator[PLAN_ACCUMULATORS];
	struct rewrite rewrite[PLAN_REWRITES];
	uint32_t on;     /* of a failure: the tensor depended on */
	const char *why; /* … and the sentence */
};
/* Fills plan->result and what it needs, or why there is none. d, group, equation and later are set. */
bool derive_plan(struct plan *);

/* Shared by derive_modes.c, derive_sources.c and derive_equiv.c. */
struct separator plan_separator(const struct plan *, const uint32_t *carry, uint32_t n);
/* No exponential that the separation cut in two can overflow. */
bool plan_bounded(const struct plan *, const struct separation *);
/* Σ_k H_k · (the sum of G_k), as DEFER, ANCHOR or EXPAND; NO_EXPR, and nothing is left behind, when some G_k has
 * no sum. */
struct expr plan_attempt(struct plan *, const struct separation *, enum mode, uint32_t carry, const char *reason);
const char *plan_defer_reason(struct plan *, const struct separation *);
const char *plan_expand_reason(struct plan *, const struct separation *);
void plan_remember(struct plan *, uint32_t on, const struct separation *);
/* The sum of g as an expression over accumulators and carries; NO_EXPR when there is a barrier. */
struct expr plan_sum(struct plan *, struct expr g);
struct expr plan_accumulate(struct plan *, struct accumulator);
struct accumulator plan_new(const struct plan *, struct expr body, const char *suffix, bool running);
/* e with every carry of the group, and every VALUE, replaced by its OLD. */
struct expr plan_old(struct plan *, struct expr e);
/* factor where something was accumulated before, else 0; false when that cannot be told. */
bool plan_guard(struct plan *, struct expr *factor);
void plan_note(struct plan *, enum mode, uint32_t carry, int accumulators, const char *reason);
/* EQUIV over all `carries`. */
bool plan_equiv(struct plan *, struct expr f, const uint32_t *carry, uint32_t carries, struct expr *result);

/* derive_sources.c: what is known only when streams are done that wait for this one. The tensors of such
 * streams that e reads. */
uint32_t plan_later(const struct plan *, struct expr e, uint32_t list[DEPENDENCIES]);
/* The sum of g, which reads some of them; NO_EXPR when there is a barrier. */
struct expr plan_sources(struct plan *, struct expr g, const uint32_t *later, uint32_t n);

bool derive_joinable(struct derivation *, uint64_t needs, int group);

/* derive_local.c: names the parts of a tile that the bodies of a group share, and fills group.local. */
void derive_fold_maps(struct derivation *);
void derive_locals(struct derivation *, uint32_t group);
/* When every group has its locals: names what several bodies of one compute. Then the locals are to be
 * collected again. */
void derive_shared_parts(struct derivation *, uint32_t group);
void derive_collect_locals(struct derivation *, uint32_t group);

/* stream.c: says of each tensor which equation defines it; drops locals that none does any more. */
void streams_define(struct streams *);
void streams_compact(struct streams *);

/* derive_place.c */
struct streams *derive_place(struct derivation *);
struct streams *derive_unfused(struct derivation *);

static inline bool index_in(const uint32_t *list, int n, uint32_t index)
{
	for (int i = 0; i < n; i++)
		if (list[i] == index)
			return true;
	return false;
}
static inline bool index_subset(const uint32_t *a, int na, const uint32_t *b, int nb)
{
	for (int i = 0; i < na; i++)
		if (!index_in(b, nb, a[i]))
			return false;
	return true;
}
/* The READs in e, those in coordinates too; the list is in the pool's arena. */
uint32_t derive_reads(const struct expr_pool *, struct expr e, struct expr **list);

#endif
