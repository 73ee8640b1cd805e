#!/bin/sh
# cli.t: what the command line says of itself, of mistakes, and the statuses it leaves.
. tests/lib.sh

commands=$(sed -n 's/^COMMAND([A-Z]*, \([a-z]*\),.*/\1/p' "$top/cli/commands.h")
switches=$(sed -n 's/^SWITCH([^,]*, *"\([a-z-]*\)".*/\1/p' "$top/cli/switches.h")

run 0 help && says out 'attune help COMMAND'; ok 'help lists the commands'
run 0 --version && says out 'attune '; ok 'version'
for c in $commands; do
	run 0 help "$c" && says out "usage: attune $c"; ok "help $c"
	run 0 "$c" --help && says out "usage: attune $c"; ok "$c --help"
	grep -q "^\.Cm $c\$" "$top/man/attune.1"; ok "the man page has the command $c"
done
for s in $switches; do
	grep -q "Fl.* -$s\b" "$top/man/attune.1"; ok "the man page has the option --$s"
done

run 2; ok 'no command is a usage error'
run 2 tnue && says err "did you mean 'tune'?"; ok 'a mistyped command gets a suggestion'
run 2 zzzzzzzz && says err 'attune help'; ok 'a strange one gets none'
run 2 tune x.att --bugdet 1s && says err "did you mean '--budget'?"; ok 'a mistyped option gets a suggestion'
run 2 check x.att --budget 1s && says err "'attune check' has no option"; ok 'an option of another command is named as one'
run 2 tune x.att --budget 1x && says err 'takes a time'; ok 'a bad time'
run 2 tune x.att --budget; ok 'an option without its argument'
run 2 tune x.att --seed -1; ok 'a negative seed'
run 2 tune x.att -r N=abc && says err 'is no number'; ok 'a bad extent'
run 2 tune x.att -r N && says err 'RANK=N'; ok 'an extent without a value'
run 2 check --json=1 x.att && says err 'takes no argument'; ok 'a flag takes no argument'
run 2 device now; ok 'device takes no argument'
run 2 cache list && says err 'ls, show or check'; ok 'a bad cache command'
run 2 build x.att; ok 'build without a folder'
run 2 check; ok 'check without a file'
run 3 check no-such-file.att && says err 'no-such-file.att'; ok 'a file that is not there is a system error'

cat >sum.att <<'END'
kernel row_sum
rank N, M
in  X[N, M] : f32
out Y[N]    : f32
Y[n] = X[n,m]
END
cat >broken.att <<'END'
kernel broken
rank N, M
in  X[N, M] : f32
in  B[N]    : f32
out Y[N]    : f32
Y[n] = X[n,m] + B[n]
Z[n] = X[n]
END
run 0 check sum.att && [ ! -s out ] && [ ! -s err ]; ok 'a sound program is passed in silence'
run 1 check sum.att broken.att && says err 'broken.att:6:'; ok 'a broken one is status 1 with a place'
[ "$(grep -c ': error:' err)" -ge 2 ]; ok 'all its errors come in one run'
run 1 check --json broken.att && perl -MJSON::PP -0ne '
	my $f = decode_json($_)->[0];
	exit !(!$f->{ok} && $f->{diagnostics}[0]{line} == 6 && $f->{diagnostics}[0]{message} ne "")' out
ok 'diagnostics as JSON'
"$attune" check - <sum.att >out 2>err; ok 'a program from standard input'
run 1 check -p nothing=1 sum.att; ok 'a param the program does not have'
run 0 check --as X,Y=bf16 sum.att && run 0 check --as X=bf16,Y=f16 sum.att; ok 'inputs and outputs of other types'
run 1 check --as x=bf16 sum.att && says err "no input or output 'x'" && says err "did you mean 'X'"
ok 'a mistyped name in --as gets a suggestion'
run 1 check --as X=bf61 sum.att && says err "no type 'bf61' for 'X'" && says err "did you mean 'bf16'"
ok 'so does a mistyped type'
run 2 check --as X,Y sum.att && says err 'X=TYPE'; ok '--as without a type'
run 0 emit sum.att --stage cascade --as X=bf16 && says out 'X[N, M] : bf16' && says out 'Y[N] : f32'
ok '--as is what the cascade declares'

run 0 emit sum.att --stage cascade && cp out again.att && run 0 emit again.att --stage cascade &&
	cmp -s out again.att
