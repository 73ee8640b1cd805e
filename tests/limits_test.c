/* What a processor does at most is measured once, kept in the cache, and read back as it was. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attune.h"
#include "codegen/machine.h"
#include "tests/tap.h"

static struct attune_error error;

static bool ask(const char *cache, bool again, struct attune_device_info *d)
{
	struct attune_context *c = NULL;
	bool good = !attune_context_new(&(struct attune_options){.cache = cache}, &c, &error) &&
	            !(again ? attune_device_measure(c, d, &error) : attune_device(c, d, &error));
	d->key = d->model = NULL; /* the context's */
	attune_context_free(c);
	return good;
}

/* To the digits that JSON keeps. */
static bool equal(double a, double b)
{
	return fabs(a - b) <= 1e-12 * fabs(a);
}

static bool same(const struct attune_device_info *a, const struct attune_device_info *b)
{
	bool all = a->rates == b->rates && equal(a->clock, b->clock) && equal(a->bandwidth, b->bandwidth) &&
	           equal(a->read_l1, b->read_l1) && equal(a->read_l3, b->read_l3) && equal(a->read_all, b->read_all);
	for (int i = 0; all && i < a->rates; i++)
		all = !strcmp(a->rate[i].isa, b->rate[i].isa) && equal(a->rate[i].f32, b->rate[i].f32) &&
		      equal(a->rate[i].bf16, b->rate[i].bf16) && equal(a->rate[i].exps, b->rate[i].exps);
	return all;
}

int main(void)
{
	struct attune_device_info first, second, third, without;
	char folder[] = "/tmp/attune-limits-XXXXXX", cache[64], remove[64];
	ok(mkdtemp(folder), "a folder");
	snprintf(cache, sizeof cache, "%s/tune.db", folder);
	bool asked = ask(cache, false, &first);
	ok(asked && first.rates > 0 && first.rates <= (int)HOST_ISAS, "limits of %d ISAs", first.rates);
	ok(first.clock > 5e8 && first.clock < 1e10 && first.read_l1 > first.read_l3 * 0.9 &&
	           first.read_l3 > first.bandwidth * 0.5 && first.read_all >= first.bandwidth,
	   "a plausible clock, and caches that are not slower than memory");
	ok(ask(cache, false, &second) && same(&first, &second), "the second time they come from the cache");
	ok(ask(cache, true, &third) && !same(&first, &third), "measured again when asked");
	ok(ask(cache, false, &second) && same(&second, &third), "… and that is what is kept");
	ok(ask("", false, &without) && !same(&without, &third), "without a cache they are measured");
	snprintf(remove, sizeof remove, "rm -rf %s", folder);
	ok(!system(remove), "and the folder is removed");
	return tap_done();
}
