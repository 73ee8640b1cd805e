#!/bin/sh
# build.t: a kernel ahead of time, linked by gcc and clang into a program that knows nothing of attune.
. tests/lib.sh

run 0 device --json
perl -MJSON::PP -0ne 'exit !grep { $_->{name} eq "clang" && $_->{works} } @{decode_json($_)->{targets}}' out || {
	echo '1..0 # SKIP only clang makes object files'
	exit 0
}

cat >attend.att <<'END'
kernel attend
rank H, N, M, D, E
in  Q[H, N, D] : f32
in  K[H, M, D] : f32
in  V[H, M, E] : f32
out O[H, N, E] : f32
S[h,n,m] = Q[h,n,d] * K[h,m,d] / sqrt(D)  where m <= n
P = softmax[m](S)
O[h,n,e] = P[h,n,m] * V[h,m,e]
END
shape='-r H=2 N=70 M=70 D=24 E=20'
isa='--isa avx2'
grep -q avx2 /proc/cpuinfo || isa='--isa scalar'

run 0 build attend.att $shape -o lib $isa && says out attend.h; ok 'build'
form=$(ls lib/attend_*.c 2>/dev/null)
for f in attend.c attend.h attend.o libattend.a attend.pc manifest.json; do
	[ -s lib/$f ]; ok "$f is there"
done
perl -MJSON::PP -MDigest::SHA -e '
	open my $f, "<", "lib/manifest.json"; local $/; my $m = decode_json(<$f>);
	for my $name (keys %{$m->{files}}) {
		exit 1 if Digest::SHA->new(256)->addfile("lib/$name")->hexdigest ne $m->{files}{$name};
	}
	exit !($m->{shape} =~ /N=70/ && $m->{schedule} ne "");'
ok 'the manifest has the digests of the files'

cat >main.c <<'END'
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "attend.h"

enum { H = 2, N = 70, D = 24, E = 20 };
static float q[H][N][D], k[H][N][D], v[H][N][E], whole[H][N][E], parts[H][N][E];

/* The sum over heads and queries of what straight loops get differently. */
static double worst(float o[H][N][E])
{
	double most = 0;
	for (int h = 0; h < H; h++)
		for (int n = 0; n < N; n++) {
			double p[N], sum = 0;
			for (int m = 0; m <= n; m++) {
				double s = 0;
				for (int d = 0; d < D; d++)
					s += (double)q[h][n][d] * k[h][m][d];
				sum += p[m] = exp(s / sqrt(D));
			}
			for (int e = 0; e < E; e++) {
				double y = 0;
				for (int m = 0; m <= n; m++)
					y += p[m] / sum * v[h][m][e];
				double off = fabs(y - o[h][n][e]);
				if (!(off <= most))
					most = off;
			}
		}
	return most;
}

static void fill(float *x, size_t n, unsigned seed)
{
	while (n--) {
		seed = seed * 1664525u + 1013904223u;
		*x++ = (float)(seed >> 8) / 8388608.0f - 1;
	}
}

int main(void)
{
	fill(**q, sizeof q / sizeof(float), 1);
	fill(**k, sizeof k / sizeof(float), 2);
	fill(**v, sizeof v / sizeof(float), 3);
	size_t size = (attend_WORK_BYTES + attend_SCRATCH_BYTES + 127) / 64 * 64;
	char *workspace = aligned_alloc(64, size);
	if (!workspace)
		return 2;
	if (attend(**q, **k, **v, **whole, workspace))
		return 3;
	struct attend_tensors t = {**q, **k, **v, **parts};
	for (int phase = 0; phase < attend_PHASES; phase++)
		for (long i = attend_tasks(phase); i-- > 0;)
			if (attend_run(phase, i, i + 1, &t, workspace, workspace + attend_WORK_BYTES))
				return 4;
	free(workspace);
	printf("%g %g\n", worst(whole), worst(parts));
	return !(worst(whole) < 1e-5 && worst(parts) < 1e-5);
}
END
clang=$(command -v clang-19 || command -v clang)
march=$(perl -MJSON::PP -0ne 'print decode_json($_)->{march}' lib/manifest.json)
for cc in gcc "$clang"; do
	name=$(basename "$cc")
	$cc -O2 -march="$march" -ffp-contract=fast -fno-math-errno -Wall -Werror -Ilib main.c lib/attend.c $form -lm -o fromsource 2>err &&
		./fromsource >out
	ok "$name compiles the source without a warning, and it is right"
	PKG_CONFIG_PATH=lib
	export PKG_CONFIG_PATH
	$cc -O2 -Wall -Werror main.c $(pkg-config --cflags --libs attend) -lm -o fromlibrary 2>err && ./fromlibrary >out
	ok "$name links the library, and it is right"
