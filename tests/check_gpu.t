#!/bin/sh
# check_gpu.t: the whole way of a pack, from a plan to a report, on the emulated device; and what is said of packs and
# machines that will not do.
. tests/lib.sh

types='"types": {"Q": "bf16", "K": "bf16", "V": "bf16", "O": "bf16"}'
cat >plan.json <<END
{"cases": [
 {"program": "$top/examples/flash_causal_gqa.att", $types,
  "ranks": {"B": 1, "H": 4, "N": 17, "M": 40, "D": 20, "E": 24}},
 {"program": "$top/examples/document_mask.att", $types,
  "inputs": {"qdoc": {"from": 14, "step": 9}, "kdoc": {"from": 0, "step": 9}},
  "ranks": {"B": 1, "H": 1, "N": 19, "M": 33, "D": 32, "E": 32}}
]}
END

run 0 gpu-pack plan.json -o pack --target cuda-emulated
ok 'a pack is made without NVRTC and without a GPU'
says out '2 kernels of 2 cases,' && [ -s pack/manifest.json ]
ok 'it has a kernel for each case'
cp plan.json pack/old.obj && run 0 gpu-pack plan.json -o pack --target cuda-emulated && [ ! -e pack/old.obj ]
ok 'what an earlier one left is removed'
run 0 check-gpu --pack pack
ok 'it is good on the emulated device'
says out '12 of 12 primitives probed good' && says out '2 of 2 cases held against float64 good'
ok 'all of it'
says out 'speed is left out'
ok 'and nothing is timed there'
run 0 check-gpu --pack pack --json && perl -MJSON::PP -e '
	local $/; my $r = decode_json(<STDIN>);
	my @right = grep { $_->{kind} eq "right" && $_->{error}{max} <= $_->{error}{allowed_max} } @{$r->{jobs}};
	exit !(@right == 2 && $r->{bad} == 0);' <out
ok 'JSON says how far each is from float64'

cp -r pack wrong
perl -0pi -e 's/("tasks":\s*)\d+/${1}0/g' wrong/manifest.json
run 1 check-gpu --pack wrong && says out 'bad: flash_causal_gqa' && says out '0 of 2 cases held against float64 good'
ok 'kernels that do nothing are found by their poisoned outputs'

cp -r pack cut
for f in cut/*.obj; do printf x >>"$f"; done
run 1 check-gpu --pack cut && says out "make it anew, 'make gpu-pack'"
ok 'an object that was changed is not run'
run 2 check-gpu --pack nowhere && says err "a pack is made by 'make gpu-pack'"
ok 'a missing pack: what to do'
mkdir bad && echo '{"attune_gpu_pack": 1, "target": "cuda"' >bad/manifest.json
run 2 check-gpu --pack bad && says err "damaged: make it anew"
ok 'a damaged manifest'
echo '{"attune_gpu_pack": 7}' >bad/manifest.json
run 2 check-gpu --pack bad && says err 'is of format 7'
ok 'one of another format'
run 2 check-gpu --pack pack --target cuda && says err 'for target cuda-emulated, not cuda'
ok 'a pack for another target'
run 2 gpu-pack nowhere.json -o pack2 && says err 'nowhere.json'
ok 'a missing plan'
run 2 gpu-pack plan.json -o pack2 --archs hopper && says err "not 'hopper'"
ok 'architectures that are none'

# for a real device: compiled only where NVRTC is; there is a device hardly anywhere
if run 0 gpu-pack plan.json -o real --archs 80 --quick; then
	run 3 check-gpu --pack real --peers none && [ -s err ] || { [ $got = 0 ] && says out 'primitives probed'; }
	ok 'a pack for cuda: without a device status 3 and a message'
	says err 'libcuda' || says err 'device' || says out 'primitives probed'
	ok 'which names what is missing'
elif says err NVRTC || says err nvrtc; then
	count=$((count + 1))
	echo "ok $count # SKIP no NVRTC here"
else
	false
	ok 'a pack for cuda'
fi

if command -v python3 >/dev/null; then
	echo '{"id": 7, "copy": 1048576}' | python3 "$top/scripts/peers_gpu.py" >out 2>err && says out '"id": 7'
	ok 'scripts/peers_gpu.py answers, with or without PyTorch'
fi
done_testing
