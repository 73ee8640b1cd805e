/* The problem a schedule is for, the schedule a machine gets untuned, and what is legal. */
#include "codegen/schedule.h"

#include <math.h>

#include "base/whole.h"
#include "dsl/dtype.h"

enum {
	WORK_LIMIT_TILES = 256 << 20, /* bytes of scratch a task may want */
	/* Of an operand's elements; of as many a copy costs more than it saves: */
	FEW_USES = 96,
	FEW_WIDENED = 32, /* … where each use widens them, or products have an instruction for panels */
	STEP_BYTES = 8 << 10,         /* of an operand that is read from memory, contracted at a time … */
	STEP_STAGES = 2,              /* … while what comes so many steps later is on its way: docs/performance.md */
	STEP_LEAST = 4 /* rows that are worth a call */
};

const char *const form_name[FORMS] = {
        [FORM_NAIVE] = "none", [FORM_FUSED] = "all", [FORM_MEMBERS] = "members", [FORM_ROWS] = "rows"};

static struct streams *within(struct streams *s)
{
	return s && s->stream.n <= MAX_STREAMS ? s : NULL;
}

static void problem_lists(struct arena *arena, struct problem *p)
{
	struct list_form members, rows;
	if ((p->members = within(streams_members(arena, p->fused, &members))))
		p->members_plan = plan_streams(arena, p->members);
	if ((p->rows = within(streams_rows(arena, p->fused, &rows))))
		p->rows_plan = plan_streams(arena, p->rows);
	p->why[FORM_MEMBERS] = members.reason;
	p->why[FORM_ROWS] = rows.reason;
	if (p->rows && rows.worth)
		p->usual = FORM_ROWS;
	else if (p->members && members.worth)
		p->usual = FORM_MEMBERS;
}

struct problem *problem_new(struct arena *arena, const struct cascade *c, const struct machine *machine,
                            struct diags *diags)
{
	if (!cascade_check_bound(c, diags))
		return NULL;
	struct problem *p = arena_new(arena, struct problem);
	p->machine = machine;
	p->fused = streams_derive(arena, c, &(struct stream_options){0});
	p->unfused = streams_derive(arena, c, &(struct stream_options){.unfused = true});
	if (p->fused->stream.n > MAX_STREAMS || p->unfused->stream.n > MAX_STREAMS) {
		diag_error(diags, (struct span){0}, "the cascade needs more than %d streams", MAX_STREAMS);
		return NULL;
	}
	p->usual = FORM_FUSED;
	p->fused_plan = plan_streams(arena, p->fused);
	p->unfused_plan = plan_streams(arena, p->unfused);
	problem_lists(arena, p);
	return p;
}

const struct streams *problem_streams(const struct problem *p, enum form form)
{
	const struct streams *const of[FORMS] = {p->unfused, p->fused, p->members, p->rows};
	return of[form];
}

const struct stream_plan *problem_plan(const struct problem *p, enum form form)
{
	const struct stream_plan *const of[FORMS] = {p->unfused_plan, p->fused_plan, p->members_plan, p->rows_plan};
	return of[form];
}

static const struct streams *streams_of(const struct problem *p, const struct schedule *s)
{
	return problem_streams(p, s->form);
}

const struct stream_plan *schedule_plan(const struct problem *p, const struct schedule *s, int stream)
{
	const struct stream_plan *plan = &problem_plan(p, s->form)[stream];
	return s->stream[stream].grouped && plan->grouped ? plan->grouped : plan;
}

bool registers_fit(enum isa isa, int rows, int lanes)
{
	/* Of scalar code's adjacent lanes compilers make vectors of four, as every x86-64 has them. */
	int vectors = isa == ISA_SCALAR ? (lanes + 3) / 4 : lanes;
	return rows * vectors + vectors + 1 <= isa_info[isa].registers;
}

bool registers_fit_twined(enum isa isa, int rows, int lanes, bool across)
{
	enum { MAKING = 3 }; /* an argument, what becomes of it, and a power that a table has */
	int sums = across ? lanes : 0;
	return rows * lanes + lanes + 1 + sums + MAKING <= isa_info[isa].registers;
}

