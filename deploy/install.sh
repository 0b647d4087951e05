#!/bin/bash
# Puts Tombolo on this machine: three programs, a group, systemd units.
#
#   deploy/install.sh [--from DIR] [--root DIR] [--with-cni-config] [--with-docker]
#
#   --from DIR          where the programs were built (default: target/release)
#   --root DIR          install below DIR instead of / (for packages); makes no group
#   --with-cni-config   also make Tombolo the CNI network of this node
#   --with-docker       also start the plugin by which Docker uses Tombolo's networks
#
# Run again to upgrade. Starts no agent: `tombolo init` or `tombolo join` comes first, then
# `systemctl enable --now tombolo`.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
from=$here/../target/release
root=
with_cni_config=no
with_docker=no
while (($# > 0)); do
    case $1 in
        --from) from=${2:?--from needs a folder} && shift 2 ;;
        --root) root=${2:?--root needs a folder} && shift 2 ;;
        --with-cni-config) with_cni_config=yes && shift ;;
        --with-docker) with_docker=yes && shift ;;
        *)
            echo "error: unknown: $1; usage: $0 [--from DIR] [--root DIR] [--with-cni-config] [--with-docker]" >&2
            exit 2
            ;;
    esac
done

for program in tombolo tombolo-cni tombolo-docker; do
    if [[ ! -x $from/$program ]]; then
        echo "error: $from/$program is not there: run 'make build' first, or name --from" >&2
        exit 1
    fi
done
if [[ -z $root && $EUID -ne 0 ]]; then
    echo "error: only root can install to /: use sudo, or --root DIR" >&2
    exit 1
fi

# Members of the group may use the local API.
if [[ -z $root ]] && ! getent group tombolo >/dev/null; then
    groupadd --system tombolo
fi
# install(1) replaces the file, so that a running agent keeps the old one until its restart.
install -D -m 0755 "$from/tombolo" "$root/usr/local/bin/tombolo"
install -D -m 0755 "$from/tombolo-cni" "$root/opt/cni/bin/tombolo-cni"
install -D -m 0755 "$from/tombolo-docker" "$root/usr/local/bin/tombolo-docker"
for unit in tombolo.service tombolo-tunnel.service tombolo-docker.service tombolo-docker.socket; do
    install -D -m 0644 "$here/$unit" "$root/etc/systemd/system/$unit"
done
# Completion, where distributions look for it; a shell that is not there does not mind.
complete() {
    install -d -m 0755 "$root$(dirname "$2")"
    "$from/tombolo" completion "$1" >"$root$2"
    chmod 0644 "$root$2"
}
complete bash /usr/share/bash-completion/completions/tombolo
complete zsh /usr/share/zsh/site-functions/_tombolo
complete fish /usr/share/fish/vendor_completions.d/tombolo.fish
if [[ $with_cni_config == yes ]]; then
    conflist=$root/etc/cni/net.d/10-tombolo.conflist
    if [[ -e $conflist ]]; then
        echo "kept: $conflist"
    else
        install -D -m 0644 "$here/cni/10-tombolo.conflist" "$conflist"
    fi
fi
if [[ -z $root && -d /run/systemd/system ]]; then
    systemctl daemon-reload
    if [[ $with_docker == yes ]]; then
        # It answers Docker at once, and can do something as soon as the agent runs.
        systemctl enable --quiet --now tombolo-docker.socket tombolo-docker.service
    fi
fi
echo "installed; next: 'tombolo init' on the first node, 'tombolo join' on the others, then"
echo "'systemctl enable --now tombolo'"
