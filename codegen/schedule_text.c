/* A schedule as lines, and back. The text names the indices and tensors of the cascade it is for, so that a
 * person sees what a number means and a schedule of another cascade is refused with a reason. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/schedule.h"

static const char *index_name(const struct streams *all, uint32_t index)
{
	return index == NO_INDEX ? "-" : all->cascade->index.v[index].name;
}

static const char *contract_name(const struct streams *all, const struct plan_contract *k)
{
	return all->cascade->tensor.v[all->cascade->equation.v[k->equation].tensor].name;
}

static void print_contract(const struct streams *all, const struct plan_contract *p, const char *walked, bool across,
                           const struct contract_schedule *k, struct text *t)
{
	text_printf(t, "  contract %s rows %s:%d lanes %s:%d", contract_name(all, p),
	            index_name(all, across ? p->lanes : p->rows), k->rows, index_name(all, across ? p->rows : p->lanes),
	            k->lanes);
	if (k->operand != OPERAND_COMPUTE)
		text_printf(t, " as %s", operand_type_name[k->operand]);
	if (k->pack)
		text_add(t, " pack");
	if (k->twine)
		text_add(t, " twine");
	if (k->step)
		text_printf(t, " by %s:%d", walked, k->step);
	if (k->step && k->stages)
		text_printf(t, " stages %d", k->stages);
	text_char(t, '\n');
}

static void print_stream(const struct streams *all, const struct stream_plan *p,
                         const struct stream_schedule *d, struct text *t)
{
	text_printf(t, "stream %s for", index_name(all, p->walked));
	for (int i = 0; i < p->ntasks; i++)
		text_printf(t, " %s", index_name(all, p->task[i]));
	text_add(t, "\n");
	if (p->rows != NO_INDEX)
		text_printf(t, "  rows %s:%lld%s\n", index_name(all, p->rows), (long long)d->row_tile,
		            d->heavy_first ? " heavy first" : "");
	if (p->walked != NO_INDEX)
		text_printf(t, "  tile %s:%lld %s", index_name(all, p->walked), (long long)d->stream_tile,
		            d->down ? "down" : "up");
	if (p->walked != NO_INDEX && d->stages)
		text_printf(t, " stages %d", d->stages);
	if (p->walked != NO_INDEX)
		text_char(t, '\n');
	if (p->wide != NO_INDEX && d->wide_tile)
		text_printf(t, "  wide %s:%lld\n", index_name(all, p->wide), (long long)d->wide_tile);
	if (d->split > 1)
		text_printf(t, "  split %s:%lld\n", index_name(all, p->walked), (long long)d->split);
	text_printf(t, "  sparsity %s", sparsity_name[d->sparsity]);
	if (d->granule)
		text_printf(t, ":%lld", (long long)d->granule);
	if (d->granule_rows)
		text_printf(t, " by %s:%lld", index_name(all, p->rows), (long long)d->granule_rows);
	text_char(t, '\n');
	for (int k = 0; k < p->ncontracts; k++)
		print_contract(all, &p->contract[k], index_name(all, p->walked), d->across, &d->contract[k], t);
}

void schedule_print(const struct problem *p, const struct schedule *s, struct text *t)
{
	text_printf(t, "isa %s\ncompute %s\nexp poly%d\nfuse %s\n", isa_info[s->isa].name,
	            dtype_info[s->compute].spelling, s->exp_degree, form_name[s->form]);
	for (int i = 0; i < s->nstreams; i++)
		print_stream(problem_streams(p, s->form), schedule_plan(p, s, i), &s->stream[i], t);
}

/* Words of the current line, with their places in the source. */
enum { MAX_WORDS = 24 };
struct reader {
	const char *source;
	size_t size, at;
	struct diags *diags;
	struct span word[MAX_WORDS];
	int words;
	bool given[MAX_CONTRACTS]; /* contractions of the stream that the text has lines of */
	int lines; /* … how many */
};

