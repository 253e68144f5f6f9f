#!/bin/bash
# Make the user that the scheduler signs in with, its password and its roles: one for each file NAME.json in ROLES.
# Harmless when repeated. Needs ELASTIC_PASSWORD and SCHEDULER_PASSWORD.
set -euo pipefail
url=${ELASTICSEARCH_URL:-https://elasticsearch:9200}
ca=${CA_CERT:-/certs/ca/ca.crt}
folder=${ROLES:-/set-up/roles}

# Passwords come by standard input and by a pipe: arguments can be seen by every process of the machine.
ask() {
    printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD" |
        curl --silent --show-error --fail-with-body --config - --cacert "$ca" \
            --header 'Content-Type: application/json' "$@"
    echo
}

names=()
for file in "$folder"/*.json; do
    name=$(basename "$file" .json)
    ask --request PUT "$url/_security/role/$name" --data-binary "@$file"
    names+=("\"$name\"")
done
roles=$(IFS=,; echo "${names[*]}")
ask --request PUT "$url/_security/user/unomi-scheduler" --data-binary @<(
    printf '{"password": "%s", "roles": [%s]}' "$SCHEDULER_PASSWORD" "$roles"
)