bool schedule_direct(const struct streams *all, const struct plan_contract *k, const struct schedule *s,
                     const struct contract_schedule *block)
{
	bool device = isa_is_device(s->isa);
	if (device ? !k->inner_direct : !k->direct && !k->turned)
		return false;
	const struct cascade *c = all->cascade;
	enum dtype t = c->tensor.v[expr_at(&c->pool, device ? k->inner_b : k->read)->symbol].dtype;
	if (device)
		return t == operand_dtype(block->operand, s->compute);
	if (k->page && (!block->step || k->page % block->step))
		return false; /* a step lies in a page */
	return block->operand == OPERAND_COMPUTE ? dtype_widens(t, s->compute) : operand_stands(block->operand, t);
}

int64_t schedule_uses(const struct streams *all, const struct plan_contract *k, struct expr read)
{
	const struct cascade *c = all->cascade;
	const struct equation *q = &c->equation.v[k->equation];
	const struct expr_node *n = expr_at(&c->pool, read);
	int64_t tasks = 1, operands = 1, extent = 1;
	for (int i = 0; i < q->nindex; i++)
		if (q->index[i] != k->lanes)
			tasks *= at_least_one(plan_extent(all, q->index[i]));
	for (int i = 0; i < n->count; i++)
		if (cascade_extent(c, c->tensor.v[n->symbol].extent[i], &extent))
			operands *= at_least_one(extent);
	operands /= at_least_one(plan_extent(all, k->lanes)) * at_least_one(plan_extent(all, k->reduced));
	return tasks / at_least_one(operands);
}

/* Of an operand that is decoded, and no more, from a narrow tensor: the READ of that, which ends in its lanes or in the
 * reduced index. */
static struct expr decoded(const struct cascade *c, const struct plan_contract *k, enum dtype compute)
{
	struct expr *node, found = NO_EXPR;
	uint32_t n = expr_nodes(&c->pool, k->b, &node);
	for (uint32_t i = 0; i < n; i++) {
		const struct expr_node *x = expr_at(&c->pool, node[i]);
		const struct expr_node *last = x->count ? expr_at(&c->pool, expr_operand(&c->pool, node[i], x->count - 1)) : NULL;
		if (x->op >= OP_EXP && x->op <= OP_COS)
			return NO_EXPR;
		if (x->op == OP_READ && x->count >= 2 && last->op == OP_INDEX &&
		    (last->symbol == k->lanes || last->symbol == k->reduced) &&
		    c->tensor.v[x->symbol].dtype != compute && dtype_widens(c->tensor.v[x->symbol].dtype, compute) &&
		    expr_mentions(&c->pool, node[i], OP_INDEX, k->lanes) &&
		    expr_mentions(&c->pool, node[i], OP_INDEX, k->reduced) && !found.id)
			found = node[i];
	}
	return found;
}

static bool few_uses(const struct streams *all, const struct plan_contract *k, const struct schedule *s,
                     const struct contract_schedule *block)
{
	const struct cascade *c = all->cascade;
	bool same = c->tensor.v[expr_at(&c->pool, k->read)->symbol].dtype == s->compute;
	return schedule_uses(all, k, k->read) <= (same && block->operand == OPERAND_COMPUTE ? FEW_USES : FEW_WIDENED);
}

/* Is a copy of operand b, turned and in the type it is multiplied as, worth its making? */
static bool worth_packing(const struct streams *all, const struct plan_contract *k, const struct schedule *s,
                          const struct contract_schedule *block)
{
	enum { FEW_DECODED = 16 }; /* of as many uses a copy costs more than it saves: docs/performance.md */
	const struct cascade *c = all->cascade;
	if (!k->packable)
		return false;
	if (!schedule_direct(all, k, s, block)) {
		struct expr read = decoded(c, k, s->compute);
		return !read.id || schedule_uses(all, k, read) > FEW_DECODED;
	}
	bool same = c->tensor.v[expr_at(&c->pool, k->read)->symbol].dtype == s->compute;
	bool whole = k->turned || plan_extent(all, k->lanes) % (block->lanes * isa_info[s->isa].lanes) == 0;
	return !(same && whole && k->direct && !k->after.id && block->operand == OPERAND_COMPUTE) &&
	       !few_uses(all, k, s, block);
}

