#!/bin/sh
# run.t: kernels on .npy files, tuned and not, from an empty folder.
. tests/lib.sh

cat >causal.att <<'END'
kernel causal
rank H, N, M, D, E
param G = 2
param scale = 1/sqrt(D)
in  Q[H, N, D]   : f32
in  K[H/G, M, D] : f32
in  V[H/G, M, E] : f32
out O[H, N, E]   : f32
out L[H, N]      : f32
S[h,n,m] = Q[h,n,d] * K[h/G,m,d] * scale  where m <= n + (M - N)
P = softmax[m](S)
L = logsumexp[m](S)
O[h,n,e] = P[h,n,m] * V[h/G,m,e]
END
npy q.npy 4,37,20
npy k.npy 2,50,20
npy v.npy 2,50,24
inputs='-i Q=q.npy K=k.npy V=v.npy'

run 0 run causal.att $inputs -o O=o.npy L=l.npy --compare && says out right: ; ok 'a kernel agrees with the oracle'
says out 'N=37' && says out 'M=50' && says out 'H=4'; ok 'extents come from the inputs'
[ "$(head -c 6 o.npy | tail -c 5)" = NUMPY ] && [ -s l.npy ]; ok 'both outputs are written'
run 0 run causal.att $inputs -o O=tcc.npy --target tcc --compare && says out tcc; ok 'the scalar form by tcc'
run 0 run causal.att $inputs -o O=oracle.npy --oracle && says out oracle; ok 'the oracle'
run 0 run causal.att $inputs --threads 1 --compare; ok 'one thread'
run 0 run causal.att $inputs --compare --json && perl -MJSON::PP -0ne '
	my $r = decode_json($_); exit !($r->{right} && $r->{ranks}{N} == 37)' out
ok 'the outcome as JSON'
for isa in scalar avx2; do
	run 0 run causal.att $inputs --isa $isa --compare && says out $isa || says err "this machine has no $isa" || says err "no compiler works here for $isa"
	ok "ISA $isa"
done

shape='-r H=4 N=37 M=50 D=20 E=24'
run 0 emit causal.att --stage schedule $shape && cp out one.sched &&
	run 0 run causal.att $inputs --schedule one.sched --compare && says out given
ok 'a schedule from a file'
run 0 emit causal.att --stage schedule $shape --isa scalar && mv out scalar.sched &&
	{ run 2 run causal.att $inputs --schedule scalar.sched --isa avx2 && says err 'for scalar, and avx2 was asked for' ||
		says err "no compiler works here for avx2"; }
ok 'a schedule for another ISA than the one asked for'
run 2 run causal.att $inputs --schedule causal.att; ok 'what is no schedule'

npy short.npy 2,49,24
run 2 run causal.att -i Q=q.npy K=k.npy V=short.npy && says err "'K'" && says err "'V'" && says err "'M'"
ok 'inputs that disagree are both named, with the rank'
run 2 run causal.att $inputs -r N=38 && says err "'N'"; ok 'an input that disagrees with -r'
run 2 run causal.att -i Q=q.npy K=k.npy && says err 'V[H'; ok 'a missing input is named'
run 2 run causal.att $inputs X=q.npy && says err Q; ok 'an input the program does not have'
run 2 run causal.att $inputs -o P=p.npy && says err O; ok 'an output it does not have'
run 2 run causal.att $inputs Q=q.npy && says err twice; ok 'an input given twice'
run 3 run causal.att -i Q=none.npy K=k.npy V=v.npy && says err none.npy; ok 'a file that is not there'
run 3 run causal.att -i Q=causal.att K=k.npy V=v.npy; ok 'a file of another kind'
run 3 run causal.att $inputs -o O=no/such/folder.npy; ok 'an output that cannot be written'
head -c 500 q.npy >cut.npy
run 3 run causal.att -i Q=cut.npy K=k.npy V=v.npy; ok 'a file that was cut'

sed 's/f32/bf16/' causal.att >half.att
run 0 run half.att $inputs -o O=half.npy --compare; ok 'float32 files for a bf16 program are rounded'
says half.npy "'<u2'"; ok 'bf16 is written as uint16'
cp half.npy raw.npy
cat >scale.att <<'END'
kernel scale
rank H, N, E
in  X[H, N, E] : bf16
out Y[H, N, E] : f32
Y[h,n,e] = X[h,n,e] * 2
END
run 2 run scale.att -i X=raw.npy && says err '-t X=bf16'; ok 'uint16 must be called bf16'
run 0 run scale.att -i X=raw.npy -t X=bf16 -o Y=y.npy --compare; ok 'and then is'
run 0 run half.att $inputs -o O=wide.npy -t O=f32 && says wide.npy "'<f4'"; ok 'an output in another type'
run 2 run half.att $inputs -t Z=f32; ok '-t of a tensor that is not there'
run 2 run half.att $inputs -t Q=f33 && says err bf16; ok 'a type that is none'
run 0 run causal.att $inputs --as Q,K,V,O,L=bf16 -o O=as.npy --compare && cmp -s as.npy half.npy
ok 'types from the command line are as good as those in the text'
run 0 run causal.att $inputs --as O=f16 -o O=as.npy -t O=f32 && says as.npy "'<f4'"
ok 'and -t says what a file holds, as ever'

