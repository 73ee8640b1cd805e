#!/usr/bin/perl
# explain_examples.t: of every example, on the first case it is tried on, the kernel takes what is present and nothing
# twice, as explain finds. MASKS=2048 instead takes params at their defaults and N = M = 2048, and prints how much more
# than the ideal is done.
use strict;
use warnings;
use JSON::PP;

my $build = $ENV{BUILD} || 'build';
my $large = $ENV{MASKS};
my ($count, $failed) = (0, 0);

sub ok {
	my ($good, $what) = @_;
	$count++;
	$failed++ unless $good;
	print $good ? 'ok' : 'not ok', " $count - $what\n";
}

# The first case of a file and the equations that fill inputs for it: tests/example_cases.h.
sub first_case {
	my ($name) = @_;
	my (%fill, %binding, $last);
	my $where = '';
	open my $f, '<', "tests/examples/$name.txt" or return;
	while (my $line = <$f>) {
		$line =~ s/\s+#.*//;
		$line =~ s/\s+$//;
		if ($line =~ /^fill/) { $where = 'fill' }
		elsif ($line =~ /^case (?!long)(.*)/) {
			last if %binding;
			$where = 'case';
			%binding = $1 =~ /(\w+)=(\S+)/g;
		}
		elsif ($line =~ /^\S/) { $where = '' }
		elsif ($where && $line =~ /^\s+expect\b/) { next }
		elsif ($where && $line =~ /^\t((\w+)\[.*)/) { $fill{$last = $2} = $1 }
		elsif ($where && $last && $line =~ /^\t\s+(\S.*)/) { $fill{$last} .= " $1" }
	}
	return (\%binding, \%fill);
}

for my $path (glob 'examples/*.att') {
	my ($name) = $path =~ m{([^/]+)\.att$};
	my ($binding, $fill) = first_case($name);
	next unless $binding;
	open my $f, '<', $path or die "$path: $!";
	my $text = do { local $/; <$f> };
	my $ranks = join ',', $text =~ s{#.*}{}gr =~ /^rank\s+(.*(?:\n[ \t]+.*)*)/mg;
	my %is_rank = map { /(\w+)/ ? ($1 => 1) : () } split /,/, $ranks;
	my %is_param = map { $_ => !$is_rank{$_} } keys %$binding;
	my @command = ("$build/attune", 'explain', $path, '--cache', 'none', '--json');
	for my $n (sort keys %$binding) {
		my $value = $binding->{$n};
		next if $large && $is_param{$n};
		$value = $n =~ /^[NM]$/ ? $large : $n =~ /^[DE]$/ ? 64 : $value if $large;
		push @command, $is_param{$n} ? '-p' : '-r', "$n=$value";
	}
	for my $t (sort keys %$fill) {
		my $equation = $fill->{$t};
		$equation =~ s{/ (\d\d)\b}{'/ ' . 16 * $1}ge if $large; # documents that are longer, too
		push @command, '--fill', $equation;
	}
	open my $out, '-|', @command or die;
	my $json = do { local $/; <$out> };
	close $out;
	my $found = eval { decode_json($json) };
	if ($large && !$found) {
		print "# $name: not at these extents\n";
		next;
	}
	ok($found, "$name is explained");
	for my $s ($found && $found->{predicates} ? @{$found->{predicates}{streams}} : ()) {
		next if $s->{selects};
		my $told = $s->{pairs} ? sprintf '%.3g%% present, %.3g%% visited, %.3g times the ideal', 100 * $s->{present} / $s->{pairs},
			100 * $s->{visited} / $s->{pairs}, $s->{work_by_ideal} : $s->{no_map} || 'nothing to visit';
		ok($s->{sound}, "$name, stream $s->{stream}: $told, by $s->{sparsity}");
	}
}
print "1..$count\n";
exit($failed ? 1 : 0);