/* Steps of an operand that comes from memory: it is read in the order in which it lies there. */
static void default_steps(const struct streams *all, const struct plan_contract *k,
                          struct contract_schedule *b)
{
	const struct cascade *c = all->cascade;
	enum dtype t = c->tensor.v[expr_at(&c->pool, k->read)->symbol].dtype;
	int64_t row = dtype_bytes(t, plan_extent(all, k->turned ? k->reduced : k->lanes)), step = 128;
	while (step > STEP_LEAST && step * row > STEP_BYTES)
		step /= 2;
	b->step = (uint16_t)(k->page ? gcd(step, k->page) : step);
	b->stages = k->page ? 0 : STEP_STAGES; /* what comes after a page is in any other */
}

void schedule_settle_steps(const struct problem *problem, const struct schedule *s, int i, struct stream_schedule *d)
{
	const struct stream_plan *p = schedule_plan(problem, s, i);
	for (int k = 0; k < d->ncontracts; k++) {
		struct contract_schedule *b = &d->contract[k];
		if (b->pack || d->across || !schedule_direct(streams_of(problem, s), &p->contract[k], s, b))
			b->step = 0;
		if (b->step)
			b->step = (uint16_t)gcd(b->step, d->stream_tile);
		if (b->step < STEP_LEAST || (!p->contract[k].page && b->step == d->stream_tile))
			b->step = b->stages = 0;
		if (!b->pack && !d->across && !isa_is_device(s->isa) && !schedule_direct(streams_of(problem, s), &p->contract[k], s, b))
			b->operand = OPERAND_COMPUTE; /* a page without steps is loaded, and widened by that */
	}
}

/* The largest register block of at most 6 by 4, or where tiles are cut finely 8 by 2, that fits the registers and the extents; its rows divide
 * `within` unless that is 0. */
static struct contract_schedule default_block(const struct streams *all, const struct plan_contract *k,
                                              const struct schedule *s, int within,
                                              const struct stream_plan *p)
{
	int64_t vectors = round_up(at_least_one(plan_extent(all, k->lanes)), isa_info[s->isa].lanes) /
	                  isa_info[s->isa].lanes;
	int64_t rows = at_least_one(plan_extent(all, k->rows));
	bool many = isa_info[s->isa].registers >= 32;
	int most_rows = p->group ? 8 : 6, most_lanes = s->isa == ISA_SCALAR ? 8 : many ? 4 : 2;
	if (sparsity_is_fine(p) && many) { /* as fast, and panels are half as wide */
		most_rows = 8;
		most_lanes = 2;
	} else if (sparsity_is_fine(p) && p->row_granule % most_rows) { /* blocks of rows end where a mask's do */
		most_rows = 4;
	}
	struct contract_schedule b = {0};
	int64_t blocks = (vectors + most_lanes - 1) / most_lanes;
	b.lanes = (uint8_t)(vectors < most_lanes ? vectors : most_lanes);
	if (k->lanes != p->walked) /* the last block is about as wide as the others */
		b.lanes = (uint8_t)((vectors + blocks - 1) / blocks);
	if (s->isa == ISA_SCALAR && b.lanes > 4)
		b.lanes = 8;
	b.rows = (uint8_t)(rows < most_rows ? rows : most_rows);
	while (b.rows > 1 && within && within % b.rows)
		b.rows--;
	while (p->group && b.lanes > 2 && !registers_fit(s->isa, b.rows, b.lanes))
		b.lanes--;
	while (b.rows > 1 && (!registers_fit(s->isa, b.rows, b.lanes) || (within && within % b.rows)))
		b.rows--;
	b.operand = operand_of_host(all, p->stream, k, s->isa);
	if (k->page)
		default_steps(all, k, &b);
	b.pack = worth_packing(all, k, s, &b);
	if (b.pack)
		b.step = b.stages = 0;
	if (!b.pack && !schedule_direct(all, k, s, &b))
		b.operand = OPERAND_COMPUTE;
	if (!b.pack && schedule_direct(all, k, s, &b) && few_uses(all, k, s, &b))
		default_steps(all, k, &b);
	return b;
}

static enum dtype compute_type(const struct cascade *c)
{
	for (uint32_t i = 0; i < c->tensor.n; i++)
		if (c->tensor.v[i].dtype == DTYPE_F64)
			return DTYPE_F64;
	return DTYPE_F32;
}

int64_t schedule_block(const struct stream_schedule *s, enum isa isa)
{
	if (!s->ncontracts)
		return 1;
	return s->across ? s->contract[0].lanes * isa_info[isa].lanes : s->contract[0].rows;
}