static bool next_line(struct reader *r)
{
	while (r->at < r->size) {
		r->words = 0;
		while (r->at < r->size && r->source[r->at] != '\n') {
			char c = r->source[r->at];
			if (c == '#') {
				while (r->at < r->size && r->source[r->at] != '\n')
					r->at++;
				break;
			}
			if (strchr(" \t\r", c)) {
				r->at++;
				continue;
			}
			size_t begin = r->at;
			while (r->at < r->size && !strchr(" \t\r\n#", r->source[r->at]))
				r->at++;
			if (r->words < MAX_WORDS)
				r->word[r->words++] = (struct span){(uint32_t)begin, (uint32_t)r->at};
		}
		r->at++;
		if (r->words)
			return true;
	}
	return false;
}

static bool is(const struct reader *r, int i, const char *what)
{
	size_t n = strlen(what);
	return i < r->words && r->word[i].end - r->word[i].begin == n &&
	       !memcmp(r->source + r->word[i].begin, what, n);
}

static struct span place(const struct reader *r, int i)
{
	return i < r->words ? r->word[i] : r->words > 0 ? r->word[r->words - 1] : (struct span){0};
}

static bool expect(struct reader *r, int i, const char *what)
{
	return is(r, i, what) || diag_error(r->diags, place(r, i), "expected '%s' here", what);
}

/* NAME:NUMBER, with the name given. */
static bool read_size(struct reader *r, int i, const char *name, int64_t most, int64_t *out)
{
	size_t n = strlen(name);
	if (i < r->words) {
		const char *s = r->source + r->word[i].begin;
		size_t len = r->word[i].end - r->word[i].begin;
		char digits[24];
		if (len > n + 1 && len - n <= sizeof digits && !memcmp(s, name, n) && s[n] == ':') {
			memcpy(digits, s + n + 1, len - n - 1);
			digits[len - n - 1] = 0;
			char *end;
			long long v = strtoll(digits, &end, 10);
			if (!*end && v >= 1 && v <= most) {
				*out = v;
				return true;
			}
		}
	}
	return diag_error(r->diags, place(r, i), "expected '%s:' and a number from 1 to %lld here", name,
	                  (long long)most);
}

static bool read_globals(struct reader *r, const struct problem *problem, struct schedule *s)
{
	if (is(r, 0, "isa")) {
		for (int i = 0; i < ISAS; i++)
			if (is(r, 1, isa_info[i].name)) {
				s->isa = (enum isa)i;
				return true;
			}
		struct text known;
		text_init(&known, r->diags->arena);
		for (int i = 0; i < ISAS; i++)
			text_printf(&known, " %s", isa_info[i].name);
		return diag_error(r->diags, place(r, 1), "unknown instruction set; known:%s", known.s);
	}
	if (is(r, 0, "compute")) {
		s->compute = is(r, 1, "f64") ? DTYPE_F64 : DTYPE_F32;
		return is(r, 1, "f64") || is(r, 1, "f32") ||
		       diag_error(r->diags, place(r, 1), "compute is f32 or f64");
	}
	if (is(r, 0, "exp")) {
		for (int d = 3; d <= 6; d++) {
			char name[16];
			snprintf(name, sizeof name, "poly%d", d);
			if (is(r, 1, name)) {
				s->exp_degree = d;
				return true;
			}
		}
		return diag_error(r->diags, place(r, 1), "exp is poly3, poly4, poly5 or poly6");
	}
	if (is(r, 0, "fuse")) {
		for (int f = 0; f < FORMS; f++)
			if (is(r, 1, form_name[f]) && problem_streams(problem, (enum form)f)) {
				s->form = (enum form)f;
				return true;
			}
		return diag_error(r->diags, place(r, 1), "fuse is all or none%s%s", problem->members ? ", or members" : "",
		                  problem->rows ? ", or rows" : "");
	}
	return diag_error(r->diags, place(r, 0), "expected isa, compute, exp, fuse or stream here");
}

static bool read_stages(struct reader *r, int i, uint8_t *stages)
{
	const char *s = i < r->words ? r->source + r->word[i].begin : "";
	if (i >= r->words || r->word[i].end - r->word[i].begin != 1 || *s < '0' || *s > '0' + MAX_STAGES)
		return diag_error(r->diags, place(r, i), "stages are 0 to %d", MAX_STAGES);
	*stages = (uint8_t)(*s - '0');
	return true;
}

