-- Waits for messages that do not come, and has itself interrupted meanwhile: see faults.lua.

local dotsock = require "dotsock"
local ffi = require "ffi"

ffi.cdef "int getpid(void); unsigned int alarm(unsigned int seconds);"
ffi.C.alarm(30)

local client = dotsock.connect(arg[1]):send { ready = true }
-- Until it is done, and whenever it comes: the process is alone with itself.
os.execute(("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; kill -INT %d || exit 0; done &")
    :format(ffi.C.getpid()))
for _ in client:messages() do
    error("a message that nobody sent")
end
