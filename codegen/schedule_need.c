/* What a stream's kernel will about need of a device, from its plan and sizes alone: shared memory as the emitter
 * lays it out, registers as tiles of f32 in the 32 lanes of a warp and a share for everything else. The truth is in
 * the compile log; this keeps what is hopeless from being compiled. */
#include "base/whole.h"
#include "codegen/schedule.h"

int64_t device_range(const struct streams *all, const struct stream_plan *p, const struct stream_schedule *d,
                        uint32_t index)
{
	int64_t n = plan_extent(all, index), most = n < 1 ? 1 : n;
	if (index == p->walked && index != NO_INDEX)
		return d->stream_tile;
	if (index == p->rows)
		most = round_up(most, d->ncontracts ? d->contract[0].rows : DEVICE_WARP_ROWS);
	n = index == p->rows ? d->row_tile : index == p->wide && d->wide_tile ? d->wide_tile : most;
	return n < most ? n : most;
}

enum {
	SHARED_OF_ALL = 99 << 10, /* a block of every device since 8.0 may have */
	REGISTERS = 65536,        /* of a multiprocessor */
	ADDRESSES = 48,           /* registers that hold neither results nor operands */
	PLAIN = 48,               /* those of products without tensor cores */
	DIVIDED = 24,             /* those of functions that divide */
};

int64_t schedule_device_shared(const struct problem *p)
{
	return p->machine->shared > 0 ? p->machine->shared : SHARED_OF_ALL;
}

int schedule_device_registers(int threads)
{
	int all = REGISTERS / (threads < 1 ? 1 : threads) / 8 * 8;
	return all < isa_info[ISA_SM80].registers ? all : isa_info[ISA_SM80].registers;
}

static int operand_bytes(enum operand_type t)
{
	return t == OPERAND_I8 ? 1 : t == OPERAND_BF16 || t == OPERAND_F16 ? 2 : 4;
}

/* A matrix in shared memory: rows of whole steps of a tensor core, apart by what keeps banks apart. */
static int64_t shared_matrix(int64_t rows, int64_t columns, enum operand_type t)
{
	int64_t pitch = round_up(columns * operand_bytes(t), 32);
	return round_up(rows, t == OPERAND_I8 ? 32 : 16) * (pitch % 128 ? pitch + 16 : pitch);
}

static bool seen_before(const struct stream_plan *p, int k, bool b)
{
	for (int i = 0; i < k; i++)
		if (expr_same(b ? p->contract[i].inner_b : p->contract[i].inner_a,
		              b ? p->contract[k].inner_b : p->contract[k].inner_a))
			return true;
	return false;
}

/* The operands of a contraction that are not in registers already. */
static int64_t shared_of(const struct streams *all, const struct stream_plan *p, const struct schedule *s,
                         const struct stream_schedule *d, int k)
{
	const struct plan_contract *c = &p->contract[k];
	enum operand_type t = d->contract[k].operand;
	int64_t reduced = device_range(all, p, d, c->reduced), lanes = device_range(all, p, d, c->lanes), bytes = 0;
	bool computed = plan_reads_local(all, p->stream, c->inner_a);
	if (!seen_before(p, k, false) && !(computed && (t == OPERAND_BF16 || t == OPERAND_F16)))
		bytes += shared_matrix(device_range(all, p, d, p->rows), reduced, t);
	if (seen_before(p, k, true))
		return bytes;
	const struct expr_pool *pool = &all->cascade->pool;
	const struct expr_node *b = expr_at(pool, c->inner_b);
	bool direct = schedule_direct(all, c, s, &d->contract[k]);
	bool turned = direct && expr_at(pool, expr_operand(pool, c->inner_b, b->count - 1))->symbol == c->reduced;
	return bytes + (turned ? shared_matrix(lanes, reduced, t) : shared_matrix(reduced, lanes, t)) *
	                       (direct && d->stages > 1 ? d->stages : 1);
}

/* ---- registers ---- */

/* Tiles over rows and walked index that a step holds beside the results of contractions. */
enum { MAX_TILES = 32 };
struct tiles {
	const struct streams *all;
	const struct stream_plan *p;
	struct expr loaded[MAX_TILES];
	int loads, matrices, lines; /* lines: along the walked index alone */
};

/* What is loaded at each step: not what contractions read where it stands. */
static void add_loads(struct tiles *t, struct expr e)
{
	const struct expr_pool *pool = &t->all->cascade->pool;
	const struct expr_node n = *expr_at(pool, e);
	if (!expr_mentions(pool, e, OP_INDEX, t->p->walked))
		return;
	for (int k = 0; k < t->p->ncontracts; k++)
		if (expr_same(t->p->contract[k].inner_b, e))
			return;
	for (int i = 0; i < n.count && n.op != OP_READ; i++)
		add_loads(t, expr_operand(pool, e, i));
	if (n.op != OP_READ || plan_reads_local(t->all, t->p->stream, e) || t->loads == MAX_TILES)
		return;
	for (int i = 0; i < t->loads; i++)
		if (expr_same(t->loaded[i], e))
			return;
	t->loaded[t->loads++] = e;
	if (expr_mentions(pool, e, OP_INDEX, t->p->rows))
		t->matrices++;
	else
		t->lines++;
}

