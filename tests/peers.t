#!/bin/sh
# peers.t: what scripts/peers_report.py makes of what scripts/bench_peers.py measured, and how that names the machine.
. tests/lib.sh
command -v python3 >/dev/null || {
	echo '1..0 # SKIP there is no python3'
	exit 0
}

cat >peers.json <<'END'
{"machine": "A machine; attune 1234567.", "results": [
 {"name": "full", "set": "prefill", "threads": 1, "bound": "flops", "possible": 0.9, "notes": ["onnxruntime: too slow"],
  "peers": {"attune": {"ratio": 0.8, "seconds": 0.01}, "sdpa": {"ratio": 0.5, "seconds": 0.02},
            "flex": {"ratio": 0.4, "seconds": 0.02}}},
 {"name": "full", "set": "prefill", "threads": 2, "bound": "flops", "possible": 0.9, "notes": [],
  "peers": {"attune": {"ratio": 0.7, "seconds": 0.01}, "sdpa": {"ratio": 0.875, "seconds": 0.01}}},
 {"name": "int8 kv", "set": null, "threads": 1, "bound": "bytes", "possible": 1, "notes": [],
  "peers": {"attune": {"ratio": 0.6, "seconds": 0.01}}},
 {"name": "bf16", "set": "decode", "threads": 1, "bound": "bytes", "possible": 1, "notes": [],
  "peers": {"attune": {"ratio": 0.9, "seconds": 0.015}, "sdpa": {"ratio": 0.3, "seconds": 0.04}}}]}
END
printf 'Before.\n<!-- peers -->\nold\n<!-- /peers -->\nAfter.\n' >page.md
printf 'Before.\n<!-- peers in brief -->\nold\n<!-- /peers -->\nAfter.\n' >brief.md
report() { PYTHONDONTWRITEBYTECODE=1 python3 "$top/scripts/peers_report.py" "$@" >out 2>err; }

report peers.json peers.svg page.md brief.md; ok 'a report'
says page.md '| full | 1 | flops | 0.90 | 0.800 | 0.500 | 0.400 | 1.60× sdpa |' &&
	says page.md '| int8 kv | 1 | bytes | 1.00 | 0.600 | – | – | – |'
ok 'a row a case and number of threads, and nothing where nobody else was timed'
says page.md '- full, 1 thread: onnxruntime: too slow'; ok 'what was noted'
says page.md '- attune, decode, 1 thread: 3.00 times the best peer over 1 cases, least 3.00.' &&
	says page.md '- attune, int8 kv, 1 thread: 1.50 times the tokens a second that bf16 has.' &&
	says page.md '- attune, slower than a peer: full, 2 threads (sdpa by 1.25).'
ok 'what it comes to'
says brief.md "| full | the peak | 0.80 | 1.60× sdpa | 0.70 | 0.80× sdpa |" && ! says brief.md '| int8 kv |'
ok 'in brief: a row a case of the means'
for file in page.md brief.md; do
	says $file 'A machine; attune 1234567.' && ! says $file old && [ "$(sed -n '1p;$p' $file | tr '\n' ' ')" = 'Before. After. ' ]
	ok "$file: the machine, and the text around"
done
cp page.md once.md && report peers.json peers.svg page.md && cmp -s once.md page.md; ok 'the same again'
python3 -c 'import sys, xml.dom.minidom; sys.exit(len(xml.dom.minidom.parse("peers.svg").getElementsByTagName("rect")) != 11)' 2>err
ok 'the chart has a bar for each, and a legend'
printf 'No place.\n' >none.md && cp none.md kept.md && ! report peers.json peers.svg none.md && says err none.md && cmp -s none.md kept.md
ok 'a file without a place is refused and left alone'

line() {
	PYTHONDONTWRITEBYTECODE=1 python3 -c 'import sys
sys.path.insert(0, sys.argv[1])
import peers_machine
print(peers_machine.machine_line(7))' "$1" >out 2>err && says out '; 7 rounds, '
}
line "$top/scripts"; ok 'what the machine is, and who is measured'
! git -C "$top" rev-parse HEAD >/dev/null 2>&1 || says out "attune $(git -C "$top" describe --always --dirty)"; ok 'with the commit'
cp -r "$top/scripts" scripts && line "$folder/scripts" && ! says out attune; ok 'and without, where there is no repository'
# Who has PyTorch within reach is told what it brings.
mkdir torch && printf '__version__ = "2.0"\nclass __config__:\n    show = staticmethod(lambda: "- Intel(R) MKL-DNN v3.1.2 (Git Hash 12)")\n' >torch/__init__.py
PYTHONPATH=$folder line "$top/scripts" && says out 'torch 2.0, oneDNN 3.1.2'; ok 'oneDNN is the one within PyTorch'
done_testing
