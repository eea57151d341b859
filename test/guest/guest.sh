#!/usr/bin/env bash
#  test/guest/guest.sh - runs a command in a small virtual machine that has RDMA devices (rdma_rxe,
#  RoCE v2 in software) and returns its exit status. Needs no RDMA hardware, no kernel module here,
#  no /dev/kvm, no network and no other rights than to run QEMU (TCG: all is emulated, so times mean
#  nothing, only ratios in one guest do).
#
#      test/guest/guest.sh [options] -- COMMAND...
#
#      -b PROGRAM          put it into the guest's /bin, with its libraries (repeatable)
#      -f FILE[:PATH]      put a file there, by default at the same path (repeatable)
#      -t SECONDS          end the guest after so long (300): status 124
#      -s CPUS -m MIB      of the guest (2, 1024)
#      -v                  show its kernel messages
#
#  The guest has two cables, each with a device at either end: rxa (10.77.0.1) and rxb (10.77.0.2),
#  rxc (10.77.1.1) and rxd (10.77.1.2); path MTU 4096. Two processes at the two ends are as two
#  hosts. There `cable 0|1 up|down` pulls and puts a plug, `cable 0|1 loss PERCENT` drops packets.
#  Status 125: it died, or never ran the command; its console is shown. The kernel (Debian's own, 70
#  MB to fetch) is unpacked once under $UMBP_BUILD/guest. Packages: deploy/setup.sh rdma.
set -euo pipefail

cache=${UMBP_BUILD:-build}/guest
cpus=2 memory=1024 limit_s=300 noise='quiet loglevel=3'
#  rep movsb, AVX and PCLMUL are slow when emulated: no newer processor than this
model=qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16
programs=() files=()
PATH=$PATH:/usr/sbin:/sbin
unset LD_PRELOAD

fail () {
    echo "guest: $*" >&2
    exit 2
}

while (($#)); do
    case $1 in
    -b) programs+=("$2"); shift 2 ;;
    -f) files+=("$2"); shift 2 ;;
    -t) limit_s=$2; shift 2 ;;
    -s) cpus=$2; shift 2 ;;
    -m) memory=$2; shift 2 ;;
    -v) noise='loglevel=7'; shift ;;
    --) shift; break ;;
    *) fail "unknown option $1" ;;
    esac
done
(($#)) || fail "no command"
for tool in qemu-system-x86_64 busybox cpio modprobe depmod rdma tc xz python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing: deploy/setup.sh rdma installs it"
done

#  Take what the guest needs out of Debian's kernel package, which is never installed
unpack_kernel () {
    local into module number=10 name
    into=$(mktemp -d "$cache/new.XXXXXX")
    (
        cd "$into"
        apt-get -o APT::Sandbox::User=root download -qq "linux-image-$version" || exit 1
        mkdir root
        dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x -C root --wildcards \
            './boot/vmlinuz*' './lib/modules/*/modules.*' './lib/modules/*/kernel/crypto/*' \
            './lib/modules/*/kernel/net/*' './lib/modules/*/kernel/lib/*' \
            './lib/modules/*/kernel/drivers/infiniband/*' \
            './lib/modules/*/kernel/arch/x86/crypto/*' './lib/modules/*/kernel/drivers/net/veth.ko*'
        rm linux-image-*.deb
    ) || fail "cannot fetch linux-image-$version: run apt-get update"
    #  The ELF kernel inside: QEMU starts it at once, and need not emulate its unpacking
    python3 - "$into/root/boot/vmlinuz-$version" "$into/vmlinux" <<'END'
import lzma, struct, subprocess, sys
image = open(sys.argv[1], 'rb').read()
start = ((image[0x1f1] or 4) + 1) * 512
offset, size = struct.unpack_from('<II', image, 0x248)
packed = image[start + offset:start + offset + size]
if packed[:6] == b'\xfd7zXZ\0':
    kernel = lzma.LZMADecompressor().decompress(packed)
else:                                   # zstd, and four bytes that tell the size
    kernel = subprocess.run(['zstd', '-dc'], input=packed[:-4], stdout=subprocess.PIPE,
                            check=True).stdout
assert kernel[:4] == b'\x7fELF'
open(sys.argv[2], 'wb').write(kernel)
END
    depmod -b "$into/root" "$version" 2>/dev/null
    mkdir "$into/modules"
    #  In the order in which they need each other
    modprobe -d "$into/root" -S "$version" -a --show-depends crc32_generic crc32c_generic \
        rdma_rxe ib_uverbs veth sch_netem \
        | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$into/order"
    while read -r module; do
        name=$(basename "${module%.xz}")
        case $module in
        *.xz) xz -dc "$module" ;;
        *) cat "$module" ;;
        esac >"$into/modules/$number-$name"
        number=$((number + 1))
    done <"$into/order"
    rm -r "$into/root"
    mv -T "$into" "$cache/$version" 2>/dev/null || rm -r "$into"     #  Another run was faster
}