/* Is a local kept: do several read it, or a contraction as its operand? */
static bool kept(const struct tiles *t, uint32_t tensor)
{
	const struct cascade *c = t->all->cascade;
	const struct stream *s = t->p->stream;
	int readers = 0;
	for (uint32_t k = 0; k < s->local.n + s->carry.n; k++)
		readers += expr_mentions(&c->pool, c->equation.v[stream_equation(s, k)].body, OP_READ, tensor);
	for (int k = 0; k < t->p->ncontracts; k++) {
		const struct expr_node *a = expr_at(&c->pool, t->p->contract[k].inner_a);
		readers += a->op == OP_READ && a->symbol == tensor;
	}
	return readers > 1;
}

static void add_computed(struct tiles *t)
{
	const struct cascade *c = t->all->cascade;
	for (uint32_t i = 0; i < t->p->stream->local.n; i++) {
		const struct equation *q = &c->equation.v[t->p->stream->local.v[i]];
		t->matrices += q->reduce == REDUCE_NONE && equation_has_index(q, t->p->rows) &&
		               equation_has_index(q, t->p->walked) && kept(t, q->tensor);
	}
	for (int k = 0; k < t->p->ncontracts; k++)
		t->matrices += t->p->contract[k].reduced == t->p->walked &&
		               expr_at(&c->pool, t->p->contract[k].inner_a)->op != OP_READ;
}

static const uint64_t dividing = (uint64_t)1 << OP_SIGMOID | (uint64_t)1 << OP_SILU | (uint64_t)1 << OP_GELU |
                                 (uint64_t)1 << OP_ERF | (uint64_t)1 << OP_SOFTPLUS | (uint64_t)1 << OP_POW;

/* Registers of all that for a warp's groups of rows. */
static int tiles_held(const struct streams *all, const struct stream_plan *p, int64_t tile, int groups)
{
	struct tiles t = {.all = all, .p = p};
	if (p->rows == NO_INDEX || p->walked == NO_INDEX)
		return 0;
	for (uint32_t k = 0; k < p->stream->local.n + p->stream->carry.n; k++)
		add_loads(&t, all->cascade->equation.v[stream_equation(p->stream, k)].body);
	if (p->stream->present.id)
		add_loads(&t, p->stream->present);
	add_computed(&t);
	bool divides = false;
	for (uint32_t k = 0; k < p->stream->local.n + p->stream->carry.n; k++)
		divides |= (expr_at(&all->cascade->pool, all->cascade->equation.v[stream_equation(p->stream, k)].body)->ops &
		            dividing) != 0;
	/* A line is a quarter of a matrix's row of registers, but what is loaded along the walk is also looked at as
	 * numbers, in conditions and masks, while the products' loops run: more so the longer those are. */
	int64_t longest = 128;
	for (int k = 0; k < p->ncontracts; k++)
		if (p->contract[k].lanes == p->walked && plan_extent(all, p->contract[k].reduced) > longest)
			longest = plan_extent(all, p->contract[k].reduced);
	return t.matrices * (int)(tile / 2) * groups + t.lines * (int)(tile * longest / 128) + (divides ? DIVIDED : 0);
}

/* Is x a part of e? */
static bool reads(const struct expr_pool *pool, struct expr e, struct expr x)
{
	const struct expr_node n = *expr_at(pool, e);
	if (expr_same(e, x))
		return true;
	for (int i = 0; i < n.count; i++)
		if (reads(pool, expr_operand(pool, e, i), x))
			return true;
	return false;
}

/* Registers of what the equations after the walk load over the wide index: a vector of its lanes, or a matrix. */
static int after_held(const struct streams *all, const struct stream_plan *p, int64_t lanes)
{
	const struct cascade *c = all->cascade;
	double regs = 0;
	for (uint32_t id = 1; id < c->pool.node.n && p->wide != NO_INDEX; id++) {
		struct expr e = {id};
		if (c->pool.node.v[id].op != OP_READ || !expr_mentions(&c->pool, e, OP_INDEX, p->wide) ||
		    plan_reads_local(all, p->stream, e))
			continue;
		for (uint32_t i = 0; i < p->stream->after.n; i++)
			if (reads(&c->pool, c->equation.v[p->stream->after.v[i]].body, e)) {
				bool rows = p->rows != NO_INDEX && expr_mentions(&c->pool, e, OP_INDEX, p->rows);
				regs += (double)lanes / (rows ? 2 : 4);
				break;
			}
	}
	return (int)regs;
}

struct device_need device_need_of(const struct streams *all, const struct stream_plan *p, const struct schedule *s,
                                  const struct stream_schedule *d)
{
	int rows = d->ncontracts ? d->contract[0].rows : DEVICE_WARP_ROWS;
	struct device_need n = {.threads = (int)(device_range(all, p, d, p->rows) / rows) * 32};
	int groups = rows / DEVICE_WARP_ROWS, scores = 0, sums = 0;
	bool plain = false; /* multiplied without tensor cores */
	for (int k = 0; k < d->ncontracts; k++) {
		plain |= d->contract[k].operand == OPERAND_COMPUTE;
		*(p->contract[k].lanes == p->walked ? &scores : &sums) += 4 * d->contract[k].lanes * groups;
		n.shared += shared_of(all, p, s, d, k);
	}
	scores += tiles_held(all, p, d->stream_tile, groups) + (plain ? PLAIN : 0);
	int after = after_held(all, p, device_range(all, p, d, p->wide)) * groups;
	n.registers = ADDRESSES + sums + (scores > after ? scores : after);
	return n;
}
