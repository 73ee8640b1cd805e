/* tile_map_test.c: the map of a mask against counts made by hand, its truth against the oracle, and whether
 * it says so when a program leaves out what it must not. */
#include <math.h>
#include <string.h>

#include "codegen/tile_map.h"
#include "dsl/parse.h"
#include "tests/tap.h"

static const struct machine machine = {
        .isa = ISA_AVX512, .cores = 2, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 16 << 20};

struct made {
	struct arena a;
	struct cascade *c;
	const struct problem *problem;
	struct schedule schedule;
	struct tile_program *program;
	struct oracle_tensor *data;
	uint32_t stream; /* the first with a predicate */
};

static const char head[] = "kernel k\nrank H, N, M, D\nparam W = 30\n"
                           "in Q[H, N, D], K[H, M, D], V[H, M, D] : f32\n";
static const char tail[] = "P = softmax[m](S)\nindex e : D\nO[h,n,e] = P[h,n,m] * V[h,m,e]\n";

static void rebuild(struct made *m)
{
	struct text reason;
	text_init(&reason, &m->a);
	m->program = tile_build(&m->a, m->problem, &m->schedule);
	if (!tile_check(m->program, &reason))
		printf("# %s\n", reason.s);
}

/* `more`: declarations; inputs beyond Q, K, V are filled by the caller, in m->data. */
static bool make(struct made *m, const char *more, const char *where, int64_t h, int64_t n, int64_t mm)
{
	struct diags d;
	arena_init(&m->a);
	const char *text =
	        arena_printf(&m->a, "%s%sout O[H, N, D] : f32\nS[h,n,m] = Q[h,n,d] * K[h,m,d] where %s\n%s",
	                     head, more, where, tail);
	diags_init(&d, &m->a, "test", text, strlen(text));
	m->c = cascade_parse(&m->a, text, strlen(text), NULL, 0, &d);
	if (!m->c) {
		printf("# %s\n", d.list.v[0].message);
		return false;
	}
	const int64_t extent[] = {h, n, mm, 16};
	for (uint32_t i = 0; i < m->c->rank.n; i++)
		m->c->rank.v[i].extent = i < 4 ? extent[i] : 1;
	m->problem = problem_new(&m->a, m->c, &machine, &d);
	if (!m->problem)
		return false;
	m->schedule = schedule_default(m->problem, ISA_AVX512);
	const struct streams *s = m->problem->fused;
	m->data = arena_new_array(&m->a, s->cascade->tensor.n, struct oracle_tensor);
	m->stream = 0;
	while (m->stream + 1 < s->stream.n && !s->stream.v[m->stream].present.id)
		m->stream++;
	if (n && mm) {
		struct stream_schedule *sizes = &m->schedule.stream[m->stream];
		sizes->row_tile = 2 * schedule_block(sizes, ISA_AVX512);
		sizes->stream_tile = schedule_panel(&m->problem->fused_plan[m->stream], sizes, ISA_AVX512);
		for (int k = 0; k < sizes->ncontracts; k++)
			sizes->contract[k].step = sizes->contract[k].stages = 0;
	}
	rebuild(m);
	const char *why = schedule_illegal(&m->a, m->problem, &m->schedule);
	if (why)
		printf("# not legal: %s\n", why);
	return !why;
}

/* The values of an input, by a list that is repeated. */
static void fill(struct made *m, const char *name, const double *list, int64_t n)
{
	const struct cascade *c = m->problem->fused->cascade;
	uint32_t t = cascade_find_tensor(c, name);
	struct oracle_tensor *x = &m->data[t];
	x->count = 1;
	for (int k = 0; k < c->tensor.v[t].nranks; k++) {
		int64_t extent = 0;
		cascade_extent(c, c->tensor.v[t].extent[k], &extent);
		x->count *= extent;
	}
	x->data = arena_new_array(&m->a, (size_t)x->count, double);
	for (int64_t i = 0; i < x->count; i++)
		x->data[i] = list[i % n];
}

static struct tile_map *map_with(struct made *m, const struct tile_map_options *o)
{
	const char *why = NULL;
	struct tile_map *map = tile_map(&m->a, m->problem->fused, &m->problem->fused_plan[m->stream],
	                                &m->schedule.stream[m->stream], m->program, m->data, o, &why);
	if (!map)
		printf("# %s\n", why);
	return map;
}

static struct tile_map *map_of(struct made *m)
{
	return map_with(m, &(struct tile_map_options){0});
}

