/* Contractions of device kernels: every operand type, operands from tensors either way round, from loaded and
 * from computed values, whole and ragged ranges, tiles fetched where they are read and ahead; under the
 * emulator in all orders, against the interpreter, which rounds operands as their type says and sums in
 * float64. */
#include "tests/emulated.h"

#include <math.h>

#include "codegen/schedule.h"
#include "tests/tap.h"

static struct arena arena;

struct shape {
	int n, m, d, e;
};

struct variant {
	enum operand_type type;
	struct shape shape;
	bool k_turned, v_turned; /* the rank of the lanes stands before the reduced one */
	enum dtype widened;      /* of the tensors, multiplied as computed; F64: not so */
	bool b_loaded;           /* K and V are loaded as values, not fetched where they are read */
	int stages, rows, tile;  /* rows of a warp; coordinates of a step */
	bool down;
};

static const enum dtype tensor_type[OPERANDS] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_F32, DTYPE_I8};

/* o = Σ over steps of (a · K) · V, with rows scaled at every step. */
static const char *program_text(const struct variant *v)
{
	struct text t;
	text_init(&t, &arena);
	bool whole = v->type == OPERAND_I8;
	enum dtype narrow = v->widened == DTYPE_F64 ? tensor_type[v->type] : v->widened;
	const char *type = dtype_info[narrow].spelling, *value = whole ? "i32" : "f32";
	const struct shape *s = &v->shape;
	text_printf(&t, "program chain : f32\nindex n : %d\nindex m : %d\nindex d : %d\nindex e : %d\n", s->n,
	            s->m, s->d, s->e);
	text_printf(&t, "in A[%d, %d] : %s\n", s->n, s->d, type);
	text_printf(&t, "in K[%d, %d] : %s\n", v->k_turned ? s->d : s->m, v->k_turned ? s->m : s->d, type);
	text_printf(&t, "in V[%d, %d] : %s\n", v->v_turned ? s->e : s->m, v->v_turned ? s->m : s->e, type);
	text_printf(&t, "out O[%d, %d] : %s\n", s->n, s->e, value);
	int row_tile = 2 * v->rows;
	text_printf(&t, "value a[n:%d, d:%d] : %s\n", row_tile, s->d, value);
	text_printf(&t, "value s[n:%d, m:%d] : %s\nvalue p[n:%d, m:%d] : %s\n", row_tile, v->tile, value,
	            row_tile, v->tile, value);
	text_printf(&t, "value c[n:%d] : %s\nvalue o[n:%d, e:%d] : %s\n", row_tile, value, row_tile, s->e,
	            value);
	const char *k = v->k_turned ? "K[d,m]" : "K[m,d]", *w = v->v_turned ? "V[e,m]" : "V[m,e]";
	if (v->b_loaded)
		text_printf(&t, "value k[d:%d, m:%d] : %s\nvalue w[m:%d, e:%d] : %s\n", s->d, v->tile, value,
		            v->tile, s->e, value);
	text_printf(&t, "phase main\n  task n by %d\n  a = load A[n,d]\n  o = map 0\n", row_tile);
	text_add(&t, whole ? "  c = map n % 3 - 1\n" : "  c = map 0.5 + n * 0.0078125\n");
	/* Where the walk ends, the tensors do not always. */
	text_printf(&t, "  for m by %d from 0 to %d%s", v->tile, s->m - s->n % 16, v->down ? " down" : "");
	text_printf(&t, v->stages ? " stages %d\n" : "\n", v->stages);
	for (int part = 0; part < 2; part++) {
		if (part)
			text_add(&t, "    else\n");
		else
			text_printf(&t, "    if high(m) == low(m) + %d\n", v->tile - 1);
		const char *as = operand_type_name[v->type];
		if (v->b_loaded)
			text_printf(&t, "      k = load %s\n      w = load %s\n", k, w);
		text_printf(&t, "      s = contract a, %s over d as %s rows n:%d lanes m:%d\n",
		            v->b_loaded ? "k" : k, as, v->rows, (v->tile + 7) / 8);
		text_add(&t, whole ? "      p = map s % 17 - 8\n" : "      p = map s * 0.25\n");
		text_printf(&t,
		            "      o = contract p, %s over m as %s rows n:%d lanes e:%d accumulate scale c\n",
		            v->b_loaded ? "w" : w, as, v->rows, (s->e + 7) / 8);
	}
	text_add(&t, "  store O[n,e] = o\n");
	return t.s;
}

