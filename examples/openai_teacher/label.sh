#!/bin/sh
# Label a catalog with the server of this folder, distill, and measure.
#
#   sh label.sh CATALOG [PORT]
set -eu
catalog=$1
port=${2:-8000}
here=$(dirname "$0")

python "$here/server.py" --port "$port" &
server=$!
trap 'kill "$server"' EXIT
until python -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2> /dev/null; do sleep 0.2; done

vdistill label "$catalog" --teacher light --endpoint "http://127.0.0.1:$port" --queries "$here/queries.txt" --budget 400
vdistill distill
vdistill bench