static bool in_causal(int64_t n, int64_t m, int64_t N, int64_t M)
{
	return m <= n + (M - N);
}

static void causal(int64_t N, int64_t M)
{
	struct made m;
	int64_t pairs = 0, empty_rows = 0;
	if (!ok(make(&m, "", "m <= n + (M - N)", 3, N, M), "causal %lld x %lld", (long long)N, (long long)M))
		return;
	for (int64_t n = 0; n < N; n++) {
		int64_t here = 0;
		for (int64_t k = 0; k < M; k++)
			here += in_causal(n, k, N, M);
		pairs += here;
		empty_rows += !here;
	}
	const struct tile_map *map = map_of(&m);
	if (!ok(map && map->sound, "sound"))
		return;
	ok(map->total.present == 3 * pairs, "present: %lld of three heads", (long long)map->total.present);
	if (N) {
		const struct map_head *h = &map->head.v[0];
		ok(map->head.n == 1 && map->tasks == 1 && map->alike == 3, "no head differs");
		ok(h->total.present == pairs && h->sparse_rows == empty_rows, "%lld pairs, %lld rows of none",
		   (long long)pairs, (long long)empty_rows);
		ok(h->total.visited >= pairs && h->total.plain <= pairs, "visited %lld, plainly %lld",
		   (long long)h->total.visited, (long long)h->total.plain);
	}
	arena_free(&m.a);
}

/* Classes of tiles of r by c, from the predicate itself. */
static struct map_classes classes_by_hand(const unsigned char *present, int64_t N, int64_t M, int64_t r,
                                          int64_t c)
{
	struct map_classes k = {0};
	for (int64_t n = 0; n < N; n += r)
		for (int64_t m = 0; m < M; m += c) {
			int64_t all = 0, there = 0;
			for (int64_t i = n; i < n + r && i < N; i++)
				for (int64_t j = m; j < m + c && j < M; j++) {
					all++;
					there += present[i * M + j];
				}
			++*(!there ? &k.empty : there == all ? &k.full : &k.partial);
		}
	return k;
}

/* The map's truth is the oracle's, of the cascade as it was written; its classes are those counted from it.
 */
static void against_oracle(struct made *m, const char *what)
{
	struct diags d;
	struct cascade *c = cascade_clone(&m->a, m->c);
	struct oracle_tensor *t = arena_new_array(&m->a, c->tensor.n, struct oracle_tensor);
	const double some[] = {0.5, -1, 2, 0.25, -0.125, 1, 3};
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		uint32_t k = cascade_find_tensor(m->problem->fused->cascade, c->tensor.v[i].name);
		if (c->tensor.v[i].role != ROLE_IN)
			continue;
		if (!m->data[k].data)
			fill(m, c->tensor.v[i].name, some, 7);
		t[i] = m->data[k];
	}
	diags_init(&d, &m->a, "oracle", "", 0);
	const struct tile_map *map = map_of(m);
	uint32_t s = cascade_find_tensor(c, "S");
	if (!ok(map && oracle_run(&m->a, c, t, (size_t)1 << 30, &d), "%s: a map and an oracle", what))
		return;
	bool same = true;
	int64_t size = map->rows * map->walked;
	for (uint32_t i = 0; i < map->head.n; i++) {
		const struct map_head *h = &map->head.v[i];
		for (uint32_t k = 0; k < h->task.n; k++)
			for (int64_t p = 0; p < size; p++)
				same &= (h->exact[p] & MAP_BIT_PRESENT) ==
				        t[s].present[h->task.v[k] * size + p];
		struct map_classes hand = classes_by_hand(t[s].present + h->task.v[0] * size, map->rows,
		                                          map->walked, map->row_tile, map->walked_tile);
		ok(!memcmp(&hand, &h->truth, sizeof hand), "%s: %lld empty, %lld partial, %lld full", what,
		   (long long)hand.empty, (long long)hand.partial, (long long)hand.full);
		ok(h->kernel.empty <= hand.empty && h->kernel.full <= hand.full,
		   "%s: the kernel's: %lld, %lld, %lld", what, (long long)h->kernel.empty,
		   (long long)h->kernel.partial, (long long)h->kernel.full);
	}
	ok(same, "%s: the truth is the oracle's, pair by pair", what);
	ok(map->sound, "%s: sound", what);
}

