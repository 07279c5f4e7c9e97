#!/bin/sh
# Installs cellos-fleet from a release: downloads the archive for this host's architecture, verifies
# its checksum, tries the executable, and only then puts it in place, by one rename. Running it again
# upgrades: an agent that runs keeps the old executable until it is restarted.
#
# Nothing outside a temporary directory is touched before the checksum has been verified.
set -eu

# A release fills these two in.
version=''
release_url=''

usage() {
  cat << 'EOF'
Installs cellos-fleet from a release

Usage: sh install.sh [options]

  --from URL       where the files of the release are (https, or http on this host)
  --version V      version to install
  --bin-dir DIR    where to put the executable (default: /usr/local/bin)
  --unit           also install the systemd unit, and its settings if there are none yet
  --root DIR       install into this directory as if it were /, for images and packages
  --dry-run        download and verify, say what would be done, and do none of it
  --help           show this text

A release's own install.sh knows its address and version. Needs curl or wget, sha256sum, tar and gzip.
EOF
}

say() {
  printf '%s\n' "$*"
}

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

clean() {
  [ -z "$staged" ] || rm -f "$staged"
  [ -z "$work" ] || rm -rf "$work"
}

# Prints the target triple of this host.
host_target() {
  [ "$(uname -s)" = Linux ] || fail "No release for $(uname -s), only for Linux"
  case $(uname -m) in
    x86_64 | amd64) echo x86_64-unknown-linux-gnu ;;
    aarch64 | arm64) echo aarch64-unknown-linux-gnu ;;
    *) fail "No release for the architecture $(uname -m), only for x86_64 and aarch64" ;;
  esac
}

# fetch NAME: downloads a file of the release to the temporary directory.
fetch() {
  if command -v curl > /dev/null 2>&1; then
    curl --fail --silent --show-error --location --proto "$protocols" --connect-timeout 15 \
      --output "$work/$1" "$from/$1" || fail "Could not download $from/$1"
  elif command -v wget > /dev/null 2>&1; then
    wget -q -O "$work/$1" "$from/$1" || fail "Could not download $from/$1"
  else
    fail 'Neither curl nor wget is installed'
  fi
}

# verify NAME: compares a downloaded file with SHA256SUMS.
verify() {
  expected=
  while read -r sum listed; do
    if [ "$listed" = "$1" ]; then expected=$sum; fi
  done < "$work/SHA256SUMS"
  [ -n "$expected" ] || fail "SHA256SUMS does not list $1"
  actual=$(sha256sum "$work/$1")
  actual=${actual%% *}
  [ "$actual" = "$expected" ] ||
    fail "Checksum mismatch of $1: expected $expected, got $actual; nothing was installed"
}

# place FILE PATH MODE: puts a file in place at once and as a whole, or not at all.
place() {
  if [ -n "$dry_run" ]; then
    say "would install $2"
    return
  fi
  mkdir -p "${2%/*}"
  staged="${2%/*}/.${2##*/}.new-$$"
  cp "$1" "$staged"
  chmod "$3" "$staged"
  if [ "$3" = 755 ]; then try_executable "$staged"; fi
  mv -f "$staged" "$2"
  staged=
  say "installed $2"
}

# Runs the new executable where it will be, before it takes the place of the old one: the directory
# for temporary files often does not let anything be executed.
try_executable() {
  printed=$("$1" --version) ||
    fail "The executable does not run on this host (it needs glibc); nothing was installed"
  case $printed in
    "cellos-fleet $version ("*) say "verified $printed" ;;
    *) fail "The executable is not of version $version: $printed; nothing was installed" ;;
  esac
}

install_unit() {
  unit=$root/etc/systemd/system/cellos-fleet.service
  sed "s|^\(ExecStart=\)[^ ]*/cellos-fleet|\1$bin_dir/cellos-fleet|" \
    "$files/cellos-fleet.service" > "$work/unit"
  settings=$(sed -n 's/^EnvironmentFile=-\{0,1\}//p' "$files/cellos-fleet.service" | sed -n 1p)
  place "$work/unit" "$unit" 644
  if [ -n "$settings" ] && [ -e "$root$settings" ]; then
    say "kept $root$settings"
  elif [ -n "$settings" ]; then
    place "$files/cellos-fleet.env.example" "$root$settings" 600
  fi
  [ -z "$root$dry_run" ] || return 0
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  user=$(sed -n 's/^User=//p' "$unit")
  if [ -n "$user" ] && ! id "$user" > /dev/null 2>&1; then
    say "next: create the user of the unit, for example"
    say "  useradd --system --home-dir / --shell /usr/sbin/nologin $user"
  fi
  say "next: edit ${settings:-its settings}, then run"
  say '  systemctl enable cellos-fleet && systemctl restart cellos-fleet'
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --from | --version | --bin-dir | --root)
        [ $# -gt 1 ] || fail "$1 needs a value"
        case $1 in
          --from) from=${2%/} ;;
          --version) version=${2#v} ;;
          --bin-dir) bin_dir=${2%/} ;;
          --root) root=${2%/} ;;
        esac
        shift
        ;;
      --unit) with_unit=yes ;;
      --dry-run) dry_run=yes ;;
      --help)
        usage
        exit 0
        ;;
      *) fail "Unknown option $1; see --help" ;;
    esac
    shift
  done
}

check_arguments() {
  [ -n "$from" ] && [ -n "$version" ] || fail 'Needs --from and --version; see --help'
  case $from in
    https://*) protocols='=https' ;;
    http://127.0.0.1[:/]* | http://localhost[:/]*) protocols='=http' ;;
    *) fail "Cannot use --from $from: must be an https address" ;;
  esac
  case $version in
    *[!0-9A-Za-z.+-]*) fail "Cannot use --version $version: must be such as 1.0.0" ;;
  esac
  case $bin_dir in
    *[!0-9A-Za-z/._-]*) fail "Cannot use --bin-dir $bin_dir: must be letters, digits and ._-/" ;;
    /*) ;;
    *) fail "Cannot use --bin-dir $bin_dir: must be an absolute path" ;;
  esac
}

main() {
  work='' staged='' root='' with_unit='' dry_run=''
  from=$release_url bin_dir=/usr/local/bin
  read_arguments "$@"
  check_arguments
  name=cellos-fleet-$version-$(host_target)
  trap clean EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  work=$(mktemp -d)
  fetch SHA256SUMS
  fetch "$name.tar.gz"
  verify "$name.tar.gz"
  say "verified $name.tar.gz, SHA-256 $actual"
  tar -xzf "$work/$name.tar.gz" -C "$work"
  files=$work/$name
  for file in cellos-fleet cellos-fleet.service cellos-fleet.env.example; do
    [ -f "$files/$file" ] || fail "The archive has no $file; nothing was installed"
  done
  place "$files/cellos-fleet" "$root$bin_dir/cellos-fleet" 755
  if [ -n "$with_unit" ]; then install_unit; fi
}

# Last, and of no effect without its last character: a download that was cut off does nothing.
{ main "$@"; }
