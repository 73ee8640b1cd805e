#!/bin/sh
# tune_device.t: the command line's search for a device that is not there, and what runs and explains by its winner.
. tests/lib.sh
attend="$top/examples/flash_causal_gqa.att --as Q,K,V,O=bf16"
shape='-r B=1 H=4 N=96 M=96 D=32 E=32'

run 0 tune $attend $shape --target cuda-emulated --evaluations 6 --budget 30s &&
	says out 'a run by the model' && says out 'not measured; proved by the emulator' && says out 'modelled, 0 reused'
ok 'tune says that its seconds are the model'"'"'s'
grep -q '^isa sm80' out; ok 'the winner is a schedule of a device'
sed -n '/^isa/,$p' out >winner
run 0 emit $attend $shape --target cuda-emulated --stage schedule && cmp -s out winner; ok 'emit takes it from the cache'
run 0 cache ls && says out 'sm80'; ok 'cache ls lists it'
run 0 tune $attend $shape --target cuda-emulated --evaluations 6 --budget 30s --json &&
	perl -MJSON::PP -0ne '$r = decode_json($_); exit !($r->{modelled} && $r->{reused} > 0 && $r->{kept})' out
ok 'again: known candidates are taken over, and JSON says it, too'
run 0 explain $attend $shape --target cuda-emulated && says out 'ms by the model, bound by'
ok 'explain tells what the model makes of each kernel'
run 3 tune "$top/examples/flash_causal_gqa.att" --as Q,K,V,O=f64 $shape --target cuda-emulated --cache none && says err 'devices are given f32 programs only'
ok 'a program that devices have no kernel for is refused with the reason'
done_testing
