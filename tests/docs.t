#!/usr/bin/perl
# docs.t: the stages shown in docs/architecture.md are what the program prints. A block of C may leave out lines
# where it has a line of "…". docs/examples.md lists every example, with what explain says of it in the last two columns.
# GOLDEN=1 rewrites all but C; review the diff.
use strict;
use warnings;
use JSON::PP;

my $build = $ENV{BUILD} || 'build';
my $page = 'docs/architecture.md';
my $count = 0;
my $failed = 0;

sub ok {
	my ($good, $what) = @_;
	$count++;
	$failed++ unless $good;
	print $good ? 'ok' : 'not ok', " $count - $what\n";
	return $good;
}

open my $f, '<', $page or die "$page: $!";
my $text = do { local $/; <$f> };
close $f;
sub emitted {
	my ($stage) = @_;
	my ($command) = $text =~ /^attune (emit .* --stage STAGE .*)$/m;
	$command =~ s/STAGE/$stage/;
	my $out = `$build/attune $command --cache none`;
	$out =~ s/\n\n+\z/\n/;
	return $out;
}

for my $stage (qw(cascade streams schedule tile)) {
	my $want = emitted($stage);
	$want =~ s/^.*?\n(?=phase )//s if $stage eq 'tile';          # the declarations are on docs/tile.md
	$want =~ s/^.*?\n(?=stream )//s if $stage eq 'streams';
	if ($ENV{GOLDEN}) {
		$text =~ s/^```$stage\n.*?^```$/```$stage\n$want```/ms;
	}
	my ($have) = $text =~ /^```$stage\n(.*?)^```$/ms;
	ok($want ne '' && defined $have && $have eq $want, "$page: $stage");
}

my ($shown) = $text =~ /^```c\n(.*?)^```$/ms;
my $c = emitted('c');
my @parts = split /^…\n/m, $shown;
my $good = @parts > 0;
my $at = 0;
for my $part (@parts) {
	my $found = index $c, $part, $at;
	$good &&= $found >= 0;
	$at = $found + length $part if $found >= 0;
}
ok($good, "$page: c");

if ($ENV{GOLDEN}) {
	open my $out, '>', $page or die "$page: $!";
	print $out $text;
	close $out;
}
# ---- the page of examples ----

sub slurp {
	my ($path) = @_;
	open my $in, '<', $path or return '';
	my $s = do { local $/; <$in> };
	return $s;
}

# The extents and params of an example's first case, as options.
sub options {
	my ($source, $cases) = @_;
	my ($case) = $cases =~ /^case (.*?)\s*(?:#.*)?$/m;
	my %rank = map { $_ => 1 } map { s/=[^,]*//gr =~ /[A-Za-z_]\w*/g } $source =~ /^rank([^#\n]*)/mg;
	return join ' ', map { my ($name) = /^(\w+)=/; ($rank{$name} ? '-r ' : '-p ') . $_ } split ' ', $case // '';
}

# How the walks of its streams leave out tiles.
sub tiles {
	my ($name, $options) = @_;
	my $text = `$build/attune explain examples/$name.att $options --isa avx512 --cache none --json`;
	my $told = eval { decode_json($text) };
	die "explain $name $options: $@" unless $told;
	my %how;
	for my $stream (@{$told->{predicates}{streams} // []}) {
		$how{list} = 1, next if @{$stream->{made_beforehand} // []};
		$how{bounds} = 1 if grep { !/^\d*$/ } $stream->{from} // '', $stream->{to} // '';
		$how{test} = 1 if @{$stream->{looked_at_if} // []};
	}
	return join(', ', sort keys %how) || '—';
}

my $list = slurp('docs/examples.md');
my %listed;
$listed{$1}++ while $list =~ /^\| `(\w+)` \|/mg;
for my $path (glob 'examples/*.att') {
	my ($name) = $path =~ m{(\w+)\.att};
	my $cases = slurp("tests/examples/$name.txt");
	my $passes = join(', ', $cases =~ /^passes (\w+ \d+)/mg) || '—';
	my $tiles = tiles($name, options(slurp($path), $cases));
	$list =~ s/^(\| `$name` \|.*)\|[^|\n]*\|[^|\n]*\|$/$1| $passes | $tiles |/m if $ENV{GOLDEN};
	ok(($listed{$name} // 0) == 1, "docs/examples.md has one line of $name");
	ok(scalar($list =~ /^\| `$name` \|.*\| \Q$passes\E \| \Q$tiles\E \|$/m), "… which says: passes $passes, tiles by $tiles");
	delete $listed{$name};
}
ok(!%listed, join ' ', 'nothing else is listed there', sort keys %listed);
if ($ENV{GOLDEN}) {
	open my $out, '>', 'docs/examples.md' or die "docs/examples.md: $!";
	print $out $list;
	close $out;
}

my $how = 'docs/how-to.md';
open $f, '<', $how or die "$how: $!";
my $guide = do { local $/; <$f> };
close $f;
my ($explain) = $guide =~ /^attune (explain .* --map)$/m;
my $told = `$build/attune $explain --cache none`;
$told =~ s/^.*?\n(?=What the predicates leave out)//s;
$guide =~ s/^```explain\n.*?^```$/```explain\n$told```/ms if $ENV{GOLDEN};
my ($drawn) = $guide =~ /^```explain\n(.*?)^```$/ms;
ok($told ne '' && defined $drawn && $drawn eq $told, "$how: explain");
my ($chosen) = $guide =~ /^attune (explain .* --isa avx2)$/m;
my ($choices) = `$build/attune $chosen --cache none` =~ /^(Choices.*?\n)(?:\n\S|\z)/ms;
$guide =~ s/^```choices\n.*?^```$/```choices\n$choices```/ms if $ENV{GOLDEN};
my ($listed) = $guide =~ /^```choices\n(.*?)^```$/ms;
ok(defined $choices && defined $listed && $choices eq $listed, "$how: choices");
if ($ENV{GOLDEN}) {
	open my $out, '>', $how or die "$how: $!";
	print $out $guide;
	close $out;
}
print "1..$count\n";
exit($failed ? 1 : 0);
