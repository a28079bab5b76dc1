#!/usr/bin/env bash
# Installs everything the project needs on Debian 12 (or newer): Debian packages by apt,
# Python packages by uv from requirements.lock into .venv. Run again, it does only what is
# missing. Usage: containers/setup.sh [demo] [test]   ('demo' adds the example data)
set -euo pipefail
cd "$(dirname "$0")/.."

tools=(
  salmon sra-toolkit rsem
  r-base-core r-bioc-tximport r-bioc-limma r-bioc-preprocesscore r-bioc-affyio
  python3-venv python3-dev gcc libc6-dev util-linux
)
examples=(
  kallisto-examples r-bioc-shortread r-bioc-isoformswitchanalyzer r-bioc-annotationdbi
  r-bioc-deseq2 r-bioc-edger r-bioc-tximeta # which the third of those needs anyway
)

wanted=("${tools[@]}")
for what in "$@"; do
  case $what in
    demo | test) wanted+=("${examples[@]}") ;;
    *) echo "setup.sh: unknown word '$what'" >&2; exit 2 ;;
  esac
done

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
# Slim images leave /usr/share/doc out, where two packages keep their examples.
with_examples=(-o 'Dpkg::Options::=--path-include=/usr/share/doc/*/test/*'
               -o 'Dpkg::Options::=--path-include=/usr/share/doc/*/examples/*')
if [ ${#missing[@]} -gt 0 ]; then
  echo "== Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends \
    "${with_examples[@]}" "${missing[@]}" >/dev/null
fi
if [ $# -gt 0 ] && [ ! -e /usr/share/doc/kallisto/test/reads_1.fastq.gz ]; then
  as_root apt-get install -y -qq --reinstall "${with_examples[@]}" kallisto-examples salmon >/dev/null
fi

stamp=.venv/.installed-lock
digest=$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" != "$digest" ]; then
  echo "== Python packages"
  uv=$(command -v uv || true)
  if [ -z "$uv" ]; then
    [ -x .uv/bin/uv ] || { python3 -m venv .uv && .uv/bin/pip install -q uv; }
    uv=.uv/bin/uv
  fi
  [ -x .venv/bin/python ] || "$uv" venv -q --python "$(command -v python3)" .venv
  "$uv" pip sync -q --python .venv/bin/python --require-hashes requirements.lock
  "$uv" pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
  echo "$digest" >"$stamp"
fi

# refine.bio's own client, which the tests drive: it wants an older pyrate-limiter than others do.
client=.venvs/pyrefinebio
if [[ " $* " == *" test "* ]] && ! cmp -s containers/pyrefinebio.lock "$client/.installed-lock"; then
  echo "== refine.bio's client"
  uv=$(command -v uv || echo .uv/bin/uv)
  "$uv" venv -q --clear --python "$(command -v python3)" "$client"
  "$uv" pip sync -q --python "$client/bin/python" --require-hashes containers/pyrefinebio.lock
  cp containers/pyrefinebio.lock "$client/.installed-lock"
fi
