#!/bin/sh
# explain.t: what explain says of masks: text, maps, pictures, JSON, a schedule of one's own, data of one's own.
. tests/lib.sh

cat >causal.att <<'END'
kernel causal
rank H, N, M, D
in  Q[H, N, D], K[H, M, D], V[H, M, D] : f32
out O[H, N, D] : f32
index e : D
S[h,n,m] = Q[h,n,d] * K[h,m,d] where m <= n + (M - N)
P = softmax[m](S)
O[h,n,e] = P[h,n,m] * V[h,m,e]
END
sed -e 's/kernel causal/kernel documents/' -e 's/^out/in  doc[N], kdoc[M] : i32\nout/' \
	-e 's/where.*/where doc[n] == kdoc[m] and m % 7 != 3/' causal.att >documents.att
sed -e 's/kernel causal/kernel heads/' -e 's/where.*/where m <= n and n - m < 10 + 20 * (h % 2)/' causal.att >heads.att
sed -e 's/kernel causal/kernel plain/' -e 's/where.*//' causal.att >plain.att
shape='-r H=4 N=20 M=20 D=16 --cache none'

# xml FILE: is it well-formed?
xml() {
	if command -v xmllint >/dev/null; then xmllint --noout "$1"
	elif command -v python3 >/dev/null; then python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$1"
	else perl -0ne 'my @open;
		while (m{<(/?)(\w+)[^<>]*?(/?)>}g) { if ($1) { exit 1 if pop @open ne $2 } elsif (!$3) { push @open, $2 } }
		exit @open > 0' "$1"; fi
}

run 0 explain causal.att && says out 'What the predicates leave out' && says out 'present where m <= n + (M - N)'
ok 'without extents: the predicate'
says out 'm in [0, min(M, n1 + M - N + 1))'; ok 'and its bounds in closed form'
run 0 explain causal.att $shape && says out 'of 1600 pairs 52.5% are present' && says out 'A character is 1 n down by 1 m across'
ok 'with extents: what is present and visited, and a small map'
says out '          0 |+'; ok 'drawn in ASCII where there is no terminal'
run 0 explain causal.att -r H=4 N=2000 M=2000 D=16 --cache none && ! says out 'A character is'; ok 'no large map'
says out 'without the predicate if m1 <= n0'; ok 'what is asked of a tile'
run 0 explain causal.att -r H=4 N=2000 M=2000 D=16 --cache none --map && says out 'A character is' && says out 'every h: '
ok 'unless it is asked for'
[ "$(grep -c '|$' out)" -le 40 ] && ! grep -q '|.\{81,\}|$' out; ok 'of at most 40 by 80 characters'
run 0 explain heads.att $shape --map && says out 'h 0, 2: ' && says out 'h 1, 3: '; ok 'heads that are alike are drawn once'
run 0 explain plain.att $shape && ! says out 'What the predicates leave out'; ok 'nothing is said where nothing is left out'

sed -e 's/^rank H/rank C, H/' -e 's/^out/in  Z[C] : f32\nout/' -e 's,where.*,where m <= n and m / C == n / C,' causal.att >blocks.att
run 0 explain blocks.att -r C=8 $shape && says out 'm in [max(0, 8 * (n0 / 8)), '
ok 'a rank that is bound divides as a number does'
run 0 explain documents.att $shape && says out 'data generated: doc, kdoc'; ok 'data that is missing is generated'
says out 'not bounded by doc[n] == kdoc[m]' && says out 'it depends on what doc holds'; ok 'a term without bounds, and why'
perl -e '
	for my $name ("doc", "kdoc") {
		my $header = "{\x27descr\x27: \x27<i4\x27, \x27fortran_order\x27: False, \x27shape\x27: (20,), }";
		$header .= " " x (63 - (10 + length $header) % 64) . "\n";
		open my $f, ">:raw", "$name.npy" or die;
		print $f "\x93NUMPY\x01\x00", pack("v", length $header), $header;
		print $f pack "l<", int($_ / 5) for 0 .. 19;
	}'
run 0 explain documents.att -r H=4 D=16 --cache none -i doc=doc.npy kdoc=kdoc.npy --json && perl -MJSON::PP -0ne '
	my $p = decode_json($_)->{predicates}; my $s = $p->{streams}[0];
	my $want = 0; for my $n (0 .. 19) { for my $m (0 .. 19) { $want += int($n / 5) == int($m / 5) && $m % 7 != 3; } }
	exit !($p->{data} eq "given: doc, kdoc" && $s->{present} == 4 * $want && $s->{sound} && $s->{pairs} == 1600)' out
ok 'data that is given is what is counted, and gives extents'
run 0 explain documents.att $shape --fill 'doc[n] = n / 5' --fill 'kdoc[m] = m / 5' --json && perl -MJSON::PP -0ne '
	my $p = decode_json($_)->{predicates}; my $s = $p->{streams}[0];
	my $want = 0; for my $n (0 .. 19) { for my $m (0 .. 19) { $want += int($n / 5) == int($m / 5) && $m % 7 != 3; } }
	exit !($p->{data} eq "given: doc, kdoc" && $s->{present} == 4 * $want)' out