static bool read_tile(struct reader *r, const char *walked, struct stream_schedule *d)
{
	d->down = is(r, 2, "down");
	d->stages = 0;
	if (!read_size(r, 1, walked, EXTENT_LIMIT, &d->stream_tile) || (!d->down && !expect(r, 2, "up")))
		return false;
	if (r->words <= 3)
		return true;
	return expect(r, 3, "stages") && r->words <= 5 && read_stages(r, 4, &d->stages);
}

static bool read_sparsity(struct reader *r, const char *rows, struct stream_schedule *d)
{
	d->granule = d->granule_rows = 0;
	for (int i = 0; i < SPARSITIES; i++) {
		size_t n = strlen(sparsity_name[i]);
		const char *s = r->words > 1 ? r->source + r->word[1].begin : "";
		size_t len = r->words > 1 ? r->word[1].end - r->word[1].begin : 0;
		d->sparsity = (enum sparsity)i;
		if (is(r, 1, sparsity_name[i]))
			return true;
		if (len > n && !memcmp(s, sparsity_name[i], n) && s[n] == ':')
			return read_size(r, 1, sparsity_name[i], EXTENT_LIMIT, &d->granule) &&
			       (r->words <= 2 || (expect(r, 2, "by") && read_size(r, 3, rows, EXTENT_LIMIT, &d->granule_rows)));
	}
	return diag_error(r->diags, place(r, 1), "sparsity is bounds, test, list or mask, a granule after a colon");
}

static bool read_operand(struct reader *r, int i, enum operand_type *out)
{
	for (int k = 0; k < OPERANDS; k++)
		if (is(r, i, operand_type_name[k])) {
			*out = (enum operand_type)k;
			return true;
		}
	return diag_error(r->diags, place(r, i), "operands are multiplied as compute, bf16, f16, tf32 or i8");
}

/* Is word i NAME:…? */
static bool is_size_of(const struct reader *r, int i, const char *name)
{
	size_t n = strlen(name);
	return i < r->words && r->word[i].end - r->word[i].begin > n && !memcmp(r->source + r->word[i].begin, name, n) &&
	       r->source[r->word[i].begin + n] == ':';
}

static bool read_contract(struct reader *r, const struct streams *all, const struct plan_contract *p, const char *walked,
                          struct stream_schedule *d, struct contract_schedule *k)
{
	int64_t rows, lanes;
	if (!expect(r, 2, "rows"))
		return false;
	bool across = is_size_of(r, 3, index_name(all, p->lanes));
	if (r->lines++ && across != d->across)
		return diag_error(r->diags, place(r, 3), "contractions of a stream agree on which of their indices is in the lanes");
	d->across = across;
	if (!read_size(r, 3, index_name(all, across ? p->lanes : p->rows), 64, &rows) || !expect(r, 4, "lanes") ||
	    !read_size(r, 5, index_name(all, across ? p->rows : p->lanes), UINT8_MAX, &lanes))
		return false;
	*k = (struct contract_schedule){.rows = (uint8_t)rows, .lanes = (uint8_t)lanes};
	int next = 6;
	if (is(r, next, "as")) {
		if (!read_operand(r, next + 1, &k->operand))
			return false;
		next += 2;
	}
	k->pack = is(r, next, "pack");
	next += k->pack;
	k->twine = is(r, next, "twine");
	next += k->twine;
	if (is(r, next, "by")) {
		int64_t step;
		if (!read_size(r, next + 1, walked, UINT16_MAX, &step))
			return false;
		k->step = (uint16_t)step;
		next += 2;
		if (is(r, next, "stages")) {
			if (!read_stages(r, next + 1, &k->stages))
				return false;
			next += 2;
		}
	}
	return r->words <= next || expect(r, next, k->step || k->pack || k->twine ? "the end of the line" : "pack");
}

/* The plan whose rows have the name in word 1, or the usual one. */
static const struct stream_plan *rows_named(const struct reader *r, const struct streams *all,
                                            const struct stream_plan *usual)
{
	if (!usual->grouped)
		return usual;
	const char *name = index_name(all, usual->grouped->rows), *word = r->source + place(r, 1).begin;
	size_t n = strlen(name), length = place(r, 1).end - place(r, 1).begin;
	return length > n && !memcmp(word, name, n) && word[n] == ':' ? usual->grouped : usual;
}