enum operand_type schedule_operand(const struct schedule *s)
{
	static const int rate[OPERANDS] = {[OPERAND_TF32] = 1, [OPERAND_F16] = 2, [OPERAND_BF16] = 3, [OPERAND_I8] = 4};
	enum operand_type best = OPERAND_COMPUTE;
	for (int i = 0; i < s->nstreams; i++)
		for (int k = 0; k < s->stream[i].ncontracts; k++)
			if (rate[s->stream[i].contract[k].operand] > rate[best])
				best = s->stream[i].contract[k].operand;
	return best;
}

int64_t schedule_panel(const struct stream_plan *p, const struct stream_schedule *s, enum isa isa)
{
	int64_t all = s->across ? 1 : isa_info[isa].lanes;
	if (isa_is_device(isa))
		return schedule_device_panel(s);
	for (int i = 0; i < s->ncontracts; i++) {
		int64_t width = 1; /* whole panels of it, or whole groups */
		if (p->contract[i].lanes == p->walked && s->contract[i].lanes && s->contract[i].rows)
			width = s->across ? s->contract[i].rows : s->contract[i].lanes * isa_info[isa].lanes;
		else if (p->contract[i].reduced == p->walked && s->contract[i].pack)
			width = operand_group(s->contract[i].operand);
		all = all / gcd(all, width) * width;
		if (p->contract[i].page && s->contract[i].step && !s->across) /* it begins where one in a page does */
			all = all / gcd(all, s->contract[i].step) * s->contract[i].step;
	}
	return all;
}

double schedule_tasks(const struct streams *all, const struct stream_plan *p, int64_t wide_tile, int64_t row_tile)
{
	double tasks = wide_tile ? ceil((double)plan_extent(all, p->wide) / (double)wide_tile) : 1;
	for (int i = 0; i < p->ntasks; i++) {
		int64_t step = p->task[i] == p->rows && row_tile > 0 ? row_tile : 1;
		tasks *= (double)((plan_extent(all, p->task[i]) + step - 1) / step);
	}
	return tasks;
}

/* Where the operands of a whole walk leave the second level of cache before the next task reads them, more rows a task
 * use each element more often: as many as leave room there for the tile, its scores and what a row carries, as long as
 * there is work for all cores. A mask has more of its edge within such a task: they are few of the walk's coordinates
 * where it bounds the walk on one side, and otherwise no more than usual. `row_bytes`: of the operands of one walked
 * coordinate. */
static int64_t rows_of_task(const struct machine *m, const struct streams *all, const struct stream_plan *p, int64_t l2,
                            int64_t tile, int64_t row_bytes)
{
	enum { FEW = 48, SOME = 96, MANY = 240, UNTILED = 8, EACH = 3 /* tasks a core */, EDGE = 40 };
	int64_t rows = at_least_one(plan_extent(all, p->rows)), walked = at_least_one(plan_extent(all, p->walked));
	int64_t most = FEW, limit = p->stream->present.id && walked / EDGE < MANY ? walked / EDGE : MANY;
	if (!p->ncontracts)
		return UNTILED;
	bool masked = p->stream->present.id;
	if (walked * row_bytes <= (masked ? 2 * l2 : l2 / 2) || (masked && (!p->affine || p->band || p->tensors)))
		return FEW;
	if (walked * row_bytes <= 2 * l2)
		limit = SOME;
	while (most + FEW <= limit && (most + FEW) * (4 * tile + row_bytes) + tile * row_bytes <= l2 &&
	       schedule_tasks(all, p, 0, 1) / (double)(most + FEW) >= EACH * m->cores)
		most += FEW;
	int64_t tiles = (rows + most - 1) / most;
	return (rows + tiles - 1) / tiles > FEW ? (rows + tiles - 1) / tiles : FEW;
}

