#include "codegen/explain.h"

#include "codegen/work.h"
#include "dsl/dtype.h"

/* Facts. */

static double tensor_bytes(const struct cascade *c, uint32_t t)
{
	double n = 1;
	for (int i = 0; i < c->tensor.v[t].nranks; i++) {
		int64_t extent = 0;
		cascade_extent(c, c->tensor.v[t].extent[i], &extent);
		n *= (double)extent;
	}
	return n * dtype_info[c->tensor.v[t].dtype].bits / 8;
}

static bool bound(const struct cascade *c)
{
	for (uint32_t i = 0; i < c->rank.n; i++)
		if (c->rank.v[i].extent == NOT_BOUND)
			return false;
	return true;
}

/* Does some equation of the stream compute it? */
static bool computes(const struct stream *s, uint32_t equation)
{
	for (uint32_t i = 0; i < s->local.n; i++)
		if (s->local.v[i] == equation)
			return true;
	for (uint32_t i = 0; i < s->carry.n; i++)
		if (s->carry.v[i].equation == equation)
			return true;
	for (uint32_t i = 0; i < s->after.n; i++)
		if (s->after.v[i] == equation)
			return true;
	return false;
}

static bool stream_reads(const struct streams *s, const struct stream *at, uint32_t tensor)
{
	for (uint32_t q = 0; q < s->cascade->equation.n; q++) {
		const struct equation *e = &s->cascade->equation.v[q];
		if (computes(at, q) && (expr_mentions(&s->cascade->pool, e->body, OP_READ, tensor) ||
		                        expr_mentions(&s->cascade->pool, e->where, OP_READ, tensor)))
			return true;
	}
	return false;
}

/* Written by one stream and read by another. */
static bool handed_on(const struct streams *s, uint32_t tensor)
{
	uint32_t q = s->cascade->tensor.v[tensor].equation;
	if (q == NO_EQUATION)
		return false;
	for (uint32_t i = 0; i < s->stream.n; i++)
		if (!computes(&s->stream.v[i], q) && stream_reads(s, &s->stream.v[i], tensor))
			return true;
	return false;
}

static struct explain_work work_of(struct cascade *c, const struct streams *s, const struct machine *m)
{
	struct explain_work w = {.known = bound(c)};
	if (!w.known)
		return w;
	w.flops = cascade_flops(c, NULL);
	for (uint32_t t = 0; t < c->tensor.n; t++) {
		bool local = c->tensor.v[t].role == ROLE_LOCAL;
		w.naive_bytes += tensor_bytes(c, t) * (local ? 2 : 1);
	}
	for (uint32_t t = 0; t < s->cascade->tensor.n; t++) {
		const struct tensor *x = &s->cascade->tensor.v[t];
		if (x->role != ROLE_LOCAL)
			w.bytes += tensor_bytes(s->cascade, t);
		if (!handed_on(s, t))
			continue;
		w.handed_on += tensor_bytes(s->cascade, t);
		w.bytes += tensor_bytes(s->cascade, t) * (x->role == ROLE_LOCAL ? 2 : 1);
	}
	double peak = !m ? 0 : m->capability ? m->tensor_flops : m->peak_flops;
	if (peak <= 0 || m->bandwidth <= 0 || w.bytes <= 0)
		return w;
	double by_memory = w.flops / w.bytes * m->bandwidth;
	w.memory_bound = by_memory < peak;
	w.roofline = w.memory_bound ? by_memory : peak;
	w.seconds = w.memory_bound ? w.bytes / m->bandwidth : w.flops / peak;
	return w;
}

struct explanation explain(struct arena *a, struct cascade *c, const struct streams *s,
                           const struct machine *m)
{
	struct explanation e = {.cascade = c, .streams = s, .machine = m, .table = pass_table(a, c)};
	for (uint32_t r = 0; r < c->rank.n; r++) {
		struct explain_rank x = {r, passes_over(a, c, r, NULL, 0),
		                         passes_over(a, s->cascade, r, NULL, 0), passes_fused(s, r)};
		if (x.written > 0)
			vec_push(a, &e.rank, x);
	}
	e.work = work_of(c, s, m);
	return e;
}

/* Text. */

static void heading(struct text *t, const char *s)
{
	text_printf(t, "%s%s\n\n", t->len ? "\n" : "", s);
}

static const char *passes(int n)
{
	return n == 1 ? "pass" : "passes";
}