static double number_at(uint64_t *seed, bool whole)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	double x = (double)(*seed >> 40) / (1 << 24) * 2 - 1;
	return whole ? floor(x * 20) : x;
}

static double **contents(const struct tile_program *p, bool whole)
{
	uint64_t seed = 5;
	double **tensor = arena_new_array(&arena, p->tensor.n, double *);
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		int64_t n = emulated_count(t);
		tensor[i] = arena_new_array(&arena, (size_t)n, double);
		for (int64_t k = 0; k < n; k++)
			tensor[i][k] = dtype_round(t->dtype, number_at(&seed, whole));
	}
	return tensor;
}

static bool near(const struct tile_program *p, double **got, double **right, bool whole, struct text *why)
{
	for (uint32_t i = 0; i < p->tensor.n; i++) {
		const struct tile_tensor *t = &p->tensor.v[i];
		double largest = 0;
		for (int64_t k = 0; k < emulated_count(t); k++)
			largest = fmax(largest, fabs(right[i][k]));
		for (int64_t k = 0; t->role == ROLE_OUT && k < emulated_count(t); k++) {
			/* f32 sums near a rounding boundary of p give a unit of its type now and then */
			double bound = whole ? 0 : 2e-3 * (largest + 1e-3);
			if (fabs(got[i][k] - right[i][k]) <= bound)
				continue;
			text_printf(why, "%s at %lld is %g, not %g", t->name, (long long)k, got[i][k],
			            right[i][k]);
			return false;
		}
	}
	return true;
}

/* The program's kernel in all orders gives what the interpreter gives. */
static void check(const char *text, bool whole, const char *name)
{
	static int shown;
	const char *failed = "";
	struct diags diags;
	struct text why;
	text_init(&why, &arena);
	diags_init(&diags, &arena, "program", text, strlen(text));
	struct tile_program *p = tile_parse(&arena, text, strlen(text), &diags);
	diags_print(&diags, &why);
	double **right = p ? contents(p, whole) : NULL, **got = p ? contents(p, whole) : NULL;
	struct emulated k;
	bool good = p && tile_check(p, &why) && tile_run(&arena, p, right, true, &why);
	if (good) {
		struct kernel_source source = emit_cuda(&arena, p);
		good = emulated_open(&k, &arena, p, &source, &why);
		for (enum emulate_order o = 0; good && o < EMULATE_ORDERS; o++) {
			good = emulated_run(&k, got, o, &why) && near(p, got, right, whole, &why);
			failed = good ? "" : emulate_order_name[o];
		}
		if (!good && !shown++ && source.text)
			printf("# %s\n", source.text);
		if (source.text)
			emulated_close(&k);
	}
	if (!ok(good, "%s", name))
		printf("# %s %s\n%s", failed, why.s, text);
}

static void check_variant(const struct variant *v)
{
	const char *of = v->widened == DTYPE_F64 ? "" : dtype_info[v->widened].spelling;
	check(program_text(v), v->type == OPERAND_I8,
	      arena_printf(&arena, "%s%s%s, n %d m %d d %d e %d, K %s, V %s%s, %d stages, %d rows, steps of %d%s",
	                   operand_type_name[v->type], *of ? " of " : "", of, v->shape.n, v->shape.m, v->shape.d, v->shape.e,
	                   v->k_turned ? "[d,m]" : "[m,d]", v->v_turned ? "[e,m]" : "[m,e]",
	                   v->b_loaded ? ", loaded" : "", v->stages, v->rows, v->tile,
	                   v->down ? " down" : ""));
}

/* ---- where tensors are fetched ---- */

static const char sizes[] = "index n : 40\nindex m : 50\nindex d : 20\nindex e : 24\nindex h : 3\n";