struct stream_schedule schedule_in_rows(const struct problem *problem, const struct schedule *s, int i)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	struct stream_schedule d = {.ncontracts = p->ncontracts, .grouped = p->group != 0};
	int64_t row_bytes = 0; /* of one walked coordinate's operands */
	for (int k = 0; k < p->ncontracts; k++) {
		d.contract[k] = default_block(all, &p->contract[k], s, k ? d.contract[0].rows : (int)p->group, p);
		const struct plan_contract *c = &p->contract[k];
		row_bytes += 4 * plan_extent(all, c->lanes == p->walked ? c->reduced : c->lanes);
	}
	int64_t panel = schedule_panel(p, &d, s->isa), walked = at_least_one(plan_extent(all, p->walked));
	int64_t l2 = problem->machine->l2 ? problem->machine->l2 : 512 << 10;
	d.stream_tile = 512;
	while (d.stream_tile > 128 && d.stream_tile * row_bytes > l2 / 2)
		d.stream_tile /= 2;
	if (d.stream_tile > walked)
		d.stream_tile = walked;
	d.stream_tile = round_up(d.stream_tile, panel);
	int64_t rows = schedule_block(&d, s->isa);
	int64_t most = round_up(rows_of_task(problem->machine, all, p, l2, d.stream_tile, row_bytes), rows);
	d.row_tile = round_up(at_least_one(plan_extent(all, p->rows)), rows);
	if (d.row_tile > most / rows * rows)
		d.row_tile = at_least_one(most / rows) * rows;
	if (p->group) /* whole groups share what they read, as far as their tiles are small */
		for (d.row_tile = p->group; d.row_tile > rows && (d.row_tile > most || d.row_tile % rows || p->group % d.row_tile);)
			d.row_tile--;
	sparsity_default(problem, s, i, &d);
	schedule_settle_steps(problem, s, i, &d);
	return d;
}

/* The heaviest tasks first. That costs time (docs/performance.md), of lists because what follows one another does not read
 * the same keys: where there are many for every thread, they balance as they are. In a band all weigh about the same. */
static bool heavy_first(const struct problem *problem, const struct schedule *s, int i, const struct stream_schedule *d)
{
	enum { MANY = 64 };
	const struct stream_plan *p = schedule_plan(problem, s, i);
	return p->stream->present.id && p->rows != NO_INDEX && (!p->band || d->sparsity == SPARSITY_LIST) &&
	       schedule_tasks(streams_of(problem, s), p, 0, d->row_tile) < MANY * problem->machine->cores;
}

static struct stream_schedule default_stream(const struct problem *problem, const struct schedule *s, int i)
{
	if (isa_is_device(s->isa))
		return schedule_device_default(problem, s, i);
	struct stream_schedule d = schedule_in_rows(problem, s, i);
	schedule_across_default(problem, s, i, &d);
	schedule_twine_default(problem, s, i, &d);
	d.heavy_first = heavy_first(problem, s, i, &d);
	return d;
}

bool schedule_wants_group(const struct problem *problem, const struct schedule *s, int i)
{
	enum { FEW_ROWS = 8 };
	const struct stream_plan *p = &problem_plan(problem, s->form)[i], *g = p->grouped;
	int64_t rows = plan_extent(streams_of(problem, s), p->rows);
	return g && !isa_is_device(s->isa) && s->form != FORM_NAIVE && rows < FEW_ROWS && (rows == 1 || g->inner != NO_INDEX);
}

/* Is what is computed on the way rounded to 8 bits anyway, and everything that comes out to 16? A polynomial of degree
 * 3 is right to 13 bits. */
static bool rounds_exponentials(const struct problem *p, const struct schedule *s)
{
	const struct cascade *c = streams_of(p, s)->cascade;
	bool narrow = false;
	for (int i = 0; i < s->nstreams; i++)
		for (int k = 0; k < s->stream[i].ncontracts; k++)
			narrow |= s->stream[i].contract[k].operand == OPERAND_BF16;
	for (uint32_t i = 0; i < c->tensor.n; i++)
		if (c->tensor.v[i].role == ROLE_OUT && c->tensor.v[i].dtype != DTYPE_BF16)
			return false;
	return narrow && !isa_is_device(s->isa);
}

struct schedule schedule_of_form(const struct problem *p, enum isa isa, enum form form)
{
	struct schedule s = {
	        .isa = isa, .form = form, .exp_degree = 5, .compute = compute_type(p->fused->cascade)};
	if (s.compute == DTYPE_F64 && !isa_is_device(isa))
		s.isa = ISA_SCALAR;
	s.nstreams = (int)streams_of(p, &s)->stream.n;
	for (int i = 0; i < s.nstreams; i++) {
		s.stream[i].grouped = schedule_wants_group(p, &s, i);
		s.stream[i] = default_stream(p, &s, i);
		if (form != FORM_NAIVE)
			s.stream[i].split = split_default(p, &s, i);
	}
	if (rounds_exponentials(p, &s))
		s.exp_degree = 3;
	return s;
}