static void print_passes(const struct explanation *e, struct text *t)
{
	const struct cascade *c = e->cascade;
	heading(t, "Passes");
	text_add(t, "A pass visits every element of a fiber once. What needs all of a fiber before it can "
	            "visit it again "
	            "costs one more.\n");
	bool one = false;
	for (uint32_t i = 0; i < e->rank.n; i++) {
		const struct explain_rank *r = &e->rank.v[i];
		if (r->written == 1 && r->fused == 1) {
			text_printf(t, one ? ", %s" : "  %s", c->rank.v[r->rank].name);
			one = true;
		}
	}
	if (one)
		text_add(t, ": 1 pass as written\n");
	for (uint32_t i = 0; i < e->rank.n; i++) {
		const struct explain_rank *r = &e->rank.v[i];
		const char *name = c->rank.v[r->rank].name;
		if (r->written == 1 && r->fused == 1)
			continue;
		if (r->written == PASSES_ENDLESS) {
			text_printf(t,
			            "  %s: no finite number of passes: a recurrence waits for its own end\n",
			            name);
			continue;
		}
		text_printf(t, "  %s: %d %s as written", name, r->written, passes(r->written));
		if (r->deferred != r->written)
			text_printf(t, ", %d after what can wait is deferred", r->deferred);
		if (r->fused != r->deferred)
			text_printf(t, ", %d with running values", r->fused);
		text_char(t, '\n');
		for (uint32_t k = 0; k < e->table.count.n && r->written > 1; k++) {
			const struct pass_count *p = &e->table.count.v[k];
			if (p->rank == r->rank && p->passes > 1 && p->passes != PASSES_ENDLESS)
				text_printf(t, "    as written, %s needs pass %d\n",
				            c->tensor.v[p->tensor].name, p->passes);
		}
	}
}

static void print_rewrites(const struct explanation *e, struct text *t)
{
	const struct cascade *c = e->cascade;
	heading(t, "Rewrites");
	for (uint32_t i = 0; i < e->streams->rewrite.n; i++) {
		const struct rewrite *r = &e->streams->rewrite.v[i];
		text_printf(t, "  %s", c->tensor.v[r->tensor].name);
		if (r->on != UINT32_MAX)
			text_printf(t, " against %s", c->tensor.v[r->on].name);
		text_printf(t, ": %s", mode_name[r->mode]);
		if (r->accumulators > 1)
			text_printf(t, ", %d accumulators", r->accumulators);
		text_printf(t, "\n    %s\n", r->reason);
		if (r->mode == MODE_BARRIER)
			text_printf(t, "    so %s waits for the end of that pass and a new one begins\n",
			            c->tensor.v[r->tensor].name);
	}
}

static void print_names(const struct explanation *e, const char *label, const uint32_t *equation, uint32_t n,
                        struct text *t)
{
	const struct cascade *c = e->streams->cascade;
	if (!n)
		return;
	text_printf(t, "    %s", label);
	for (uint32_t i = 0; i < n; i++)
		text_printf(t, "%s%s", i ? ", " : " ", c->tensor.v[c->equation.v[equation[i]].tensor].name);
	text_char(t, '\n');
}

static void print_memory(const struct explanation *e, const struct stream *at, struct text *t)
{
	const struct cascade *c = e->streams->cascade;
	for (int written = 0; written < 2; written++) {
		bool any = false;
		for (uint32_t k = 0; k < c->tensor.n; k++) {
			uint32_t q = c->tensor.v[k].equation;
			bool here = q != NO_EQUATION && computes(at, q);
			bool wanted = c->tensor.v[k].role == ROLE_OUT || handed_on(e->streams, k);
			if (written ? !(here && wanted) : here || !stream_reads(e->streams, at, k))
				continue;
			text_printf(t, "%s%s",
			            any       ? ", "
			            : written ? "    writes "
			                      : "    reads ",
			            c->tensor.v[k].name);
			any = true;
		}
		if (any)
			text_char(t, '\n');
	}
}

