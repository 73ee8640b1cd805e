/* switches.h: one row an option. SWITCH(letter or 0, long name, argument, kind, member, commands, help) */
/* clang-format off */
#define FOR(name) (1u << COMMAND_##name)
#define PROGRAMS  (FOR(EXPLAIN) | FOR(EMIT) | FOR(RUN) | FOR(TUNE) | FOR(BENCH) | FOR(BUILD))
#define COMPILES  (FOR(EMIT) | FOR(RUN) | FOR(TUNE) | FOR(BENCH) | FOR(BUILD))
SWITCH('r', "rank",     "RANK=N",      BINDINGS, rank,        PROGRAMS, "the extent of a rank; repeatable, and more may follow: -r N=64 M=128")
SWITCH('p', "param",    "PARAM=X",     BINDINGS, param,       PROGRAMS | FOR(CHECK), "override a param's default; repeatable")
SWITCH(0,   "as",       "NAMES=TYPE",  TYPES,    as,          PROGRAMS | FOR(CHECK), "declare inputs and outputs of another type: --as Q,K,V,O=bf16; repeatable")
SWITCH('i', "input",    "TENSOR=FILE", PAIRS,    input,       FOR(RUN), "read an input from a .npy file; repeatable")
SWITCH('o', "output",   "OUT",         WORDS,    output,      FOR(RUN) | FOR(BUILD), "run: TENSOR=FILE, write an output to a .npy file, repeatable; build: the folder")
SWITCH('t', "type",     "TENSOR=TYPE", PAIRS,    type,        FOR(RUN), "what an input file holds, or an output file is to hold; repeatable")
SWITCH(0,   "oracle",   NULL,          FLAG,     oracle,      FOR(RUN), "use the float64 interpreter")
SWITCH(0,   "compare",  NULL,          FLAG,     compare,     FOR(RUN), "check the kernel's outputs against the interpreter's")
SWITCH(0,   "schedule", "FILE",        TEXT,     schedule,    FOR(EMIT) | FOR(RUN) | FOR(BUILD), "use the schedule in FILE, as 'attune emit --stage schedule' prints it")
SWITCH(0,   "stage",    "STAGE",       TEXT,     stage,       FOR(EMIT), "cascade, streams, schedule, tile or c")
SWITCH(0,   "budget",   "TIME",        SECONDS,  budget,      FOR(TUNE), "how long to search: 60s, 500ms, 5m, 1h; default 60s")
SWITCH(0,   "evaluations", "N",        COUNT,    evaluations, FOR(TUNE) | FOR(REPLAY), "how many candidates to measure at most; default no limit, 128 in a replay")
SWITCH(0,   "seed",     "N",           SEED,     seed,        FOR(TUNE) | FOR(REPLAY), "of the search; default 1")
SWITCH(0,   "strategy", "NAME",        TEXT,     strategy,    FOR(TUNE) | FOR(REPLAY), "genetic, random or exhaustive; default genetic")
SWITCH(0,   "record",   "FILE",        TEXT,     record,      FOR(TUNE), "write every candidate and its time, for 'attune replay'")
SWITCH(0,   "rounds",   "N",           COUNT,    rounds,      FOR(BENCH), "interleaved rounds; default 11")
SWITCH(0,   "name",     "NAME",        TEXT,     name,        FOR(BUILD), "of files and function; default the kernel's name")
SWITCH(0,   "threads",  "N",           COUNT,    threads,     COMPILES, "threads a kernel may use; default all usable cores")
SWITCH(0,   "isa",      "ISA",         TEXT,     isa,         COMPILES, "avx512, avx2 or scalar; default the best of this machine")
SWITCH(0,   "target",   "TARGET",      TEXT,     target,      COMPILES | FOR(EXPLAIN), "clang, tcc, cuda or cuda-emulated; default the best for this processor that is installed")
SWITCH(0,   "arch",     "ARCH",        TEXT,     arch,        COMPILES | FOR(EXPLAIN), "sm_80, sm_90, ...: compile for it; default the device at hand, sm_80 where there is none")
SWITCH(0,   "cache",    "FILE",        TEXT,     cache,       COMPILES | FOR(CACHE), "the tuning cache; 'none' for none; default $XDG_CACHE_HOME/attune/tune.db")
SWITCH(0,   "json",     NULL,          FLAG,     json,        PROGRAMS | FOR(CHECK) | FOR(CACHE) | FOR(DEVICE) | FOR(REPLAY), "print JSON")
#undef FOR
#undef PROGRAMS
#undef COMPILES
/* clang-format on */
