/* commands.h: one row a command. COMMAND(ENUM, function after command_, name, synopsis, summary, about) */
/* clang-format off */
COMMAND(CHECK, check, "check", "FILE... [--as NAMES=TYPE ...]",
	"parse and analyse; every error of a file in one run",
	"Says nothing when all files are sound. FILE may be '-' for standard input.")
COMMAND(EXPLAIN, explain, "explain", "FILE [-r RANK=N ...] [-p PARAM=X ...] [-i TENSOR=IN.npy ...] [--map] [--svg FILE]",
	"what the algebra found: passes, rewrites, what is fused, what a mask leaves out",
	"Prints the canonical cascade, the passes of every tensor over every rank as written and after each\n"
	"rewrite, each rewrite with its reason, what is fused with what, and where predicates lead the walks.\n"
	"With all ranks bound also flops, bytes, intensity and the roofline bound of this machine; what the kernel\n"
	"visits and leaves out, against what is present, and maps of it; with --target cuda the launch geometry,\n"
	"registers, spills, shared memory and occupancy of each kernel. Tensors that predicates read come from -i\n"
	"or --fill; what is missing is generated, and the text says so.")
COMMAND(EMIT, emit, "emit", "FILE --stage STAGE [-r RANK=N ...] [-p PARAM=X ...] [--schedule FILE]",
	"any stage as text that parses back",
	"STAGE is cascade, streams, schedule, tile or c. From schedule on all ranks must be bound. Without\n"
	"--schedule the cached winner is shown, or the default where nothing is cached.")
COMMAND(RUN, run, "run", "FILE -i TENSOR=IN.npy ... -o TENSOR=OUT.npy ... [-r RANK=N ...] [-p PARAM=X ...]",
	"compute on .npy files",
	"Extents come from the inputs and are checked against each other. A file's numbers are converted to the\n"
	"type the program declares, rounding to nearest even; -t says what a file holds where the format cannot\n"
	"(bf16 is stored as uint16, codes of f8e4m3, f8e5m2 and pairs of i4 as uint8), and for an output the type to\n"
	"write. --oracle computes with the float64 interpreter that defines what a program means; --compare runs both\n"
	"and prints the difference.")
COMMAND(TUNE, tune, "tune", "FILE -r RANK=N ... [-p PARAM=X ...] [--budget TIME] [--seed N]",
	"search schedules, verify every candidate, keep the winner",
	"Interrupting keeps the best so far; running again resumes, reusing every measured trial.")
COMMAND(BENCH, bench, "bench", "FILE -r RANK=N ... [-p PARAM=X ...]",
	"time winner, default and naive form side by side",
	"Rounds are interleaved and the share of the FMA peak comes from probes between them. The naive form\n"
	"computes every equation by itself and keeps every intermediate in memory.")
COMMAND(BUILD, build, "build", "FILE -r RANK=N ... [-p PARAM=X ...] -o DIR [--isa ISA] [--name NAME]",
	"write the kernel as plain C with header, object and library",
	"DIR receives NAME.c, NAME.h, NAME.o, libNAME.a, NAME.pc and manifest.json, or with --target cuda NAME.cu,\n"
	"NAME.h, NAME.ARCH.cubin and manifest.json. None of them needs attune.")
COMMAND(REPLAY, replay, "replay", "FILE [--strategy NAME] [--evaluations N] [--seed N]",
	"judge search strategies on a recorded landscape",
	"FILE is what 'attune tune --record FILE' wrote. Prints, for every strategy or the one named, the median\n"
	"over 25 seeds of the share of the optimum that was reached after 8, 16, 32, ... evaluations.")
COMMAND(CACHE, cache, "cache", "ls | show [PREFIX] | check",
	"what is kept",
	"PREFIX is the beginning of a kernel's name or digest. 'show' prints schedules as well. 'check' verifies\n"
	"the file and every stored object, and puts what does not check in quarantine.")
COMMAND(DEVICE, device, "device", "",
	"what attune knows of this machine",
	"ISA, caches, cores, which targets work, and what the machine does at most: multiply-adds by type of operand,\n"
	"exponentials, reads of caches and memory. That is measured once, best on an idle machine, and kept in the cache.")
COMMAND(GPU_PACK, gpu_pack, "gpu-pack", "[PLAN] [-o DIR] [--archs LIST]",
	"compile kernels to be tried on a machine with a GPU",
	"Compiles the programs of PLAN, perf/gpu/plan.json unless given, for the architectures of LIST, judges them by\n"
	"the assembler's log and, where they are small, by the emulator, and writes objects and a manifest into DIR,\n"
	".gpu unless given. Needs NVRTC, and no GPU.")
COMMAND(CHECK_GPU, check_gpu, "check-gpu", "[--pack DIR] [--budget TIME]",
	"try a pack on the GPU of this machine",
	"Compiles nothing. Probes every primitive, holds kernels against float64, times them in turns with PyTorch's\n"
	"and other kernels installed here, then other schedules till the budget ends. Times are appended to a file in\n"
	"perf/gpu, where there is such a folder. Status 1: something is wrong; 3: there is no GPU.")
COMMAND(HELP, help, "help", "[COMMAND]",
	"this, or all about one command",
	"")
/* clang-format on */
