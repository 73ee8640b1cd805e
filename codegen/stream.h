/* stream.h: what the algebra found. A cascade rewritten so that it runs in few passes, and which of its
 * equations share a traversal.
 *
 * `cascade` is a plain cascade: the oracle runs it and must agree with the one it came from. It differs by
 * the rewrites of theory §2 (a deferred division became an equation after the stream, one reduction became
 * several accumulators, …). On top of it each stream says
 *   - which index it walks, and for which coordinates it is one traversal (`row`),
 *   - which equations are local (live only inside a tile), which are carried, which come after,
 *   - how each carry is corrected when the carries it depends on move.
 * A stream that needs another's result reads it from memory: streams stand in dependency order. Nothing
 * here is about a machine.
 */
#ifndef ATTUNE_CODEGEN_STREAM_H
#define ATTUNE_CODEGEN_STREAM_H

#include "dsl/cascade.h"

/* How a reduction that depends on another over the same rank is brought into its pass. */
enum mode {
	MODE_FREE,    /* depends on none */
	MODE_REASSOC, /* bilinear interchange: reuse a finished tensor */
	MODE_DEFER,   /* one accumulator, the dependent factor after the stream */
	MODE_ANCHOR,  /* what it depends on is known only later: summed against the stream's own part of it, and
	                 brought to all of it after the stream */
	MODE_COMMUTE, /* max, min: the dependent map is monotone, applied after the stream */
	MODE_RUN,     /* running value, corrected by a factor */
	MODE_EXPAND,  /* K accumulators, joined after the stream */
	MODE_EQUIV,   /* K accumulators anchored at a running value, corrected by a matrix */
	MODE_APPROX,  /* RUN across a cast taken for the identity; asked for by the user */
	MODE_BARRIER, /* a new pass */
	MODES
};
extern const char *const mode_name[MODES];

/* One step of the derivation, for `explain`: the reduction of `tensor` against its dependency `on`. */
struct rewrite {
	enum mode mode;
	uint32_t tensor;    /* in the original cascade */
	uint32_t on;        /* UINT32_MAX for MODE_FREE */
	int accumulators;   /* K; 0 for a barrier */
	const char *reason; /* a sentence; for a barrier it names the term that forced it */
	struct span span;
};

/* T' = Σ factor · (carried tensor before this tile) ⊕ reduction over the tile. In `factor`, OLD(READ c) is
 * carry c before this tile and READ c after it. A factor that is no number is never evaluated to NaN: it is
 * wrapped so that it is 0 where nothing was accumulated yet. */
enum { MAX_TERMS = 4 };
struct correction_term {
	uint32_t carry; /* position in the stream's `carry` */
	struct expr factor;
};

struct carry {
	uint32_t equation; /* T[row…, wide…] = reduce over the streamed index of a body of locals, inputs and
	                      READs of earlier carries of this stream, which mean their running values */
	uint8_t terms;     /* 0: plain accumulation, T' = T ⊕ tile */
	struct correction_term term[MAX_TERMS];
};

#define NO_INDEX UINT32_MAX
struct stream {
	uint32_t index; /* the streamed index; NO_INDEX: no reduction is streamed, `after` is all there is */
	VEC(uint32_t)
	row; /* index variables every carry has: the coordinates of one traversal. Without a
	        carry: those of the maps or local outputs, the innermost left out */
	VEC(uint32_t)
	local;                   /* equations, in order; inner contractions and maps, which may read running
	                            values of carries. Those that are outputs are stored from inside the tile */
	VEC(struct carry) carry; /* in order: a carry may read running values of earlier ones only */
	VEC(uint32_t) after;     /* equations over finished carries, in order */
	bool selects;            /* one selection and nothing else: its equation is the only local, `index` the
	                            fiber it goes along, `row` its other coordinates. Operand and result are in memory */
	struct expr present;     /* hull of the presence of all carries: outside it a tile does nothing */
};

struct streams {
	struct cascade *cascade;
	VEC(struct stream) stream;
	VEC(struct rewrite) rewrite;
};

struct stream_options {
	bool approx;  /* allow MODE_APPROX */
	bool unfused; /* every equation its own stream, materialised: the naive form, for comparison */
};

/* Derives the streams of a cascade; lives in `arena`. Never fails on a valid cascade: what cannot be fused
 * is a barrier with its reason. */
struct streams *streams_derive(struct arena *, const struct cascade *, const struct stream_options *);

/* Further forms of derived streams whose ranks are bound, where reductions range over a set that a bool tensor gives;
 * NULL where none does. The walk reads its coordinates from a list of the set's members (derive_members.c); the rows
 * are gathered by what they chose, and their parts joined (derive_rows.c). */
struct list_form {
	bool worth;         /* by the sizes: what the sets surely leave out is more than half, in every stream rewritten */
	const char *reason; /* words on the first of them */
};
struct streams *streams_members(struct arena *, const struct streams *, struct list_form *);
struct streams *streams_rows(struct arena *, const struct streams *, struct list_form *);

/* Of every equation of the cascade: is it a maximum or minimum that may pass over a NaN, because no output depends on
 * it there? stream_nan.c says how that is known. */
bool *streams_pass_nan(struct arena *, const struct streams *);

/* Text that parses back. NULL, with diagnostics, when it does not. */
void streams_print(const struct streams *, struct text *);
struct streams *streams_parse(struct arena *, const char *source, size_t size, struct diags *);

/* Passes over each rank as theory §1 counts them. A barrier inside a recurrence has no finite count. */
#define PASSES_ENDLESS INT32_MAX
struct pass_count {
	uint32_t tensor, rank;
	int passes;
};
struct pass_table {
	VEC(struct pass_count) count; /* one a tensor and rank that it iterates or carries */
};
/* As written: no rewriting. */
struct pass_table pass_table(struct arena *, struct cascade *);
/* The most passes any tensor needs over `rank`. `dense`: co-ranks a tensor must also carry to count as
 * the fiber (none: NULL, 0). */
int passes_over(struct arena *, struct cascade *, uint32_t rank, const uint32_t *dense, int ndense);
/* Passes over the rank when every stream is one traversal: as passes_over, but a carry streams along with
 * those of its own stream that read it. */
int passes_fused(const struct streams *, uint32_t rank);

#endif
