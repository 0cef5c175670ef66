#!/usr/bin/env bash
# Runs all examples against a daemon.
#
# usage: run.sh ADDRESS...     ADDRESS: unix:/path or tcp:HOST:PORT
#
# Over TCP the examples take the files of mutual TLS from STAGEPAGES_CA, STAGEPAGES_CERT and STAGEPAGES_KEY, as stagectl does.
# STAGEPAGES_EXAMPLE_PLATFORM names the platform (sim). Packages are installed by name into a temporary directory, and nothing else is touched.
set -euo pipefail

[ $# -gt 0 ] || { echo 'usage: run.sh ADDRESS...' >&2 && exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
platform=${STAGEPAGES_EXAMPLE_PLATFORM:-sim}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo '== packages'
python3 -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore --target "$work/python" -r "$here/python/requirements.txt"
mkdir "$work/node" "$work/shell"
cp "$here/node/package.json" "$work/node/"
npm install --prefix "$work/node" --no-audit --no-fund --loglevel=error
npm install --prefix "$work/shell" --no-audit --no-fund --loglevel=error @bufbuild/buf@1.75.0

count=0
for address in "$@"; do
    count=$((count + 1))
    id=example-$$-$count
    echo "== python, $address"
    TMPDIR=$work PYTHONPATH=$work/python PYTHONDONTWRITEBYTECODE=1 python3 "$here/python/stage.py" "$address" "$id-python" "$platform"
    echo "== node, $address"
    NODE_PATH=$work/node/node_modules node "$here/node/stage.js" "$address" "$id-node" "$platform"
    echo "== shell, $address"
    PATH=$work/shell/node_modules/.bin:$PATH bash "$here/shell/stage.sh" "$address" "$id-shell" "$platform"
done
echo "== all examples saw what they should, over $count addresses"
