/* explain_tiles.h: what the predicates of a cascade come to in its kernels, for a person: where the walk of a
 * stream goes, what is asked of a tile, and what of the work is left out against what could be.
 */
#ifndef ATTUNE_CODEGEN_EXPLAIN_TILES_H
#define ATTUNE_CODEGEN_EXPLAIN_TILES_H

#include <cjson/cJSON.h>

#include "codegen/tile_map.h"

/* A condition of the predicate that says nothing of where the walk goes. */
struct unbounded {
	const char *term, *why;
};

struct tiles_stream {
	uint32_t stream;
	const char *walked, *row; /* names; row may be NULL */
	const char *present;      /* the predicate; NULL: everything is present, and what follows is empty */
	/* First and last row of a tile are spelled n0 and n1. */
	const char *low, *high; /* where the walk goes, high past it */
	int64_t begun_at;       /* the walk begins at a multiple of this; 0: where low says */
	VEC(struct unbounded) unbounded;
	const char *plain;         /* when a tile runs without predicates; "" always, NULL never */
	VEC(const char *) tested;  /* what must hold for a tile to be looked at */
	VEC(const char *) summary; /* what these are made of */
	VEC(const char *) prepass; /* what earlier phases compute for them */
	const char *selects; /* of a stream that chooses: what, of how many, what that saves; else NULL */
	const struct stream_schedule *sizes;
	struct tile_map *map;
	const char *no_map; /* why there is none */
};

struct tiles_explained {
	const struct streams *streams;
	const char *origin;   /* of the schedule: "default"; NULL: there is no schedule, so no tiles, only
	                         predicates */
	const char *form;     /* of the streams where it is not the one derived first: "members"; else NULL */
	const char *no_tiles; /* why there is no schedule although extents are known; or NULL */
	const char *forms;    /* what each form comes to, where a set can be walked by lists; or NULL */
	const char *data;     /* of the maps: "generated: doc; given: len"; NULL: none is looked at */
	VEC(struct tiles_stream) stream; /* those that have a predicate or choose */
};

/* Predicates and bounds only. */
struct tiles_explained explain_predicates(struct arena *, const struct streams *);
/* … and what a schedule's program makes of them; map is filled in where the data of what tile_map_needs names
 * is there: data[t].data of tensor t of the streams' cascade. `options` NULL: no maps. */
struct tiles_explained explain_tiles(struct arena *, const struct problem *, const struct schedule *,
                                     const struct tile_program *, struct oracle_tensor *data,
                                     const struct tile_map_options *options);

/* "h 0-3, 6, every b" */
void map_label(const struct tile_map *, const struct map_head *, const struct cascade *, struct text *);
/* Work done by the work there is; 1 where both are nothing. */
double map_ratio(const struct map_cell *);

enum map_look { LOOK_EMPTY, LOOK_VAIN, LOOK_PARTIAL, LOOK_FULL, LOOK_WRONG, LOOKS };
/* How a cell is drawn: not visited; visited where nothing is present; visited with the predicate; without;
 * unsound. */
enum map_look map_look(const struct map_cell *);

enum map_drawing { MAPS_SMALL, MAPS_ALL }; /* in a text: those that take few lines, or all of them */
void tiles_text(const struct tiles_explained *, enum map_drawing, bool utf8, struct text *);
/* Into an object. */
void tiles_json(const struct tiles_explained *, cJSON *);
/* The maps as a picture of their own, for light and dark grounds, without script. */
void tiles_svg(const struct tiles_explained *, const char *kernel, struct text *);

#endif
