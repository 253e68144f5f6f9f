#!/bin/bash
# Make an authority and a certificate for the server `elasticsearch`, unless they are there; run as root in its image.
set -euo pipefail
cd /usr/share/elasticsearch
if [ ! -s config/certs/ca/ca.crt ]; then
    bin/elasticsearch-certutil ca --silent --pem --out config/certs/ca.zip
    unzip -q -o config/certs/ca.zip -d config/certs
fi
if [ ! -s config/certs/elasticsearch/elasticsearch.crt ]; then
    bin/elasticsearch-certutil cert --silent --pem --out config/certs/certs.zip --name elasticsearch \
        --dns elasticsearch,localhost --ip 127.0.0.1 --ca-cert config/certs/ca/ca.crt --ca-key config/certs/ca/ca.key
    unzip -q -o config/certs/certs.zip -d config/certs
fi
rm -f config/certs/ca.zip config/certs/certs.zip
# The authority's certificate is for everybody, its key for nobody but root.
# The server runs with group root.
chown -R root:root config/certs
find config/certs -type d -exec chmod 755 {} +
find config/certs -name '*.crt' -exec chmod 644 {} +
chmod 640 config/certs/elasticsearch/elasticsearch.key
chmod 600 config/certs/ca/ca.key
