/* The emulator: each of its findings, provoked by a kernel that is wrong in one way, in all orders. */
#include "tests/emulated_words.h"
#include "tests/tap.h"

struct wrong {
	const char *what, *body; /* the kernel's lines from line 2 on */
	int line;                /* of the finding; 0: none */
	const char *says[2];     /* parts of it */
	int threads, shared;
	long blocks;
};

static const struct wrong wrong[] = {
        {.what = "a store past the end of a tensor",
         .body = "at_store_u32(out + 4065 + lane, 0);",
         .line = 2,
         .says = {"lane 31: writes bytes 16384 to 16387 of out, which has 16384", "    at_store_u32(out + 4065"}},
        {.what = "a load before the beginning of one",
         .body = "unsigned x =\nat_load_u32(in - 1 + lane);\nat_store_u32(out, x);",
         .line = 3,
         .says = {"reads bytes -4 to -1 of in"}},
        {.what = "a wild pointer",
         .body = "at_load_u16((const void *)(unsigned long)(4096 * 5));",
         .line = 2,
         .says = {"reads at address 0x5000, which is far from all it may reach"}},
        {.what = "a null pointer",
         .body = "at_store_u8(0, 1);",
         .line = 2,
         .says = {"writes at address (nil), which is far from all it may reach"}},
        {.what = "a load that begins inside and ends outside",
         .body = "at_load_u64((const char *)(in + 4096) - 8 + (lane == 7 ? 4 : 0));",
         .line = 2,
         .says = {"lane 7: reads bytes 16380 to 16387 of in"}},
        {.what = "a store into what is read only",
         .body = "at_store_u16((void *)(unsigned long)(in + 3), 1);",
         .line = 2,
         .says = {"writes byte 12 of in, which is read only"}},
        {.what = "global memory at an odd address",
         .body = "at_load_u32((const char *)in + 2);",
         .line = 2,
         .says = {"reads 4 bytes at byte 2 of in, an address that is no multiple of 4"}},
        {.what = "shared memory past its end",
         .body = "at_store_shared_u32(s + 4 * thread, 0);",
         .line = 2,
         .says = {"lane 16: at_store_shared_u32: bytes 64 to 67 of shared memory, which has 64"},
         .shared = 64},
        {.what = "shared memory without its base",
         .body = "at_load_shared_u32(4 * thread);",
         .line = 2,
         .says = {"lies before at_shared_base()"},
         .shared = 128},
        {.what = "shared memory at an odd address",
         .body = "at_load_shared_u16(s + 1 + 2 * thread);",
         .line = 2,
         .says = {"byte 1, not a multiple of 2"},
         .shared = 128},
        {.what = "ldmatrix of a row at half a chunk",
         .body = "unsigned r[4];\nat_ldmatrix_x4(r, s + 16 * lane + (lane == 9 ? 8 : 0));",
         .line = 3,
         .says = {"lane 9: at_ldmatrix_x4: shared memory at byte 152, not a multiple of 16"},
         .shared = 1024},
        {.what = "ldmatrix past the end",
         .body = "unsigned r[4];\nat_ldmatrix_x4_trans(r, s + 32 * lane);",
         .line = 3,
         .says = {"at_ldmatrix_x4_trans: bytes 512 to 527 of shared memory, which has 512"},
         .shared = 512},
        {.what = "cp_async to half a chunk",
         .body = "at_cp_async(s + 8, in, 16, 16);",
         .line = 2,
         .says = {"at_cp_async: shared memory at byte 8, not a multiple of 16"},
         .shared = 64},
        {.what = "cp_async from half a chunk",
         .body = "at_cp_async(s, in + 2, 16, 16);",
         .line = 2,
         .says = {"no multiple of 16"},
         .shared = 64},
        {.what = "cp_async of a size there is not",
         .body = "at_cp_async(s, in, 12, 12);",
         .line = 2,
         .says = {"of 12 bytes: it is 4, 8 or 16"},
         .shared = 64},
        {.what = "cp_async with more bytes than its size",
         .body = "at_cp_async(s, in, 8, 16);",
         .line = 2,
         .says = {"16 bytes of 8"},
         .shared = 64},
        {.what = "cp_async from outside",
         .body = "at_cp_async(s + 16 * lane, in + 4096 - 64 + 4 * lane, 16, 16);\nat_warp_sync();",
         .line = 2,
         .says = {"lane 16: reads bytes 16384 to 16399 of in"},
         .shared = 512},
        {.what = "a shuffle that some lanes skip",
         .body = "if (lane < 7)\nat_shfl_xor(1, 1);\nat_warp_sync();",
         .line = 4,
         .says = {"lane 7: at_warp_sync, but lane 0 of the warp is at at_shfl_xor, line 3 (divergence)"}},
        {.what = "two places of one primitive",
         .body = "if (lane < 7)\nat_shfl_xor(1, 1);\nelse\nat_shfl_xor(1, 1);",
         .line = 5,
         .says = {"lane 7: at_shfl_xor, but lane 0 of the warp is at at_shfl_xor, line 3 (divergence)"}},
        {.what = "a lane that leaves while the others meet",
         .body = "if (lane == 5)\nreturn;\nat_warp_sync();",
         .says = {"lane 5: leaves the kernel after this, but lane 0 of the warp is at at_warp_sync, line 4 (divergence)"},
         .line = 1},
        {.what = "lanes that meet when one has left",
         .body = "if (lane == 0)\nreturn;\nat_barrier();",
         .line = 4,
         .says = {"lane 1: at_barrier, but lane 0 of the warp has left the kernel (divergence)"}},
        {.what = "a collective among lanes at the barrier",
         .body = "if (lane < 3)\nat_barrier();\nat_shfl_xor(1, 1);",
         .line = 4,
         .says = {"lane 3: at_shfl_xor, but lane 0 of the warp is at at_barrier, line 3 (divergence)"}},
        {.what = "a lane at the barrier among lanes that meet",
         .body = "if (lane > 3)\nat_barrier();\nat_shfl_xor(1, 1);",
         .line = 3,
         .says = {"lane 4: at_barrier, but lane 0 of the warp is at at_shfl_xor, line 4 (divergence)"}},
        {.what = "warps at different barriers",
         .body = "if (thread < 32)\nat_barrier();\nelse\nat_barrier();",
         .says = {"at_barrier, but warp ", "at another one, line"},
         .line = -1,
         .threads = 64},
        {.what = "a warp that has left before the barrier",
         .body = "if (thread >= 32 && thread < 96)\nreturn;\nat_barrier();",
         .line = -1,
         .says = {"(deadlock): warp 0 waits at at_barrier, line 4; warp 1 left the kernel, so does warp 2; warp 3 "
                  "waits at at_barrier, line 4"},
         .threads = 128},
        {.what = "shfl_xor beyond the warp",
         .body = "at_shfl_xor(1, 32);",
         .line = 2,
         .says = {"at_shfl_xor by 32"}},
        {.what = "a loop without end",
         .body = "for (;;)\nat_thread();",
         .line = 3,
         .says = {"no end in sight after 1048576 primitives"}},
        {.what = "a recursion without end",
         .body = "unsigned deeper(unsigned);\nat_store_u32(out, deeper(1));\n}\n"
                 "unsigned deeper(unsigned n) { unsigned at[64]; for (int i = 0; i < 64; i++) at[i] = n + at_block();\n"
                 "return at[at[n % 64] % 64] != n ? n : deeper(n + at[n % 64]) + at[5];",
         .line = 5,
         .says = {"its stack of ", "bytes is full"}},
        {.what = "a write that another warp reads, with no barrier between",
         .body = "at_store_shared_u32(s + 4 * thread, thread);\nat_load_shared_u32(s + 4 * (63 - thread));",
         .line = -1,
         .says = {"of shared memory, which warp ", "with no at_barrier since (race)"},
         .threads = 64,
         .shared = 256},
        {.what = "a write that another lane reads, with no warp_sync between",
         .body = "at_store_shared_u32(s + 4 * thread, thread);\nat_load_shared_u32(s + 4 * (31 - thread));",
         .line = -1,
         .says = {"of shared memory, which warp 0, lane ", "with no at_barrier or at_warp_sync since (race)"},
         .shared = 128},
        {.what = "a warp_sync for what another warp wrote",
         .body = "at_store_shared_u32(s + 4 * thread, thread);\nat_warp_sync();\n"
                 "at_load_shared_u32(s + 4 * (63 - thread));",
         .line = -1,
         .says = {"with no at_barrier since (race)"},
         .threads = 64,
         .shared = 256},
        {.what = "two writes of one word",
         .body = "if (lane == 0)\nat_store_shared_u32(s + 4 * (thread / 64), thread);",
         .line = 3,
         .says = {"of shared memory, which warp ", "wrote in line 3"},
         .threads = 128,
         .shared = 256},
        {.what = "a write over what another warp reads",
         .body = "at_load_shared_u32(s + 4 * lane);\nif (thread >= 32)\nat_store_shared_u32(s + 4 * lane, 1);",
         .line = -1,
         .says = {"of shared memory, which warp ", "(race)"},
         .threads = 96,
         .shared = 256},
        {.what = "a write of a byte in a word that another warp reads",
         .body = "if (thread < 32)\nat_load_shared_u32(s + 4 * lane);\nelse\nat_store_shared_u8(s + 4 * lane + 3, 1);",
         .line = -1,
         .says = {"of shared memory, which warp ", "(race)"},
         .threads = 64,
         .shared = 256},
        {.what = "a write of half a word that another warp wrote",
         .body = "at_store_shared_u16(s + 2 * (thread % 63), 1);",
         .line = 2,
         .says = {"writes byte 0 of shared memory, which warp "},
         .threads = 64,
         .shared = 256},
        {.what = "ldmatrix of what another lane wrote, with no warp_sync between",
         .body = "unsigned r[4];\nfor (int i = 0; i < 4; i++)\nat_store_shared_u32(s + 16 * lane + 4 * i, 0);\n"
                 "at_ldmatrix_x4(r, s + 16 * (lane ^ 1));",
         .line = 5,
         .says = {"reads byte 16 of shared memory, which warp 0, lane 1 wrote in line 4", "at_warp_sync since (race)"},
         .shared = 512},
        {.what = "a copy that is read before it is waited for",
         .body = "at_cp_async(s + 4 * lane, in + lane, 4, 4);\nat_cp_commit();\nat_load_shared_u32(s + 4 * lane);\n"
                 "at_cp_wait(0);",
         .line = 4,
         .says = {"lane 0: reads byte 0 of shared memory while the copy is in flight that warp 0, lane 0 asked for in "
                  "line 2"},
         .shared = 128},
        {.what = "a copy of which one group too few is waited for",
         .body = "at_cp_async(s + 4 * lane, in + lane, 4, 4);\nat_cp_commit();\nat_cp_wait(1);\n"
                 "at_load_shared_u32(s + 4 * lane);\nat_cp_wait(0);",
         .line = 5,
         .says = {"in flight"},
         .shared = 128},
        {.what = "a copy that is waited for before it is committed",
         .body = "at_cp_async(s + 4 * lane, in + lane, 4, 4);\nat_cp_wait(0);\nat_load_shared_u32(s + 4 * lane);\n"
                 "at_cp_commit();\nat_cp_wait(0);",
         .line = 4,
         .says = {"in flight"},
         .shared = 128},
        {.what = "a copy that another thread reads after its own wait only",
         .body = "at_cp_async(s + 4 * lane, in + lane, 4, 4);\nat_cp_commit();\nat_cp_wait(0);\n"
                 "at_load_shared_u32(s + 4 * (lane ^ 1));",
         .line = -1,
         .says = {"(race)", "line 2"},
         .shared = 128},
        {.what = "a copy over what another thread reads",
         .body = "at_load_shared_u32(s + 4 * (lane ^ 1));\nat_cp_async(s + 4 * lane, in + lane, 4, 4);\n"
                 "at_cp_commit();\nat_cp_wait(0);",
         .line = -1,
         .says = {"of shared memory", "lane "},
         .shared = 128},
        {.what = "a copy over one in flight",
         .body = "at_cp_async(s + 4 * lane, in + lane, 4, 4);\nat_cp_async(s + 4 * lane, in + lane, 4, 4);\n"
                 "at_cp_commit();\nat_cp_wait(0);",
         .line = 3,
         .says = {"writes byte 0 of shared memory while the copy is in flight"},
         .shared = 128},
        {.what = "a copy that is never waited for",
         .body = "at_cp_async(s + 4 * lane, in + lane, 4, 4);\nat_cp_commit();",
         .line = 3,
         .says = {"the copy it asked for in line 2 was never waited for"},
         .shared = 128},
        {.what = "a copy that is never committed",
         .body = "at_cp_async(s + 4 * lane, in + lane, 4, 4);\nat_cp_wait(0);",
         .line = 3,
         .says = {"the copy it asked for in line 2 was never committed"},
         .shared = 128},
        {.what = "waiting for a negative number of groups",
         .body = "at_cp_wait(-1);",
         .line = 2,
         .says = {"at_cp_wait for -1 groups"}},
        {.what = "two lanes that store different values in one place",
         .body = "at_store_u32(out + lane / 2, lane);",
         .line = 2,
         .says = {"writes byte 0 of out, which block 0, warp 0, lane 0 wrote; nothing puts them in order"}},
        {.what = "two blocks that store different values in one place",
         .body = "at_store_u16((unsigned short *)out + lane, at_block());",
         .line = 2,
         .says = {"block 1, ", "of out, which block 0, warp 0, lane"},
         .blocks = 2},
        {.what = "a block that reads what another wrote",
         .body = "if (at_block() == 0) at_store_u32(out + lane, 1);\nelse at_load_u8((char *)(out + 8 + lane) + 3);",
         .line = 3,
         .says = {"reads byte 35 of out, which block 0, warp 0, lane 8 wrote"},
         .blocks = 2},
        /* and what is right, though it looks like the above */
        {.what = "reads of one word by all, then a barrier, then a write",
         .body = "at_load_shared_u32(s);\nat_barrier();\nif (thread == 40) at_store_shared_u32(s, 1);\nat_barrier();\n"
                 "at_load_shared_u32(s);",
         .threads = 128,
         .shared = 64},
        {.what = "halves of a word by two warps",
         .body = "at_store_shared_u16(s + 2 * (2 * lane + thread / 32), thread);\nat_barrier();\n"
                 "at_load_shared_u32(s + 4 * lane);",
         .threads = 64,
         .shared = 128},
        {.what = "a lane's own word, again and again",
         .body = "for (int i = 0; i < 9; i++) {\nat_store_shared_u32(s + 4 * thread, i);\n"
                 "at_load_shared_u32(s + 4 * thread);\nat_load_shared_u8(s + 4 * thread + 1);\n}",
         .threads = 64,
         .shared = 256},
        {.what = "a copy for others, by wait and barrier",
         .body = "for (int i = 0; i < 3; i++) {\nat_cp_async(s + 4 * thread, in + thread, 4, 4);\nat_cp_commit();\n"
                 "at_cp_wait(0);\nat_barrier();\nat_load_shared_u32(s + 4 * (63 - thread));\nat_barrier();\n}",
         .threads = 64,
         .shared = 256},
        {.what = "the same value in one place by all, then read",
         .body = "at_store_u32(out + at_block(), 7);\nat_load_u32(out + at_block());",
         .blocks = 3},
        {.what = "a warp that leaves early where no barrier follows",
         .body = "if (thread < 32)\nreturn;\nat_warp_sync();",
         .threads = 64},
};

