#!/bin/sh
# Write the secrets that compose.yaml needs, each drawn at random, into .env; one that exists is left alone.
set -eu
file=${1:-.env}
if [ -e "$file" ]; then
    echo "$file exists and is left as it is" >&2
    exit 0
fi
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat >"$file" <<END
ELASTIC_PASSWORD=$(secret)
SCHEDULER_PASSWORD=$(secret)
ADMIN_PASSWORD=$(secret)
END
echo "wrote $file; sign in to REST as admin with its ADMIN_PASSWORD" >&2
