#!/usr/bin/perl
# bench_server.t: what answers scripts/bench_peers.py: kernels that are prepared and timed, their tensors in files, and
# the machine's limits.
use strict;
use warnings;
use File::Temp 'tempdir';
use IPC::Open2;
use JSON::PP;

my ($build, $n) = ($ENV{BUILD} // 'build', 0);
my $folder = tempdir(CLEANUP => 1);
my $pid = open2(my $out, my $in, "$build/bench-server");

sub ok { my ($good, $what) = @_; print $good ? '' : 'not ', 'ok ', ++$n, " - $what\n"; $good }

sub ask {
	my %request = @_;
	print $in encode_json({id => 7, %request}), "\n";
	$in->flush;
	return decode_json(scalar <$out>);
}

sub floats { open my $f, '<:raw', "$folder/$_[0]" or return; local $/; unpack 'f<*', <$f> }

my %case = (program => 'examples/cross_attention.att', threads => 1, folder => $folder,
	ranks => {B => 1, H => 1, N => 3, M => 5, D => 4, E => 2}, values => {Q => [0], V => [1, 2, 3]});
my $made = ask(prepare => \%case);
ok($made->{id} == 7 && !$made->{error} && $made->{peers}[0] eq 'attune', 'a case is prepared');
my %shape = map { $_->{name} => "@{$_->{shape}} $_->{dtype}" } @{$made->{tensors}};
ok($shape{V} eq '1 1 5 2 f32' && $shape{O} eq '1 1 3 2 f32', 'its tensors are told');
my @v = floats('V');
ok("@v" eq '1 2 3 1 2 3 1 2 3 1', 'values are repeated, and lie in a file');
my @o = floats('O');
my @want = map { my $e = $_; my $sum = 0; $sum += $v[2 * $_ + $e] for 0 .. 4; $sum / 5 } 0, 1;
ok(@o == 6 && !grep({ abs($o[$_] - $want[$_ % 2]) > 1e-5 } 0 .. 5), 'what came out is the mean, as all scores are alike');
ok(ask(time => 'attune', runs => 3)->{seconds} > 0, 'it is timed');
my $narrow = ask(prepare => {%case, types => {map { $_ => 'bf16' } qw(Q K V O)}});
ok(!$narrow->{error} && -s "$folder/O" == 12 && $narrow->{tensors}[0]{dtype} eq 'bf16', 'other types may be asked for');
my ($one, $two) = map { ask(peak => $_)->{peak} } 1, 2;
ok($one > 1e9 && $two > $one, 'the peak of two threads is more than of one');
ok(ask(peak => 1, isa => 'scalar')->{peak} > 1e8, '… of an ISA');
ok(ask(read => 1, bytes => 1 << 26)->{bandwidth} > 1e8, 'memory is read');
ok(exists ask(exps => 1)->{exps}, 'exponentials a second');
for ([peak => 1, operand => 'i3'], [peak => 1, isa => 'avx9'], [peak => 0], [prepare => {program => 'none.att'}],
	[prepare => {%case, ranks => {B => 1}}], [prepare => {%case, folder => "$folder/none"}], [wish => 1]) {
	ok(ask(@$_)->{error}, 'refused: ' . encode_json({@$_}));
}
close $in;
waitpid $pid, 0;
ok($? == 0, 'it ends well');
print "1..$n\n";