done
echo '#include "attend.h"' >include.cpp && g++ -Wall -Werror -Ilib -c include.cpp 2>err; ok 'the header is C++ too'

run 0 build attend.att $shape -o lib $isa --name other --json && perl -MJSON::PP -0ne '
	exit !(decode_json($_)->{name} eq "other")' out && [ -s lib/other.h ]
ok 'another name, the manifest as JSON'
run 0 build attend.att $shape -o plain --isa scalar && gcc -O2 -Wall -Werror -Iplain main.c plain/attend.c -lm -o scalar 2>err && ./scalar >out
ok 'the scalar form'

# Several instruction sets in one library.
run 0 build attend.att $shape -o several && says out attend_scalar.c; ok 'what is built unless an ISA is named'
cat >choose.c <<'END'
#include <stdio.h>
#include <string.h>

#define main check
#include "main.c"
#undef main

int main(int argc, char **argv)
{
	(void)argc;
	const char *best = attend_isa();
	if (!best || attend_use("no such") != -1 || strcmp(attend_isa(), best))
		return 1;
	for (char **isa = argv + 1; *isa; isa++)
		if (attend_use(*isa) || strcmp(attend_isa(), *isa) || check())
			return 1;
	if (attend_use(NULL) || strcmp(attend_isa(), best) || check())
		return 1;
	puts(best);
	return 0;
}
END
forms=$(perl -MJSON::PP -0ne 'print join " ", map { $_->{isa} } @{decode_json($_)->{forms} || []}' several/manifest.json)
PKG_CONFIG_PATH=several
export PKG_CONFIG_PATH
gcc -O2 -Wall -Werror choose.c $(pkg-config --cflags --libs attend) -lm -o choose 2>err && ./choose $forms >out &&
	[ "$(tail -n 1 out)" = "${forms%% *}" ]
ok "the best of $forms is chosen, the others can be, and all are right"

# A processor that runs none of a library's forms.
cat >none.c <<'END'
#include <stdlib.h>
#include <string.h>

#include "attend.h"

int main(int argc, char **argv)
{
	static float in[2 * 70 * 24], out[2 * 70 * 20];
	(void)argc;
	char *workspace = aligned_alloc(64, (attend_WORK_BYTES + attend_SCRATCH_BYTES + 127) / 64 * 64);
	struct attend_tensors t = {in, in, in, out};
	if (!workspace)
		return 2;
	out[0] = 7;
	if (attend_isa() || attend(in, in, in, out, workspace) != -1)
		return 3;
	for (int phase = 0; phase < attend_PHASES; phase++)
		if (attend_tasks(phase) != -1 || attend_run(phase, 0, 1, &t, workspace, workspace + attend_WORK_BYTES) != -1)
			return 4;
	for (char **isa = argv + 1; *isa; isa++)
		if (attend_use(*isa) != -1)
			return 5;
	if (attend_use(NULL) || attend_isa() || out[0] != 7)
		return 6;
	free(workspace);
	return 0;
}
END
run 0 build attend.att $shape -o beyond --isa avx2,avx512; ok 'a library without scalar code'
run 0 build attend.att $shape -o alone --isa avx512,; ok '… and of one instruction set'
# The processor is told by one function; here by one that says it has neither.
for lib in beyond alone; do
	sed 's/^static int x86_level(void)$/static int x86_level(void)\n{\n\treturn 0;\n}\n\nint told(void);\nint told(void)/' \
		$lib/attend.c >$lib/plain.c
	gcc -O2 -Wall -Werror -I$lib none.c $lib/plain.c $(ls $lib/attend_*.o) -lm -o $lib/none 2>err && ./$lib/none avx2 avx512
	ok "calls of what is $lib say so where no form runs"
