/* key.c: under what a measurement is kept. */
#include <string.h>

#include "base/hash.h"
#include "search/tune.h"

/* The canonical cascade with extents left out: what winners of other shapes have in common with this one. */
static const char *workload_digest(struct arena *a, const struct cascade *c)
{
	struct cascade *open = cascade_clone(a, c);
	for (uint32_t i = 0; i < open->rank.n; i++)
		open->rank.v[i].extent = NOT_BOUND;
	return cascade_digest(open);
}

static const char *contract(struct arena *a, const struct cascade *c)
{
	static const char *const role[] = {[ROLE_IN] = "in", [ROLE_OUT] = "out"};
	struct text t;
	text_init(&t, a);
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		const struct tensor *x = &c->tensor.v[i];
		if (x->role != ROLE_LOCAL)
			text_printf(&t, "%s%s %s %s", t.len ? ", " : "", role[x->role], x->name,
			            dtype_info[x->dtype].spelling);
	}
	return t.s;
}

struct cache_key tune_key(struct arena *a, const struct cascade *c, const struct tune_place *place)
{
	const struct machine *m = place->machine;
	const struct target_options options = tune_target_options(place, 3);
	struct cache_key k = {
	        .env = {.hardware = machine_key(a, m),
	                .arch = machine_arch(a, m),
	                .isa = isa_info[place->isa].name,
	                .codegen = codegen_digest(),
	                .toolchain = arena_printf(a, "%s %s", place->target->name,
	                                          place->target->version(a, &options)),
	                .threads = place->threads,
	                .policy = place->modelled         ? "modelled"
	                          : place->target->device ? "the device's clock, lower envelope"
	                          : place->threads > 1    ? "wall clock, lower envelope"
	                                                  : "thread time, lower envelope"},
	        .problem = {.workload = workload_digest(a, c), .name = c->name, .contract = contract(a, c)},
	};
	for (uint32_t i = 0; i < c->rank.n && k.problem.nranks < CACHE_RANKS; i++) {
		k.problem.rank[k.problem.nranks] = c->rank.v[i].name;
		k.problem.extent[k.problem.nranks++] = c->rank.v[i].extent;
	}
	return k;
}

const char *tune_source_key(struct arena *a, const struct kernel_source *s, const struct target *target,
                            const struct target_options *options)
{
	const char *all = arena_printf(a, "%s\n%s\n%s\n%d\n%d\n", s->digest, target->name,
	                               target->version(a, options), options->isa, options->optimise);
	if (options->capability)
		all = arena_printf(a, "%s%d\n", all, options->capability);
	return digest_text(a, all, strlen(all));
}
