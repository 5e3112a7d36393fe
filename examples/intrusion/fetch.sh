#!/bin/sh
# Makes train.csv and test.csv beside this script from the files of NSL-KDD in a folder:
#   sh fetch.sh ~/Downloads/NSL-KDD
# Each row gets a last column `traffic`: normal, or attack for any other label. Plain and gzipped files will do.
set -eu
from=${1:?"say which folder holds KDDTrain+_20Percent.txt and KDDTest+.txt (or .gz)"}
to=$(dirname "$0")

convert() {
    {
        printf '%s' 'duration,protocol_type,service,flag,src_bytes,dst_bytes,land,wrong_fragment,urgent,hot,'
        printf '%s' 'num_failed_logins,logged_in,num_compromised,root_shell,su_attempted,num_root,'
        printf '%s' 'num_file_creations,num_shells,num_access_files,num_outbound_cmds,is_host_login,'
        printf '%s' 'is_guest_login,count,srv_count,serror_rate,srv_serror_rate,rerror_rate,srv_rerror_rate,'
        printf '%s' 'same_srv_rate,diff_srv_rate,srv_diff_host_rate,dst_host_count,dst_host_srv_count,'
        printf '%s' 'dst_host_same_srv_rate,dst_host_diff_srv_rate,dst_host_same_src_port_rate,'
        printf '%s' 'dst_host_srv_diff_host_rate,dst_host_serror_rate,dst_host_srv_serror_rate,'
        printf '%s\n' 'dst_host_rerror_rate,dst_host_srv_rerror_rate,label,difficulty,traffic'
        if [ -f "$from/$1.gz" ]; then gzip -dc "$from/$1.gz"; else cat "$from/$1"; fi |
            tr -d '\r' | awk -F, -v OFS=, 'NF { print $0, ($42 == "normal" ? "normal" : "attack") }'
    } > "$to/$2"
}

convert KDDTrain+_20Percent.txt train.csv
convert KDDTest+.txt test.csv