static void print_stream(const struct explanation *e, uint32_t number, struct text *t)
{
	const struct stream *at = &e->streams->stream.v[number];
	const struct cascade *c = e->streams->cascade;
	uint32_t *carry = arena_new_array(t->arena, at->carry.n, uint32_t);
	text_printf(t, "  %u. ", number + 1);
	if (at->index == NO_INDEX)
		text_add(t, "element by element");
	else
		text_printf(t, "walks %s once", c->index.v[at->index].name);
	for (uint32_t i = 0; i < at->row.n; i++)
		text_printf(t, "%s%s", i ? ", " : " for every (", c->index.v[at->row.v[i]].name);
	text_add(t, at->row.n ? ")\n" : "\n");
	if (at->present.id && at->index != NO_INDEX) {
		struct expr_names names = cascade_names(c);
		text_add(t, "    only where ");
		expr_print(&c->pool, at->present, &names, t);
		text_char(t, '\n');
	}
	for (uint32_t i = 0; i < at->carry.n; i++)
		carry[i] = at->carry.v[i].equation;
	print_names(e, "in a tile, never in memory as a whole:", at->local.v, at->local.n, t);
	print_names(e, "carried along:", carry, at->carry.n, t);
	print_names(e, at->index == NO_INDEX ? "computes" : "when a row is done:", at->after.v, at->after.n,
	            t);
	print_memory(e, at, t);
}

static void quantity(struct text *t, double x, const char *unit)
{
	static const char *const prefix[] = {"", "k", "M", "G", "T", "P"};
	int i = 0;
	while (x >= 1000 && i < 5) {
		x /= 1000;
		i++;
	}
	text_printf(t, "%.4g %s%s", x, prefix[i], unit);
}

static void print_work(const struct explanation *e, struct text *t)
{
	const struct explain_work *w = &e->work;
	heading(t, "Work");
	if (!w->known) {
		text_add(t, "  Known when every rank has an extent (-r N=2048 …).\n");
		return;
	}
	text_add(t, "  ");
	quantity(t, w->flops, "flop");
	text_add(t, " on ");
	quantity(t, w->bytes, "B");
	text_add(t, " of inputs and outputs");
	if (w->handed_on > 0) {
		text_add(t, ", of which streams hand on ");
		quantity(t, w->handed_on, "B");
	}
	text_printf(t, ": %.4g flop a byte\n  every equation on its own would move ",
	            w->bytes > 0 ? w->flops / w->bytes : 0);
	quantity(t, w->naive_bytes, "B");
	text_char(t, '\n');
	if (w->roofline <= 0)
		return;
	text_printf(t, "  %s: at most ", e->machine->capability ? e->machine->model_name : "one core of this machine");
	quantity(t, w->roofline, "flop/s");
	text_printf(t, ", bound by %s, so no less than %.4g ms\n", w->memory_bound ? "memory" : "arithmetic",
	            w->seconds * 1e3);
}

void explain_text(const struct explanation *e, struct text *t)
{
	heading(t, "Cascade");
	cascade_print(e->cascade, t);
	print_passes(e, t);
	print_rewrites(e, t);
	heading(t, "What runs together");
	for (uint32_t i = 0; i < e->streams->stream.n; i++)
		print_stream(e, i, t);
	print_work(e, t);
}

/* JSON. cJSON's adders do nothing on NULL, so only the whole is checked for. */

static const char *text_of(struct arena *a, const struct cascade *c)
{
	struct text t;
	text_init(&t, a);
	cascade_print(c, &t);
	return t.s;
}

static void add_count(cJSON *to, const char *name, int passes_counted)
{
	if (passes_counted == PASSES_ENDLESS)
		cJSON_AddNullToObject(to, name);
	else
		cJSON_AddNumberToObject(to, name, passes_counted);
}

static cJSON *add_object(cJSON *list)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddItemToArray(list, o);
	return o;
}

static void add_name(cJSON *list, const char *name)
{
	cJSON_AddItemToArray(list, cJSON_CreateString(name));
}

