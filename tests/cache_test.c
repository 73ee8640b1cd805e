/* The tuning cache: round trips, keys, the trigger, artifacts, damage, sharing, sudden death. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cache/store.h"
#include "tests/tap.h"

static struct arena arena;
static char folder[] = "/tmp/attune-cache-XXXXXX";

static char *file(const char *name)
{
	return arena_printf(&arena, "%s/%s/tune.db", folder, name);
}

static struct cache_key key(int64_t n)
{
	return (struct cache_key){
	        .env = {.hardware = "hw",
	                .arch = "zen4",
	                .isa = "avx512",
	                .facts = "{}",
	                .codegen = "c0de",
	                .toolchain = "clang 19 -O3",
	                .threads = 1,
	                .policy = "cpu"},
	        .problem = {.workload = "feed",
	                    .name = "flash",
	                    .contract = "in Q f32; out O f32",
	                    .nranks = 2,
	                    .rank = {"H", "N"},
	                    .extent = {8, n}},
	};
}

static struct cache_trial trial(const char *source)
{
	return (struct cache_trial){
	        .schedule = arena_printf(&arena, "schedule of %s", source),
	        .source = source,
	        .rung = 1,
	        .verified = true,
	        .runs = 3,
	        .seconds = 0.5,
	        .least = 0.4,
	        .quartile = 0.45,
	        .median = 0.6,
	        .deviation = 0.01,
	        .switches = 7,
	        .ratio = 1.25,
	        .ratio_low = 1.2,
	        .ratio_high = 1.3,
	        .error = 1e-6,
	};
}

static enum cache_result put(struct cache *c, int64_t n, const char *source)
{
	struct cache_key k = key(n);
	struct cache_trial t = trial(source);
	return cache_put_trials(c, &k, 0, &t, 1);
}

static enum cache_result find(struct cache *c, int64_t n, const char *source, struct cache_trial *t)
{
	struct cache_key k = key(n);
	return cache_find_trial(c, &arena, &k, source, t);
}

static int sql(struct cache *c, const char *text)
{
	return sqlite3_exec(c->db, text, NULL, NULL, NULL) & 0xff;
}

static bool sound(struct cache *c)
{
	struct cache_report r;
	return cache_check(c, &arena, &r) == CACHE_OK && r.sound;
}

static int files_like(const char *name, const char *part)
{
	int n = 0;
	DIR *d = opendir(arena_printf(&arena, "%s/%s", folder, name));
	for (struct dirent *e; d && (e = readdir(d));)
		n += strstr(e->d_name, part) && !strstr(e->d_name, "-journal");
	if (d)
		closedir(d);
	return n;
}

static void count_trials(void *owner, const struct cache_trial *t)
{
	*(int *)owner += t->source && t->schedule && (t->status == TRIAL_OK || t->reason);
}

static void test_trials(void)
{
	struct cache *c = cache_open(file("trials"));
	struct stat st;
	ok(cache_state(c) == CACHE_WRITABLE && !cache_said(c), "a new cache is made and says nothing");
	ok(!stat(arena_printf(&arena, "%s/trials", folder), &st) && (st.st_mode & 0777) == 0700,
	   "its folder is for its user alone");
	struct cache_trial t, fail = trial("b"), nan = trial("n");
	ok(find(c, 64, "a", &t) == CACHE_MISS, "nothing is found in an empty cache");
	ok(put(c, 64, "a") == CACHE_OK && find(c, 64, "a", &t) == CACHE_OK, "a trial is kept");
	ok(t.status == TRIAL_OK && t.rung == 1 && t.verified && t.runs == 3 && t.seconds == 0.5 &&
	           t.least == 0.4 && t.quartile == 0.45 && t.median == 0.6 && t.deviation == 0.01 &&
	           t.switches == 7 && t.ratio == 1.25 && t.ratio_low == 1.2 && t.ratio_high == 1.3 &&
	           t.error == 1e-6 && !t.reason && !strcmp(t.schedule, "schedule of a"),
	   "with everything that was measured");
	fail.status = TRIAL_WRONG;
	fail.verified = false;
	fail.reason = "error 3.0 in O";
	struct cache_key k = key(64);
	ok(cache_put_trials(c, &k, 0, &fail, 1) == CACHE_OK && find(c, 64, "b", &t) == CACHE_OK &&
	           t.status == TRIAL_WRONG && !strcmp(t.reason, "error 3.0 in O"),
	   "a failure is kept with its reason");
	nan.seconds = NAN;
	ok(cache_put_trials(c, &k, 0, &nan, 1) == CACHE_OK && find(c, 64, "n", &t) == CACHE_OK &&
	           isnan(t.seconds),
	   "a number that is none stays none");
	struct cache_trial less = trial("a");
	less.rung = 0;
	less.seconds = 9;
	cache_put_trials(c, &k, 0, &less, 1);
	ok(find(c, 64, "a", &t) == CACHE_OK && t.seconds == 0.5,
	   "a lesser measurement does not replace a trial");
	less.rung = 2;
	cache_put_trials(c, &k, 0, &less, 1);
	ok(find(c, 64, "a", &t) == CACHE_OK && t.seconds == 9 && t.rung == 2, "a further one does");
	int n = 0;
	ok(cache_each_trial(c, &k, count_trials, &n) == CACHE_OK && n == 3, "all trials of a key are given");
	k.env.threads = 9;
	ok(cache_each_trial(c, &k, count_trials, &n) == CACHE_MISS && n == 3, "and none of another");
	k.env.threads = 1;
	int64_t session = cache_session_begin(c, &k, 1, "genetic", 60);
	ok(session > 0, "a session is noted");
	cache_session_note(c, session, SESSION_COMPLETE, 40);
	less = trial("s");
	ok(cache_put_trials(c, &k, session, &less, 1) == CACHE_OK && sound(c), "and trials belong to it");
	cache_close(c);
	c = cache_open(file("trials"));
	ok(find(c, 64, "b", &t) == CACHE_OK && t.status == TRIAL_WRONG, "all is there when opened again");
	cache_close(c);
}

static void test_keys(void)
{
	struct cache *c = cache_open(file("keys"));
	struct cache_trial t;
	put(c, 64, "a");
	static const char *const what[] = {"hardware", "arch",   "isa",      "codegen",  "toolchain",
	                                   "threads",  "policy", "workload", "contract", "extent"};
	for (int i = 0; i < 10; i++) {
		struct cache_key k = key(64);
		const char **field[] = {&k.env.hardware,     &k.env.arch, &k.env.isa,    &k.env.codegen,
		                        &k.env.toolchain,    NULL,        &k.env.policy, &k.problem.workload,
		                        &k.problem.contract, NULL};
		if (field[i])
			*field[i] = "other";
		else if (i == 5)
			k.env.threads = 2;
		else
			k.problem.extent[1] = 65;
		ok(cache_find_trial(c, &arena, &k, "a", &t) == CACHE_MISS, "another %s is another key",
		   what[i]);
	}
	struct cache_key k = key(64);
	k.env.facts = "{\"changed\": 1}";
	k.problem.name = "renamed";
	ok(cache_find_trial(c, &arena, &k, "a", &t) == CACHE_OK, "facts and names are for people only");
	cache_close(c);
}

static void test_winners(void)
{
	struct cache *c = cache_open(file("winners"));
	struct cache_key k = key(64);
	struct cache_found f[4];
	ok(cache_put_winner(c, &k, "a", true, true) == CACHE_REFUSED, "no winner without a trial");
	struct cache_trial t = trial("a");
	t.verified = false;
	cache_put_trials(c, &k, 0, &t, 1);
	ok(cache_put_winner(c, &k, "a", true, true) == CACHE_REFUSED, "nor with one that was not verified");
	t.verified = true;
	cache_put_trials(c, &k, 0, &t, 1);
	ok(cache_put_winner(c, &k, "a", false, false) == CACHE_OK, "a verified trial can win");
	ok(cache_lookup(c, &arena, &k, f, 4) == 1 && f[0].rung == CACHE_EXACT && !strcmp(f[0].source, "a") &&
	           !strcmp(f[0].shape, "H=8 N=64") && f[0].ratio == 1.25 && f[0].seconds == 0.5 &&
	           !f[0].complete,
	   "and is found");
	put(c, 65, "z");
	ok(sql(c, "UPDATE winner SET trial = (SELECT id FROM trial WHERE source = 'z')") == SQLITE_CONSTRAINT,
	   "the file itself refuses a winner with another key's trial");
	ok(sql(c, "INSERT INTO winner SELECT env, problem, config, 'z', id, 1, 1, 1, 1 FROM trial WHERE "
	          "source = "
	          "'a'") == SQLITE_CONSTRAINT,
	   "or of another source");
	t = trial("b");
	t.ratio = 1.1;
	cache_put_trials(c, &k, 0, &t, 1);
	ok(cache_put_winner(c, &k, "b", true, true) == CACHE_OK,
	   "what was measured again and lost is replaced");
	t = trial("c");
	t.ratio = 1.05;
	cache_put_trials(c, &k, 0, &t, 1);
	ok(cache_put_winner(c, &k, "c", false, false) == CACHE_REFUSED, "a better one is not, unless it was");
	t.ratio = 1.5;
	cache_put_trials(c, &k, 0, &t, 1);
	ok(cache_put_winner(c, &k, "c", false, false) == CACHE_OK, "a worse one always");

	static const int64_t shapes[] = {4096, 128, 32};
	for (int i = 0; i < 3; i++) {
		struct cache_key other = key(shapes[i]);
		const char *source = arena_printf(&arena, "n%d", (int)shapes[i]);
		put(c, shapes[i], source);
		cache_put_winner(c, &other, source, true, true);
	}
	struct cache_key arch = key(64), near = key(100), lost = key(100);
	arch.env.hardware = "hw2";
	t = trial("far");
	cache_put_trials(c, &arch, 0, &t, 1);
	cache_put_winner(c, &arch, "far", true, true);
	int n = cache_lookup(c, &arena, &near, f, 4);
	ok(n == 4 && f[0].rung == CACHE_NEAREST && !strcmp(f[0].shape, "H=8 N=128") &&
	           !strcmp(f[1].shape, "H=8 N=64") && !strcmp(f[2].shape, "H=8 N=32") &&
	           !strcmp(f[3].shape, "H=8 N=4096"),
	   "the nearest shapes answer, nearest first");
	lost.env.hardware = "hw3";
	ok(cache_lookup(c, &arena, &lost, f, 1) == 1 && f[0].rung == CACHE_ARCH,
	   "then machines of the same arch");
	lost.env.arch = "m1";
	ok(cache_lookup(c, &arena, &lost, f, 4) == 0, "else nothing");
	t = trial("c");
	t.status = TRIAL_CRASH;
	t.verified = false;
	cache_put_trials(c, &k, 0, &t, 1);
	ok(cache_lookup(c, &arena, &k, f, 4) > 0 && f[0].rung != CACHE_EXACT,
	   "a winner that crashed after all is none any more");
	ok(sound(c), "the file is sound");
	cache_close(c);
}

static void count_entries(void *owner, const struct cache_entry *e)
{
	*(int *)owner +=
	        !strcmp(e->name, "flash") && strlen(e->when) == 20 && e->trials == 2 && e->generation == 3;
}

static void test_artifacts(void)
{
	struct cache *c = cache_open(file("artifacts"));
	struct cache_key k = key(64), other = key(65);
	void *bytes = NULL;
	size_t size = 0;
	put(c, 64, "a");
	cache_put_winner(c, &k, "a", true, true);
	ok(cache_put_artifact(c, &k, "a", "code\0code", 9) == CACHE_OK, "code is kept");
	ok(cache_get_artifact(c, &k, "a", &bytes, &size) == CACHE_OK && size == 9 &&
	           !memcmp(bytes, "code\0code", 9),
	   "and comes back");
	free(bytes);
	ok(cache_get_artifact(c, &k, "b", &bytes, &size) == CACHE_MISS, "not for another source");
	ok(cache_get_artifact(c, &other, "a", &bytes, &size) == CACHE_MISS, "nor another shape");
	put(c, 64, "b");
	ok(cache_put_winner(c, &k, "b", true, true) == CACHE_OK &&
	           cache_get_artifact(c, &k, "a", &bytes, &size) == CACHE_MISS,
	   "code of a former winner goes");
	cache_put_winner(c, &k, "a", true, true);
	cache_put_artifact(c, &k, "a", "code\0code", 9);
	int n = 0;
	ok(cache_list(c, "fl", count_entries, &n) == CACHE_OK && n == 1, "the winner is listed by name");
	ok(cache_list(c, "fee", count_entries, &n) == CACHE_OK && n == 2, "and by digest");
	ok(cache_list(c, "x", count_entries, &n) == CACHE_OK && n == 2, "and not by another");

	struct cache_report r;
	sql(c, "UPDATE artifact SET body = CAST(replace(CAST(body AS TEXT), 'code', 'evil') AS BLOB)");
	ok(cache_get_artifact(c, &k, "a", &bytes, &size) == CACHE_MISS, "altered code is missed");
	ok(cache_check(c, &arena, &r) == CACHE_OK && r.sound && r.quarantined == 1 && r.artifacts == 0,
	   "and is in quarantine");
	cache_put_artifact(c, &k, "a", "code", 4);
	sql(c, "INSERT INTO artifact SELECT env, problem, 'b', kind, codec, sha256, body, at FROM artifact");
	ok(cache_get_artifact(c, &k, "b", &bytes, &size) == CACHE_MISS,
	   "code whose record names another source is missed");
	ok(cache_get_artifact(c, &k, "a", &bytes, &size) == CACHE_OK, "the rightful one is not");
	free(bytes);
	sql(c, "UPDATE artifact SET sha256 = 'x'");
	ok(cache_check(c, &arena, &r) == CACHE_OK && r.quarantined == 3 && r.finding,
	   "a check finds altered code");
	cache_close(c);
}

static void overwrite(const char *path, long at, const char *with, size_t n)
{
	int fd = open(path, O_WRONLY);
	if (pwrite(fd, with, n, at) != (ssize_t)n)
		ok(false, "overwriting %s: %s", path, strerror(errno));
	close(fd);
}

static void fill(const char *path, int n)
{
	struct cache *c = cache_open(path);
	for (int i = 0; i < n; i++)
		put(c, 64, arena_printf(&arena, "s%d", i));
	cache_close(c);
}

static void test_not_ours(void)
{
	const char *path = file("letter"), *said, text[] = "Dear reader, this is no cache and never was one.";
	char after[sizeof text] = "";
	mkdir(arena_printf(&arena, "%s/letter", folder), 0700);
	FILE *f = fopen(path, "w");
	if (f) {
		fwrite(text, 1, sizeof text, f);
		fclose(f);
	}
	struct cache *c = cache_open(path);
	said = cache_said(c);
	ok(cache_state(c) == CACHE_OFF && said && strstr(said, "left alone"), "a file of somebody else's is no cache");
	cache_close(c);
	f = fopen(path, "r");
	size_t n = f ? fread(after, 1, sizeof after, f) : 0;
	if (f)
		fclose(f);
	ok(n == sizeof text && !memcmp(after, text, n) && files_like("letter", "tune") == 1,
	   "and stays as it is, where it is, with nothing beside it");
}

static void test_damage(void)
{
	struct cache_trial t;
	const char *path = file("garbage"), *said;
	fill(path, 5);
	overwrite(path, 0, "this is not a database at all", 29);
	struct cache *c = cache_open(path);
	said = cache_said(c);
	ok(cache_state(c) == CACHE_WRITABLE && said && strstr(said, "damaged"),
	   "garbage is set aside and said");
	ok(!cache_said(c), "once");
	ok(files_like("garbage", "damaged") == 1 && put(c, 64, "a") == CACHE_OK &&
	           find(c, 64, "a", &t) == CACHE_OK,
	   "a new file is in its place");
	cache_close(c);

	path = file("truncated");
	fill(path, 200);
	ok(truncate(path, 20000) == 0, "a file is cut short");
	c = cache_open(path);
	said = cache_said(c);
	ok(said && strstr(said, "damaged") && put(c, 64, "a") == CACHE_OK, "that is noticed and mended too");
	cache_close(c);

	path = file("middle");
	fill(path, 200);
	char noise[4096];
	memset(noise, 0xa5, sizeof noise);
	struct stat st;
	stat(path, &st);
	for (long at = 4096; at < st.st_size; at += 4096)
		overwrite(path, at, noise, sizeof noise);
	c = cache_open(path);
	enum cache_result r = put(c, 64, "a");
	ok(r != CACHE_OK || files_like("middle", "damaged") == 1, "damage inside is noticed when met");
	ok(put(c, 64, "a") == CACHE_OK && find(c, 64, "a", &t) == CACHE_OK && sound(c) &&
	           files_like("middle", "damaged") == 1,
	   "and the cache goes on");
	cache_close(c);

	path = file("newer");
	fill(path, 1);
	c = cache_open(path);
	sql(c, "PRAGMA user_version = 99");
	cache_close(c);
	c = cache_open(path);
	said = cache_said(c);
	ok(cache_state(c) == CACHE_OFF && said && strstr(said, "newer"),
	   "a newer version is ignored, and that is said");
	ok(put(c, 64, "b") == CACHE_MISS && find(c, 64, "a", &t) == CACHE_MISS,
	   "it is neither read nor written");
	cache_close(c);

	path = file("foreign");
	fill(path, 1);
	c = cache_open(path);
	sql(c, "PRAGMA application_id = 7");
	cache_close(c);
	c = cache_open(path);
	ok(cache_state(c) == CACHE_OFF && strstr(cache_said(c), "something else"),
	   "another's database is left alone");
	cache_close(c);

	c = cache_open("");
	ok(cache_state(c) == CACHE_OFF && put(c, 64, "a") == CACHE_MISS && !cache_said(c),
	   "no cache is a quiet one");
	cache_close(c);

	path = file("moved");
	c = cache_open(path);
	put(c, 64, "a");
	unlink(path);
	ok(put(c, 64, "b") == CACHE_OK && find(c, 64, "b", &t) == CACHE_OK &&
	           find(c, 64, "a", &t) == CACHE_MISS,
	   "a file that was removed is made anew");
	cache_close(c);
}

static void test_migration(void)
{
	const char *path = file("steps");
	fill(path, 3);
	struct cache *c = cache_open(path);
	struct store_step steps[] = {store_steps[0],
	                             {"ALTER TABLE trial ADD COLUMN joules REAL"},
	                             {"CREATE TABLE note (text TEXT NOT NULL) STRICT"},
	                             {"CREATE TABLE half (x TEXT) STRICT; INSERT INTO nowhere VALUES (1)"}};
	ok(store_migrate(c->db, path, 1, 3, steps) == SQLITE_OK &&
	           sql(c, "SELECT joules FROM trial") == SQLITE_OK &&
	           sql(c, "SELECT text FROM note") == SQLITE_OK,
	   "steps are applied in order");
	ok(files_like("steps", "tune.db.v1") == 1, "after a copy of the file");
	ok(store_migrate(c->db, path, 3, 4, steps) != SQLITE_OK && sql(c, "SELECT * FROM half") != SQLITE_OK,
	   "a step that fails leaves nothing behind");
	cache_close(c);
	sqlite3 *copy;
	sqlite3_open(arena_printf(&arena, "%s.v1", path), &copy);
	ok(sqlite3_exec(copy, "SELECT seconds FROM trial", NULL, NULL, NULL) == SQLITE_OK &&
	           sqlite3_exec(copy, "SELECT joules FROM trial", NULL, NULL, NULL) != SQLITE_OK,
	   "the copy is of the version before");
	sqlite3_close(copy);
}

/* Runs `body` in a child; its exit status, or 256 + signal. */
static int child(int (*body)(const char *path), const char *path)
{
	fflush(stdout);
	pid_t p = fork();
	if (!p)
		_exit(body(path));
	int st = 0;
	waitpid(p, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 256 + WTERMSIG(st);
}

static int as_nobody(const char *path)
{
	if (getuid() == 0 && setresuid(65534, 65534, 65534))
		return 10;
	struct cache *c = cache_open(path);
	struct cache_trial t;
	if (cache_state(c) != CACHE_READABLE)
		return 1;
	if (find(c, 64, "s0", &t) != CACHE_OK)
		return 2;
	if (put(c, 64, "x") != CACHE_READONLY || put(c, 64, "y") != CACHE_READONLY)
		return 3;
	const char *said = cache_said(c);
	if (!said || !strstr(said, "not writable") || cache_said(c))
		return 4;
	cache_close(c);
	c = cache_open(arena_printf(&arena, "%s/none/tune.db", path));
	return cache_state(c) == CACHE_OFF && put(c, 64, "x") == CACHE_MISS && cache_said(c) ? 0 : 5;
}

static void test_read_only(void)
{
	const char *path = file("readonly"), *at = arena_printf(&arena, "%s/readonly", folder);
	fill(path, 1);
	chmod(path, 0444);
	chmod(at, 0555);
	chmod(folder, 0755);
	ok(child(as_nobody, path) == 0, "a cache that cannot be written is read, and says so once");
	chmod(at, 0700);
}

static int on_full_disk(const char *path)
{
	struct cache *c = cache_open(path);
	struct stat st;
	struct cache_trial t;
	stat(path, &st);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit l = {(rlim_t)st.st_size, (rlim_t)st.st_size};
	setrlimit(RLIMIT_FSIZE, &l);
	enum cache_result r = CACHE_OK;
	int last = -1;
	for (int i = 0; i < 1000 && r == CACHE_OK; i++) {
		if ((r = put(c, 64, arena_printf(&arena, "full%d", i))) == CACHE_OK)
			last = i;
	}
	if (r != CACHE_FULL)
		return 1;
	const char *said = cache_said(c);
	if (!said || !strstr(said, "no room") || cache_said(c))
		return 2;
	if (find(c, 64, "s0", &t) != CACHE_OK || !sound(c))
		return 3;
	if (last >= 0 && find(c, 64, arena_printf(&arena, "full%d", last), &t) != CACHE_OK)
		return 4;
	return find(c, 64, arena_printf(&arena, "full%d", last + 1), &t) == CACHE_MISS ? 0 : 5;
}

static void test_full_disk(void)
{
	const char *path = file("full");
	fill(path, 20);
	ok(child(on_full_disk, path) == 0, "a full disk is a result, and loses nothing that was kept");
	struct cache *c = cache_open(path);
	ok(sound(c) && put(c, 64, "later") == CACHE_OK, "with room again the cache goes on");
	cache_close(c);
}

enum { WRITERS = 2, BATCHES = 40, BATCH = 8 };

static int writer(const char *path, const char *who, int batches, int report)
{
	struct cache *c = cache_open(path);
	struct cache_key k = key(64);
	for (int i = 0; i < batches; i++) {
		struct cache_trial t[BATCH];
		for (int j = 0; j < BATCH; j++)
			t[j] = trial(arena_printf(&arena, "%s-%d-%d", who, i, j));
		if (cache_put_trials(c, &k, 0, t, BATCH) != CACHE_OK)
			return 1;
		cache_put_winner(c, &k, t[0].source, true, true);
		cache_put_artifact(c, &k, t[0].source, folder, sizeof folder);
		if (report >= 0 && write(report, &i, sizeof i) != sizeof i)
			return 2;
	}
	cache_close(c);
	return 0;
}

static void test_two_writers(void)
{
	const char *path = file("shared");
	pid_t pid[WRITERS];
	fflush(stdout);
	for (int w = 0; w < WRITERS; w++) {
		if (!(pid[w] = fork()))
			_exit(writer(path, w ? "second" : "first", BATCHES, -1));
	}
	int failed = 0, st;
	for (int w = 0; w < WRITERS; w++) {
		waitpid(pid[w], &st, 0);
		failed += st != 0;
	}
	ok(!failed, "two processes write at once, making the file as well");
	struct cache *c = cache_open(path);
	struct cache_report r;
	ok(cache_check(c, &arena, &r) == CACHE_OK && r.sound && r.trials == WRITERS * BATCHES * BATCH,
	   "and nothing of either is lost");
	cache_close(c);
}

/* Kills a writer at a random moment; true when every batch it had finished is there and the file is sound. */
static bool survives(const char *path, int round, uint32_t microseconds)
{
	int pipes[2], last = -1, i;
	const char *who = arena_printf(&arena, "r%d", round);
	if (pipe(pipes))
		return false;
	fflush(stdout);
	pid_t p = fork();
	if (!p)
		_exit(writer(path, who, 1 << 20, pipes[1]));
	close(pipes[1]);
	usleep(microseconds);
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
	while (read(pipes[0], &i, sizeof i) == sizeof i)
		last = i;
	close(pipes[0]);
	struct cache *c = cache_open(path);
	struct cache_key k = key(64);
	struct cache_trial t;
	bool good = !cache_said(c) && sound(c);
	for (i = 0; i <= last && good; i++) {
		for (int j = 0; j < BATCH && good; j++)
			good = cache_find_trial(c, &arena, &k, arena_printf(&arena, "%s-%d-%d", who, i, j),
			                        &t) == CACHE_OK;
	}
	cache_close(c);
	return good;
}

static void test_sudden_death(void)
{
	const char *path = file("killed");
	uint32_t random = 12345;
	int good = 0;
	for (int i = 0; i < 100; i++) {
		random = random * 1664525u + 1013904223u;
		good += survives(path, i, 500 + (random >> 8) % 30000);
	}
	ok(good == 100, "of 100 writers killed at random, %d lost nothing finished and left a sound file",
	   good);
}

int main(void)
{
	jmp_buf env;
	arena_init(&arena);
	if (!ARENA_TRY(&arena, &env) || !mkdtemp(folder))
		return 1;
	test_trials();
	test_keys();
	test_winners();
	test_artifacts();
	test_not_ours();
	test_damage();
	test_migration();
	test_read_only();
	test_full_disk();
	test_two_writers();
	test_sudden_death();
	if (system(arena_printf(&arena, "rm -rf %s", folder)))
		ok(false, "the folder of the tests could not be removed");
	arena_free(&arena);
	return tap_done();
}
