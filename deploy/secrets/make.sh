#!/bin/sh
# Makes the secrets that docker-compose.yml names, once, in this folder (or in the folder given).
# A file that is there already is kept, so a second run changes nothing; to change a password,
# remove its file, run this again and restart what uses it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here}
mkdir -p "$folder"

# Containers read these files as users of their own, so the files are readable; the folder is not.
chmod 700 "$folder"
umask 022

fail() {
    echo "make.sh: $1; nothing more was made" >&2
    exit 1
}

# 48 hex digits. Counted, since a pipe ends well when its first command did not.
new_password() {
    made=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n') || fail "no password could be made"
    [ "${#made}" -eq 48 ] || fail "od gave ${#made} hex digits of 48"
    printf %s "$made"
}

# Of a secret's file. A line end that an editor left in it is no part of the password.
sha256_of() {
    [ -n "$(tr -d '\r\n' <"$1")" ] || fail "$1 is empty"
    if command -v sha256sum >/dev/null; then
        hash=$(tr -d '\r\n' <"$1" | sha256sum | cut -d ' ' -f 1)
    else
        hash=$(tr -d '\r\n' <"$1" | shasum -a 256 | cut -d ' ' -f 1)
    fi
    [ "${#hash}" -eq 64 ] || fail "no SHA-256 of $1 could be made"
    printf %s "$hash"
}

keep_or_make() {
    if [ ! -s "$folder/$1" ]; then
        password=$(new_password)
        printf %s "$password" >"$folder/$1"
    fi
}

for user in migrate worker reader invoicing; do
    keep_or_make "clickhouse_${user}_password"
done
for user in admin worker producer; do
    keep_or_make "kafka_${user}_password"
done
keep_or_make grafana_admin_password
keep_or_make api_token

# The server is told hashes, never passwords. It is written anew each time: it follows from the
# four files above.
users=
for user in migrate worker reader invoicing; do
    case $user in
    invoicing) name=invoicing ;;
    *) name=rater_$user ;;
    esac
    hash=$(sha256_of "$folder/clickhouse_${user}_password")
    users="$users    <${name}_sha256>$hash</${name}_sha256>
"
done
printf '<clickhouse>\n%s</clickhouse>\n' "$users" >"$folder/clickhouse_users.xml"

# The broker is told passwords: its mechanism PLAIN knows no hashes.
users=
for user in admin worker producer; do
    password=$(tr -d '\r\n' <"$folder/kafka_${user}_password") || fail "no password could be read"
    [ -n "$password" ] || fail "$folder/kafka_${user}_password is empty"
    users="$users
    user_$user=\"$password\""
done
printf 'KafkaServer {\n    org.apache.kafka.common.security.plain.PlainLoginModule required%s;\n};\n' \
    "$users" >"$folder/kafka_users"

if [ ! -s "$folder/api_tokens.toml" ]; then
    hash=$(sha256_of "$folder/api_token")
    {
        echo '# Made by make.sh: the token itself is in api_token. A token of the account "*" sees every'
        echo '# account. `rater token create` and `rater token revoke` write this file anew.'
        echo '[tokens.first]'
        echo 'account = "*"'
        echo "sha256 = \"$hash\""
    } >"$folder/api_tokens.toml"
fi

echo "secrets are in $folder; the token for the page is in api_token"
