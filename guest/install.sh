#!/bin/sh
# Install the guest helper into this machine or an image's tree, or take it out again:
#   install.sh [--root DIR] [--prefix DIR] [--uninstall]
# Repeated calls change nothing. The units start at the next boot; nothing is started here.
set -eu

root=
prefix=/usr/local
action=install
while [ $# -gt 0 ]; do
    case "$1" in
    --root | --prefix)
        [ $# -ge 2 ] || { echo "install.sh: $1 needs a folder" >&2; exit 2; }
        if [ "$1" = --root ]; then root=${2%/}; else prefix=$2; fi
        shift
        ;;
    --uninstall) action=uninstall ;;
    *) echo "usage: install.sh [--root DIR] [--prefix DIR] [--uninstall]" >&2; exit 2 ;;
    esac
    shift
done
[ -z "$root" ] || [ -d "$root" ] || { echo "install.sh: --root $root is not a folder" >&2; exit 2; }

here=$(cd "$(dirname "$0")" && pwd)
# What a distribution's package owns lies below /usr, where its units look for it.
case "$prefix" in
/usr) units=/usr/lib/systemd/system ;;
*) units=/etc/systemd/system ;;
esac
wants=/etc/systemd/system

# put MODE FILE NAME: replace a file where it differs; all but the program get the prefix.
put() {
    target=$root$3
    mkdir -p "${target%/*}"
    case "$2" in
    *.py) cat "$here/$2" ;;
    *) sed "s|/usr/local/|$prefix/|g" "$here/$2" ;;
    esac >"$target.new"
    chmod "$1" "$target.new"
    if cmp -s "$target.new" "$target"; then
        rm "$target.new"
        chmod "$1" "$target"
    else
        mv "$target.new" "$target"
    fi
}

link() {
    mkdir -p "$root${2%/*}"
    ln -sfn "$1" "$root$2"
}

case "$action" in
install)
    put 0755 vimguest.py "$prefix/sbin/vimguest"
    put 0644 README.md "$prefix/share/doc/vimguest/README.md"
    if [ -e "$root/sbin/openrc-run" ]; then
        put 0755 vimguest.initd /etc/init.d/vimguest
        put 0755 vimguest-verify.initd /etc/init.d/vimguest-verify
        link /etc/init.d/vimguest /etc/runlevels/boot/vimguest
        link /etc/init.d/vimguest-verify /etc/runlevels/default/vimguest-verify
    else
        put 0644 vimguest.service "$units/vimguest.service"
        put 0644 vimguest-verify.service "$units/vimguest-verify.service"
        link "$units/vimguest.service" "$wants/sysinit.target.wants/vimguest.service"
        link "$units/vimguest-verify.service" "$wants/multi-user.target.wants/vimguest-verify.service"
    fi
    ;;
uninstall)
    # Its own files first: without the program nobody could remove them.
    if [ -x "$root$prefix/sbin/vimguest" ]; then
        "$root$prefix/sbin/vimguest" --clean ${root:+--root "$root"}
    fi
    rm -f "$root$wants/sysinit.target.wants/vimguest.service" \
        "$root$wants/multi-user.target.wants/vimguest-verify.service" \
        "$root$units/vimguest.service" "$root$units/vimguest-verify.service" \
        "$root/etc/runlevels/boot/vimguest" "$root/etc/init.d/vimguest" \
        "$root/etc/runlevels/default/vimguest-verify" "$root/etc/init.d/vimguest-verify" \
        "$root$prefix/share/doc/vimguest/README.md" "$root$prefix/sbin/vimguest"
    rmdir "$root$prefix/share/doc/vimguest" 2>/dev/null || true
    ;;
esac