ok 'the cascade parses back to itself'
run 2 emit sum.att && says err '--stage'; ok 'emit without a stage'
run 2 emit sum.att --stage tiles && says err "not 'tiles'"; ok 'a bad stage'
run 2 emit sum.att --stage c && says err '-r N=N M=N'; ok 'a stage that needs extents names the rank that has none'
run 2 emit sum.att --stage c -r K=3 && says err "'K'"; ok 'an unknown rank'
run 2 emit sum.att --stage c -r N=-3 M=4 && says err "'N'"; ok 'a negative extent'
run 2 emit sum.att --stage c -r N=99999999999 M=4; ok 'an extent past the limit'
run 2 emit sum.att --stage c -r N=3 M=4 --isa avx9 && says err 'avx9'; ok 'an unknown ISA'
run 2 emit sum.att --stage c -r N=3 M=4 --target cc && says err "'cc'"; ok 'an unknown target'
run 2 emit sum.att --stage c -r N=3 M=4 --arch sm_80 && says err 'target'; ok 'an architecture without a device target'
run 2 emit sum.att --stage c -r N=3 M=4 --target cuda --arch sm_12 && says err 'sm_80'; ok 'an unknown architecture'
run 2 emit sum.att --stage c -r N=3 M=4 --target cuda --isa avx2 && says err 'no ISA'; ok 'a device has no ISA'
for stage in streams schedule tile c; do
	run 0 emit sum.att --stage $stage -r N=3 M=4 --target cuda --arch sm_90 && [ -s out ]; ok "emit $stage for a device"
done
says out 'AT_KERNEL(' && says out 'asm volatile'; ok 'the text is all that is compiled'
run 0 explain sum.att -r N=3 M=4 --target cuda --arch sm_90 && says out 'for sm_90' && says out 'threads'
ok 'explain tells of a kernel for a device'
run 0 explain sum.att -r N=3 M=4 --target cuda --json && perl -MJSON::PP -0ne '
	my $e = decode_json($_); exit !($e->{kernels}[0]{blocks} > 0 && ($e->{resources_missing} || $e->{kernels}[0]{registers} > 0))' out
ok 'as JSON, with its registers or why they are not known'
run 1 explain sum.att -r N=3 M=4 --target cuda --as X=f64 && says err 'f64'; ok 'a program that devices have no kernel for'
run 0 tune sum.att -r N=3 M=4 --target cuda-emulated --evaluations 2 --budget 10s --cache none && says out 'not measured'
ok 'an emulated device is tuned by a model, which is said'
run 2 bench sum.att -r N=3 M=4 --target cuda-emulated && says err 'clock'; ok 'nor timed'
for stage in streams schedule tile c; do
	run 0 emit sum.att --stage $stage -r N=3 M=4 && [ -s out ]; ok "emit $stage"
done
run 0 emit sum.att --stage schedule -r N=3 M=4 --isa scalar && mv out scalar.sched
for command in 'emit --stage schedule' 'emit --stage c' explain; do
	run 2 $command sum.att -r N=3 M=4 --schedule scalar.sched --isa avx2 && says err 'for scalar, and avx2 was asked for'
	ok "$command: a schedule for another ISA than the one asked for"
done
run 0 emit sum.att --stage c -r N=3 M=4 --schedule scalar.sched --isa scalar && [ -s out ]; ok 'and for the same'
run 0 emit sum.att --stage schedule -r N=3,M=4 --json && perl -MJSON::PP -0ne '
	exit !(decode_json($_)->{stage} eq "schedule")' out
ok 'emit as JSON'
run 0 explain sum.att && says out 'pass'; ok 'explain, unbound'
run 0 explain sum.att -r N=3 M=4 --json && perl -MJSON::PP -0ne 'decode_json($_)' out; ok 'explain as JSON'

run 0 device && says out GFLOP; ok 'device'
says out 'cuda-emulated' && says out 'device: emulated'; ok 'device tells of the targets for devices, and what they run on'
run 0 device --json && perl -MJSON::PP -0ne 'exit !(decode_json($_)->{peak_flops} > 1e8)' out; ok 'device as JSON'
run 0 cache ls && [ ! -s out ]; ok 'an empty cache lists nothing'
run 0 cache check; ok 'and is sound'
run 3 cache check --cache sum.att && says err 'left alone' && grep -q '^kernel row_sum' sum.att
ok 'a file that is no cache is not touched'
run 0 cache check --cache none; ok 'no cache is no trouble'
[ -d cache/attune ]; ok 'XDG_CACHE_HOME holds it'

"$attune" help >/dev/full 2>err; [ $? = 3 ]; ok 'a full disk under standard output is a system error'
done_testing
