#!/usr/bin/env bash
#  deploy/setup.sh - installs what is missing on Debian 12 or Ubuntu 22.04 and later; asks nothing.
#
#      deploy/setup.sh [build] [check] [bench] [lint] [fuzz] [rdma]     build alone if none is named
#
#  build: what `make` needs; check, lint: what the tests and `make lint` need besides; bench: what
#  `make bench` compares with; fuzz: what clang, which must be there, needs for `make fuzz`; rdma: a
#  virtual machine for `make check-rdma`.
#  Does nothing, quickly, where all is there. As another user than root it takes sudo.
set -euo pipefail

missing=()
packages=()
tools=()        #  command:package, for what may as well come from elsewhere
promtool=(:)    #  What brings it to the build folder $B
for part in "${@:-build}"; do
    case $part in
    build)
        tools+=(gcc:gcc make:make pkg-config:pkg-config)
        packages+=(libc6-dev libzmq3-dev libczmq-dev libcbor-dev libxxhash-dev libjansson-dev
                   libsodium-dev libedit-dev libcurl4-openssl-dev libmicrohttpd-dev
                   libibverbs-dev liburing-dev) ;;
    check)
        tools+=(g++:g++ node:nodejs npm:npm python3:python3 redis-server:redis-server ip:iproute2
                ps:procps setarch:util-linux jq:jq curl:curl etcd:etcd-server etcdctl:etcd-client)
        packages+=(libcunit1-dev libhiredis-dev python3-venv)
        promtool=("${0%/*}/promtool.sh" "${B:-build}/tools") ;;
    bench)
        tools+=(redis-server:redis-server memcached:memcached iperf3:iperf3 python3:python3
                fio:fio)
        packages+=(libhiredis-dev python3-venv) ;;
    lint)
        tools+=(clang:clang clang-format:clang-format clang-tidy:clang-tidy cppcheck:cppcheck
                patch:patch) ;;
    rdma)
        PATH=$PATH:/usr/sbin:/sbin
        tools+=(qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod
                xz:xz-utils zstd:zstd python3:python3 ip:iproute2 tc:iproute2 rdma:iproute2
                ib_read_bw:perftest)
        packages+=(ibverbs-providers libcunit1-dev) ;;
    fuzz)
        runtime=$(clang -print-resource-dir)/lib/linux/libclang_rt.fuzzer-$(uname -m).a
        [[ -e $runtime ]] || missing+=(libclang-rt-dev) ;;
    *)
        sed -n '2,9s/^#  \?//p' "$0" >&2
        exit 2 ;;
    esac
done

for tool in ${tools[@]+"${tools[@]}"}; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
done
if ((${#packages[@]})); then
    there=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "${packages[@]}" 2>/dev/null || :)"
    for package in "${packages[@]}"; do
        [[ $there == *" installed:$package "* ]] || missing+=("$package")
    done
fi
((${#missing[@]})) || { "${promtool[@]}"; exit 0; }

#  RUNLEVEL: a server that comes along is not to be started
root=()
apt=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qy -o DPkg::Lock::Timeout=300)
if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "missing packages, and no sudo here to install them. As root: apt-get update &&" \
             "apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    root=(sudo)
fi

echo "installing: ${missing[*]}"
install () {
    "${root[@]}" "${apt[@]}" update \
        && "${root[@]}" "${apt[@]}" install --no-install-recommends "${missing[@]}"
}
install || { echo "once more, in 5 s" >&2; sleep 5; install; }

#  The tests start servers of their own; one for ever, and at each boot, nobody asked for
for server in redis-server memcached etcd-server; do
    if [[ " ${missing[*]} " == *" $server "* && -d /run/systemd/system ]]; then
        service=${server/etcd-server/etcd}
        "${root[@]}" systemctl disable --now "$service"
    fi
done
"${promtool[@]}"
