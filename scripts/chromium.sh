#!/bin/sh
# Chromium for tests/browser. `make test` calls this first: it says so at once if there is none, and on Debian
# gets it, when it may. CHROMIUM names another one.
set -eu

for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done

if [ ! -r /etc/debian_version ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests of pages need Chromium, and there is none here: install it (on Debian: apt-get install" >&2
  echo "chromium), or name yours: make test CHROMIUM=/path/to/chrome. Without it, single layers run all the" >&2
  echo "same: make test ARGS='check unit'" >&2
  exit 1
fi

echo "installing Chromium (once, about half a minute)" >&2
export DEBIAN_FRONTEND=noninteractive
quiet="-qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0"
log=$(mktemp)
for pause in 5 15 30 0; do
  # Recommended packages are for desktops; fonts so that pages have letters.
  if { apt-get $quiet update &&
       apt-get $quiet install --yes --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1
  then rm "$log"; exit 0; fi
  [ "$pause" = 0 ] || sleep "$pause"
done
cat "$log" >&2
echo "Chromium could not be installed: see above" >&2
exit 1
