#!/bin/sh
# Build a deb and an rpm of the guest helper: build-packages.sh FOLDER
# Needs dpkg-deb and rpmbuild (Debian's package rpm).
set -eu
[ $# = 1 ] || { echo "usage: build-packages.sh FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$here/vimguest.py")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Reproducible: the same sources make the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1700000000}
export SOURCE_DATE_EPOCH
umask 022

tree=$work/tree
mkdir -p "$tree"
"$here/install.sh" --root "$tree" --prefix /usr
# Packages enable units by their scripts, not by links.
rm -r "$tree/etc"

deb=$work/deb
cp -a "$tree" "$deb"
mkdir "$deb/DEBIAN"
cat >"$deb/DEBIAN/control" <<CONTROL
Package: vimguest
Version: $version
Architecture: all
Maintainer: vimlib developers <vimlib@example.invalid>
Depends: python3
Recommends: open-vm-tools
Section: admin
Priority: optional
Description: network configuration from the record of an ESX host
 Reads machine.id through VMware's tools, configures netplan, NetworkManager,
 systemd-networkd or ifupdown, and verifies the result.
CONTROL
cat >"$deb/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = configure ] && command -v systemctl >/dev/null; then
    systemctl enable vimguest.service vimguest-verify.service
fi
SCRIPT
cat >"$deb/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ]; then
    /usr/sbin/vimguest --clean
    ! command -v systemctl >/dev/null || systemctl disable vimguest.service vimguest-verify.service
fi
SCRIPT
chmod 0755 "$deb/DEBIAN/postinst" "$deb/DEBIAN/prerm"
dpkg-deb --root-owner-group --build "$deb" "$out/vimguest_${version}_all.deb" >/dev/null

cat >"$work/vimguest.spec" <<SPEC
Name: vimguest
Version: $version
Release: 1
Summary: Network configuration from the record of an ESX host
License: Apache-2.0
BuildArch: noarch
Requires: python3 >= 3.6

%description
Reads machine.id through VMware's tools, configures NetworkManager or
systemd-networkd, and verifies the result.

%install
cp -a $tree/. %{buildroot}/

%files
/usr/sbin/vimguest
/usr/share/doc/vimguest/README.md
/usr/lib/systemd/system/vimguest.service
/usr/lib/systemd/system/vimguest-verify.service

%post
systemctl enable vimguest.service vimguest-verify.service || :

%preun
if [ "\$1" = 0 ]; then
    /usr/sbin/vimguest --clean
    systemctl disable vimguest.service vimguest-verify.service || :
fi
SPEC
rpmbuild -bb --quiet --define "_topdir $work/rpm" --define "_rpmdir $out" \
    --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.noarch.rpm" \
    --define "_build_id_links none" "$work/vimguest.spec"