# raw FILE TYPE SHAPE HEX: a file of these bytes.
raw() {
	perl -e '
		my ($file, $type, $shape, $hex) = @ARGV;
		my $header = "{\x27descr\x27: \x27$type\x27, \x27fortran_order\x27: False, \x27shape\x27: ($shape,), }";
		$header .= " " x (63 - (10 + length $header) % 64) . "\n";
		open my $f, ">:raw", $file or die;
		print $f "\x93NUMPY\x01\x00", pack("v", length $header), $header, pack("H*", $hex);
	' "$@"
}
# ends FILE HEX: are these its last bytes?
ends() { [ "$(tail -c $((${#2} / 2)) "$1" | od -An -v -tx1 | tr -d ' \n')" = "$2" ]; }
cat >eight.att <<'END'
kernel eight
rank H, E
in  X[H, E] : f8e4m3
out Y[H, E] : f8e5m2
out Z[H, E] : f8e4m3
Y[h,e] = X[h,e] * 2
Z[h,e] = X[h,e]
END
raw eight.npy '<f4' 2,2 0000803f9a99993e286b6ececdccf340 # 1, 0.3, -1e9, 7.62
run 0 run eight.att -i X=eight.npy -o Y=y.npy Z=z.npy --compare && says z.npy "'|u1'" && ends z.npy 382afe4f
ok 'float32 files for reals of eight bits are rounded, and saturate'
raw eight.npy '<f2' 4 003ccd34fffb9f47 && sed 's/H, E/E/; s/h,e/e/g' eight.att >row.att &&
	run 0 run row.att -i X=eight.npy -o Z=row.npy && ends row.npy 382afe4f
ok 'so are float16 ones'
run 2 run eight.att -i X=z.npy && says err '-t X=f8e4m3'; ok 'uint8 must be called what its bytes are'
run 0 run eight.att -i X=z.npy -t X=f8e4m3 -o Y=again.npy --compare && cmp -s again.npy y.npy; ok 'and then is taken as codes'
run 0 run eight.att -i X=y.npy -t X=f8e5m2 -o Z=wide.npy -t Z=f32 && ends wide.npy 000000400000203f0000e0c300008041
ok 'codes of another type are converted, and outputs written as numbers'
run 2 run eight.att -i X=z.npy -t X=bf16 && says err 'cannot call'; ok 'bytes are not called what is wider'
cat >four.att <<'END'
kernel four
rank H, E
in  X[H, E] : i4
out Y[H, E] : f32
Y[h,e] = X[h,e] * 1
END
raw four.npy '|i1' 2,2 01fe07f8
run 0 run four.att -i X=four.npy -o Y=y.npy --compare && ends y.npy 0000803f000000c00000e040000000c1
ok 'whole numbers of a byte for a tensor of half bytes'
raw codes.npy '|u1' 2,1 e187
run 2 run four.att -i X=codes.npy && says err '-t X=i4'; ok 'uint8 must be called half bytes'
run 0 run four.att -i X=codes.npy -t X=i4 -o Y=halves.npy --compare && cmp -s halves.npy y.npy
ok 'two a byte, the low one first'
for type in $(sed -n 's/^DTYPE([^"]*"\([a-z0-9]*\)".*/\1/p' "$top/dsl/dtypes.h"); do
	run 2 run four.att -i X=four.npy -t X=none && says err " $type"; ok "-t takes $type"
done

# On a device, emulated where there is no other. A compiler for the emulated one may be missing too.
half='--as Q,K,V,O=bf16'
if "$attune" device --json 2>/dev/null | perl -MJSON::PP -0ne 'exit !grep { $_->{name} eq "cuda-emulated" && $_->{works} } @{decode_json($_)->{targets}}'; then
	run 0 run causal.att $inputs $half --target cuda-emulated -o O=device.npy L=l.npy --compare && says out sm80
	ok 'an emulated device agrees with the oracle'
	run 0 run causal.att $inputs $half --target cuda-emulated -o O=again.npy && cmp -s device.npy again.npy
	ok 'the same bits again'
	run 0 run causal.att $inputs --as Q,K,V,O=f16 --target cuda-emulated --compare; ok 'in f16'
	run 0 run causal.att $inputs --target cuda-emulated --compare; ok 'and in f32, on plain cores'
	cat >norm.att <<'END'
