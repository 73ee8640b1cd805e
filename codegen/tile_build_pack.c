/* Packing: a contraction's second operand copied into panels, once, by a phase of its own whose tasks walk
 * the operand's coordinates and not those of the tasks that read it. */
#include "codegen/build.h"

struct pack {
	struct builder *b;
	uint32_t lanes, reduced;
	int n;
	struct expr outer[MAX_RANKS]; /* coordinates of the original task, over the cascade's pool */
	uint32_t index[MAX_RANKS];    /* the packing phase's index for each */
	int64_t extent[MAX_RANKS];
};

static uint32_t pack_index(struct pack *k, struct expr coordinate, int64_t extent)
{
	struct builder *b = k->b;
	for (int i = 0; i < k->n; i++)
		if (expr_same(k->outer[i], coordinate))
			return k->index[i];
	const struct expr_node *n = expr_at(&b->c->pool, coordinate);
	uint32_t index;
	if (n->op == OP_INDEX) {
		index = n->symbol;
	} else {
		const char *stem = "i";
		for (uint32_t i = 0; i < b->c->index.n; i++)
			if (build_mentions(b, coordinate, i) || expr_mentions(&b->c->pool, coordinate, OP_LOW, i))
				stem = b->c->index.v[i].name;
		const char *name = build_name(b, arena_printf(b->arena, "%s_kv", stem), true);
		vec_push(b->arena, &b->p->index, (struct tile_index){name, extent});
		index = b->p->index.n - 1;
	}
	k->outer[k->n] = coordinate;
	k->index[k->n] = index;
	k->extent[k->n] = extent;
	return k->index[k->n++];
}

/* The plain coordinates of e's reads become indices of the packing phase first: others may be functions of them. */
static void pack_plain(struct pack *k, struct expr e)
{
	struct builder *b = k->b;
	struct expr *node;
	uint32_t n = expr_nodes(&b->c->pool, e, &node);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node r = *expr_at(&b->c->pool, node[i]);
		for (int a = 0; r.op == OP_READ && a < r.count; a++) {
			struct expr x = expr_operand(&b->c->pool, node[i], a);
			int64_t extent = 0;
			if (expr_at(&b->c->pool, x)->op != OP_INDEX || build_mentions(b, x, k->lanes) ||
			    build_mentions(b, x, k->reduced))
				continue;
			cascade_extent(b->c, b->c->index.v[expr_at(&b->c->pool, x)->symbol].extent, &extent);
			pack_index(k, x, extent);
		}
	}
}

/* Is a coordinate made of indices that the packing phase walks as they are? */
static bool pack_follows(const struct pack *k, struct expr coordinate)
{
	const struct builder *b = k->b;
	struct expr *node;
	uint32_t n = expr_nodes(&b->c->pool, coordinate, &node);
	for (uint32_t i = 0; i < n; i++) {
		enum op op = (enum op)expr_at(&b->c->pool, node[i])->op;
		bool known = op != OP_INDEX && op != OP_LOW; /* LOW: of the rows of a group */
		for (int j = 0; j < k->n && !known; j++)
			known = expr_same(k->outer[j], node[i]);
		if (!known)
			return false;
	}
	return true;
}

/* Operand b with the task's coordinates replaced by the packing phase's own. */
static struct expr pack_expression(struct pack *k, struct expr e)
{
	struct builder *b = k->b;
	const struct expr_node n = *expr_at(&b->c->pool, e);
	if (!n.count)
		return build_load_expression(b, e);
	struct expr x[MAX_RANKS];
	for (int i = 0; i < n.count; i++) {
		struct expr a = expr_operand(&b->c->pool, e, i);
		bool inner = build_mentions(b, a, k->lanes) || build_mentions(b, a, k->reduced);
		double number;
		int64_t extent = 0;
		if (n.op == OP_READ && !inner && !pack_follows(k, a) && !expr_is_number(&b->c->pool, a, &number)) {
			cascade_extent(b->c, b->c->tensor.v[n.symbol].extent[i], &extent);
			x[i] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, pack_index(k, a, extent));
		} else {
			x[i] = pack_expression(k, a);
		}
	}
	if (n.op == OP_READ)
		return expr_read(b->p->pool, (enum kind)n.kind, b->tensor[n.symbol], n.count, x);
	if (n.op == OP_ELSE) {
		struct expr present = cascade_presence_of(b->c, expr_operand(&b->c->pool, e, 0));
		return present.id ? expr3(b->p->pool, OP_SELECT, pack_expression(k, present), x[0], x[1]) : x[0];
	}
	return expr_make(b->p->pool, (enum op)n.op, n.symbol, n.count, x);
}