enum form problem_usual(const struct problem *p, enum isa isa)
{
	return isa_is_device(isa) ? FORM_FUSED : p->usual;
}

struct schedule schedule_default(const struct problem *p, enum isa isa)
{
	return schedule_of_form(p, isa, problem_usual(p, isa));
}

struct schedule schedule_naive(const struct problem *p, enum isa isa)
{
	return schedule_of_form(p, isa, FORM_NAIVE);
}

static const char *illegal_contract(struct arena *arena, const struct problem *problem,
                                    const struct schedule *s, int i, int k)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	const struct stream_schedule *d = &s->stream[i];
	const struct contract_schedule *b = &d->contract[k];
	const char *name =
	        all->cascade->tensor.v[all->cascade->equation.v[p->contract[k].equation].tensor].name;
	if (b->operand != OPERAND_COMPUTE && operand_group(b->operand) < 2)
		return arena_printf(arena, "contract %s: a host multiplies as compute, bf16 or i8, not as %s", name,
		                    operand_type_name[b->operand]);
	if (b->operand != OPERAND_COMPUTE && s->compute != DTYPE_F32)
		return arena_printf(arena, "contract %s: as %s where computation is in %s", name, operand_type_name[b->operand],
		                    dtype_info[s->compute].spelling);
	const char *type = operand_illegal(arena, all->cascade, &p->contract[k], b->operand, name);
	if (type)
		return type;
	if (b->operand != OPERAND_COMPUTE && !b->pack && !schedule_direct(all, &p->contract[k], s, b))
		return arena_printf(arena, "contract %s: what a host multiplies as %s is packed, or stands in a tensor whose "
		                    "elements that holds", name, operand_type_name[b->operand]);
	if (b->rows < 1 || b->lanes < 1)
		return arena_printf(
		        arena, "contract %s: a register block has at least one row and one vector", name);
	if (!registers_fit(s->isa, b->rows, b->lanes))
		return arena_printf(arena, "contract %s: rows %d × %d vectors needs %d registers, %s has %d",
		                    name, b->rows, b->lanes, b->rows * b->lanes + b->lanes + 1,
		                    isa_info[s->isa].name, isa_info[s->isa].registers);
	if (d->across ? d->contract[0].lanes % b->lanes : d->contract[0].rows % b->rows)
		return arena_printf(arena, "contract %s: %s %d do not divide the block of %d", name,
		                    d->across ? "lanes" : "rows", d->across ? b->lanes : b->rows,
		                    d->across ? d->contract[0].lanes : d->contract[0].rows);
	if (d->across && (b->pack || b->operand != OPERAND_COMPUTE))
		return arena_printf(arena, "contract %s: with %s in the lanes nothing is %s", name,
		                    all->cascade->index.v[p->rows].name,
		                    b->pack ? "packed" : "rounded to be multiplied");
	if (b->pack && !p->contract[k].packable)
		return arena_printf(arena,
		                    "contract %s: its second operand depends on the task's coordinates and "
		                    "cannot be packed beforehand",
		                    name);
	if (d->across && p->contract[k].lanes == p->walked && d->stream_tile % b->rows)
		return arena_printf(arena, "contract %s: a tile of %lld is no multiple of its %d rows", name,
		                    (long long)d->stream_tile, b->rows);
	if (b->pack && p->contract[k].reduced == p->walked && d->stream_tile % operand_group(b->operand))
		return arena_printf(arena, "contract %s: a tile of %lld is no multiple of the %d that are multiplied at once",
		                    name, (long long)d->stream_tile, operand_group(b->operand));
	if (b->step && (d->across || b->pack || !schedule_direct(all, &p->contract[k], s, b)))
		return arena_printf(arena, "contract %s: only an operand that is read where it stands is taken in steps", name);
	if (b->step && d->stream_tile % b->step)
		return arena_printf(arena, "contract %s: a tile of %lld is not cut into steps of %d", name,
		                    (long long)d->stream_tile, b->step);
	const char *twine = b->twine ? schedule_twine_illegal(arena, problem, s, i, k) : NULL;
	if (twine)
		return twine;
	if (!d->across && p->contract[k].lanes == p->walked && d->stream_tile % (b->lanes * isa_info[s->isa].lanes))
		return arena_printf(arena, "contract %s: a tile of %lld is no multiple of its %d lanes", name,
		                    (long long)d->stream_tile, b->lanes * isa_info[s->isa].lanes);
	return NULL;
}

