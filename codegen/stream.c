#include "codegen/stream.h"

#include "codegen/derive.h"

const char *const mode_name[MODES] = {
        [MODE_FREE] = "FREE",       [MODE_REASSOC] = "REASSOC", [MODE_DEFER] = "DEFER",
        [MODE_COMMUTE] = "COMMUTE", [MODE_RUN] = "RUN",         [MODE_EXPAND] = "EXPAND",
        [MODE_EQUIV] = "EQUIV",     [MODE_APPROX] = "APPROX",   [MODE_BARRIER] = "BARRIER",
        [MODE_ANCHOR] = "ANCHOR",
};

struct streams *derive_streams(struct arena *a, const struct cascade *from, const struct stream_options *options)
{
	static const struct stream_options unfused = {.unfused = true};
	if (!options->unfused && from->equation.n <= EQUATIONS_LIMIT) {
		struct derivation *d = derive_prepare(a, from, options);
		derive_classify(d);
		derive_fuse(d);
		if (d->group.n < GROUPS_LIMIT)
			return derive_place(d);
	}
	struct streams *s = derive_unfused(derive_prepare(a, from, &unfused));
	if (!options->unfused)
		vec_push(a, &s->rewrite,
		         (struct rewrite){.mode = MODE_BARRIER,
		                          .tensor = from->equation.v[from->equation.n - 1].tensor,
		                          .on = UINT32_MAX,
		                          .reason = "the cascade is too large to fuse, so every equation "
		                                    "runs on its own"});
	return s;
}

struct streams *streams_derive(struct arena *a, const struct cascade *from,
                               const struct stream_options *options)
{
	static const struct stream_options defaults = {0};
	return (derive_has_parts(a, from) ? derive_parts : derive_streams)(a, from, options ? options : &defaults);
}
