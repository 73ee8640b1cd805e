/* The part of the prelude that a text needs. The files of codegen/prelude/ are lists of paragraphs between
 * blank lines; a paragraph defines the names it declares at the beginning of a line, and is taken when the
 * text, or a paragraph taken already, mentions one of them. */
#include "codegen/emit.h"

#include <ctype.h>
#include <string.h>

#include "base/hash.h"

extern const char embed_codegen_prelude_abi_h[], embed_codegen_prelude_f32_h[], embed_codegen_prelude_f64_h[],
        embed_codegen_prelude_scalar_h[], embed_codegen_prelude_single_h[], embed_codegen_prelude_vector_h[],
        embed_codegen_prelude_avx2_h[], embed_codegen_prelude_avx512_h[], embed_codegen_prelude_neon_h[],
        embed_codegen_prelude_exp_bits_h[], embed_codegen_prelude_select_h[],
        embed_codegen_prelude_select_single_h[], embed_codegen_prelude_select_vector_h[],
        embed_codegen_prelude_cuda_math_h[], embed_codegen_prelude_narrow_h[], embed_codegen_prelude_next_h[],
        embed_codegen_prelude_dot_single_h[],
        embed_codegen_prelude_dot_emulated_h[], embed_codegen_prelude_dot_avx512bf16_h[], embed_codegen_prelude_pairs_h[],
        embed_codegen_prelude_pairs_each_h[], embed_codegen_prelude_pairs_avx512bf16_h[];

struct paragraph {
	const char *s;
	size_t n;
	bool taken;
};

/* A name that a paragraph declares; several may declare one. */
struct entry {
	const char *s;
	size_t n;
	uint32_t paragraph, next; /* entry + 1 with the same hash; 0: the last */
};

enum { SLOTS = 1024 };
struct chooser {
	struct arena *arena;
	VEC(struct paragraph) paragraph;
	VEC(struct entry) entry;
	uint32_t *slot; /* entry + 1, by the hash of the name */
	struct text *out;
};

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* The name a line declares: of a macro; of what a V_… macro defines; of a function; of a type, before the
 * last semicolon. NULL: none. */
static const char *declared(const char *line, const char *end, size_t *length)
{
	const char *s = line;
	if (!strncmp(line, "#define ", 8)) {
		s = line + 8;
	} else if (!strncmp(line, "V_", 2)) {
		while (s < end && *s != '(')
			s++;
		s++;
	} else if (!strncmp(line, "typedef ", 8)) {
		s = end;
		const char *attribute = strstr(line, " __attribute__");
		if (attribute && attribute < end)
			s = attribute;
		else
			while (s > line && *s != ';')
				s--;
		while (s > line && is_name(s[-1]))
			s--;
	} else if (isalpha((unsigned char)*line)) {
		while (s < end && *s != '(' && *s != '{')
			s++;
		if (s < end && *s == '(' && !strncmp(line, "real LIBM", 9))
			return NULL;
		if (s < end && *s == '{')
			while (s > line && !is_name(s[-1]))
				s--;
		while (s > line && is_name(s[-1]))
			s--;
	} else {
		return NULL;
	}
	*length = 0;
	while (s + *length < end && is_name(s[*length]))
		++*length;
	return *length ? s : NULL;
}

static void enter(struct chooser *c, uint32_t paragraph)
{
	const struct paragraph *p = &c->paragraph.v[paragraph];
	for (const char *line = p->s, *end = p->s + p->n; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		size_t n;
		const char *name = declared(line, stop, &n);
		if (name) {
			uint32_t *slot = &c->slot[hash_bytes(name, n, HASH_SEED) % SLOTS];
			vec_push(c->arena, &c->entry, (struct entry){name, n, paragraph, *slot});
			*slot = c->entry.n;
		}
		line = stop + 1;
	}
}

/* Marks the paragraphs that declare an identifier of the text [s, end). */
static void mark(const struct chooser *c, const char *s, const char *end, bool *wanted)
{
	while (s < end) {
		if (!is_name(*s)) {
			s++;
			continue;
		}
		const char *from = s;
		while (s < end && is_name(*s))
			s++;
		size_t n = (size_t)(s - from);
		for (uint32_t e = c->slot[hash_bytes(from, n, HASH_SEED) % SLOTS]; e;
		     e = c->entry.v[e - 1].next) {
			const struct entry *entry = &c->entry.v[e - 1];
			if (entry->n == n && !memcmp(entry->s, from, n))
				wanted[entry->paragraph] = true;
		}
	}
}