static const char *illegal_stream(struct arena *arena, const struct problem *problem,
                                  const struct schedule *s, int i)
{
	const struct streams *all = streams_of(problem, s);
	const struct stream_plan *p = schedule_plan(problem, s, i);
	const struct stream_schedule *d = &s->stream[i];
	if (d->grouped && isa_is_device(s->isa))
		return arena_printf(arena, "stream %d: on a device rows are not an index that comes in groups", i);
	if (d->grouped && !p->group)
		return arena_printf(arena, "stream %d has no index whose quotient is all that its operands depend on", i);
	if (d->ncontracts != p->ncontracts)
		return arena_printf(arena, "stream %d has %d contractions, the schedule speaks of %d", i,
		                    p->ncontracts, d->ncontracts);
	const char *cut = split_illegal(arena, problem, s, i);
	if (cut)
		return cut;
	const char *skips = sparsity_illegal(arena, problem, s, i);
	if (skips)
		return skips;
	if (isa_is_device(s->isa))
		return d->across ? schedule_across_illegal(arena, problem, s, i)
		                 : schedule_device_illegal(arena, problem, s, i);
	if (d->stages && !d->across)
		return arena_printf(arena, "stream %d: a host asks ahead for tiles where rows are in the lanes only", i);
	if (d->wide_tile)
		return arena_printf(arena, "stream %d: on a host tasks have all of the wide index", i);
	if (d->row_tile < 1 || d->stream_tile < 1)
		return arena_printf(arena, "stream %d: a tile has at least one coordinate", i);
	if (p->group && p->group % d->row_tile)
		return arena_printf(arena, "stream %d: %lld rows a task do not divide groups of %lld", i,
		                    (long long)d->row_tile, (long long)p->group);
	int64_t block = schedule_block(d, s->isa);
	if (d->across && (!block || schedule_across_illegal(arena, problem, s, i)))
		return block ? schedule_across_illegal(arena, problem, s, i)
		             : arena_printf(arena, "stream %d: a register block without lanes", i);
	if (block < 1 || d->row_tile % block)
		return arena_printf(arena, "stream %d: %lld rows a task are no multiple of the block's %lld", i,
		                    (long long)d->row_tile, (long long)block);
	if (!d->across && d->stream_tile % isa_info[s->isa].lanes)
		return arena_printf(arena,
		                    "stream %d: a tile of %lld is no multiple of the %d lanes of a vector", i,
		                    (long long)d->stream_tile, isa_info[s->isa].lanes);
	int64_t bytes = d->row_tile * d->stream_tile * 4;
	if (bytes > WORK_LIMIT_TILES || d->row_tile * plan_extent(all, p->wide) * 4 > WORK_LIMIT_TILES)
		return arena_printf(arena, "stream %d: its tiles pass the limit of %d MiB a task", i,
		                    WORK_LIMIT_TILES >> 20);
	for (int k = 0; k < d->ncontracts; k++) {
		const char *why = illegal_contract(arena, problem, s, i, k);
		if (why)
			return why;
	}
	return NULL;
}

const char *schedule_illegal(struct arena *arena, const struct problem *p, const struct schedule *s)
{
	if (!streams_of(p, s))
		return "fuse: no reduction of this cascade ranges over a set that a tensor gives";
	if (s->exp_degree < 3 || s->exp_degree > 6)
		return "exp: the polynomial's degree is 3 to 6";
	if (s->compute != DTYPE_F32 && s->compute != DTYPE_F64)
		return "compute: f32 or f64";
	if (s->compute == DTYPE_F64 && isa_is_device(s->isa))
		return "compute f64: devices are given f32 programs only; none of the tensors may be f64";
	if (s->compute == DTYPE_F64 && s->isa != ISA_SCALAR)
		return "compute f64 has a scalar form only";
	if (s->nstreams != (int)streams_of(p, s)->stream.n)
		return arena_printf(arena, "the cascade has %d streams, the schedule speaks of %d",
		                    (int)streams_of(p, s)->stream.n, s->nstreams);
	for (int i = 0; i < s->nstreams; i++) {
		const char *why = illegal_stream(arena, p, s, i);
		if (why)
			return why;
	}
	return NULL;
}
