/* This machine, from CPUID, XGETBV, sysfs and the scheduler. What is measured is in measure.c. */
#include "targets/target.h"

#include <cpuid.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "targets/x86_levels.h"

static enum isa best_isa(void)
{
	static const enum isa level[] = {ISA_SCALAR, ISA_AVX2, ISA_AVX512, ISA_AVX512_BF16};
	return level[x86_level()];
}

unsigned machine_units(const uint32_t seven[4], const uint32_t seven_one[4])
{
	enum { A, B, C, D };
	return (seven[D] >> 22 & 1) << UNIT_AMX_BF16 | (seven[D] >> 25 & 1) << UNIT_AMX_I8 |
	       (seven_one[A] >> 21 & 1) << UNIT_AMX_F16 | (seven_one[D] >> 19 & 1) << UNIT_AVX10;
}

static unsigned units(void)
{
	uint32_t seven[4] = {0}, one[4] = {0};
	if (__get_cpuid_count(7, 0, &seven[0], &seven[1], &seven[2], &seven[3]) && seven[0])
		__get_cpuid_count(7, 1, &one[0], &one[1], &one[2], &one[3]);
	return machine_units(seven, one);
}

static void identify(struct machine *m)
{
	uint32_t a, b, c, d, brand[12] = {0};
	if (__get_cpuid(0, &a, &b, &c, &d)) {
		memcpy(m->vendor, &b, 4);
		memcpy(m->vendor + 4, &d, 4);
		memcpy(m->vendor + 8, &c, 4);
	}
	if (__get_cpuid(1, &a, &b, &c, &d)) {
		m->stepping = (int)(a & 15);
		m->model = (int)(a >> 4 & 15);
		m->family = (int)(a >> 8 & 15);
		if (m->family == 6 || m->family == 15)
			m->model += (int)(a >> 16 & 15) << 4;
		if (m->family == 15)
			m->family += (int)(a >> 20 & 255);
	}
	for (uint32_t i = 0; i < 3; i++)
		__get_cpuid(0x80000002 + i, &brand[4 * i], &brand[4 * i + 1], &brand[4 * i + 2],
		            &brand[4 * i + 3]);
	const char *name = (const char *)brand;
	size_t n = strnlen(name, sizeof brand);
	while (n && *name == ' ')
		name++, n--;
	while (n && name[n - 1] == ' ')
		n--;
	memcpy(m->model_name, name, n);
}

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	bool good = fgets(line, (int)size, f) != NULL;
	fclose(f);
	return good;
}

static bool cache_field(int cpu, int index, const char *field, char *line, size_t size)
{
	char path[128];
	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/%s", cpu, index, field);
	return read_line(path, line, size);
}

static void caches(struct machine *m, int cpu)
{
	char level[32], type[32], size[32];
	for (int i = 0; cache_field(cpu, i, "level", level, sizeof level); i++) {
		long long n = 0;
		char unit = 0;
		if (!cache_field(cpu, i, "type", type, sizeof type) || !strncmp(type, "Instruction", 11) ||
		    !cache_field(cpu, i, "size", size, sizeof size) || sscanf(size, "%lld%c", &n, &unit) < 1)
			continue;
		n <<= unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
		*(*level == '1' ? &m->l1 : *level == '2' ? &m->l2 : &m->l3) = n;
	}
	/* Containers may hide sysfs; the C library asks CPUID. */
	if (!m->l1)
		m->l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE);
	if (!m->l2)
		m->l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
	if (!m->l3)
		m->l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
	if (m->l1 <= 0)
		m->l1 = 32 << 10;
	if (m->l2 <= 0)
		m->l2 = 256 << 10;
	if (m->l3 <= 0)
		m->l3 = m->l2;
}

void machine_detect(struct machine *m)
{
	*m = (struct machine){.isa = best_isa(), .units = units()};
	identify(m);
	cpu_set_t set;
	size_t first = 0;
	m->cores = 1;
	/* Fails only where the kernel knows more CPUs than the set holds: then the count of those online. */
	if (sched_getaffinity(0, sizeof set, &set)) {
		m->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
	} else {
		m->cores = CPU_COUNT(&set);
		while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &set))
			first++;
	}
	caches(m, (int)first);
}

const char *machine_arch(struct arena *a, const struct machine *m)
{
	return arena_printf(a, "%s family %d", m->vendor, m->family);
}

const char *machine_key(struct arena *a, const struct machine *m)
{
	if (m->isa >= HOST_ISAS)
		return arena_printf(a, "%s capability %d processors %d shared %lld of %lld", m->model_name, m->capability,
		                    m->processors, (long long)m->shared, (long long)m->shared_all);
	return arena_printf(a, "%s family %d model %d stepping %d %s l1 %lld l2 %lld l3 %lld cores %d",
	                    m->vendor, m->family, m->model, m->stepping, isa_info[m->isa].name,
	                    (long long)m->l1, (long long)m->l2, (long long)m->l3, m->cores);
}
