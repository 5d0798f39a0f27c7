# Sourced by tests/demo and tests/check: says what is missing on this Debian and installs it.

# What builds patchwatch and runs the demo.
build_packages="gcc g++ make cmake pkg-config libuv1-dev libcurl4-openssl-dev libsqlite3-dev
libinih-dev libyaml-dev libssl-dev libsimdjson-dev libxxhash-dev libmicrohttpd-dev libcmocka-dev
zlib1g-dev libsystemd-dev sqlite3 curl ca-certificates"
# What the tests need beside it.
test_packages="python3 python3-pytest python3-aiosmtpd binutils procps openssl"

# install_packages NAME...: those that are missing, by apt-get, as root or with sudo.
install_packages() {
    missing=""
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    echo "== Installing:$missing"
    sudo=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "Root or sudo is needed to install packages." >&2
            return 1
        }
        sudo="sudo"
    fi
    $sudo apt-get update -qq || return 1
    # shellcheck disable=SC2086 # a list of names
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $missing >/dev/null || return 1
}

# unpack_package NAME DIR: unpacks a package of this Debian into DIR, where it is not there yet, without
# installing it: services start when they are installed. Never fails: a test says so where it is missing.
unpack_package() {
    [ -e "$2/.$1" ] && return 0
    echo "== Unpacking: $1"
    mkdir -p "$2" || return 0
    (
        cd "$2" && rm -f "$1"_*.deb
        apt-get download -qq "$1" >/dev/null 2>&1 || {
            { [ "$(id -u)" -eq 0 ] && apt-get update -qq && apt-get download -qq "$1"; } >/dev/null 2>&1
        }
        dpkg -x "$1"_*.deb . && rm -f "$1"_*.deb && touch ".$1"
    ) 2>/dev/null || echo "$1 cannot be unpacked: tests against it will be skipped"
}

# place_templates DIR: Debian's Alertmanager looks for its templates in /usr/share, wherever it runs from itself.
place_templates() {
    [ -d /usr/share/prometheus/alertmanager ] && return 0
    [ -d "$1/usr/share/prometheus/alertmanager" ] || return 0
    echo "== Placing Alertmanager's templates in /usr/share/prometheus"
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo"
    $sudo mkdir -p /usr/share/prometheus/alertmanager &&
        $sudo cp "$1"/usr/share/prometheus/alertmanager/*.tmpl /usr/share/prometheus/alertmanager/ ||
        echo "they cannot be placed: tests against Alertmanager will fail"
}
