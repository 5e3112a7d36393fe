#!/bin/sh
# Makes healthy.csv, rest.csv and failures.json beside this script from two files of the Numenta Anomaly Benchmark:
#   sh fetch.sh ~/Downloads/NAB
# healthy.csv holds the weeks between the second and the third failure, rest.csv all others. A column `stretch` numbers
# the weeks of the one, and says of the other whether a row was before or after them: no window reaches over either.
set -eu
from=${1:?"say which folder holds machine_temperature_system_failure.csv and combined_windows.json"}
to=$(dirname "$0")
series="$from/machine_temperature_system_failure.csv"

tr -d '\r' < "$series" | awk -F, -v OFS=, -v first='2013-12-18' -v behind='2014-01-26' -v to="$to" '
    NR == 1 { print $0, "stretch" > (to "/healthy.csv"); print $0, "stretch" > (to "/rest.csv"); next }
    $1 < first { print $0, "before" > (to "/rest.csv"); next }
    $1 >= behind { print $0, "after" > (to "/rest.csv"); next }
    { week = int(rows / 2016); rows += 1; print $0, "week " week > (to "/healthy.csv") }'

# The pairs of times of this series alone.
awk '/machine_temperature_system_failure/ { on = 1; print "["; next }
     on && /^    \]/ { print "]"; exit }
     on' "$from/combined_windows.json" > "$to/failures.json"