static void masks(void)
{
	static const double documents[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1,
	                                   1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2};
	static const double windows[] = {5, 40, 5};
	struct made m;
	ok(make(&m, "", "m <= n + (M - N) and n + (M - N) - m < W", 1, 150, 170), "window");
	against_oracle(&m, "window");
	arena_free(&m.a);
	ok(make(&m, "", "m <= n and (m < 4 or n - m < W)", 1, 200, 200), "streaming");
	against_oracle(&m, "streaming");
	arena_free(&m.a);
	ok(make(&m, "", "m < 0", 1, 9, 70), "nothing");
	against_oracle(&m, "nothing");
	arena_free(&m.a);
	if (ok(make(&m, "in doc[N] : i32\nin kdoc[M] : i32\n", "doc[n] == kdoc[m] and m <= n", 1, 25, 25),
	       "documents")) {
		fill(&m, "doc", documents, 25);
		fill(&m, "kdoc", documents, 25);
		against_oracle(&m, "documents");
		const struct tile_map *map = map_of(&m);
		ok(map->total.present == 10 * 11 / 2 + 7 * 8 / 2 + 8 * 9 / 2,
		   "documents of 10, 7 and 8: %lld", (long long)map->total.present);
	}
	arena_free(&m.a);
	if (ok(make(&m, "in w[H] : i32\n", "m <= n and n - m < w[h]", 3, 100, 100), "windows by head")) {
		fill(&m, "w", windows, 3);
		against_oracle(&m, "windows by head");
		const struct tile_map *map = map_of(&m);
		ok(map->tasks == 3 && map->head.n == 2 && map->head.v[0].task.n == 2 &&
		           map->head.v[0].task.v[1] == 2,
		   "heads 0 and 2 are alike");
		ok(map->head.v[0].total.present == 5 * 100 - 10 &&
		           map->head.v[1].total.present == 40 * 100 - 780,
		   "%lld and %lld pairs", (long long)map->head.v[0].total.present,
		   (long long)map->head.v[1].total.present);
	}
	arena_free(&m.a);
}

/* However a schedule leaves tiles out, what it takes is what is there, and no more than all of it. */
static void every_sparsity(void)
{
	double documents[130];
	for (int i = 0; i < 130; i++)
		documents[i] = i / 40;
	struct made m;
	if (!ok(make(&m, "in doc[N] : i32\nin kdoc[M] : i32\n", "doc[n] == kdoc[m] and m % 5 != 2", 1, 100,
	             130),
	        "documents, by every sparsity"))
		return;
	fill(&m, "doc", documents, 130);
	fill(&m, "kdoc", documents, 130);
	struct stream_schedule *sizes = &m.schedule.stream[m.stream];
	int64_t visited[SPARSITIES] = {0};
	int64_t panel = schedule_panel(&m.problem->fused_plan[m.stream], sizes, ISA_AVX512);
	for (int i = 0; i < SPARSITIES; i++) {
		sizes->sparsity = (enum sparsity)i;
		sizes->granule = i == SPARSITY_LIST ? panel : 0;
		const char *why = schedule_illegal(&m.a, m.problem, &m.schedule);
		if (!ok(!why, "%s is legal: %s", sparsity_name[i], why ? why : "yes"))
			continue;
		rebuild(&m);
		const struct tile_map *map = map_of(&m);
		ok(map && map->sound, "%s is sound", sparsity_name[i]);
		visited[i] = map ? map->total.visited : 0;
	}
	ok(visited[SPARSITY_MASK] == 100 * 130 && visited[SPARSITY_LIST] <= visited[SPARSITY_TEST] &&
	           visited[SPARSITY_TEST] <= visited[SPARSITY_MASK],
	   "visited by a test %lld, by lists %lld, of %d", (long long)visited[SPARSITY_TEST],
	   (long long)visited[SPARSITY_LIST], 100 * 130);
	arena_free(&m.a);
}

