#!/bin/bash
# Brings what boots a kernel with everything that Debian builds, for tests of what this machine's
# own kernel lacks:
#
#   deploy/full-kernel.sh FOLDER
#
# FOLDER/kernel becomes such a kernel with its modules, FOLDER/vng the program that boots it under
# emulation with this machine's files as its own (virtme-ng). What is there already is kept. Nothing
# is installed: the kernel's package is only unpacked, so no boot loader and no initrd hears of it.
set -euo pipefail

VNG_VERSION=1.42

folder=${1:?usage: $0 FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if ! "$folder/vng/bin/vng" --version >/dev/null 2>&1; then
    echo "installing virtme-ng $VNG_VERSION into $folder/vng"
    /usr/bin/python3 -m venv --clear "$folder/vng"
    "$folder/vng/bin/pip" install --quiet --disable-pip-version-check "virtme-ng==$VNG_VERSION"
fi

# Debian 12's newer kernel, else its own: the package that has the image of the named one.
image() {
    local name
    for name in linux-image-6.12-amd64 linux-image-amd64; do
        apt-cache depends "$name" 2>/dev/null |
            sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' || true
    done
}

if ! compgen -G "$folder/kernel/boot/vmlinuz-*" >/dev/null; then
    names=$(image)
    name=${names%%$'\n'*}
    if [[ -z $name ]]; then
        echo "error: apt knows no package linux-image-amd64: run apt-get update, or use Debian 12" >&2
        exit 1
    fi
    echo "unpacking $name into $folder/kernel"
    part=$(mktemp -d "$folder/kernel.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    # As root, apt would rather download as a user who may not write here, and says so.
    (cd "$part" && apt-get download -qq -o APT::Sandbox::User=root "$name")
    dpkg-deb --extract "$part"/*.deb "$part"
    rm "$part"/*.deb
    depmod --basedir "$part" "$(basename "$part"/lib/modules/*)"
    rm -rf "$folder/kernel"
    mv "$part" "$folder/kernel"
    trap - EXIT
    chmod 755 "$folder/kernel"
fi
