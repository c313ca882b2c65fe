#!/usr/bin/env bash
# Runs the examples and checks what they say. LUA_PATH and the loader's path must lead to dotsock.
set -euo pipefail

cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; rm -rf "$work"' EXIT
export DOTSOCK_SOCKET_DIR=$work XDG_CONFIG_HOME=$work

fail() {
    echo "examples-lua: FAILED: $1" >&2
    exit 1
}

timeout 30 luajit status_line.lua > "$work/line" &
follower=$!
cat > "$work/editor.lua" << 'LUA'
dofile "neovim.lua"
local seen = vim.wait(20000, function() return vim.g.progress:find("rendering %d+ %%") end, 5)
local cleared = vim.wait(20000, function() return vim.g.progress == "" end, 5)
vim.cmd(seen and cleared and "quitall!" or "cquit 1")
LUA
timeout 60 nvim --headless -u NONE -i NONE -c "luafile $work/editor.lua" &
editor=$!
timeout 30 luajit progress.lua
wait $follower || fail 'status_line.lua'
grep -q 'rendering \[##########\] 100 %' "$work/line" || fail 'status_line.lua: what it says'
[ "$(tail -n 1 "$work/line")" = 'done' ] || fail 'status_line.lua: how it ends'
wait $editor || fail 'neovim.lua'

timeout 30 luajit echo_server.lua > "$work/echo" &
echo=$!
timeout 30 luajit - << 'LUA' || fail 'echo_server.lua'
local dotsock = require "dotsock"
local client = dotsock.client("echo", { reconnect_delay = 0.01 }):open()
client:send { word = "hello" }
assert(assert(client:recv(5000)).data.you_said.word == "hello")
client:send { quit = true }
client:close()
LUA
wait $echo || fail 'echo_server.lua: how it ends'
grep -q 'client-1 has come' "$work/echo" || fail 'echo_server.lua: what it says'
echo 'examples-lua: passed'
