#!/bin/sh
# house.t: the house rules a machine can see. Which folder may include which, where the environment is read,
# what may print or exit, and how long a file may get.
n=0
bad=0
check() { # check WHAT FINDINGS: passes when there are none
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		echo "$2" | sed 's/^/# /'
		bad=1
	fi
}

# includes FOLDER ALLOWED…: what FOLDER includes in quotes from other folders of the house
includes() {
	folder=$1
	shift
	allowed=$(echo "$folder $*" | tr ' ' '|')
	check "$folder/ includes $* and itself only" "$(grep -n '^#include "' "$folder"/*.c "$folder"/*.h \
		"$folder"/*.cpp 2>/dev/null | grep -vE "#include \"($allowed)")"
}

includes base base/
includes dsl base/ dsl/
includes codegen base/ dsl/ codegen/
includes targets base/ codegen/kernel.h codegen/machine.h codegen/primitives.h codegen/prelude/cuda_emulated.h targets/
includes cache base/ cache/
includes search base/ dsl/ codegen/ targets/ cache/ search/ runtime/pool.h
includes gpu base/ dsl/ codegen/ targets/ search/ gpu/
includes cli attune.h cli/

lib='base dsl codegen targets cache search gpu runtime'
check "the environment is read by the command line only" "$(grep -n 'getenv(' $(find $lib -name '*.c' -o -name '*.cpp'))"
check "nothing below the command line prints" \
	"$(grep -nE '[^a-z_](printf|puts|putchar|perror)\(|fprintf\(std(out|err)' $(find $lib -name '*.c') |
		grep -vE 'snprintf|text_printf|arena_printf|base/arena.c')"
check "nothing below the command line exits but a forked child" \
	"$(grep -nE '^\s[^*]*[^_a-z(]exit\([^)]' $(find $lib -name '*.c'))"
check "one piece of C++" "$(find . -name '*.cpp' -not -path './build*' -not -path './targets/clang_shim.cpp')"
check "no file has two things in it: 700 lines at most" \
	"$(wc -l $(find $lib cli tests bench scripts include -name '*.[ch]' -o -name '*.cpp' -o -name '*.t' -o -name '*.py') | awk '$2 != "total" && $1 > 700')"
check "no unfinished work in the code" \
	"$(grep -rnwiE 'todo|fixme|xxx' --include='*.[ch]' --include='*.cpp' --include='*.att' --include='*.sql' \
		$lib cli tests bench include examples)"
check "code generation knows no operator by name" \
	"$(grep -nwiE 'softmax|attention|flash' codegen/*.[ch] | grep -v '^codegen/tile.h:.* pointers, softmax')"
echo "1..$n"
exit $bad