mkdir -p "$cache"
if [[ -s $cache/version ]]; then
    version=$(<"$cache/version")
else
    version=$(apt-cache depends linux-image-amd64 \
        | sed -n 's/.*Depends: linux-image-//p' | head -n 1)
    [[ $version ]] || fail "apt knows no linux-image-amd64: run apt-get update"
fi
[[ -s $cache/$version/vmlinux ]] || unpack_kernel
echo "$version" >"$cache/version"

work=$(mktemp -d "${TMPDIR:-/tmp}/umbp-guest.XXXXXX")
root=$work/root
qemu=
finish () {
    [[ -z $qemu ]] || kill "$qemu" 2>/dev/null || :
    rm -r "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

#  The file system of the guest: busybox, ip, tc, rdma, modules, and what is asked for
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,root,modules,etc/libibverbs.d}
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$cache/$version"/modules/*.ko "$root/modules/"
add_libraries () {
    { ldd "$1" 2>/dev/null || :; } | { grep -oE '/[^ ]+' || :; } | while read -r library; do
        [[ -e $root$library ]] && continue
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
}
add_program () {
    local path
    path=$(command -v "$1") || fail "no program $1"
    cp -L "$path" "$root/bin/${1##*/}"
    add_libraries "$path"
}
add_libraries "$(command -v busybox)"
for name in ip rdma tc ${programs[@]+"${programs[@]}"}; do
    add_program "$name"
done
for file in ${files[@]+"${files[@]}"}; do
    source=${file%%:*} target=${file#*:}
    [[ $target != "$file" ]] || target=$(realpath -s "$source")
    mkdir -p "$root$(dirname "$target")"
    cp -L "$source" "$root$target"
    add_libraries "$source"
done
#  What ldd does not see: libibverbs loads its providers, pthread_exit libgcc_s
folder=/usr/lib/$(uname -m)-linux-gnu
mkdir -p "$root$folder/libibverbs"
cp -L "$folder"/libibverbs/librxe-rdmav*.so "$root$folder/libibverbs/"
cp -L /etc/libibverbs.d/rxe.driver "$root/etc/libibverbs.d/"
add_libraries "$folder"/libibverbs/librxe-rdmav*.so
mkdir -p "$root/lib/$(uname -m)-linux-gnu"
cp -L "/lib/$(uname -m)-linux-gnu/libgcc_s.so.1" "$root/lib/$(uname -m)-linux-gnu/"
cp "$(dirname "$0")/init.sh" "$root/init"
cp "$(dirname "$0")/cable.sh" "$root/bin/cable"
printf '%q ' "$@" >"$root/command"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

#  tsc_early_khz: the guest has our time stamp counter, and measuring its rate against an emulated
#  clock fails on a busy host; then it hangs. bogomips is twice the rate.
rate_khz=$(awk '/^bogomips/ { printf "%d", $3 * 500; exit }' /proc/cpuinfo)
machine=(-M microvm -accel tcg,thread=multi -cpu "$model" -smp "$cpus" -m "$memory"
    -nodefaults -no-user-config -no-reboot -display none -monitor none
    -serial "file:$work/console"
    -chardev "file,id=status,path=$work/status"
    -device isa-serial,iobase=0x2f8,irq=3,chardev=status
    -device isa-debug-exit,iobase=0xf4,iosize=0x4
    -kernel "$cache/$version/vmlinux" -initrd "$work/initrd"
    -append "console=ttyS0 $noise panic=-1 mitigations=off tsc=reliable clocksource=tsc
        tsc_early_khz=$rate_khz")
status=0
timeout -k 2 "$limit_s" qemu-system-x86_64 "${machine[@]}" </dev/null >"$work/qemu" 2>&1 &
qemu=$!
wait "$qemu" || status=$?
qemu=
tr -d '\r' <"$work/console"
if grep -qE '^status [0-9]+' "$work/status" 2>/dev/null; then
    exit "$(awk '/^status/ { print $2 + 0; exit }' "$work/status")"
fi
cat "$work/qemu" >&2
if ((status == 124 || status == 137)); then
    echo "guest: no end after $limit_s s" >&2
    exit 124
fi
echo "guest: it ended without a status (QEMU: $status)" >&2
exit 125