/* What is said of a program, and its lines: TYPE is the tensors' type, AS the operands', REAL the values'. */
static const struct {
	const char *what, *lines;
} programs[] = {
        {"outside of loops, twice the same tensor",
         "in A[40, 20] : TYPE\nin B[20, 24] : TYPE\nout O[40, 24] : REAL\nvalue a[n:32, d:20] : REAL\n"
         "value o[n:32, e:24] : REAL\nphase main\n  task n by 32\n  a = load A[n,d]\n"
         "  o = contract a, B[d,e] over d as AS rows n:16 lanes e:3\n"
         "  o = contract a, B[d,e] over d as AS rows n:16 lanes e:3 accumulate scale HALF\n  store O[n,e] = "
         "o\n"},
        {"the same tensor at every step of a loop",
         "in A[3, 40, 20] : TYPE\nin B[20, 24] : TYPE\nout O[40, 24] : REAL\nvalue a[n:32, d:20] : REAL\n"
         "value o[n:32, e:24] : REAL\nphase main\n  task n by 32\n  o = map 0\n  for h by 1 from 0 to 3 "
         "stages 2\n"
         "    a = load A[h,n,d]\n    o = contract a, B[d,e] over d as AS rows n:16 lanes e:3 accumulate\n"
         "  store O[n,e] = o\n"},
        {"one tensor at every step, one ahead",
         "in A[40, 20] : TYPE\nin K[50, 20] : TYPE\nin B[20, 24] : TYPE\nin V[50, 24] : TYPE\nout O[40, 24] "
         ": REAL\n"
         "value a[n:32, d:20] : REAL\nvalue s[n:32, m:16] : REAL\nvalue x[n:32, e:24] : REAL\n"
         "value o[n:32, e:24] : REAL\nphase main\n  task n by 32\n  a = load A[n,d]\n  o = map 0\n"
         "  for m by 16 from 0 to 50 stages 3\n    s = contract a, K[m,d] over d as AS rows n:16 lanes m:2\n"
         "    x = contract a, B[d,e] over d as AS rows n:16 lanes e:3\n    o = map o + x * HALF\n"
         "    o = contract s, V[m,e] over m as AS rows n:16 lanes e:3 accumulate\n  store O[n,e] = o\n"},
        {"a loop in a loop",
         "in A[3, 40, 20] : TYPE\nin K[3, 50, 20] : TYPE\nin V[3, 50, 24] : TYPE\nout O[40, 24] : REAL\n"
         "value a[n:32, d:20] : REAL\nvalue s[n:32, m:16] : REAL\nvalue o[n:32, e:24] : REAL\nphase main\n"
         "  task n by 32\n  o = map 0\n  for h by 1 from 0 to 3\n    a = load A[h,n,d]\n"
         "    for m by 16 from 0 to 50 stages 3\n      s = contract a, K[h,m,d] over d as AS rows n:16 lanes "
         "m:2\n"
         "      o = contract s, V[h,m,e] over m as AS rows n:16 lanes e:3 accumulate\n  store O[n,e] = o\n"},
        {"by steps of one, ahead",
         "in A[40, 20] : TYPE\nin B[3, 20, 24] : TYPE\nout O[40, 24] : REAL\nvalue a[n:32, d:20] : REAL\n"
         "value o[n:32, e:24] : REAL\nphase main\n  task n by 32\n  a = load A[n,d]\n  o = map 0\n"
         "  for h by 1 from 0 to 3 down stages 2\n"
         "    o = contract a, B[h,d,e] over d as AS rows n:16 lanes e:3 accumulate scale HALF\n  store "
         "O[n,e] = o\n"},
        {"beside the tensor, where zeroes are",
         "in A[40, 20] : TYPE\nin B[2, 20, 24] : TYPE\nout O[40, 24] : REAL\nvalue a[n:32, d:20] : REAL\n"
         "value o[n:32, e:24] : REAL\nphase main\n  task n by 32\n  a = load A[n,d]\n  o = map 0\n"
         "  for h by 1 from 0 to 3 stages 2\n"
         "    o = contract a, B[h * 2 - 1,d,e] over d as AS rows n:16 lanes e:3 accumulate\n  store O[n,e] = o\n"},
        {"a walk that ends inside the tensors",
         "in A[40, 50] : TYPE\nin V[50, 24] : TYPE\nout O[40, 24] : REAL\nvalue p[n:32, m:16] : REAL\n"
         "value o[n:32, e:24] : REAL\nphase main\n  task n by 32\n  o = map 0\n"
         "  for m by 16 from 0 to 43 stages 2\n    p = load A[n,m]\n"
         "    o = contract p, V[m,e] over m as AS rows n:16 lanes e:3 accumulate\n  store O[n,e] = o\n"},
        {"a part of a tensor's last rank",
         "in A[40, 32] : TYPE\nin K[50, 32] : TYPE\nout O[40, 50] : REAL\nvalue a[n:32, d:20] : REAL\n"
         "value s[n:32, m:50] : REAL\nphase main\n  task n by 32\n  a = load A[n,d]\n"
         "  s = contract a, K[m,d] over d as AS rows n:16 lanes m:7\n  store O[n,m] = s\n"},
        {"a walk over the last rank from nowhere in particular",
         "in A[40, 50] : TYPE\nin V[24, 50] : TYPE\nout O[40, 24] : REAL\nvalue p[n:32, m:16] : REAL\n"
         "value o[n:32, e:24] : REAL\nphase main\n  task n by 32\n  o = map 0\n"
         "  for m by 16 from low(n) % 16 + 3 to 50 stages 2\n    p = load A[n,m]\n"
         "    o = contract p, V[e,m] over m as AS rows n:16 lanes e:3 accumulate\n  store O[n,e] = o\n"},
};

