/* schedule.h: how a cascade's streams run on a machine, as a value.
 *
 * A schedule is one kernel record a stream, plus what is global. It prints as lines a person can read, pin
 * and edit, and parses back. Legality is a result with a reason, not an error. The search walks a `space`:
 * named dimensions with a few choices each; a point is one choice a dimension.
 */
#ifndef ATTUNE_CODEGEN_SCHEDULE_H
#define ATTUNE_CODEGEN_SCHEDULE_H

#include "base/diag.h"
#include "codegen/kernel.h"
#include "codegen/machine.h"
#include "codegen/plan.h"
#include "codegen/stream.h"
#include "codegen/tile.h"

/* How what a predicate leaves out is skipped. Whatever it is, the walk is bounded where the predicate has bounds in
 * closed form (but of MASK), and tiles that it leaves whole run without it. */
enum sparsity {
	SPARSITY_BOUNDS, /* by those bounds */
	SPARSITY_TEST,   /* also each granule by a test whether it is empty */
	SPARSITY_LIST,   /* by lists of what is not empty, built once a call by phases of their own for each tile of
	                    rows and whatever else the predicate depends on */
	SPARSITY_MASK,   /* not at all: the predicate is evaluated everywhere */
	SPARSITIES
};
extern const char *const sparsity_name[SPARSITIES];

struct contract_schedule {
	uint8_t rows, lanes; /* register block: rows by vectors. On a device: the rows of a warp, a multiple of
	                        16 and the same in every contraction of a stream, and all lanes of the tile */
	bool pack;           /* operand b is packed into panels by a phase of its own; never on a device */
	uint16_t step;  /* coordinates of the walked index contracted at a time, so that operand b is read row by row; 0: a
	                   tile's. On a host, where b is read where it stands; it divides tiles */
	uint8_t stages; /* of these steps: tile.h, FOR */
	bool twine;     /* the operand that the tile computes is made between the multiply-adds, ahead of them. On a host */
	enum operand_type operand; /* as what it multiplies; on a host OPERAND_COMPUTE or, with `pack`, BF16 or I8, or BF16
	                              where b is read where it stands, in any type that this holds */
};

struct stream_schedule {
	int64_t row_tile;    /* coordinates of the tiled row index a task covers; a multiple of the register
	                        blocks' rows, or lanes: schedule_block */
	int64_t stream_tile; /* coordinates of the walked index a tile covers; a multiple of the panels */
	int64_t wide_tile;   /* coordinates of the plan's wide index a task covers; 0: all, as ever on a host */
	bool grouped;        /* by the stream's plan by groups, plan.h: rows are the index that has them */
	bool heavy_first;    /* tasks of the tiled row index last to first */
	bool down;           /* streamed tiles last to first */
	bool across; /* contractions have the tiled row index in their lanes, and in rows what is in lanes otherwise: then
	                operand a is the plan's b, where it stands or loaded, b the plan's a, and nothing is packed. Their
	                register blocks are rows of that by vectors of the row index. On a host */
	enum sparsity sparsity;
	int64_t granule; /* TEST, LIST: coordinates of the walked index that are told apart; 0: a tile. Of LIST, never */
	int64_t granule_rows; /* LIST, `across` only: rows that are told apart where a granule is partial, so that only those
	                         which see some of it walk it; whole vectors, a part of a register block. 0: a task's */
	int64_t split; /* parts of the streamed index that are tasks of their own, joined by a phase after; 0
	                  or 1: none */
	uint8_t stages; /* of the ring that holds streamed tiles; on a host, `across` only: operands are asked for so many less one
	                   tiles ahead. See tile.h, FOR */
	int ncontracts; /* in the order the stream has them */
	struct contract_schedule contract[MAX_CONTRACTS];
};

/* What of the cascade runs. The last two are there where reductions range over a set that a bool tensor gives
 * (derive_members.c): they walk the members only. */
