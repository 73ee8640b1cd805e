# lib.sh: the Test Anything Protocol for a test in sh, in an empty folder of its own.
# Sets attune (the program), top (the repository) and leaves the shell in a new folder, removed at the end.
top=$PWD
build=$(cd "${BUILD:-build}" && pwd)
attune=$build/attune
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
export XDG_CACHE_HOME=$folder/cache
count=0 failed=0

# ok TEXT, after a command: was it well?
ok() {
	if [ $? = 0 ]; then set -- ok "$@"; else set -- 'not ok' "$@" bad; failed=$((failed + 1)); fi
	count=$((count + 1))
	echo "$1 $count - $2"
	[ -z "$3" ] || sed 's/^/#   /' out err 2>/dev/null
}

# run STATUS ARGUMENT...: attune with its output in out and err; true if it exits so.
run() {
	want=$1
	shift
	"$attune" "$@" >out 2>err
	got=$?
	[ $got = "$want" ] || { echo "status $got, not $want: attune $*" >>err; return 1; }
}

# says FILE TEXT: does it contain the text?
says() { grep -qF -e "$2" "$1"; }

# npy FILE SHAPE [AMPLITUDE]: float32 numbers that look random and are the same every time.
npy() {
	perl -e '
		my ($file, $shape, $amplitude) = @ARGV;
		my $n = 1; $n *= $_ for split /,/, $shape;
		my $header = "{\x27descr\x27: \x27<f4\x27, \x27fortran_order\x27: False, \x27shape\x27: ($shape,), }";
		$header .= " " x (63 - (10 + length $header) % 64) . "\n";
		my $x = 12345 + length $file; $x = ($x * 31 + ord) % 2147483647 for split //, $file;
		open my $f, ">:raw", $file or die;
		print $f "\x93NUMPY\x01\x00", pack("v", length $header), $header;
		for (1 .. $n) { $x = $x * 48271 % 2147483647; print $f pack "f<", $amplitude * ($x / 1073741823.5 - 1); }
	' "$1" "$2" "${3:-2}"
}

done_testing() {
	echo "1..$count"
	[ $failed = 0 ]
}
