/* explain.h: what the compiler found in a cascade, for a person and as JSON. */
#ifndef ATTUNE_CODEGEN_EXPLAIN_H
#define ATTUNE_CODEGEN_EXPLAIN_H

#include <cjson/cJSON.h>

#include "codegen/machine.h"
#include "codegen/stream.h"

struct explain_rank {
	uint32_t rank; /* of the cascade */
	int written;   /* passes as the user wrote it; PASSES_ENDLESS where there is no count */
	int deferred;  /* of the derived cascade, still one equation after the other */
	int fused;     /* with every stream one traversal */
};

struct explain_work {
	bool known;   /* all ranks are bound */
	double flops; /* useful floating-point operations */
	double bytes; /* inputs read once, outputs written once, what streams hand on written and read */
	double naive_bytes; /* … when every equation runs on its own */
	double handed_on;   /* bytes of tensors one stream writes for another */
	double roofline;    /* flop/s one core, or a device's tensor cores, can reach at most; 0: not known */
	double seconds;     /* … and the time that takes */
	bool memory_bound;
};

/* Everything explain says beside the texts. Lives in `arena`. */
struct explanation {
	const struct cascade *cascade; /* as given */
	const struct streams *streams;
	const struct machine *machine; /* may be NULL */
	struct pass_table table;
	VEC(struct explain_rank) rank; /* ranks that some equation walks */
	struct explain_work work;
};

/* The streams must have been derived from this cascade. Work is known when its ranks are bound; the bound on
 * time when the machine has measurements. */
struct explanation explain(struct arena *, struct cascade *, const struct streams *, const struct machine *);
void explain_text(const struct explanation *, struct text *);
/* The caller deletes it; NULL when memory runs out. */
cJSON *explain_json(const struct explanation *);

#endif