static bool read_stream_line(struct reader *r, const struct streams *all, const struct stream_plan *usual,
                             struct stream_schedule *d)
{
	const struct stream_plan *p = d->grouped && usual->grouped ? usual->grouped : usual;
	if (is(r, 0, "rows") && p->rows != NO_INDEX) {
		p = rows_named(r, all, usual);
		d->grouped = p != usual;
		d->heavy_first = r->words > 2;
		return read_size(r, 1, index_name(all, p->rows), EXTENT_LIMIT, &d->row_tile) &&
		       (r->words <= 2 || (expect(r, 2, "heavy") && expect(r, 3, "first")));
	}
	if (is(r, 0, "tile") && p->walked != NO_INDEX)
		return read_tile(r, index_name(all, p->walked), d);
	if (is(r, 0, "wide") && p->wide != NO_INDEX)
		return read_size(r, 1, index_name(all, p->wide), EXTENT_LIMIT, &d->wide_tile);
	if (is(r, 0, "split") && p->walked != NO_INDEX)
		return read_size(r, 1, index_name(all, p->walked), EXTENT_LIMIT, &d->split);
	if (is(r, 0, "sparsity"))
		return read_sparsity(r, index_name(all, p->rows), d);
	if (is(r, 0, "contract")) {
		for (int k = 0; k < p->ncontracts; k++)
			if (is(r, 1, contract_name(all, &p->contract[k])))
				return r->given[k] = true,
				       read_contract(r, all, &p->contract[k], index_name(all, p->walked), d, &d->contract[k]);
		return diag_error(r->diags, place(r, 1), "this stream has no such contraction");
	}
	return diag_error(r->diags, place(r, 0),
	                  "expected rows, tile, wide, split, sparsity, contract or the next stream here");
}

/* The globals are known: the streams start from that form's defaults. */
static void start_streams(const struct problem *problem, struct schedule *s)
{
	struct schedule form = schedule_of_form(problem, s->isa, s->form);
	form.isa = s->isa;
	form.exp_degree = s->exp_degree;
	form.compute = s->compute;
	*s = form;
}

/* On a device the lanes of contractions that the text says nothing of follow from its tiles. */
static void end_stream(const struct reader *r, const struct problem *problem, struct schedule *s, int stream)
{
	struct schedule all = *s;
	if (!isa_is_device(s->isa))
		return;
	schedule_device_lanes(problem, &all, stream);
	for (int k = 0; k < s->stream[stream].ncontracts; k++)
		if (!r->given[k])
			s->stream[stream].contract[k].lanes = all.stream[stream].contract[k].lanes;
}

bool schedule_parse(const struct problem *problem, const char *source, size_t size, struct schedule *s,
                    struct diags *diags)
{
	struct reader r = {.source = source, .size = size, .diags = diags};
	uint32_t errors = diags->errors;
	*s = schedule_default(problem, problem->machine->isa);
	int stream = -1;
	while (next_line(&r)) {
		if (is(&r, 0, "stream")) {
			if (stream < 0)
				start_streams(problem, s);
			else
				end_stream(&r, problem, s, stream);
			if (++stream >= s->nstreams) {
				diag_error(diags, place(&r, 0), "this cascade has %d streams only",
				           s->nstreams);
				break;
			}
			s->stream[stream].split = s->stream[stream].wide_tile = 0; /* no line means none */
			memset(r.given, 0, sizeof r.given);
			r.lines = 0;
			const struct streams *all = problem_streams(problem, s->form);
			const struct stream_plan *p = &problem_plan(problem, s->form)[stream];
			if (!is(&r, 1, index_name(all, p->walked)))
				diag_error(diags, place(&r, 1), "stream %d of this cascade walks '%s'",
				           stream + 1, index_name(all, p->walked));
		} else if (stream < 0) {
			read_globals(&r, problem, s);
		} else {
			read_stream_line(&r, problem_streams(problem, s->form),
			                 &problem_plan(problem, s->form)[stream], &s->stream[stream]);
		}
	}
	if (stream < 0)
		start_streams(problem, s);
	else if (stream < s->nstreams)
		end_stream(&r, problem, s, stream);
	if (stream >= 0 && stream + 1 < s->nstreams)
		diag_error(diags, (struct span){0}, "the cascade has %d streams, the schedule ends after %d",
		           s->nstreams, stream + 1);
	return diags->errors == errors;
}
