/* What decides the time of a kernel on a device, after Volkov (Understanding Latency Hiding on GPUs, 2016):
 * each unit of a multiprocessor is busy for a time of its own; units overlap as far as there are other warps
 * to work meanwhile; and a block cannot be faster than its chain of dependent steps, which only other blocks
 * hide.
 */
#include "search/model.h"

#include <math.h>

enum {
	WARP = 32,
	GUESSED_REGISTERS = 168,
	SYSTEM_SHARED = 1024, /* bytes a block that the driver takes; CUDA C++ Programming Guide, compute
	                         capability 8.x */
	SAMPLE = 256,         /* tasks looked at */
};
/* A clock and multiprocessor: results of special functions (CUDA C++ Programming Guide, "Throughput of Native
 * Arithmetic Instructions"), bytes of shared memory (32 banks of 4 bytes, ibid.), bytes from the second-level
 * cache (5120 a clock for 108 multiprocessors, NVIDIA A100 white paper), bytes of a thread's own memory, by
 * way of the first level (64, ibid.). */
static const double special_rate = 16, shared_rate = 128, l2_rate = 48, local_rate = 64;
/* About what mma.sync reaches of the dense peak where wgmma is needed for all of it, on compute capability 9.0; of
 * the order that Luo et al. report (Benchmarking and Dissecting the Nvidia Hopper GPU Architecture, 2024). To be fitted
 * to measurements of ours when there are some, like all that follows. */
static const double mma_share_hopper = 0.62;
/* Multiply-adds of plain cores that feed on shared memory: one operand in two is at hand in a register. */
static const double plain_share = 0.5;
/* Clocks, rounded: to memory beyond the caches; from one mma to the next that needs its result; of a dependent
 * multiply-add, a special function, an exchange between lanes, and of two barriers with what stands about them; of
 * beginning and ending a task. Of the order that microbenchmarks report: Luo et al. for memory and exchanges, Sun et al.
 * (Dissecting Tensor Cores via Microbenchmarks, 2022) for mma.m16n8k16. */
static const double memory_latency = 600, mma_latency = 33, multiply_latency = 4, special_latency = 40,
                    exchange_latency = 50, barrier_latency = 100, task_latency = 1500;
static const double schedulers = 4; /* of a multiprocessor, from compute capability 5.0 on */
static const double launch = 2e-6;  /* seconds from one kernel of a stream to the next */
static const double tail = 0.5,
                    tail_down = 0.25; /* of the heaviest task's excess, that is waited for at the end */

/* What a clock does for one multiprocessor, in units a second. */
struct rates {
	double clock, lanes, tensor, bandwidth;
	int processors, warps;
	int64_t shared, registers;
};

static struct rates rates_of(const struct machine *m)
{
	struct machine typical = {0};
	const struct capability *c = capability_find(m->capability ? m->capability : 80);
	if (!c)
		c = capability_find(80);
	capability_machine(c->capability, &typical);
	struct rates r = {.lanes = c->lanes, .warps = c->warps, .registers = c->registers};
	r.processors = m->processors > 0 ? m->processors : typical.processors;
	r.clock = (m->peak_flops > 0 ? m->peak_flops : typical.peak_flops) / (2 * r.lanes);
	r.tensor = (m->tensor_flops > 0 ? m->tensor_flops : typical.tensor_flops) / r.processors;
	if (c->capability >= 90 && c->capability < 100)
		r.tensor *= mma_share_hopper;
	r.bandwidth = m->bandwidth > 0 ? m->bandwidth : typical.bandwidth;
	r.shared = m->shared_all > 0 ? m->shared_all : typical.shared_all;
	return r;
}

static int warps_of(const struct kernel_phase *k)
{
	return k->threads > WARP ? (k->threads + WARP - 1) / WARP : 1;
}

/* Blocks at a time, where no assembler has told. */
static int guess_blocks(const struct kernel_phase *k, const struct rates *r)
{
	int64_t by_shared = r->shared / (k->shared_bytes + SYSTEM_SHARED),
	        by_registers = r->registers / ((int64_t)GUESSED_REGISTERS * WARP * warps_of(k)),
	        blocks = r->warps / warps_of(k);
	blocks = by_shared < blocks ? by_shared : blocks;
	/* Were it that few, the compiler would use less of them. */
	blocks = by_registers < blocks ? by_registers : blocks;
	return blocks < 1 ? by_shared > 0 : (int)blocks;
}

static bool refuse(struct model_phase *out, const char *why)
{
	out->seconds = INFINITY;
	out->bound = why;
	return false;
}

static bool place(const struct kernel_phase *k, const struct resources *known, const struct rates *r,
                  struct model_phase *out)
{
	if (known && known->reject)
		return refuse(out, known->reject);
	out->blocks = known && known->blocks >= 0 ? known->blocks : guess_blocks(k, r);
	return out->blocks > 0 || refuse(out, "no block fits a multiprocessor");
}

