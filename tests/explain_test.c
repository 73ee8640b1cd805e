/* explain says what was found, in words and as JSON. */
#include <stdio.h>
#include <string.h>

#include "codegen/explain.h"
#include "dsl/parse.h"
#include "tests/tap.h"

static const char attention[] = "kernel attention\n"
                                "rank N, M, D\n"
                                "in Q[N, D], K[M, D], V[M, D] : f32\n"
                                "out O[N, D] : f32\n"
                                "index e : D\n"
                                "S[n,m] = Q[n,d] * K[m,d]\n"
                                "P[n,m] = softmax[m](S)\n"
                                "O[n,e] = P[n,m] * V[m,e]\n";

static bool says(const struct text *t, const char *what)
{
	return ok(strstr(t->s, what) != NULL, "says: %s", what);
}

int main(void)
{
	struct arena a;
	struct diags d;
	struct text t;
	struct machine m = {.peak_flops = 1e11, .bandwidth = 1e10};
	arena_init(&a);
	diags_init(&d, &a, "attention.att", attention, sizeof attention - 1);
	struct cascade *c = cascade_parse(&a, attention, sizeof attention - 1, NULL, 0, &d);
	if (!ok(c != NULL, "the cascade parses")) {
		text_init(&t, &a);
		diags_print(&d, &t);
		printf("# %s\n", t.s);
		return tap_done();
	}
	struct streams *s = streams_derive(&a, c, NULL);
	struct explanation e = explain(&a, c, s, &m);
	ok(!e.work.known, "work is not known while ranks are unbound");
	text_init(&t, &a);
	explain_text(&e, &t);
	says(&t, "M: 3 passes as written, 2 after what can wait is deferred, 1 with running values");
	says(&t, "O against X3: DEFER");
	says(&t, "X3 against X1: RUN");
	says(&t, "walks m once for every (n)");
	says(&t, "in a tile, never in memory as a whole: S, X2");
	says(&t, "reads Q, K, V");
	says(&t, "writes O");

	for (uint32_t i = 0; i < c->rank.n; i++)
		c->rank.v[i].extent = 64;
	s = streams_derive(&a, c, NULL);
	e = explain(&a, c, s, &m);
	ok(e.work.known && e.work.flops == 4.0 * 64 * 64 * 64, "flops: %g", e.work.flops);
	ok(e.work.bytes == 4.0 * 4 * 64 * 64, "bytes: %g", e.work.bytes);
	ok(!e.work.memory_bound && e.work.roofline == 1e11, "16 flop a byte are bound by arithmetic here");
	text_init(&t, &a);
	explain_text(&e, &t);
	says(&t, "16 flop a byte");
	cJSON *json = explain_json(&e);
	const cJSON *passes = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "passes"), 1);
	ok(passes && !strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(passes, "rank")), "M") &&
	           cJSON_GetNumberValue(cJSON_GetObjectItem(passes, "written")) == 3 &&
	           cJSON_GetNumberValue(cJSON_GetObjectItem(passes, "fused")) == 1,
	   "JSON has the passes");
	ok(cJSON_GetArraySize(cJSON_GetObjectItem(json, "rewrites")) == (int)s->rewrite.n,
	   "JSON has the rewrites");
	ok(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "work"), "flops")) ==
	           e.work.flops,
	   "JSON has the work");
	cJSON_Delete(json);
	arena_free(&a);
	return tap_done();
}