enum form {
	FORM_NAIVE,   /* every equation a stream of its own, materialised */
	FORM_FUSED,   /* the streams as derived */
	FORM_MEMBERS, /* … with the walked coordinates read from lists, a list for each coordinate of the set */
	FORM_ROWS,    /* … with the rows that chose a block gathered, and their parts joined after */
	FORMS
};
extern const char *const form_name[FORMS]; /* "none", "all", "members", "rows" */

enum { MAX_STREAMS = 32 };
struct schedule {
	enum isa isa;
	enum form form;
	int exp_degree; /* of the polynomial for exp, 3 to 6 */
	enum dtype compute;
	int nstreams;
	struct stream_schedule stream[MAX_STREAMS];
};

/* What a schedule is for: the forms of a cascade whose ranks are bound, and how each maps on tiles. */
struct problem {
	struct streams *fused, *unfused, *members, *rows; /* the last two NULL where there is no such form */
	struct stream_plan *fused_plan, *unfused_plan, *members_plan, *rows_plan; /* one a stream */
	enum form usual;        /* by the sizes, see struct list_form */
	const char *why[FORMS]; /* words on the last two */
	const struct machine *machine;
};
/* Derives all of it; `cascade` and `machine` are kept. NULL, with diagnostics, when a rank is not bound or
 * a limit is passed. */
struct problem *problem_new(struct arena *, const struct cascade *, const struct machine *, struct diags *);

const struct streams *problem_streams(const struct problem *, enum form);
const struct stream_plan *problem_plan(const struct problem *, enum form);
/* The plan that a schedule of the problem has of a stream. */
const struct stream_plan *schedule_plan(const struct problem *, const struct schedule *, int stream);

/* The form of the default. A device sorts few pairs only, and loads what is listed: there it is the fused one. */
enum form problem_usual(const struct problem *, enum isa);
/* The default of one form that the problem has. */
struct schedule schedule_of_form(const struct problem *, enum isa, enum form);
/* What an untuned kernel runs: tiles from the machine model. */
struct schedule schedule_default(const struct problem *, enum isa);
/* Of a host's default, one stream as it is before it may have its rows in the lanes; the schedule gives ISA, form, type of
 * computation and grouping. */
struct stream_schedule schedule_in_rows(const struct problem *, const struct schedule *, int stream);
/* Are a stream's usual rows so few that it is worth more to share what they are multiplied with among a group? */
bool schedule_wants_group(const struct problem *, const struct schedule *, int stream);
/* The unfused form, every equation materialised: what a cascade costs without the algebra. */
struct schedule schedule_naive(const struct problem *, enum isa);
void schedule_print(const struct problem *, const struct schedule *, struct text *);
bool schedule_parse(const struct problem *, const char *source, size_t size, struct schedule *,
                    struct diags *);
/* NULL when legal, else why not, in `arena`. */
const char *schedule_illegal(struct arena *, const struct problem *, const struct schedule *);

/* Tasks of a stream whose tasks have so many coordinates of the wide index, 0: all, and `row_tile` rows each. None where
 * something is empty. */
double schedule_tasks(const struct streams *, const struct stream_plan *, int64_t wide_tile, int64_t row_tile);

/* Parts of a stream's walk, in schedule_split.c: why a stream's split is not legal; the split that fills the machine
 * (0: none); what a search tries, first 1, or nothing where splitting cannot help. */
const char *split_illegal(struct arena *, const struct problem *, const struct schedule *, int stream);
int64_t split_default(const struct problem *, const struct schedule *, int stream);
int split_choices(const struct problem *, enum isa, int stream, int64_t *choice, int most);

/* How a stream skips, in schedule_sparse.c: sets it, and what tiles then want, in a stream's default on a host whose
 * other sizes are known; why it is not legal. */
void sparsity_default(const struct problem *, const struct schedule *, int stream, struct stream_schedule *);
const char *sparsity_illegal(struct arena *, const struct problem *, const struct schedule *, int stream);
/* Are the rows of register blocks best small, because tiles are cut finely? */
bool sparsity_is_fine(const struct stream_plan *);
enum { BLOCKS_APART = 8 }; /* of a task's rows that lists tell apart, at most */

