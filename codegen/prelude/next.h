/* Memory that is asked for before it is touched. What is not memory is no fault. */

/* What the next task touches (codegen/emit_next.c), in pieces, of which some lines are asked for at a time. Of each
 * operand of its walk: where the walk goes, and where this task's goes, which has the rest already. */
struct at_piece {
	const char *at;
	long bytes, rows, stride;
	int store;
};

struct at_walk {
	const char *base;
	long from, to;
};

struct at_next {
	long n, done, column;
	struct at_piece piece[16];
	struct at_walk walk[4], before[4];
};

static inline void v_next_begin(struct at_next *next)
{
	for (int i = 0; i < 4; i++) {
		next->before[i] = next->walk[i];
		next->walk[i] = (struct at_walk){0, 0, 0};
	}
	next->n = next->done = next->column = 0;
}

/* A walk over more than a cache keeps till then begins without it. */
enum { NEXT_BYTES = 512 << 10 };

/* Coordinates from … to, `unit` bytes one from the other: `rows` pieces that hold them all, `stride` apart; or,
 * of no rows, a piece of `bytes` each. */
static inline void v_next(struct at_next *next, const char *base, long from, long to, long unit, long bytes,
                          long rows, long stride, int store)
{
	if (from >= to || next->n == 16 || (to - from) * unit > NEXT_BYTES)
		return;
	if (rows)
		bytes = (to - from) * unit;
	else
		rows = to - from, stride = unit;
	if (stride == bytes)
		bytes *= rows, rows = 1;
	next->piece[next->n++] = (struct at_piece){base + from * unit, bytes, rows, stride, store};
}

static inline void v_next_walk(struct at_next *next, int k, const char *base, long from, long to, long unit,
                               long bytes, long rows, long stride)
{
	struct at_walk *w = &next->walk[k];
	const struct at_walk *had = &next->before[k];
	int same = had->base == base;
	int more = w->base == base;
	*w = (struct at_walk){base, more ? i_min(from, w->from) : from, more ? i_max(to, w->to) : to};
	v_next(next, base, from, same ? i_min(to, had->from) : to, unit, bytes, rows, stride, 0);
	if (same)
		v_next(next, base, i_max(from, had->to), to, unit, bytes, rows, stride, 0);
}

/* Asks for the next few lines; of what is stored, to own them. */
static void v_next_lines(struct at_next *next) __attribute__((noinline));
static void v_next_lines(struct at_next *next)
{
	for (int lines = 16; lines > 0 && next->done < next->n;) {
		struct at_piece *p = &next->piece[next->done];
		const char *at = p->at + next->column, *end = p->at + i_min(next->column + 64 * lines, p->bytes);
		for (; at < end; at += 64, lines--)
			if (p->store)
				__builtin_prefetch(at, 1);
			else
				__builtin_prefetch(at);
		next->column = at - p->at;
		if (next->column >= p->bytes) {
			next->column = 0;
			p->at += p->stride;
			next->done += !--p->rows;
		}
	}
}

INLINE void v_next_ask(struct at_next *next)
{
	if (next->done < next->n)
		v_next_lines(next);
}