static void json_stream(cJSON *list, const struct explanation *e, const struct stream *at, struct arena *a)
{
	const struct cascade *c = e->streams->cascade;
	struct expr_names names = cascade_names(c);
	cJSON *o = add_object(list), *rows, *locals, *carries, *after;
	if (at->index != NO_INDEX)
		cJSON_AddStringToObject(o, "index", c->index.v[at->index].name);
	rows = cJSON_AddArrayToObject(o, "rows");
	for (uint32_t i = 0; i < at->row.n; i++)
		add_name(rows, c->index.v[at->row.v[i]].name);
	locals = cJSON_AddArrayToObject(o, "locals");
	for (uint32_t i = 0; i < at->local.n; i++)
		add_name(locals, c->tensor.v[c->equation.v[at->local.v[i]].tensor].name);
	carries = cJSON_AddArrayToObject(o, "carries");
	for (uint32_t i = 0; i < at->carry.n; i++) {
		const struct carry *k = &at->carry.v[i];
		cJSON *x = add_object(carries);
		cJSON_AddStringToObject(x, "tensor", c->tensor.v[c->equation.v[k->equation].tensor].name);
		cJSON_AddStringToObject(x, "reduce",
		                        reduction_info[c->equation.v[k->equation].reduce].spelling);
		cJSON *corrections = cJSON_AddArrayToObject(x, "corrections");
		for (int t = 0; t < k->terms; t++) {
			struct text factor;
			text_init(&factor, a);
			expr_print(&c->pool, k->term[t].factor, &names, &factor);
			cJSON *y = add_object(corrections);
			uint32_t of = at->carry.v[k->term[t].carry].equation;
			cJSON_AddStringToObject(y, "of", c->tensor.v[c->equation.v[of].tensor].name);
			cJSON_AddStringToObject(y, "factor", factor.s);
		}
	}
	after = cJSON_AddArrayToObject(o, "after");
	for (uint32_t i = 0; i < at->after.n; i++)
		add_name(after, c->tensor.v[c->equation.v[at->after.v[i]].tensor].name);
}

static void json_work(cJSON *root, const struct explanation *e)
{
	const struct explain_work *w = &e->work;
	if (!w->known)
		return;
	cJSON *o = cJSON_AddObjectToObject(root, "work");
	cJSON_AddNumberToObject(o, "flops", w->flops);
	cJSON_AddNumberToObject(o, "bytes", w->bytes);
	cJSON_AddNumberToObject(o, "bytes_handed_on", w->handed_on);
	cJSON_AddNumberToObject(o, "bytes_unfused", w->naive_bytes);
	cJSON_AddNumberToObject(o, "intensity", w->bytes > 0 ? w->flops / w->bytes : 0);
	if (w->roofline <= 0)
		return;
	cJSON_AddNumberToObject(o, "roofline_flops", w->roofline);
	cJSON_AddNumberToObject(o, "seconds_at_least", w->seconds);
	cJSON_AddStringToObject(o, "bound_by", w->memory_bound ? "memory" : "arithmetic");
}

cJSON *explain_json(const struct explanation *e)
{
	const struct cascade *c = e->cascade;
	struct arena *a = e->streams->cascade->arena;
	cJSON *root = cJSON_CreateObject(), *list;
	if (!root)
		return NULL;
	cJSON_AddStringToObject(root, "kernel", c->name);
	cJSON_AddStringToObject(root, "cascade", text_of(a, c));
	list = cJSON_AddArrayToObject(root, "passes");
	for (uint32_t i = 0; i < e->rank.n; i++) {
		const struct explain_rank *r = &e->rank.v[i];
		cJSON *o = add_object(list);
		cJSON_AddStringToObject(o, "rank", c->rank.v[r->rank].name);
		add_count(o, "written", r->written);
		add_count(o, "deferred", r->deferred);
		add_count(o, "fused", r->fused);
	}
	list = cJSON_AddArrayToObject(root, "tensors");
	for (uint32_t i = 0; i < e->table.count.n; i++) {
		const struct pass_count *p = &e->table.count.v[i];
		cJSON *o = add_object(list);
		cJSON_AddStringToObject(o, "tensor", c->tensor.v[p->tensor].name);
		cJSON_AddStringToObject(o, "rank", c->rank.v[p->rank].name);
		add_count(o, "passes", p->passes);
	}
	list = cJSON_AddArrayToObject(root, "rewrites");
	for (uint32_t i = 0; i < e->streams->rewrite.n; i++) {
		const struct rewrite *r = &e->streams->rewrite.v[i];
		cJSON *o = add_object(list);
		cJSON_AddStringToObject(o, "mode", mode_name[r->mode]);
		cJSON_AddStringToObject(o, "tensor", c->tensor.v[r->tensor].name);
		if (r->on != UINT32_MAX)
			cJSON_AddStringToObject(o, "on", c->tensor.v[r->on].name);
		cJSON_AddNumberToObject(o, "accumulators", r->accumulators);
		cJSON_AddStringToObject(o, "reason", r->reason);
	}
	list = cJSON_AddArrayToObject(root, "streams");
	for (uint32_t i = 0; i < e->streams->stream.n; i++)
		json_stream(list, e, &e->streams->stream.v[i], a);
	json_work(root, e);
	return root;
}
