/* explain_choices.h: why a kernel of a processor has the rows, lanes and types of operands it has, for a person: by the
 * rules that make the default. What a search or a person chose otherwise is told as such. */
#ifndef ATTUNE_CODEGEN_EXPLAIN_CHOICES_H
#define ATTUNE_CODEGEN_EXPLAIN_CHOICES_H

#include <cjson/cJSON.h>

#include "codegen/schedule.h"

struct choice_told {
	int stream;
	const char *what;   /* "rows", "lanes", "operands S" */
	const char *chosen; /* "h:4", "m", "bf16" */
	const char *why;
};

struct choices_told {
	const char *origin; /* of the schedule: "default" */
	VEC(struct choice_told) choice;
};

/* Of a device's schedule: none. */
struct choices_told explain_choices(struct arena *, const struct problem *, const struct schedule *, const char *origin);
void choices_text(const struct choices_told *, struct text *);
/* Into an array. */
void choices_json(const struct choices_told *, cJSON *);

#endif
