#!/bin/sh
# build_device.t: a kernel for a device ahead of time, and what another program reads of it.
. tests/lib.sh

cat >attend.att <<'END'
kernel attend
rank H, N, M, D, E
in  Q[H, N, D] : bf16
in  K[H, M, D] : bf16
in  V[H, M, E] : bf16
out O[H, N, E] : f32
S[h,n,m] = Q[h,n,d] * K[h,m,d] / sqrt(D)  where m <= n
P = softmax[m](S)
O[h,n,e] = P[h,n,m] * V[h,m,e]
END
shape='-r H=2 N=70 M=70 D=24 E=20'

run 2 build attend.att $shape -o none --target cuda-emulated && [ ! -e none ]; ok 'nothing is built for an emulated device'
run 0 device --json
if ! perl -MJSON::PP -0ne 'exit !grep { $_->{name} eq "cuda" && $_->{works} } @{decode_json($_)->{targets}}' out; then
	run 3 build attend.att $shape -o none --target cuda --arch sm_90 && says err 'target cuda: ' && [ ! -e none ]
	ok 'without a compiler for devices there is an error, and nothing else'
	done_testing
	exit
fi

run 0 build attend.att $shape -o dir --target cuda --arch sm_90 --name seen && says out 'on sm_90'; ok 'build'
for f in seen.cu seen.h seen.sm_90.cubin manifest.json; do
	[ -s dir/$f ]; ok "$f is there"
done
run 0 build attend.att $shape -o dir --target cuda --arch sm_80 --name seen && [ -s dir/seen.sm_80.cubin ]
ok 'another architecture'
perl -MJSON::PP -MDigest::SHA -e '
	open my $f, "<", "dir/manifest.json"; local $/; my $m = decode_json(<$f>);
	for my $name (keys %{$m->{files}}) {
		exit 1 if Digest::SHA->new(256)->addfile("dir/$name")->hexdigest ne $m->{files}{$name};
	}
	my $p = $m->{phases}[0];
	exit !($m->{march} eq "sm_80" && $p->{blocks} > 0 && $p->{threads} % 32 == 0 && $p->{registers} > 0
		&& $m->{tensors}[0]{align} >= 1);'
ok 'the manifest has digests, launch geometry and resources'

cat >reads.c <<'END'
#include "seen.h"
int main(void)
{
	/* four tensors of three ranks, and the work area */
	_Static_assert(sizeof(struct seen_args) == 8 * (4 + 4 * 3 + 1), "eight-byte words");
	const struct seen_phase *p = &seen_phases[seen_PHASES - 1];
	return !(p->function[0] && p->blocks && p->threads % 32 == 0);
}
END
${CC:-cc} -std=c17 -Wall -Wextra -Wpedantic -Werror -Idir reads.c -o reads >out 2>err && ./reads
ok 'the header is plain C and has the argument block and the phases'
if nvcc --version >/dev/null 2>&1; then
	nvcc -arch=sm_80 -cubin dir/seen.cu -o own.cubin >out 2>err; ok 'nvcc compiles the text'
else
	count=$((count + 1)); echo "ok $count # SKIP there is no nvcc"
fi
run 2 build attend.att $shape -o dir --target cuda --name 3d && says err '3d'; ok 'a name that is none in C'
run 3 build attend.att $shape -o no/such/dir --target cuda; ok 'a folder that cannot be made'
done_testing
