-- luarocks make dotsock-0.1.0-1.rockspec, in this directory. The library is installed apart from
-- it (make install).
rockspec_format = "3.0"
package = "dotsock"
version = "0.1.0-1"
source = {
    url = "file://.",
}
description = {
    summary = "Event sockets: a program says what it is doing, others listen",
    detailed = [[
The Lua binding of dotsock, for LuaJIT and Neovim, and for PUC Lua with the module cffi. It needs
the shared library libdotsock.]],
    license = "MIT OR Apache-2.0",
}
dependencies = {
    "lua >= 5.1, < 5.5",
}
external_dependencies = {
    DOTSOCK = { library = "dotsock" },
}
build = {
    type = "builtin",
    modules = {
        ["dotsock"] = "dotsock.lua",
        ["dotsock.uv"] = "dotsock/uv.lua",
    },
}
