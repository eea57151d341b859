#!/usr/bin/env bash
#  deploy/check-install.sh STAGE - is what `make install DESTDIR=STAGE PREFIX=/usr` put there whole?
#  Each header compiles alone as C and as C++, each library gives every function that its header
#  declares and no other, and a program finds them by pkg-config, shared and static.
set -euo pipefail
stage=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PKG_CONFIG_PATH=$stage/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage
export LD_LIBRARY_PATH=$stage/usr/lib

fail () {
    echo "check-install: $*" >&2
    exit 1
}

#  read as C, with the flags that pkg-config gives: the names of the functions in a header
declared () {
    echo "#include <umbp/$1>" | gcc -E -P -x c - $(pkg-config --cflags umbp) \
        | grep -oE '\bumbp_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u
}

for path in "$stage"/usr/include/umbp/*.h; do
    header=${path##*/}
    echo "#include <umbp/$header>" >"$work/one.c"
    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -c "$work/one.c" $(pkg-config --cflags umbp) \
        -o "$work/one.o" || fail "$header is not C11 alone"
    g++ -std=c++17 -Wall -Wextra -Werror -x c++ -c "$work/one.c" $(pkg-config --cflags umbp) \
        -o "$work/one.o" || fail "$header is not C++17 alone"
done

for name in umbp umbpnode; do
    header=umbp.h
    [[ $name == umbp ]] || header=umbp_node.h
    [[ -e $stage/usr/include/umbp/$header ]] || header=error.h
    nm -D --defined-only "$stage/usr/lib/lib$name.so" | awk '$2 ~ /[A-Z]/ && $2 != "A" {
        sub ("@.*", "", $3); print $3 }' | sort -u >"$work/exported"
    { declared $header; declared error.h; } | sort -u >"$work/declared"
    diff "$work/declared" "$work/exported" || fail "lib$name: declared (<) and exported (>) differ"

    cat >"$work/main.c" <<END
#include <umbp/$header>
#include <umbp/error.h>
#include <stdio.h>

int main (void)
{
    return puts (umbp_strerror (UMBP_ENOENT)) < 0;
}
END
    gcc "$work/main.c" $(pkg-config --cflags --libs $name) -o "$work/shared"
    gcc "$work/main.c" $(pkg-config --cflags $name) "$stage/usr/lib/lib$name.a" \
        $(pkg-config --libs --static $name | sed "s/-l$name\\b//") -o "$work/static"
    g++ -x c++ "$work/main.c" -x none $(pkg-config --cflags --libs $name) -o "$work/cxx"
    for program in shared static cxx; do
        "$work/$program" >/dev/null || fail "lib$name: the $program program does not run"
    done
    ldd "$work/static" | grep -q "lib$name" && fail "lib$name: the static program loads it"
    ldd "$work/shared" >"$work/needs"                   #  A pipe into grep -q may end ldd early
    grep -q "lib$name.so.0 => $stage" "$work/needs" || fail "lib$name: wrong soname"
    echo "lib$name: $(wc -l <"$work/exported") functions"
done
for program in "$stage"/usr/bin/*; do
    [[ ! -e $program || -x $program ]] || fail "$program cannot be run"
done