/* May a contraction's operand b be read where it stands? On a host its elements may be narrower than those of
 * computation, and what of b does not mention the reduced index comes after the sum; it stands row by row, or turned, and
 * is multiplied along its rows. */
bool schedule_direct(const struct streams *, const struct plan_contract *, const struct schedule *,
                     const struct contract_schedule *);
/* Steps of contractions become what the stream's tile and operands allow. */
void schedule_settle_steps(const struct problem *, const struct schedule *, int stream, struct stream_schedule *);
/* As what the contractions multiply that have the highest rate of all. */
enum operand_type schedule_operand(const struct schedule *);
/* How often each element of a READ of operand b is used in a run. */
int64_t schedule_uses(const struct streams *, const struct plan_contract *, struct expr read);
/* Rows in the lanes, in schedule_across.c: why a stream's contractions cannot have them there, or NULL; sets it, where it
 * is faster, in a stream's default on a host whose other sizes are known. */
const char *schedule_across_illegal(struct arena *, const struct problem *, const struct schedule *, int stream);
/* The rule, in words: what rows in the lanes gain, or, where !*gains, why they gain too little. `d`: schedule_in_rows. */
const char *schedule_across_why(struct arena *, const struct problem *, const struct schedule *, int stream,
                                const struct stream_schedule *d, bool *gains);
void schedule_across_default(const struct problem *, const struct schedule *, int stream, struct stream_schedule *);
/* Coordinates of the tiled row index in a stream's register blocks. */
int64_t schedule_block(const struct stream_schedule *, enum isa);
/* What a tile of the walked index is a multiple of: where every panel of every contraction along it begins, or every
 * register block where it is in rows. */
int64_t schedule_panel(const struct stream_plan *, const struct stream_schedule *, enum isa);

/* ---- schedule_twine.c: operands made between the multiply-adds that use them ---- */

/* Why the operand of a stream's k-th contraction cannot be, or NULL; sets it, and the tile that is then the
 * best, in a stream's default on a host whose other sizes are known. */
const char *schedule_twine_illegal(struct arena *, const struct problem *, const struct schedule *, int stream, int k);
void schedule_twine_default(const struct problem *, const struct schedule *, int stream, struct stream_schedule *);

/* ---- schedule_operand.c: as what contractions multiply ---- */

/* The type operands have by themselves, whatever multiplies them: narrow where operand b takes elements of tensors of
 * that type and no rounding harms that would not be there in a careful implementation. */
enum operand_type operand_default(const struct streams *, const struct stream *, const struct plan_contract *);
/* Why it is that of computation, where it is, in words. */
const char *operand_compute_why(struct arena *, const struct streams *, const struct stream *, const struct plan_contract *);
/* Why operands cannot be of a type, or NULL. */
const char *operand_illegal(struct arena *, const struct cascade *, const struct plan_contract *, enum operand_type,
                            const char *name);
/* Of a host: what its instructions multiply, and operands are by themselves, where operand b is packed. */
enum operand_type operand_of_host(const struct streams *, const struct stream *, const struct plan_contract *, enum isa);

/* ---- schedule_device.c: the same of a device ---- */

enum { DEVICE_WARP_ROWS = 16 }; /* or twice that: of a task's rows, a warp has so many */

struct stream_schedule schedule_device_default(const struct problem *, const struct schedule *, int stream);
const char *schedule_device_illegal(struct arena *, const struct problem *, const struct schedule *, int stream);
/* What a tile of the walked index is a multiple of: a tensor core's steps along it. */
int64_t schedule_device_panel(const struct stream_schedule *);
/* May tasks share out a stream's wide index? */
bool schedule_device_shares_wide(const struct problem *, enum form, int stream);
/* Sets the lanes of contractions to what the tiles make them. */
void schedule_device_lanes(const struct problem *, struct schedule *, int stream);
/* What a stream's kernel will about need; the compile log and kernel_phase tell what it does. */
struct device_need {
	int threads;    /* of a block */
	int registers;  /* of a thread */
	int64_t shared; /* bytes a block */
};
struct device_need schedule_device_need(const struct problem *, const struct schedule *, int stream);
struct device_need device_need_of(const struct streams *, const struct stream_plan *, const struct schedule *,
                                  const struct stream_schedule *);