/* Only Clang can. */
static const struct wrong subscripts[] = {
        {.what = "a subscript past the end of a fragment",
         .body = "float x[2][4];\nfor (int i = 0; i < 2; i++)\nfor (int c = 0; c < 5; c++)\nx[i][c] = 0;\n"
                 "at_store_u32(out + lane, at_bits_f32(x[lane % 2][lane % 4]));",
         .line = 5,
         .says = {"subscript 4 of an array 'float[4]'"}},
        {.what = "a negative one",
         .body = "int x[4] = {1, 2, 3, 4};\nat_store_u32(out + lane, x[3 - lane]);",
         .line = 3,
         .says = {"lane 4: subscript -1 of an array 'int[4]'"}},
};

static bool finds(const struct wrong *w, enum emulate_order o, struct text *said)
{
	struct program p = {.body = w->body, .threads = w->threads, .shared = w->shared, .blocks = w->blocks};
	bool ran = run(&p, o, said);
	if (!w->line && !w->says[0])
		return ran;
	char where[32];
	snprintf(where, sizeof where, "kernel k, line %d, ", w->line);
	return !ran && (w->line < 0 || strstr(said->s, where)) && strstr(said->s, w->says[0]) &&
	       (!w->says[1] || strstr(said->s, w->says[1]));
}