done
# Other processors, as an emulator has them.
if [ -n "$LONG" ] && command -v qemu-x86_64 >/dev/null; then
	for lib in beyond alone; do
		gcc -O2 -static -I$lib none.c $lib/libattend.a -lm -o $lib/none 2>err && qemu-x86_64 -cpu Nehalem ./$lib/none avx2 avx512 2>err
		ok "… on Nehalem, of $lib"
	done
fi
if [ -n "$LONG" ] && command -v qemu-x86_64 >/dev/null; then
	gcc -O2 -static choose.c $(pkg-config --cflags --libs attend) -lm -o elsewhere 2>err
	for is in Nehalem:scalar Haswell:avx2; do
		qemu-x86_64 -cpu ${is%:*} ./elsewhere >out 2>err && [ "$(tail -n 1 out)" = ${is#*:} ]
		ok "on ${is%:*} it is ${is#*:}"
	done
fi
for cc in gcc "$clang"; do
	objects=
	for f in $(perl -MJSON::PP -0ne 'print join " ", map { "$_->{isa}:$_->{march}" } @{decode_json($_)->{forms} || []}' several/manifest.json); do
		$cc -O2 -march=${f#*:} -ffp-contract=fast -fno-math-errno -Wall -Werror -c several/attend_${f%:*}.c -o ${f%:*}.o 2>>err
		objects="$objects ${f%:*}.o"
	done
	$cc -O2 -Wall -Wextra -Werror -Iseveral choose.c several/attend.c $objects -lm -o choose 2>>err && ./choose $forms >out
	ok "$(basename "$cc") compiles the sources without a warning, and they are right"
done
run 0 build attend.att $shape -o several --isa avx2,avx512,avx2 && [ "$(perl -MJSON::PP -0ne 'print map { $_->{isa} } @{decode_json($_)->{forms}}' several/manifest.json)" = avx512avx2 ]
ok 'a list of ISAs, the best first'
says out 'and for avx2 the default kernel'; ok 'and what each of them is'
run 0 build attend.att $shape -o one --isa scalar, && [ ! -e one/attend_scalar.c ]; ok 'a list of one'
run 2 build attend.att $shape -o several --isa avx2,avx3 && says err avx3; ok 'an ISA that there is not'
run 2 build attend.att $shape -o several --isa avx2,neon && says err alone; ok 'processors of two kinds'
run 0 build attend.att $shape -o arm --isa neon; ok 'for another processor'
if [ -n "$LONG" ] && command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null; then
	aarch64-linux-gnu-gcc -O2 -static -Iarm main.c arm/libattend.a -lm -o onarm 2>err && qemu-aarch64 ./onarm >out
	ok '… under an emulator it is right'
fi

run 0 emit attend.att --stage schedule $shape --isa scalar && mv out scalar.sched &&
	run 2 build attend.att $shape -o lib --schedule scalar.sched --isa avx2 && says err 'for scalar, and avx2 was asked for'
ok 'a schedule for another ISA than the one asked for'
! grep -qi heaviest several/attend.h; ok 'nothing is said of an order that tasks need not have'
run 2 build attend.att $shape -o lib --name 'a b'; ok 'a name that C cannot have'
run 3 build attend.att $shape -o no/such/folder; ok 'a folder that cannot be made'
run 2 build attend.att $shape -o lib --target tcc; ok 'a target without object files'
done_testing