/* Forms that walk a set by lists take all of it too. */
static void every_form(void)
{
	static const double set[] = {1, 0, 0, 1, 1, 0, 1};
	struct made m;
	if (!ok(make(&m, "in J[N, M / 8] : bool\n", "J[n,m/8]", 2, 40, 96), "a set, in every form"))
		return;
	fill(&m, "J", set, 7);
	for (int form = FORM_NAIVE; form < FORMS; form++) {
		const struct streams *s = problem_streams(m.problem, (enum form)form);
		if (!ok(s != NULL, "the form %s", form_name[form]))
			continue;
		m.schedule = schedule_of_form(m.problem, ISA_AVX512, (enum form)form);
		rebuild(&m);
		struct oracle_tensor *data =
		        arena_new_array(&m.a, s->cascade->tensor.n, struct oracle_tensor);
		uint32_t j = cascade_find_tensor(s->cascade, "J");
		data[j] = m.data[cascade_find_tensor(m.problem->fused->cascade, "J")];
		for (uint32_t i = 0; i < s->stream.n; i++) {
			const char *why = NULL;
			if (s->stream.v[i].index == NO_INDEX || !s->stream.v[i].present.id ||
			    s->stream.v[i].selects)
				continue;
			const struct tile_map *map = tile_map(
			        &m.a, s, &problem_plan(m.problem, (enum form)form)[i], &m.schedule.stream[i],
			        m.program, data, &(struct tile_map_options){0}, &why);
			ok(map && map->sound, "%s, stream %u: %lld of %lld visited, %lld present; %s",
			   form_name[form], i + 1, map ? (long long)map->total.visited : 0,
			   map ? (long long)map->total.pairs : 0, map ? (long long)map->total.present : 0,
			   why ? why : "sound");
		}
	}
	arena_free(&m.a);
}

/* Parts of a walk together visit what is there, once. */
static void parts(void)
{
	struct made m;
	if (!ok(make(&m, "", "m <= n + (M - N)", 1, 70, 900), "a split walk"))
		return;
	m.schedule.stream[m.stream].split = 3;
	m.schedule.stream[m.stream].stream_tile = 128;
	const char *why = schedule_illegal(&m.a, m.problem, &m.schedule);
	ok(!why, "legal: %s", why ? why : "yes");
	rebuild(&m);
	against_oracle(&m, "split");
	arena_free(&m.a);
}

/* Tiles of rows are sampled where there are too many pairs, and the share of what is there is about the same.
 */
static void sampled(void)
{
	struct made m;
	if (!ok(make(&m, "", "m <= n", 1, 3000, 3000), "sampled"))
		return;
	const struct tile_map *map = map_with(&m, &(struct tile_map_options){.limit = 1000000});
	double share = map ? (double)map->total.present / (double)map->total.pairs : 0;
	ok(map && map->share < 0.2 && map->sound && fabs(share - 0.5) < 0.06,
	   "%.0f%% of the rows: %.3f present", map ? 100 * map->share : 0, share);
	map = map_with(&m, &(struct tile_map_options){.rows = 1, .columns = 1});
	ok(!map, "a map of millions of cells is refused");
	arena_free(&m.a);
}

/* Replaces a piece of the program's text. */
static bool edit(struct made *m, const char *from, const char *to)
{
	struct text t;
	struct diags d;
	text_init(&t, &m->a);
	tile_print(m->program, &t);
	char *at = strstr(t.s, from);
	if (!at)
		return false;
	const char *text = arena_printf(&m->a, "%.*s%s%s", (int)(at - t.s), t.s, to, at + strlen(from));
	diags_init(&d, &m->a, "edited", text, strlen(text));
	m->program = tile_parse(&m->a, text, strlen(text), &d);
	return m->program != NULL;
}

static void unsound(void)
{
	struct made m;
	int64_t n = 120;
	if (!ok(make(&m, "", "m <= n", 1, n, n), "a program to be spoilt"))
		return;
	ok(edit(&m, "to min(120, high(n) + 1)", "to min(120, high(n) - 9)"),
	   "ten keys of every tile of rows are left out");
	const struct tile_map *map = map_of(&m);
	ok(map && !map->sound && map->total.missed > 0 && !map->total.admitted, "missed: %lld",
	   map ? (long long)map->total.missed : 0);
	rebuild(&m);
	ok(edit(&m, "if high(m) <= low(n)", "if high(m) <= low(n) + 119"),
	   "tiles are called full that are not");
	map = map_of(&m);
	ok(map && !map->sound && map->total.admitted > 0 && !map->total.missed, "admitted: %lld",
	   map ? (long long)map->total.admitted : 0);
	arena_free(&m.a);
}

int main(void)
{
	causal(200, 200);
	causal(1, 1);
	causal(100, 37); /* the first rows have nothing */
	causal(5, 0);
	causal(0, 7);
	masks();
	every_sparsity();
	every_form();
	parts();
	sampled();
	unsound();
	return tap_done();
}