static struct expr pack_operand(struct builder *b, int contract)
{
	const struct plan_contract *c = &b->plan->contract[contract];
	const struct contract_schedule *s = &b->sizes->contract[contract];
	struct pack k = {.b = b, .lanes = c->lanes, .reduced = c->reduced};
	struct expr from = build_product(b, contract).b;
	enum dtype dtype = operand_dtype(s->operand, b->p->compute);
	pack_plain(&k, from);
	struct expr e = pack_expression(&k, from);
	int64_t width = s->lanes * isa_info[b->schedule->isa].lanes;
	uint32_t walked = b->plan->walked, other = c->lanes == walked ? c->reduced : c->lanes;

	struct tile_tensor t = {.name = arena_printf(b->arena, "%s_packed", build_load_stem(b, from)),
	                        .dtype = dtype,
	                        .panel = width,
	                        .group = operand_group(s->operand) > 1 ? (uint8_t)operand_group(s->operand) : 0};
	struct expr coordinate[MAX_RANKS], here[MAX_RANKS];
	struct tile_phase phase = {.name = arena_printf(b->arena, "pack_%s", build_load_stem(b, from))};
	for (int i = 0; i < k.n; i++) {
		t.extent[i] = k.extent[i];
		coordinate[i] = build_load_expression(b, k.outer[i]);
		here[i] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, k.index[i]);
		vec_push(b->arena, &phase.task, (struct tile_task){.index = k.index[i], .step = 1});
	}
	t.nranks = (uint8_t)(k.n + 2);
	t.lanes = (uint8_t)k.n;
	t.extent[k.n] = build_extent(b, c->lanes);
	t.extent[k.n + 1] = build_extent(b, c->reduced);
	coordinate[k.n] = here[k.n] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, c->lanes);
	coordinate[k.n + 1] = here[k.n + 1] = expr_leaf(b->p->pool, OP_INDEX, KIND_INT, c->reduced);
	uint32_t tensor = build_work_tensor(b, t);
	enum kind kind = dtype_info[dtype].integer ? KIND_INT : KIND_REAL;

	int64_t step = c->lanes == walked ? width : 128;
	vec_push(b->arena, &phase.task, (struct tile_task){.index = walked, .step = step});
	struct tile_value v = {.name = build_name(b, build_load_stem(b, from), true),
	                       .dtype = dtype,
	                       .nranks = 2,
	                       .index = {walked, other},
	                       .capacity = {step, build_padded(b, other, build_extent(b, other))}};
	vec_push(b->arena, &b->p->value, v);
	uint32_t value = b->p->value.n - 1;
	vec_push(b->arena, &phase.body.statement,
	         (struct tile_statement){.kind = TILE_LOAD, .value = value, .expression = e});
	vec_push(b->arena, &phase.body.statement,
	         (struct tile_statement){.kind = TILE_STORE,
	                                 .expression = build_value(b, value),
	                                 .target = expr_read(b->p->pool, kind, tensor, k.n + 2, here)});
	vec_push(b->arena, &b->p->phase, phase);
	return expr_read(b->p->pool, kind, tensor, k.n + 2, coordinate);
}

void build_packs(struct builder *b)
{
	b->packed = arena_new_array(b->arena, MAX_CONTRACTS, struct expr);
	for (int i = 0; i < b->plan->ncontracts; i++)
		if (b->sizes->contract[i].pack)
			b->packed[i] = pack_operand(b, i);
}
