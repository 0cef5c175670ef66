#!/usr/bin/env bash
# Stages pages into a launch with `buf curl`: counts, short counts, ALREADY_EXISTS, and what the error details say.
#
# usage: stage.sh ADDRESS LAUNCH_ID [PLATFORM]     ADDRESS: unix:/path or tcp:HOST:PORT     PLATFORM: sim (default) or kvm
#
# Over TCP: STAGEPAGES_CA, STAGEPAGES_CERT and STAGEPAGES_KEY name the files of mutual TLS.
#
# Needs buf (`npm install @bufbuild/buf`). The schema comes from the daemon itself, by reflection. Exits non-zero on any surprise.
#
# The twin of every call with grpcurl, which wants a socket as an address with three slashes (its -unix flag is broken in current releases):
#   grpcurl -plaintext -d '{"name": "launches/vm-1"}' unix:///run/stagepages/api.sock stagepages.v1.LaunchService/GetLaunch
#   grpcurl -cacert ca.crt -cert client.crt -key client.key -d '{"name": "launches/vm-1"}' localhost:7070 stagepages.v1.LaunchService/GetLaunch
set -euo pipefail

address=${1:?usage: stage.sh ADDRESS LAUNCH_ID [PLATFORM]}
id=${2:?usage: stage.sh ADDRESS LAUNCH_ID [PLATFORM]}
platform=${3:-sim}

buf=(buf curl --protocol grpc)
case $address in
    unix:*) path=${address#unix:} url=http://localhost buf+=(--http2-prior-knowledge --unix-socket "${path#//}") ;;
    tcp:*) url=https://${address#tcp:} buf+=(--cacert "$STAGEPAGES_CA" --cert "$STAGEPAGES_CERT" --key "$STAGEPAGES_KEY") ;;
    *) echo "address $address is neither unix:/path nor tcp:HOST:PORT" >&2 && exit 2 ;;
esac

# call METHOD JSON: the answer, or the error, on one line without spaces. Integers of 64 bits are strings in JSON.
call() {
    local answer status=0
    answer=$("${buf[@]}" -d "$2" "$url/stagepages.v1.LaunchService/$1" 2>&1) || status=$?
    tr -d ' \n\t' <<<"$answer"
    return $((status == 0 ? 0 : 1))
}

# page N: one page full of the byte N, in base64, as JSON has bytes.
pages() {
    for byte in "$@"; do head -c 4096 /dev/zero | tr '\0' "\\$byte"; done | base64 -w 0
}

# stage GPA DATA [MORE]: gpa is a decimal number of bytes.
stage() {
    call StagePages "{\"name\": \"launches/$id\", \"gpa\": $1, \"page_type\": \"PAGE_TYPE_NORMAL\", \"data\": \"$2\"${3:-}}"
}

# details ERROR: the text in the details of an error, a word a line. They are protobuf in base64 (without padding); what a person looks
# for in them is text, and this is the one-line decoder for it.
details() {
    grep -o '"value":"[^"]*"' <<<"$1" | cut -d '"' -f 4 | while read -r value; do base64 -di <<<"$value==" 2>/dev/null; done | tr -c '[:print:]' '\n' | grep .
}

# sees WHAT TEXT PATTERN...: TEXT has each PATTERN.
sees() {
    local what=$1 text=$2
    shift 2
    echo "$what: $*"
    for pattern in "$@"; do
        grep -qF -- "$pattern" <<<"$text" || { echo "expected $pattern in: $text" >&2 && exit 1; }
    done
}

# refused WHAT GPA DATA: what the daemon says to a call that must be refused.
refused() {
    local answer
    if answer=$(stage "$2" "$3"); then
        echo "$1: not refused: $answer" >&2 && exit 1
    fi
    echo "$answer"
}

answer=$(call CreateLaunch "{\"launch_id\": \"$id\", \"spec\": {\"platform\": \"PLATFORM_${platform^^}\", \"regions\": [{\"gpa\": 0, \"size\": 65536}]}}")
sees 'created' "$answer" '"state":"LAUNCH_STATE_CREATED"'

answer=$(stage 4096 "$(pages 101 102)")
sees 'pages 1 and 2 staged' "$answer" '"installedPages":"2"'

answer=$(stage 0 "$(pages 100 101 102 103)" ', "request_id": "short"')
sees 'pages 0 to 3 staged' "$answer" '"installedPages":"1"' '"gpa":"4096"' '"identical":true' '"identicalPages":"2"'

repeat=$(stage 0 "$(pages 100 101 102 103)" ', "request_id": "short"')
sees 'the same request id again has the same answer' "$repeat" "$answer"
kept=$(call GetStageResult "{\"name\": \"launches/$id\", \"request_id\": \"short\"}")
sees 'which can be looked up after a lost connection' "$kept" "$answer"

error=$(refused 'the same bytes again' 4096 "$(pages 101 102)")
sees 'the same bytes again' "$error" '"code":"already_exists"' ALREADY_INSTALLED
sees 'its details' "$(details "$error")" ALREADY_INSTALLED identical true

error=$(refused 'other bytes' 8192 "$(pages 273)")
sees 'other bytes' "$error" '"code":"already_exists"' ALREADY_INSTALLED
sees 'its details' "$(details "$error")" 0x2000 identical false

answer=$(call VerifyLaunch "{\"name\": \"launches/$id\"}")
sees 'verified' "$answer" '"consistent":true' '"pagesChecked":"3"'

answer=$(call AbortLaunch "{\"name\": \"launches/$id\"}")
sees 'aborted' "$answer" '"state":"LAUNCH_STATE_ABORTED"'
error=$(refused 'staging after that' 20480 "$(pages 105)")
sees 'staging after that' "$error" '"code":"failed_precondition"' WRONG_STATE