ok 'or data in the language'
run 2 explain documents.att $shape --fill 'dco[n] = n' && says err 'dco[n] = n'; ok 'for no input'
run 2 explain documents.att $shape --fill 'doc[n] = n' --fill 'kdoc[m] = m +' && says err 'fill:2:'; ok 'or not in the language'
run 2 explain documents.att $shape -i dco=doc.npy && says err 'dco'; ok 'an input that is none'

run 0 explain causal.att $shape --json && perl -MJSON::PP -0ne '
	my $e = decode_json($_); my $s = $e->{predicates}{streams}[0]; my $h = $s->{maps}[0];
	exit !($s->{present} == 840 && $s->{visited} >= 840 && $h->{count} == 4 && @{$h->{map}} == 20 &&
		length $h->{map}[0] == 20 && $e->{costs}{contract_flops} > 0 && $s->{to} =~ /n1/)' out
ok 'JSON has counts, maps and costs'
run 0 explain heads.att $shape --svg heads.svg && xml heads.svg; ok 'the picture is well-formed XML'
says heads.svg 'prefers-color-scheme: dark' && says heads.svg '<desc' && says heads.svg 'xmlns="http://www.w3.org/2000/svg"' &&
	! grep -q 'href\|<script\|@import\|url(' heads.svg
ok 'that stands alone'
[ "$(grep -c '<g role="img"' heads.svg)" = 2 ]; ok 'a map for each head that differs'
run 0 explain causal.att $shape --svg - && xml out; ok 'to standard output, alone'
run 0 explain plain.att $shape --svg plain.svg && xml plain.svg; ok 'a picture of nothing left out'
run 3 explain causal.att $shape --svg no/such/folder.svg; ok 'where it cannot be written'
run 2 explain causal.att --svg x.svg && says err "'H'"; ok 'it needs extents'

run 0 emit causal.att --stage schedule $shape && sed 's/sparsity bounds/sparsity mask/' out >mask.sched
run 0 explain causal.att $shape --schedule mask.sched && says out 'By the given schedule' && says out 'visits 100%' &&
	says out 'sparsity mask' && says out 'flop of contractions'
ok 'a schedule of one'"'"'s own, with its costs'

# Why rows, lanes and types of operands are as they are.
sed -e 's/kernel causal/kernel groups/' -e 's/^rank.*/rank H, C, N, M, D/' -e 's/^in .*/in Q[H, N, D], K[C, M, D], V[C, M, D] : f32/' \
	-e 's/K\[h,/K[h\/4,/' -e 's/V\[h,/V[h\/4,/' -e 's/ where.*//' causal.att >groups.att
run 0 explain groups.att -r H=8 C=2 N=1 M=64 D=16 --isa scalar --cache none && says out 'Choices (default)' &&
	says out 'rows h:4: the 4 h of a group read the same K and V, and n has but 1 coordinate to share it' &&
	says out 'lanes m and e: not h: with rows by groups they stay in rows'
ok 'why rows are grouped'
run 0 emit groups.att -r H=8 C=2 N=1 M=64 D=16 --isa scalar --cache none --stage schedule && cp out grouped.sched
run 0 explain groups.att -r H=8 C=2 N=40 M=64 D=16 --isa scalar --cache none && says out '40 coordinates of n share K and V already'
ok '… and why not'
run 0 explain groups.att -r H=8 C=2 N=40 M=64 D=16 --isa scalar --cache none --schedule grouped.sched &&
	says out 'rows h:4: the schedule says so; by default n: 40 coordinates of n share'
ok '… and that a schedule has them otherwise'
run 0 explain plain.att $shape --isa avx512 && says out 'lanes m and e: not n: n has 20 coordinates, fewer than 24'; ok 'why keys are in the lanes'
run 0 explain plain.att -r H=4 N=32 M=4096 D=64 --isa avx512 --cache none --json && perl -MJSON::PP -0ne '
	my ($c) = grep { $_->{what} eq "lanes" } @{decode_json($_)->{choices}};
	exit !($c->{stream} == 1 && $c->{chosen} eq "n" && $c->{why} =~ /^K is summed across no vector/)' out
ok 'why rows are, as JSON'
run 0 explain plain.att -r H=4 N=256 M=256 D=64 --as Q,K,V,O=bf16 --isa avx512bf16 --cache none &&
	says out 'operands O_sum bf16: V : bf16 is held exactly, what multiplies it is rounded once, and avx512bf16 sums 2 of their products at once'
ok 'why operands are read as bf16'
run 0 explain plain.att -r H=4 N=256 M=256 D=64 --as Q,K,V,O=bf16 --isa avx2 --cache none &&
	says out 'compute: avx2 has no sums of products of bf16: they are widened'
ok '… and why they are not'
run 0 explain plain.att $shape --isa avx2 && ! says out 'operands'; ok 'of types alike nothing is said'

run 2 explain causal.att $shape --schedule causal.att && says err 'schedule'; ok 'one that is none'
done_testing