kernel norm
rank N, D, F
in  X[N, D] : bf16
in  gain[D] : f32
in  W[D, F] : bf16
out Y[N, F] : bf16
T[n,d] = layernorm[d](X + 100) * gain[d]
Y[n,f] = T[n,d] * W[d,f]
END
	npy x.npy 40,64 && npy gain.npy 64 && npy w.npy 64,24
	run 0 run norm.att -i X=x.npy gain=gain.npy W=w.npy --target cuda-emulated --compare
	ok 'rows far from zero: what their accumulators are rounded by does not show in the difference'
	run 0 emit causal.att --stage schedule $shape $half --target cuda-emulated && cp out device.sched &&
		run 0 run causal.att $inputs $half --target cuda-emulated --schedule device.sched --compare && says out given
	ok 'a schedule of a device from a file'
	run 2 run causal.att $inputs $half --target cuda-emulated --schedule one.sched; ok 'one of a processor is none for it'
else
	count=$((count + 1)); echo "ok $count # SKIP no compiler here serves the emulated device"
fi
if "$attune" device --json 2>/dev/null | perl -MJSON::PP -0ne 'exit !grep { $_->{name} eq "cuda" && $_->{works} && $_->{device} =~ /sm_/ } @{decode_json($_)->{targets}}'; then
	run 0 run causal.att $inputs $half --target cuda -o O=device.npy --compare; ok 'a device agrees with the oracle'
	run 0 bench causal.att $shape $half --target cuda --rounds 3 && says out 'on the device'; ok 'and is timed'
else
	run 3 run causal.att $inputs $half --target cuda && says err 'target cuda: '; ok 'no device is a system error, with the reason'
	run 3 bench causal.att $shape $half --target cuda && says err 'target cuda: '; ok 'so it is for bench'
fi

# All the way through a driver: a pretended one, which knows this kernel by its name.
cat >next.att <<'END'
kernel next
rank N
in  X[N] : f32
out Y[N] : f32
Y[n] = X[n] + 1
END
npy x.npy 1
pretend() (
	LD_LIBRARY_PATH=$build/tests/fake${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
	FAKE_CUDA=$1
	export LD_LIBRARY_PATH FAKE_CUDA
	run "$2" "$3" next.att $4 --target cuda --cache none
)
if [ -e "$build/tests/fake/libcuda.so.1" ] && "$attune" device --json 2>/dev/null |
		perl -MJSON::PP -0ne 'exit !grep { $_->{name} eq "cuda" && $_->{works} } @{decode_json($_)->{targets}}'; then
	pretend well 0 run '-i X=x.npy -o Y=y.npy --compare' && says out right: && says out sm80; ok 'files through a driver'
	pretend well 0 bench '-r N=1' && says out 'on the device'; ok 'bench through a driver'
	pretend none 3 run '-i X=x.npy' && says err 'NO_DEVICE'; ok 'a driver without a device'
	pretend old 3 run '-i X=x.npy' && says err '8.0'; ok 'a device that is too old'
	pretend crash 3 run '-i X=x.npy' && says err 'crashed'; ok 'a driver that crashes'
	sed 's/kernel next/kernel other/' next.att >other.att && mv other.att next.att
	pretend well 3 run '-i X=x.npy' && says err 'other_phase0'; ok 'a launch that fails'
else
	count=$((count + 1)); echo "ok $count # SKIP there is no NVRTC, or no pretended driver"
fi

run 0 tune causal.att $shape --budget 20s --evaluations 6 --threads 1 && says out default; ok 'tuning'
run 0 cache ls && says out causal && says out 'N=37'; ok 'the winner is listed'
run 0 cache show causal && says out isa; ok 'and shown with its schedule'
run 1 cache show nothing; ok 'nothing of that name'
run 0 cache ls --json && perl -MJSON::PP -0ne 'exit !(decode_json($_)->[0]{kernel} eq "causal")' out; ok 'as JSON'
run 0 cache check && says out sound; ok 'the cache is sound'
run 0 run causal.att $inputs --threads 1 --compare && says out 'exact schedule'; ok 'the winner is used'
run 0 run causal.att $inputs --threads 1 && says out 'exact schedule'; ok 'also when the first answer will do'
run 0 bench causal.att $shape --threads 1 --rounds 3 && says out tuned && says out naive; ok 'bench'
run 0 tune causal.att $shape --budget 20s --evaluations 6 --threads 1 --json && perl -MJSON::PP -0ne '
	exit !(decode_json($_)->{reused} > 0)' out
ok 'tuning again reuses what was measured'
run 2 tune causal.att && says err rank; ok 'tuning without extents'
run 2 tune causal.att $shape --strategy luck && says err genetic; ok 'an unknown strategy'
done_testing
