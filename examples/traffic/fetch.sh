#!/bin/sh
# Makes occupancy.csv, speed.csv and events.json beside the project files from three files of the Numenta Anomaly
# Benchmark:
#   sh fetch.sh ~/Downloads/NAB
set -eu
from=${1:?"say which folder holds occupancy_6005.csv, speed_7578.csv and combined_windows.json"}
to=$(dirname "$0")

# Readings come every five minutes, more or less: means of quarter hours, as traffic is counted. The time of the day
# and whether it is a weekend are known ahead of time: columns of their own. The 6th of September 2015 was a Sunday.
tr -d '\r' < "$from/occupancy_6005.csv" | awk -F, -v OFS=, '
    function put_out() {
        if (count == 0) return
        turn = quarter / 96 * 6.283185307179586
        weekend = (day % 7 == 5 || day % 7 == 6) ? "yes" : "no"
        time = sprintf("2015-09-%02d %02d:%02d:00", day, int(quarter / 4), quarter % 4 * 15)
        print time, sprintf("%.3f", sum / count), sprintf("%.5f", sin(turn)), sprintf("%.5f", cos(turn)), weekend
    }
    NR == 1 { print "timestamp", "occupancy", "day_sin", "day_cos", "weekend"; next }
    {
        split($1, part, /[-: ]/)
        now = part[3] * 96 + part[4] * 4 + int(part[5] / 15)
        if (now != last) { put_out(); sum = 0; count = 0 }
        last = now; day = int(part[3]); quarter = now % 96; sum += $2; count += 1
    }
    END { put_out() }' > "$to/forecast/occupancy.csv"

tr -d '\r' < "$from/speed_7578.csv" | sed '1s/value/speed/' > "$to/anomaly/speed.csv"

# The pairs of times of this series alone.
awk '/speed_7578/ { on = 1; print "["; next }
     on && /^    \]/ { print "]"; exit }
     on' "$from/combined_windows.json" > "$to/anomaly/events.json"
