#!/bin/bash
# Installs what a use of this source tree needs on Debian or Ubuntu, and only what is missing.
#
#   deploy/setup-debian.sh demo|test|ci
#
# This is the one list of such packages. On other systems, or without the right to install, it
# names what is missing and fails. Rust itself comes from https://rustup.rs or the distribution.
set -euo pipefail

# use, command or file that shows it is there, package that has it, what for
needs() {
    cat <<'LIST'
demo cc       build-essential  links the programs; ring compiles C
demo ip       iproute2         to look into the lab with
demo ping     iputils-ping     latency in the demo
demo iperf3   iperf3           throughput in the demo
demo unshare  util-linux       the lab without root
demo sysctl   procps           to look into the lab with
test nft      nftables         judges what our encoder wrote
test etcd     etcd-server      the store's contract against the real one
test etcdctl  etcd-client      our etcd protocol against the real client
test curl     curl             the local API over its socket
test qperf    qperf            our measuring beside it
test chromium chromium         what plots look like
test tcpdump  tcpdump          what goes over the wire
test socat    socat            servers and clients in containers
test faketime faketime         agents under a clock that jumps
test podman   podman           a real runtime that calls the CNI plugin
test crun     crun             what podman starts containers with
test ctr      containerd       another real runtime
test runc     runc             what containerd starts containers with
test busybox  busybox-static   the whole of the images that the runtimes run
test /usr/lib/cni/ptp containernetworking-plugins the reference plugins, to chain with and to measure by
test dockerd  docker.io        the real engine, and its Swarm to measure by
test docker-compose docker-compose what people describe their containers with
test iptables iptables         rules of others that check must find, of both kinds
test birdc    bird2            a routing daemon to speak BGP with
test vtysh    frr              another, and the routers of the lab's leaf-spine
test gobgpd   gobgpd           another
test exabgp   exabgp           says what others do not, and malformed messages
test qemu-system-x86_64 qemu-system-x86 boots a kernel that has what this one may lack
test depmod   kmod             its modules
test /usr/lib/python3*/ensurepip python3-venv brings the program that boots it, by full-kernel.sh
ci   g++      g++              libFuzzer
LIST
}

use=${1:-}
case $use in
    demo) uses=(demo) ;;
    test) uses=(demo test) ;;
    ci) uses=(demo test ci) ;;
    *)
        echo "usage: $0 demo|test|ci" >&2
        exit 2
        ;;
esac

# Programs of the superuser are not on everybody's path.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

is_there() {
    command -v "$1" >/dev/null || compgen -G "$1" >/dev/null
}

missing=()
while read -r of command package reason; do
    if [[ " ${uses[*]} " == *" $of "* ]] && ! is_there "$command"; then
        echo "missing: $command ($reason), in package $package"
        missing+=("$package")
    fi
done < <(needs)

if ! command -v cargo >/dev/null; then
    echo "error: cargo is missing: install Rust 1.95 or newer, see https://rustup.rs" >&2
    exit 1
fi
if ((${#missing[@]} == 0)); then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "error: no apt-get here: install ${missing[*]} by this system's means" >&2
    exit 1
fi
as_root=()
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        echo "error: neither root nor sudo: have somebody run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

# Debian starts daemons of its own when their packages come in; tests start theirs themselves. A
# machine without systemd is kept from it by a policy (invoke-rc.d(8)), where it has none yet.
policy=/usr/sbin/policy-rc.d
if [[ ! -d /run/systemd/system && ! -e $policy ]]; then
    "${as_root[@]}" sh -c "printf '#!/bin/sh\nexit 101\n' > $policy && chmod +x $policy"
    trap '"${as_root[@]}" rm -f $policy' EXIT
fi

# Package lists may be stale or absent on a fresh machine: fetch them when the plain way fails.
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}"
}
echo "installing: ${missing[*]}"
if ! install 2>/dev/null; then
    "${as_root[@]}" apt-get update -qq
    install
fi
if [[ -d /run/systemd/system ]]; then
    for daemon in etcd-server:etcd containerd:containerd docker.io:docker \
        bird2:bird frr:frr gobgpd:gobgpd exabgp:exabgp; do
        if [[ " ${missing[*]} " == *" ${daemon%:*} "* ]]; then
            "${as_root[@]}" systemctl disable --quiet --now "${daemon#*:}"
        fi
    done
fi