/* The most coordinates of an index that a task has at a time; of rows, in whole warps. */
int64_t device_range(const struct streams *, const struct stream_plan *, const struct stream_schedule *,
                     uint32_t index);
/* What a block may have of the problem's machine: where that does not say, what every device of the family has. */
int64_t schedule_device_shared(const struct problem *);
int schedule_device_registers(int threads);

/* rows × lanes accumulators, a row of operand b and one of a within the machine's vector registers: the
 * predicate that separated fast from spilled blocks. */
bool registers_fit(enum isa, int rows, int lanes);
/* … with those that making an operand takes; `across`: of rows in the lanes. */
bool registers_fit_twined(enum isa, int rows, int lanes, bool across);

enum { MAX_DIMENSIONS = 64, MAX_CHOICES = 24 };
enum field {
	FIELD_FUSE,
	FIELD_EXP,
	FIELD_GROUPED,    /* by the plan by groups or by the usual one */
	FIELD_ROW_BLOCKS, /* row_tile ÷ rows of the first register block */
	FIELD_STREAM_TILE,
	FIELD_HEAVY_FIRST,
	FIELD_DOWN,
	FIELD_SPARSITY, /* enum sparsity */
	FIELD_GRANULE,
	FIELD_GRANULE_ROWS, /* vectors of rows */
	FIELD_BLOCK, /* register block: 16 · rows + lanes */
	FIELD_PACK,
	FIELD_OPERAND, /* enum operand_type; a narrow one is packed whatever FIELD_PACK says */
	FIELD_SPLIT,
	FIELD_ACROSS,
	FIELD_STEP, /* 16 · step + stages */
	FIELD_TWINE,
	/* on a device, where FIELD_ROW_BLOCKS is the number of warps */
	FIELD_WARP_ROWS,
	FIELD_STAGES,
	FIELD_WIDE_TILE,
};
struct dimension {
	const char *name; /* "tile m", "block S" */
	enum field field;
	int stream, contract;
	int choices;
	int64_t value[MAX_CHOICES];
};
struct space {
	const struct problem *problem;
	enum isa isa;
	int dimensions;
	struct dimension dimension[MAX_DIMENSIONS];
};
struct point {
	uint8_t choice[MAX_DIMENSIONS];
};
void space_init(struct arena *, struct space *, const struct problem *, enum isa);
struct schedule space_schedule(const struct space *, const struct point *);
/* The dimensions of a stream on a device, and what they make of each other's choices: space_device.c. */
void space_device_stream(struct arena *, struct space *, int stream);
void space_device_settle(const struct space *, struct schedule *, int stream, int64_t warps, int64_t tile);
/* For them: a dimension, NULL when there is no room for it, and one more choice of it. */
struct dimension *space_add(struct space *, enum field, int stream, int contract, const char *name);
void space_choice(struct dimension *, int64_t value);
/* The point nearest to a schedule (the default, a winner of another shape). */
struct point space_nearest(const struct space *, const struct schedule *);

/* Cascade × schedule. The schedule must be legal. Lives in `arena`. */
struct tile_program *tile_build(struct arena *, const struct problem *, const struct schedule *);

/* Tile program to text for the machine it was scheduled for: emit_c or emit_cuda. */
struct kernel_source emit_kernel(struct arena *, const struct tile_program *, enum isa, int exp_degree);
/* Tile program to C. */
struct kernel_source emit_c(struct arena *, const struct tile_program *, enum isa, int exp_degree);

/* Tile program to a kernel a phase in the common part of C17 and CUDA C++, over the primitives of
 * codegen/primitives.h; codegen/kernel.h has the ABI. */
struct kernel_source emit_cuda(struct arena *, const struct tile_program *);
/* … with every value in shared memory: what is otherwise done only where no fragment can do it. */
struct kernel_source emit_cuda_plain(struct arena *, const struct tile_program *);

/* SHA-256 over the sources of everything that turns a cascade into C: part of every cache key. */
const char *codegen_digest(void);

#endif
