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

new_password() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum
    else
        shasum -a 256
    fi | cut -d ' ' -f 1
}

keep_or_make() {
    [ -s "$folder/$1" ] || new_password >"$folder/$1"
}

for user in migrate worker reader invoicing; do
    keep_or_make "clickhouse_${user}_password"
done
keep_or_make grafana_admin_password
keep_or_make api_token

# The server is told hashes, never passwords. It is written anew each time: it follows from the
# four files above. A line end that an editor left in one is no part of the password.
{
    echo '<clickhouse>'
    for user in migrate worker reader invoicing; do
        case $user in
        invoicing) name=invoicing ;;
        *) name=rater_$user ;;
        esac
        hash=$(tr -d '\r\n' <"$folder/clickhouse_${user}_password" | sha256)
        echo "    <${name}_sha256>$hash</${name}_sha256>"
    done
    echo '</clickhouse>'
} >"$folder/clickhouse_users.xml"

if [ ! -s "$folder/api_tokens.toml" ]; then
    {
        echo '# Made by make.sh: the token itself is in api_token. A token of the account "*" sees every'
        echo '# account. `rater token create` and `rater token revoke` write this file anew.'
        echo '[tokens.first]'
        echo 'account = "*"'
        echo "sha256 = \"$(tr -d '\r\n' <"$folder/api_token" | sha256)\""
    } >"$folder/api_tokens.toml"
fi

echo "secrets are in $folder; the token for the page is in api_token"