static const char *replaced(const char *s, const char *from, const char *to)
{
	struct text t;
	text_init(&t, &arena);
	for (const char *at; (at = strstr(s, from)); s = at + strlen(from)) {
		text_bytes(&t, s, (size_t)(at - s));
		text_add(&t, to);
	}
	text_add(&t, s);
	return t.s;
}

static void check_program(size_t i, enum operand_type type)
{
	const char *lines = replaced(programs[i].lines, "TYPE", dtype_info[tensor_type[type]].spelling);
	lines = replaced(replaced(lines, "AS", operand_type_name[type]), "HALF",
	                 type == OPERAND_I8 ? "2" : "0.5");
	lines = replaced(lines, "REAL", type == OPERAND_I8 ? "i32" : "f32");
	check(arena_printf(&arena, "program p : f32\n%s%s", sizes, lines), type == OPERAND_I8,
	      arena_printf(&arena, "%s: %s", operand_type_name[type], programs[i].what));
}

int main(void)
{
	/* extents whole and ragged; of 8, 4 and 2 bytes' multiples a row; more of d than stays in registers
	 */
	static const struct shape shapes[] = {
	        {64, 64, 64, 64}, {40, 70, 60, 24}, {33, 33, 6, 72}, {5, 200, 128, 40}, {20, 40, 272, 5}};
	for (enum operand_type type = 0; type < OPERANDS; type++) {
		for (int turned = 0; turned < 4; turned++)
			for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
				struct variant v = {.type = type,
				                    .shape = shapes[s],
				                    .widened = DTYPE_F64,
				                    .k_turned = turned & 1,
				                    .v_turned = turned >> 1,
				                    .stages = (int)(s + (size_t)turned) % 4,
				                    .rows = s % 2 ? 16 : 32,
				                    .tile = s == 2 ? 16 : 32,
				                    .down = s == 3};
				arena_init(&arena);
				check_variant(&v);
				static const enum dtype narrow[] = {DTYPE_BF16, DTYPE_I8, DTYPE_F8E4M3, DTYPE_I4};
				v.widened = narrow[(s + (size_t)turned) % (sizeof narrow / sizeof *narrow)];
				if (type == OPERAND_COMPUTE)
					check_variant(&v);
				else
					v.widened = DTYPE_F64;
				v.b_loaded = true;
				if (turned % 3 == 0)
					check_variant(&v);
				arena_free(&arena);
			}
		for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
			arena_init(&arena);
			check_program(i, type);
			arena_free(&arena);
		}
	}
	return tap_done();
}
