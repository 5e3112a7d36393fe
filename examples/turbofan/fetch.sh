#!/bin/sh
# Copies the three files of FD001 into data/ beside this script:
#   sh fetch.sh ~/Downloads/CMAPSSData
set -eu
from=${1:?"say which folder holds train_FD001.txt, test_FD001.txt and RUL_FD001.txt"}
to=$(dirname "$0")/data

mkdir -p "$to"
for name in train_FD001.txt test_FD001.txt RUL_FD001.txt; do
    cp "$from/$name" "$to/$name"
done
