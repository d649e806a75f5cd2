#!/usr/bin/env bash
# make-pki.sh DIR: certificates for the brokers, the API server and the clients, and the key that signs
# ServiceAccount tokens. Elliptic keys: made in milliseconds.
set -euo pipefail
mkdir -p "$1"
cd "$1"

# new_ca FILE CN
new_ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$2" \
    -config ca.cnf -extensions v3_ca -keyout "$1.key" -out "$1.crt"
}

# new_cert FILE CN EXTENSIONS: signed by ca.
new_cert() {
  printf '%s\n' "basicConstraints=critical,CA:false" "$3" >"$1.ext"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" \
    -config ca.cnf -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 8)" \
    -days 30 -sha256 -extfile "$1.ext" -out "$1.crt"
}

cat >ca.cnf <<'EOF'
[req]
distinguished_name = dn
[dn]
[v3_ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
EOF
new_ca ca "AppMigration test CA"
new_ca other-ca "Unrelated test CA"
new_cert server localhost $'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
new_cert client migrator "extendedKeyUsage=clientAuth"
# What Kafka calls a PEM key store: the key and its chain in one file.
cat server.key server.crt ca.crt >server.pem
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out sa.key
openssl pkey -in sa.key -pubout -out sa.pub
rm -f ./*.csr ./*.ext ca.cnf