/* Seconds of each unit for `tasks` tasks on one multiprocessor. */
static void busy(const struct device_work *w, const struct kernel_phase *k, const struct resources *known,
                 const struct rates *r, double tasks, double warps, struct model_phase *out)
{
	double each = tasks / w->tasks, feed = fmin(1, warps / schedulers),
	       hide = fmin(1, warps / (2 * schedulers));
	double mma = w->contract[OPERAND_BF16] + w->contract[OPERAND_F16] + 2 * w->contract[OPERAND_TF32] +
	             w->contract[OPERAND_I8] / 2;
	double plain = w->contract[OPERAND_COMPUTE] / (2 * plain_share) + w->map_flops;
	out->tensor = each * mma / (r->tensor * feed);
	out->cores = each * plain / (r->lanes * r->clock * hide);
	out->special = each * w->exps / (special_rate * r->clock * hide);
	out->shared = each * (w->operand_bytes + w->bytes) / (shared_rate * r->clock);
	out->l2 = each * w->bytes / (l2_rate * r->clock);
	if (known)
		out->spills = each * fmax(w->steps, w->tasks) * (known->spill_stores + known->spill_loads) *
		              k->threads / (local_rate * r->clock);
}

/* The device's memory: what is touched, as fast as the blocks that run ask for it. */
static double memory(const struct device_work *w, const struct rates *r, double active, double used)
{
	double traffic = fmin(w->bytes, w->footprint), steps = fmax(w->steps, w->tasks);
	double ahead = w->stages > 1 ? w->stages - 1 : 1;
	double flight = active * fmin(ahead, steps / w->tasks) * w->bytes / steps;
	double rate = fmin(r->bandwidth, used * flight * r->clock / memory_latency);
	return rate > 0 ? traffic / rate : 0;
}

/* Clocks of one task's longest chain, memory left out. */
static double dependent(const struct device_work *w)
{
	double all = mma_latency * w->matrix_chain + multiply_latency * w->plain_chain +
	             exchange_latency * w->reductions + special_latency * w->special_maps +
	             2 * multiply_latency * w->maps + barrier_latency * w->steps;
	return all / w->tasks;
}

static void decide(struct model_phase *out, double units)
{
	const struct {
		const char *name;
		double seconds;
	} of[] = {{"memory", out->memory},        {"tensor cores", out->tensor},
	          {"plain cores", out->cores},    {"special functions", out->special},
	          {"shared memory", out->shared}, {"second-level cache", out->l2},
	          {"spills", out->spills}};
	double most = 0;
	for (size_t i = 0; i < sizeof of / sizeof *of; i++)
		if (of[i].seconds > most) {
			most = of[i].seconds;
			out->bound = of[i].name;
		}
	if (out->latency > units && out->latency > out->memory)
		out->bound = "latency";
}

void model_phase(const struct device_work *w, const struct kernel_phase *k, const struct resources *known,
                 const struct machine *m, struct model_phase *out)
{
	const struct rates r = rates_of(m);
	*out = (struct model_phase){.seconds = launch, .bound = "launch"};
	if (!place(k, known, &r, out) || w->tasks < 1)
		return;
	double used = fmin(r.processors, w->tasks), mine = ceil(w->tasks / r.processors);
	double active = fmin(out->blocks, mine), warps = active * warps_of(k);
	/* An even share where many waves run: then the last one is a small part. */
	busy(w, k, known, &r, mine, warps, out);
	double sum = out->tensor + out->cores + out->special + out->shared + out->spills;
	double most = fmax(fmax(fmax(out->tensor, out->cores), fmax(out->special, out->shared)), out->spills);
	double alone =
	        fmin(1, schedulers / warps); /* of the work, that nothing else is there to overlap with */
	double units = fmax(most + alone * (sum - most), out->l2);
	double steps = w->steps / w->tasks, one = units / mine;
	double chain = dependent(w) / r.clock, wait = memory_latency / r.clock;
	if (w->stages > 1 && steps > 0)
		wait = fmax(0, wait - (w->stages - 1) * (one * active + chain) / steps);
	chain += steps * wait + task_latency / r.clock;
	out->latency = ceil(mine / active) * (chain + one);
	out->memory = memory(w, &r, active, used);
	out->seconds += fmax(fmax(units, out->latency), out->memory) +
	                (w->down ? tail_down : tail) * (w->heaviest - 1) * (chain + one);
	decide(out, units);
}

void model_phases(const struct tile_program *p, const struct kernel_source *s, const struct resources *known,
                  const struct machine *m, struct model_phase *out)
{
	for (int i = 0; i < s->nphases; i++) {
		struct device_work w;
		device_work(p, (uint32_t)i, SAMPLE, &w);
		model_phase(&w, &s->phase[i], known ? &known[i] : NULL, m, &out[i]);
	}
}

double model_seconds(const struct tile_program *p, const struct kernel_source *s, const struct resources *known,
                     const struct machine *m)
{
	struct model_phase *each = arena_new_array(p->arena, (size_t)s->nphases + 1, struct model_phase);
	double all = 0;
	model_phases(p, s, known, m, each);
	for (int i = 0; i < s->nphases; i++)
		all += each[i].seconds;
	return all;
}
