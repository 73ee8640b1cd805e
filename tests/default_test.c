/* Tiles that a machine gets untuned: how many rows share what they read, by what caches hold. */
#include "tests/stages.h"
#include "tests/tap.h"

static struct arena arena;

#define HEAD "kernel attention\nrank H, N, M, D\nin Q[H,N,D], K[H,M,D], V[H,M,D] : f32\nout O[H,N,D] : f32\n"
#define TAIL "\nP = softmax[m](S)\nO[h,n,d] = P[h,n,m] * V[h,m,d]\n"
static const char full[] = HEAD "S[h,n,m] = Q[h,n,d] * K[h,m,d]" TAIL,
                  causal[] = HEAD "S[h,n,m] = Q[h,n,d] * K[h,m,d] where m <= n" TAIL,
                  window[] = HEAD "S[h,n,m] = Q[h,n,d] * K[h,m,d] where 0 <= n - m < 512" TAIL;

static int64_t rows(const char *text, int64_t n, int64_t m, int64_t d, bool *legal)
{
	struct diags diags;
	diags_init(&diags, &arena, "attention", text, strlen(text));
	struct cascade *c = cascade_parse(&arena, text, strlen(text), NULL, 0, &diags);
	const int64_t extent[] = {8, n, m, d};
	for (uint32_t i = 0; i < c->rank.n; i++)
		for (int k = 0; k < 4; k++)
			if (*c->rank.v[i].name == "HNMD"[k])
				c->rank.v[i].extent = extent[k];
	const struct problem *p = problem_new(&arena, c, &stages_machine, &diags);
	struct schedule s = schedule_default(p, ISA_AVX512);
	const char *why = schedule_illegal(&arena, p, &s);
	if (why)
		printf("# %s\n", why);
	*legal &= !why;
	return s.stream[0].across ? -1 : s.stream[0].row_tile;
}

int main(void)
{
	bool legal = true;
	arena_init(&arena);
	int64_t usual = rows(full, 2048, 2048, 64, &legal), few = rows(full, 30, 2048, 64, &legal);
	ok(usual == 96 && few == 30, "%lld rows a task, or as many as there are", (long long)usual);
	int64_t far = rows(full, 2048, 16384, 64, &legal);
	ok(far == -1 || (far > 96 && far <= 240), "more where a walk's operands leave the second level of cache: %lld",
	   (long long)far);
	int64_t edge = rows(causal, 8192, 8192, 128, &legal), diagonal = rows(causal, 2048, 2048, 128, &legal);
	ok(edge == -1 || (edge > 48 && edge < 8192 / 40), "under a mask not more than its edge is worth: %lld", (long long)edge);
	ok(diagonal == -1 || diagonal == 48, "which on short walks is nothing: %lld", (long long)diagonal);
	int64_t band = rows(window, 16384, 16384, 128, &legal);
	ok(band == -1 || band == 48, "a band's walks are short however far it goes: %lld", (long long)band);
	ok(legal, "all of them are legal");
	arena_free(&arena);
	return tap_done();
}
