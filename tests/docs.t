#!/usr/bin/perl
# docs.t: the stages shown in docs/architecture.md are what the program prints. A block of C may leave out lines
# where it has a line of "…". GOLDEN=1 rewrites the others; review the diff.
use strict;
use warnings;

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
print "1..$count\n";
exit($failed ? 1 : 0);