static void add_file(struct chooser *c, const char *s)
{
	while (*s) {
		const char *stop = strstr(s, "\n\n");
		size_t n = stop ? (size_t)(stop - s) : strlen(s);
		while (n && s[n - 1] == '\n')
			n--;
		vec_push(c->arena, &c->paragraph, (struct paragraph){s, n, false});
		enter(c, c->paragraph.n - 1);
		if (!stop)
			break;
		for (s = stop; *s == '\n';)
			s++;
	}
}

/* What a paragraph needs stands before it. */
static void take(struct chooser *c, const char *text, const char *end)
{
	bool *wanted = arena_new_array(c->arena, c->paragraph.n, bool);
	mark(c, text, end, wanted);
	for (uint32_t i = 0; i < c->paragraph.n; i++) {
		struct paragraph *p = &c->paragraph.v[i];
		if (p->taken || !wanted[i])
			continue;
		p->taken = true;
		take(c, p->s, p->s + p->n);
		text_bytes(c->out, p->s, p->n);
		text_add(c->out, "\n\n");
	}
}

const char *const *emit_prelude_names(void)
{
	static const char *const text[] = {embed_codegen_prelude_scalar_h, embed_codegen_prelude_f32_h,
	                                   embed_codegen_prelude_vector_h, embed_codegen_prelude_avx512_h,
	                                   embed_codegen_prelude_avx2_h, embed_codegen_prelude_exp_bits_h,
	                                   embed_codegen_prelude_next_h, NULL};
	return text;
}

void emit_prelude(struct arena *arena, enum isa isa, bool real_double, const char *body, struct text *out)
{
	struct chooser c = {.arena = arena, .slot = arena_new_array(arena, SLOTS, uint32_t), .out = out};
	add_file(&c, embed_codegen_prelude_abi_h);
	add_file(&c, real_double ? embed_codegen_prelude_f64_h : embed_codegen_prelude_f32_h);
	add_file(&c, embed_codegen_prelude_scalar_h);
	if (isa == ISA_SCALAR) {
		add_file(&c, embed_codegen_prelude_single_h);
		add_file(&c, embed_codegen_prelude_dot_single_h);
		add_file(&c, embed_codegen_prelude_select_single_h);
	} else {
		static const char *const vectors[HOST_ISAS] = {
			[ISA_AVX2] = embed_codegen_prelude_avx2_h,
			[ISA_AVX512] = embed_codegen_prelude_avx512_h,
			[ISA_AVX512_BF16] = embed_codegen_prelude_avx512_h,
			[ISA_NEON] = embed_codegen_prelude_neon_h,
		};
		add_file(&c, vectors[isa]);
		if (isa == ISA_AVX2 || isa == ISA_NEON)
			add_file(&c, embed_codegen_prelude_exp_bits_h);
		add_file(&c, embed_codegen_prelude_vector_h);
		add_file(&c, isa == ISA_AVX512_BF16 ? embed_codegen_prelude_dot_avx512bf16_h
		                                    : embed_codegen_prelude_dot_emulated_h);
		add_file(&c, embed_codegen_prelude_narrow_h);
		add_file(&c, embed_codegen_prelude_next_h);
		add_file(&c, embed_codegen_prelude_select_vector_h);
	}
	add_file(&c, embed_codegen_prelude_pairs_h);
	add_file(&c, isa == ISA_AVX512_BF16 ? embed_codegen_prelude_pairs_avx512bf16_h : embed_codegen_prelude_pairs_each_h);
	add_file(&c, embed_codegen_prelude_select_h);
	take(&c, body, body + strlen(body));
}

void emit_cuda_prelude(struct arena *arena, const char *body, struct text *out)
{
	struct chooser c = {.arena = arena, .slot = arena_new_array(arena, SLOTS, uint32_t), .out = out};
	add_file(&c, embed_codegen_prelude_cuda_math_h);
	take(&c, body, body + strlen(body));
}