static void findings(const struct wrong *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool good = true;
		struct text said;
		for (enum emulate_order o = 0; o < EMULATE_ORDERS && good; o++) {
			text_init(&said, &arena);
			good = finds(&w[i], o, &said);
		}
		ok(good, "%s%s", w[i].says[0] ? "found: " : "nothing wrong: ", w[i].what);
		for (char *line = strtok(said.s, "\n"); line; line = strtok(NULL, "\n"))
			printf("# %s\n", line);
	}
}

/* Launches that cannot be. */
static void launches(void)
{
	static const struct emulate_launch bad[] = {
	        {.kernel = &global, .blocks = 1, .threads = 48},
	        {.kernel = &global, .blocks = 1, .threads = 2048},
	        {.kernel = &global, .blocks = 1, .threads = 32, .shared_bytes = 1 << 20},
	        {.kernel = NULL, .blocks = 1, .threads = 32},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct text said;
		text_init(&said, &arena);
		struct emulate_options o = {.order = EMULATE_EAGER};
		ok(!emulate_run(&bad[i], &o, &said) && strstr(said.s, "cannot be launched"), "a launch that cannot be: %s",
		   said.s);
	}
}

int main(void)
{
	arena_init(&arena);
	findings(wrong, sizeof wrong / sizeof *wrong);
	const char *missing = target_clang.missing(&arena);
	if (missing)
		tap_skip(missing);
	else
		findings(subscripts, sizeof subscripts / sizeof *subscripts);
	launches();
	arena_free(&arena);
	return tap_done();
}
